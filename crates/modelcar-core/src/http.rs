//! What the Hub client and the registry client share: how a client is made, how a failure is told, what is masked.

pub(crate) mod log;
mod network;

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use reqwest::{Method, StatusCode, Url};
use tokio::time::timeout;

pub(crate) use self::network::client_builder;
pub use self::network::{InvalidNetwork, Network};
use crate::{
    error::{self, ErrorKind, ModelcarError},
    text::{cut, excerpt},
};

/// Largest part of an error answer that is read; servers behind proxies answer whole HTML pages.
const ERROR_BODY_MAX_BYTES: usize = 64 * 1024;
/// Longest wait for it.
const ERROR_BODY_PATIENCE: Duration = Duration::from_secs(5);
/// Longest error code that is shown, in characters. Those of the specification have at most 21.
const CODE_MAX_CHARS: usize = 64;
/// Longest URL that is shown, in characters.
const URL_MAX_CHARS: usize = 200;
/// Shorter secrets are not looked for: they are part of any text.
const LEAST_SECRET: usize = 4;
/// What stands before a session in the path of an upload.
const UPLOADS: &str = "/blobs/uploads/";
/// Longest segment of a URL's path that is shown; a digest with its algorithm has 71 characters.
const LONGEST_SEGMENT: usize = 100;

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
        let text = mask_path(&masked.to_string().replace("%E2%80%A6", "…"));
        Self(cut(&text, URL_MAX_CHARS))
    }
}

/// Masks what names an upload's session, which is all that it takes to write into it: the tail of an upload's place, and
/// any long segment (Artifact Registry's places are kilobytes of token).
fn mask_path(url: &str) -> String {
    let url = match url.split_once(UPLOADS) {
        Some((before, after)) if !after.is_empty() => {
            format!("{before}{UPLOADS}…{}", if after.ends_with("?…") { "?…" } else { "" })
        }
        _ => url.to_owned(),
    };
    let mask = |segment: &str| if segment.len() > LONGEST_SEGMENT { "…".to_owned() } else { segment.to_owned() };
    url.split('/').map(mask).collect::<Vec<_>>().join("/")
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
    /// `Retry-After` of the answer, as seconds from then.
    pub retry_after: Option<Duration>,
    /// The transport's error, when there was no usable answer.
    pub cause: Option<reqwest::Error>,
    /// Whether there was no answer in time.
    pub silent: bool,
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
            silent: false,
        }
    }

    /// An answer whose status is not the wanted one; reads what the server says about it.
    pub(crate) async fn from_response(method: Method, response: reqwest::Response) -> Self {
        Self::from_masked(method, response, &[]).await
    }

    /// An answer like that from a server that was sent `secrets`: where it repeats them they are masked.
    pub(crate) async fn from_masked(method: Method, response: reqwest::Response, secrets: &[String]) -> Self {
        let mut failure = Self {
            method,
            url: RedactedUrl::new(response.url()),
            status: Some(response.status()),
            code: header(&response, "x-error-code"),
            message: header(&response, "x-error-message"),
            retry_after: header(&response, "retry-after").and_then(|text| retry_after(&text, SystemTime::now())),
            cause: None,
            silent: false,
        };
        // A server that lets its excuse drip is not waited for, and half an excuse says something too.
        let mut body = Vec::new();
        let reading = read_into(&mut body, response, ERROR_BODY_MAX_BYTES);
        let _whole_or_not = timeout(ERROR_BODY_PATIENCE, reading).await;
        failure.read_body(&body);
        failure.make_showable(secrets);
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
            silent: false,
        }
    }

    /// A request whose answer did not come in time.
    pub(crate) fn silent(method: Method, url: &Url, patience: Duration) -> Self {
        let message = format!("no answer for {} s", patience.as_secs());
        Self { silent: true, ..Self::protocol(method, url, message) }
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
    }

    /// Masks what is secret before anything is cut: half a secret is one too.
    fn make_showable(&mut self, secrets: &[String]) {
        let mask = |text: String| {
            let secrets = secrets.iter().filter(|secret| secret.len() >= LEAST_SECRET);
            secrets.fold(text, |text, secret| text.replace(secret.as_str(), "[secret]"))
        };
        self.message = self.message.take().map(|text| excerpt(&mask(text)));
        self.code = self.code.take().map(|text| cut(&excerpt(&mask(text)), CODE_MAX_CHARS));
    }

    /// Returns whether the server's certificate is not from a trusted authority, or not for this server.
    pub fn is_untrusted(&self) -> bool {
        matches!(self.tls_error(), Some(rustls::Error::InvalidCertificate(_)))
    }

    /// Returns whether the server does not speak TLS, as a server of plain HTTP: its first bytes are no
    /// record of TLS.
    pub fn is_without_tls(&self) -> bool {
        use rustls::{Error, InvalidMessage};
        matches!(self.tls_error(), Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)))
    }

    fn tls_error(&self) -> Option<&rustls::Error> {
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            if let Some(tls) = error.downcast_ref() {
                return Some(tls);
            }
            // An I/O error that wraps another error passes over it in its chain of causes.
            let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            cause = wrapped.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| error.source());
        }
        None
    }
}

impl ModelcarError for HttpFailure {
    /// Returns the kind of failure that the status stands for.
    fn kind(&self) -> ErrorKind {
        match self.status.map(|status| status.as_u16()) {
            Some(401) => ErrorKind::Auth,
            Some(403) => ErrorKind::Denied,
            Some(404 | 410) => ErrorKind::NotFound,
            Some(429) => ErrorKind::RateLimited,
            Some(400..=499) => ErrorKind::InvalidInput,
            Some(_) | None => ErrorKind::Network,
        }
    }

    fn is_retryable(&self) -> bool {
        match self.status {
            Some(status) => is_passing(status),
            None if self.silent => true,
            None => {
                self.cause.as_ref().is_some_and(|cause| !cause.is_builder() && !cause.is_redirect())
                    && !self.is_untrusted()
                    && !self.is_without_tls()
            }
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        self.retry_after
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

/// Returns whether a status speaks of a moment, not of the request.
pub(crate) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504 | 522)
}

/// Returns a header's text.
pub(crate) fn header(response: &reqwest::Response, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// Reads a body, or its first `limit` bytes.
///
/// # Errors
/// When it breaks off before that.
pub(crate) async fn read_limited(response: reqwest::Response, limit: usize) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    read_into(&mut body, response, limit).await?;
    Ok(body)
}

async fn read_into(body: &mut Vec<u8>, mut response: reqwest::Response, limit: usize) -> reqwest::Result<()> {
    while let Some(chunk) = response.chunk().await? {
        let room = limit - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == limit {
            break;
        }
    }
    Ok(())
}

/// Reads `Retry-After`: seconds, or a date (RFC 9110, 10.2.3); a date that is past means now.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok().map(|date| date.duration_since(now).unwrap_or_default()),
    }
}

/// Returns an error and its causes on one line of bounded length: texts that a server may have a part in.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    excerpt(&error::chain(error))
}

/// Longest wait between two tries that no server asked for.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Longest wait that a server can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);

/// Returns the wait after the `attempt`-th failure: what the server asks for, or a lot drawn below a doubling bound
/// ("full jitter": many clients that failed together do not come back together).
pub(crate) fn backoff(base: Duration, attempt: u32, retry_after: Option<Duration>) -> Duration {
    let bound = base.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(BACKOFF_MAX);
    let lot = RandomState::new().hash_one(attempt) >> 32;
    let drawn = bound.mul_f64(f64::from(u32::try_from(lot).unwrap_or_default()) / f64::from(u32::MAX));
    retry_after.map_or(drawn, |asked| asked.min(RETRY_AFTER_MAX).max(drawn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::EXCERPT_MAX_CHARS;

    #[test]
    fn a_url_is_shown_without_what_opens_doors() {
        let shown = |url: &str| RedactedUrl::new(&url.parse().unwrap()).to_string();
        let token = "A".repeat(4000);
        for (url, expected) in [
            ("https://u:p@r.io/v2/a/manifests/v1?x=1#f", "https://r.io/v2/a/manifests/v1?…".to_owned()),
            ("https://r.io/v2/a/blobs/uploads/", "https://r.io/v2/a/blobs/uploads/".to_owned()),
            ("https://r.io/v2/a/blobs/uploads/id-secret?_state=s", "https://r.io/v2/a/blobs/uploads/…?…".to_owned()),
            (&format!("https://r.io/artifacts-uploads/p/{token}"), "https://r.io/artifacts-uploads/p/…".to_owned()),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn what_a_server_says_is_one_short_line_without_what_it_was_sent() {
        let url = "https://r.io/v2/".parse().unwrap();
        let shown = |body: &str| {
            let mut failure = HttpFailure::protocol(Method::POST, &url, "");
            failure.message = None;
            failure.read_body(body.as_bytes());
            failure.make_showable(&["1//secret".to_owned(), "abc".to_owned()]);
            failure.to_string()
        };
        let code = format!("A\\u001b[31m\\n{}", "B".repeat(9000));
        let text = shown(&format!(r#"{{"errors":[{{"code":"{code}","message":"line\none"}}]}}"#));
        assert!(text.len() < 200 && text.ends_with("…: line one"), "{text}");
        assert!(!text.contains(['\n', '\u{1b}']), "{text:?}");
        let far = format!("{} 1//secret", "x".repeat(EXCERPT_MAX_CHARS - 5));
        for body in ["bad: 1//secret", r#"{"errors":[{"code":"1//secret"}]}"#, r#"{"error":"1//secret, abc"}"#, &far] {
            let text = shown(body);
            assert!(!text.contains("1//s") && text.contains("[se"), "{text}");
        }
        assert!(shown(r#"{"error":"abc"}"#).contains("abc"));
    }

    #[test]
    fn waits_grow_by_lot_and_servers_are_obeyed_within_a_bound() {
        let base = Duration::from_millis(500);
        for attempt in 1..40 {
            let bound = base * (1 << (attempt - 1).min(16));
            assert!(backoff(base, attempt, None) <= bound.min(BACKOFF_MAX));
        }
        let asked = |seconds| backoff(base, 1, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(7), Duration::from_secs(7));
        assert_eq!(asked(86_400), RETRY_AFTER_MAX);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read = |text| retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(read(" 120 "), Some(120));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0));
        for bad in ["", "-1", "soon", "1.5", "99999999999999999999999"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
