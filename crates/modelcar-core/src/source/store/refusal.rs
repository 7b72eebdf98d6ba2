//! What a store's server answers in place of what was asked for, as far as it can be shown.

use std::time::Duration;

use object_store::client::HttpResponse;
use tokio::time::timeout;

use crate::{
    http::mask,
    text::{cut, excerpt},
};

/// Largest part of an error answer that is looked at, in bytes.
const BODY_MAX_BYTES: usize = 64 << 10;
/// Longest wait for the body of an error answer.
const BODY_PATIENCE: Duration = Duration::from_secs(5);
/// Longest error code that is shown, in characters.
const CODE_MAX_CHARS: usize = 64;

/// An answer without success.
#[derive(Debug, Clone, thiserror::Error)]
#[error("status {status}")]
pub(super) struct Refusal {
    /// Status of the answer.
    pub(super) status: u16,
    /// The store's name for what is wrong: `NoSuchBucket`.
    pub(super) code: Option<String>,
    /// The store's words, as one line of bounded length.
    pub(super) message: Option<String>,
    /// The region that the bucket is in, where the store says so.
    pub(super) region: Option<String>,
    /// How long the store asks to wait; only where it says so in seconds.
    pub(super) retry_after: Option<Duration>,
    /// Whether credentials were asked for, and not an object.
    pub(super) of_login: bool,
}

impl Refusal {
    /// Reads an answer. `secrets` are masked where the server repeats them; of what an exchange of credentials answers
    /// only the code is kept, because the rest may hold some.
    pub(super) async fn read(response: HttpResponse, of_login: bool, secrets: &[String]) -> Self {
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let (region, wait) = (header("x-amz-bucket-region"), header("retry-after"));
        // A body that comes too slowly is not waited for.
        let body = timeout(BODY_PATIENCE, response.into_body().bytes()).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        let text = String::from_utf8_lossy(&body[..body.len().min(BODY_MAX_BYTES)]);
        let safe = |text: &str| excerpt(&mask(&unescaped(text), secrets.iter().map(String::as_str)));
        let named = between(&text, "Code").map(str::to_owned).or_else(|| json_code(&text));
        let message = match between(&text, "Message") {
            _ if of_login => None,
            None if text.trim_start().starts_with('<') => None,
            told => Some(safe(told.unwrap_or(&text))).filter(|text| !text.is_empty()),
        };
        Self {
            status,
            code: named.map(|code| cut(&safe(&code), CODE_MAX_CHARS)).filter(|code| !code.is_empty()),
            message,
            region: region.or_else(|| between(&text, "Region").map(str::to_owned)).map(|region| safe(&region)),
            retry_after: wait.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs),
            of_login,
        }
    }
}

/// Returns the text in the first element of this name.
fn between<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

/// Returns the code in an answer of a token server (RFC 6749, section 5.2).
fn json_code(text: &str) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_str(text).ok()?;
    Some(answer.get("error")?.as_str()?.to_owned())
}

/// Returns a text of XML without its escapes.
fn unescaped(text: &str) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_store_says_is_one_line_without_secrets() {
        let answer = |body: &'static str| {
            let mut response = HttpResponse::new(body.to_owned().into());
            *response.status_mut() = reqwest::StatusCode::FORBIDDEN;
            response
        };
        let secrets = ["hunter2-secret".to_owned()];
        let body = "<?xml?><Error><Code>AccessDenied</Code><Message>no\n&quot;x&quot; hunter2-secret</Message></Error>";
        let refusal = Refusal::read(answer(body), false, &secrets).await;
        assert_eq!(refusal.code.as_deref(), Some("AccessDenied"));
        assert_eq!(refusal.message.as_deref(), Some("no \"x\" [secret]"));
        let refusal = Refusal::read(answer(r#"{"error":"invalid_grant","hint":"abc"}"#), true, &secrets).await;
        assert_eq!((refusal.code.as_deref(), refusal.message), (Some("invalid_grant"), None));
        assert_eq!(Refusal::read(answer("<html>a page</html>"), false, &[]).await.message, None);
    }
}
