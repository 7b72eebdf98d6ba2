//! Requests in the log: one span for each try, with the masked URL. Headers and bodies are never logged.

use reqwest::{Method, Response, Url};
use tokio::time::Instant;
use tracing::{Instrument, Span, field::Empty};

use super::secret::RedactedUrl;
use crate::text::chain;

/// Returns the span of one try of a request; `bytes` is the size of its body.
pub(crate) fn request(method: &Method, url: &Url, attempt: u32, bytes: u64) -> Span {
    // The fields are evaluated only when the span is enabled.
    tracing::debug_span!(
        "request",
        %method,
        url = %RedactedUrl::new(url),
        attempt,
        bytes,
        status = Empty,
        ms = Empty
    )
}

/// Waits for an answer inside its span, and logs its status or its failure.
///
/// # Errors
/// Those of `sending`.
pub(crate) async fn answered(
    span: Span,
    sending: impl Future<Output = reqwest::Result<Response>>,
) -> reqwest::Result<Response> {
    let mut unanswered = Unanswered { span: Some(span.clone()), begun: Instant::now() };
    let answer = sending.instrument(span).await.map_err(reqwest::Error::without_url);
    if let Some(span) = unanswered.span.take() {
        span.record("ms", millis(unanswered.begun));
        let _inside = span.enter();
        match &answer {
            Ok(response) => {
                Span::current().record("status", response.status().as_u16());
                tracing::debug!("answered");
            }
            Err(error) => tracing::debug!(reason = chain(error), "no answer"),
        }
    }
    answer
}

/// Logs a request that is dropped before its answer: after a time limit, or because its caller was dropped.
struct Unanswered {
    span: Option<Span>,
    begun: Instant,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(span) = self.span.take() {
            span.record("ms", millis(self.begun));
            span.in_scope(|| tracing::debug!("given up"));
        }
    }
}

fn millis(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}
