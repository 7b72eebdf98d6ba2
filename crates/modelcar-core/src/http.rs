//! What the Hub client and the registry client share: how a client is made, how a failure is told, what is masked.

mod network;

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    io,
    sync::Arc,
    time::Duration,
};

use reqwest::{Method, StatusCode, Url};

pub(crate) use self::network::client_builder;
pub use self::network::{InvalidNetwork, Network};
use crate::error::ErrorKind;

/// Largest part of an error answer that is read; servers behind proxies answer whole HTML pages.
const ERROR_BODY_MAX_BYTES: usize = 64 * 1024;
/// Longest excerpt of an error answer that is shown, in characters.
const EXCERPT_MAX_CHARS: usize = 300;

/// A secret: its value can be used, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Returns the value. The caller must not print it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value.into())
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A URL without what may be secret: user, password, query and fragment. Signed URLs carry their signature in the
/// query; upload locations carry a session token there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedUrl(String);

impl RedactedUrl {
    /// Masks `url`.
    pub fn new(url: &Url) -> Self {
        let mut masked = url.clone();
        let _no_host = masked.set_username("");
        let _no_host = masked.set_password(None);
        masked.set_fragment(None);
        if masked.query().is_some() {
            masked.set_query(Some("…"));
        }
        let text = masked.to_string().replace("%E2%80%A6", "…");
        // Artifact Registry puts kilobytes of session token into the path of an upload.
        let short = match text.char_indices().nth(200) {
            Some((at, _)) => format!("{}…", &text[..at]),
            None => text,
        };
        Self(short)
    }
}

impl fmt::Display for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A request that did not do what it was sent for.
#[derive(Debug)]
pub struct HttpFailure {
    /// Method of the request.
    pub method: Method,
    /// Where it went.
    pub url: RedactedUrl,
    /// Status of the answer, when there was one.
    pub status: Option<StatusCode>,
    /// Machine-readable code of the answer: a registry's error code, the Hub's `X-Error-Code`.
    pub code: Option<String>,
    /// What the server said, cut short and on one line.
    pub message: Option<String>,
    /// `Retry-After` of the answer, in whole seconds.
    pub retry_after: Option<Duration>,
    /// The transport's error, when there was no usable answer.
    pub cause: Option<reqwest::Error>,
}

impl HttpFailure {
    /// A request without an answer.
    pub(crate) fn transport(method: Method, url: &Url, cause: reqwest::Error) -> Self {
        Self {
            method,
            url: RedactedUrl::new(url),
            status: None,
            code: None,
            message: None,
            retry_after: None,
            cause: Some(cause.without_url()),
        }
    }

    /// An answer whose status is not the wanted one; reads what the server says about it.
    pub(crate) async fn from_response(method: Method, response: reqwest::Response) -> Self {
        let mut failure = Self {
            method,
            url: RedactedUrl::new(response.url()),
            status: Some(response.status()),
            code: header(&response, "x-error-code"),
            message: header(&response, "x-error-message"),
            retry_after: header(&response, "retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs),
            cause: None,
        };
        let body = read_limited(response, ERROR_BODY_MAX_BYTES).await;
        failure.read_body(&body);
        failure
    }

    /// An answer that is well-formed HTTP but not what the protocol promises.
    pub(crate) fn protocol(method: Method, url: &Url, message: impl Into<String>) -> Self {
        Self {
            method,
            url: RedactedUrl::new(url),
            status: None,
            code: None,
            message: Some(message.into()),
            retry_after: None,
            cause: None,
        }
    }

    fn read_body(&mut self, body: &[u8]) {
        let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let first = parsed.as_ref().and_then(|json| json.get("errors")?.get(0));
        if let Some(error) = first {
            let text = |key| error.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
            self.code = self.code.take().or_else(|| text("code"));
            self.message = self.message.take().or_else(|| text("message"));
        }
        let plain = parsed.as_ref().and_then(|json| json.get("error")?.as_str()).map(str::to_owned);
        self.message = self.message.take().or(plain).or_else(|| {
            let text = String::from_utf8_lossy(body);
            (!text.trim().is_empty()).then(|| text.into_owned())
        });
        self.message = self.message.take().map(|text| one_line(&text));
    }

    /// Returns whether the same request may well succeed later.
    pub fn is_transient(&self) -> bool {
        match self.status {
            Some(status) => matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504 | 522),
            None => {
                self.cause.as_ref().is_some_and(|cause| !cause.is_builder() && !cause.is_redirect())
                    && !self.is_untrusted()
            }
        }
    }

    /// Returns whether the server's certificate is not from a trusted authority, or not for this server.
    pub fn is_untrusted(&self) -> bool {
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            if matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
                return true;
            }
            // An I/O error that wraps another error passes over it in its chain of causes.
            let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            cause = wrapped.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| error.source());
        }
        false
    }

    /// Returns the kind of failure that the status stands for.
    pub fn kind(&self) -> ErrorKind {
        match self.status.map(|status| status.as_u16()) {
            Some(401) => ErrorKind::Auth,
            Some(403) => ErrorKind::Denied,
            Some(404 | 410) => ErrorKind::NotFound,
            Some(429) => ErrorKind::RateLimited,
            Some(400..=499) => ErrorKind::InvalidInput,
            Some(_) | None => ErrorKind::Network,
        }
    }
}

impl fmt::Display for HttpFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url)?;
        match self.status {
            Some(status) => write!(f, ": status {status}")?,
            None if self.cause.is_some() => f.write_str(": no answer")?,
            None => {}
        }
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for HttpFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

/// Returns a header's text.
pub(crate) fn header(response: &reqwest::Response, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// Reads at most `limit` bytes of a body; what is wrong with the rest is of no interest.
pub(crate) async fn read_limited(mut response: reqwest::Response, limit: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = limit - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == limit {
            break;
        }
    }
    body
}

/// Returns an error and its causes on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    one_line(&text)
}

/// Longest wait between two tries that no server asked for.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Longest wait that a server can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);

/// Returns the wait after the `attempt`-th failure: what the server asks for, or a lot drawn below a doubling bound.
pub(crate) fn backoff(base: Duration, attempt: u32, retry_after: Option<Duration>) -> Duration {
    let bound = base.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(BACKOFF_MAX);
    let lot = RandomState::new().hash_one(attempt) >> 32;
    let drawn = bound.mul_f64(f64::from(u32::try_from(lot).unwrap_or_default()) / f64::from(u32::MAX));
    retry_after.map_or(drawn, |asked| asked.min(RETRY_AFTER_MAX).max(drawn))
}

/// Returns the start of a text on one line.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(EXCERPT_MAX_CHARS) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
