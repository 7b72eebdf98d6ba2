//! Failures of HTTP requests: what happened, what the server said about it, and whether another try may succeed.

use std::{
    fmt, io,
    time::{Duration, SystemTime},
};

use reqwest::{Method, StatusCode, Url};
use rustls::{AlertDescription, CertificateError};
use serde_json::Value;
use tokio::time::timeout;

use super::{
    secret::{self, RedactedUrl, mask},
    verifier,
};
use crate::{
    error::{ErrorKind, ModelcarError},
    text::{cut, excerpt},
};

/// Largest part of an error answer that is read, in bytes. Proxies answer with whole HTML pages.
const ERROR_BODY_MAX_BYTES: usize = 64 * 1024;
/// Longest wait for the body of an error answer.
const ERROR_BODY_PATIENCE: Duration = Duration::from_secs(5);
/// Largest number of errors of one answer that are shown beside the first.
const ERRORS_MAX: usize = 4;
/// Longest error code that is shown, in characters. Those of the specification have at most 21.
const CODE_MAX_CHARS: usize = 64;
/// Error codes of a registry for failures that another try can't change, whatever the status (distribution-spec "Error
/// Codes").
const FINAL_CODES: [&str; 6] =
    ["DIGEST_INVALID", "NAME_INVALID", "NAME_UNKNOWN", "DENIED", "UNSUPPORTED", "SIZE_INVALID"];

/// A request that failed: without an answer, or with an answer that the client can't use.
#[derive(Debug)]
pub struct HttpFailure {
    /// Method of the request.
    pub method: Method,
    /// URL of the request.
    pub url: RedactedUrl,
    /// Status of the answer, when there was one.
    pub status: Option<StatusCode>,
    /// Machine-readable code of the answer: a registry's error code, the Hub's `X-Error-Code`.
    pub code: Option<String>,
    /// Reason that the server gave, as one line of bounded length.
    pub message: Option<String>,
    /// `Retry-After` of the answer, counted from the answer.
    pub retry_after: Option<Duration>,
    /// Error of the HTTP client, when there was no usable answer.
    pub cause: Option<reqwest::Error>,
    /// Whether the time limit passed without an answer.
    pub silent: bool,
    /// Whether the answer is a web page, as a proxy or a firewall before the server gives.
    pub page: bool,
}

/// What is wrong with the certificate of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateFault {
    /// The time in which the certificate is valid is over, by this machine's clock.
    Expired,
    /// The time in which the certificate is valid has not begun, by this machine's clock.
    NotYetValid,
    /// The certificate is for other names.
    OtherName,
    /// The certificate is signed by itself, and is not trusted.
    SelfSigned,
    /// The certificate is signed by an authority that is not trusted, or by itself.
    UnknownAuthority,
    /// The certificate can't be used for another reason.
    Other,
}

impl CertificateFault {
    fn of(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::OtherName,
            // An authority of the same name with another key gives a bad signature.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
            error if verifier::is_own_authority(error) => Self::SelfSigned,
            _ => Self::Other,
        }
    }

    /// Says what is wrong, as a message shows it.
    fn text(self) -> &'static str {
        match self {
            Self::Expired => "the server's certificate has expired",
            Self::NotYetValid => "the server's certificate is not valid yet",
            Self::OtherName => "the server's certificate is for another name",
            Self::SelfSigned => "the server's certificate is self-signed and not trusted here",
            Self::UnknownAuthority => "the server's certificate is from an authority that is not trusted here",
            Self::Other => "the server's certificate can't be used",
        }
    }
}

/// Why a server speaks to nobody without a certificate of the client that it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientCertificateFault {
    /// The server asked for a certificate and got none.
    Missing,
    /// The server refuses the certificate that it got, or the lack of one.
    Refused,
}

impl ClientCertificateFault {
    /// Reads an alert of TLS. A server sends these alerts about a certificate of the client alone (RFC 8446, 6.2).
    fn of(alert: AlertDescription) -> Option<Self> {
        match alert {
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate => Some(Self::Missing),
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            // For a signature that is not of the authority with the name in the certificate.
            | AlertDescription::DecryptError => Some(Self::Refused),
            _ => None,
        }
    }

    /// Says what is wrong, as a message shows it.
    fn text(self) -> &'static str {
        match self {
            Self::Missing => "the server asks for a client certificate and got none",
            Self::Refused => "the server does not accept the client certificate, or asks for one and got none",
        }
    }
}

/// What nginx says about certificates of clients, in the page of a status 400.
const NGINX_PAGES: [(&str, ClientCertificateFault); 2] = [
    ("No required SSL certificate was sent", ClientCertificateFault::Missing),
    ("The SSL certificate error", ClientCertificateFault::Refused),
];

impl HttpFailure {
    /// Makes the failure of a request without an answer.
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
            page: false,
        }
    }

    /// Makes the failure of an answer with an unexpected status. Reads the server's reason from the answer.
    pub(crate) async fn from_response(method: Method, response: reqwest::Response) -> Self {
        Self::from_masked(method, response, &[]).await
    }

    /// As [`from_response`](Self::from_response), for a request that held `secrets`: they and the signature of a URL are
    /// masked where the server repeats them.
    pub(crate) async fn from_masked(method: Method, response: reqwest::Response, secrets: &[String]) -> Self {
        let signatures = secret::in_query(response.url());
        let mut failure = Self {
            method,
            url: RedactedUrl::new(response.url()),
            status: Some(response.status()),
            code: header(&response, "x-error-code"),
            message: header(&response, "x-error-message"),
            retry_after: header(&response, "retry-after").and_then(|text| retry_after(&text, SystemTime::now())),
            cause: None,
            silent: false,
            page: is_page(&response),
        };
        // A body that comes too slowly is used as far as it came.
        let mut body = Vec::new();
        let reading = read_into(&mut body, response, ERROR_BODY_MAX_BYTES);
        let _whole_or_not = timeout(ERROR_BODY_PATIENCE, reading).await;
        failure.read_body(&body);
        failure.make_showable(&[secrets, &signatures].concat());
        failure
    }

    /// Makes the failure of an answer that is well-formed HTTP and breaks the protocol above HTTP.
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
            page: false,
        }
    }

    /// Makes the failure of a request without an answer within `patience`.
    pub(crate) fn silent(method: Method, url: &Url, patience: Duration) -> Self {
        let message = format!("no answer for {} s", patience.as_secs());
        Self { silent: true, ..Self::protocol(method, url, message) }
    }

    fn read_body(&mut self, body: &[u8]) {
        let parsed: Option<Value> = serde_json::from_slice(body).ok();
        let errors = parsed.as_ref().and_then(|json| json.get("errors")?.as_array());
        if let Some((first, rest)) = errors.and_then(|errors| errors.split_first()) {
            self.code = self.code.take().or_else(|| Some(text_of(first, "code")?.to_owned()));
            self.message = self.message.take().or_else(|| reasons(first, rest));
        }
        let plain = parsed.as_ref().and_then(|json| json.get("error")?.as_str()).map(str::to_owned);
        self.message = self.message.take().or(plain).or_else(|| {
            let text = String::from_utf8_lossy(body);
            (!text.trim().is_empty()).then(|| text.into_owned())
        });
    }

    /// Masks the secrets, then makes the server's texts safe to print.
    fn make_showable(&mut self, secrets: &[String]) {
        let safe = |text: &str| excerpt(&mask(text, secrets.iter().map(String::as_str)));
        self.message = self.message.as_deref().map(safe);
        self.code = self.code.as_deref().map(|text| cut(&safe(text), CODE_MAX_CHARS));
    }

    /// Returns what is wrong with the server's certificate, if the request failed because of it.
    pub fn certificate_fault(&self) -> Option<CertificateFault> {
        match self.tls_error() {
            Some(rustls::Error::InvalidCertificate(error)) => Some(CertificateFault::of(error)),
            _ => None,
        }
    }

    /// Returns why the server wants another certificate of the client, if the request failed because of it.
    pub fn client_certificate_fault(&self) -> Option<ClientCertificateFault> {
        match self.tls_error() {
            Some(rustls::Error::AlertReceived(alert)) => ClientCertificateFault::of(*alert),
            _ if self.status == Some(StatusCode::BAD_REQUEST) => {
                let said = self.message.as_deref()?;
                NGINX_PAGES.iter().find_map(|(page, fault)| said.contains(page).then_some(*fault))
            }
            _ => None,
        }
    }

    /// Returns whether the server is out of reach for a while: no answer, or one of a proxy before the server.
    pub(crate) fn is_outage(&self) -> bool {
        match self.status {
            Some(status) => matches!(status.as_u16(), 502..=504 | 522),
            None => self.is_retryable(),
        }
    }

    /// Returns whether the server's certificate is not from a trusted authority, or not for this server.
    pub fn is_untrusted(&self) -> bool {
        self.certificate_fault().is_some()
    }

    /// Returns whether the server does not speak TLS, for example because it speaks plain HTTP: its first bytes are no
    /// TLS record.
    pub fn is_without_tls(&self) -> bool {
        use rustls::{Error, InvalidMessage};
        matches!(self.tls_error(), Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)))
    }

    fn tls_error(&self) -> Option<&rustls::Error> {
        tls_error(self)
    }
}

/// Returns the failure of TLS among the causes of an error.
pub(crate) fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        // `source()` of an I/O error skips the error that it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = wrapped.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| error.source());
    }
    None
}

impl ModelcarError for HttpFailure {
    /// Returns the kind that belongs to the status.
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

    /// Decides for all clients whether the same request is worth another try. Worth it are statuses of a temporary
    /// condition, broken connections and missing answers. Final are a wrong request (400), a refused login (401), a
    /// missing right (403), an unknown name (404), a size (413), a digest, a connection without trusted TLS, and a missing
    /// certificate of the client.
    fn is_retryable(&self) -> bool {
        match (self.code.as_deref(), self.status) {
            (Some("TOOMANYREQUESTS"), _) => true,
            (Some(code), _) if FINAL_CODES.contains(&code) => false,
            (_, Some(status)) => is_transient(status),
            _ if self.silent => true,
            _ => {
                self.cause.as_ref().is_some_and(|cause| !cause.is_builder() && !cause.is_redirect())
                    && !self.is_untrusted()
                    && !self.is_without_tls()
                    && self.client_certificate_fault().is_none()
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
        match (self.status, self.certificate_fault()) {
            (Some(status), _) => write!(f, ": status {status}")?,
            (None, Some(fault)) => write!(f, ": {}", fault.text())?,
            (None, None) => match self.client_certificate_fault() {
                Some(fault) => write!(f, ": {}", fault.text())?,
                None if self.cause.is_some() => f.write_str(": no answer")?,
                None => {}
            },
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

/// Returns a member of a JSON object that is text and not empty.
fn text_of<'a>(error: &'a Value, key: &str) -> Option<&'a str> {
    error.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
}

/// Joins what the errors of a registry's answer say. The first one's code is told apart from it.
fn reasons(first: &Value, rest: &[Value]) -> Option<String> {
    let more = rest.iter().take(ERRORS_MAX).filter_map(|error| match (text_of(error, "code"), reason(error)) {
        (Some(code), Some(reason)) => Some(format!("{code} {reason}")),
        (code, reason) => reason.or_else(|| code.map(str::to_owned)),
    });
    let all: Vec<String> = reason(first).into_iter().chain(more).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Returns the message of one error and its detail, which is text or any JSON (distribution-spec "Error Codes").
/// Registries give the true reason, such as a full disk, in the detail alone.
fn reason(error: &Value) -> Option<String> {
    let message = text_of(error, "message");
    let detail = match error.get("detail") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()).filter(|text| !text.trim().is_empty()),
        Some(Value::Object(members)) if members.is_empty() => None,
        Some(Value::Array(list)) if list.is_empty() => None,
        Some(json) => Some(json.to_string()),
    };
    let told = detail.filter(|detail| message.is_none_or(|message| !message.contains(detail.as_str())));
    match (message, told) {
        (Some(message), Some(detail)) => Some(format!("{message}: {detail}")),
        (message, detail) => message.map(str::to_owned).or(detail),
    }
}

/// Returns whether a status stands for a temporary condition of the server.
pub(crate) fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504 | 522)
}

/// Returns a header's value, if it is text.
pub(crate) fn header(response: &reqwest::Response, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// Returns whether an answer is a web page: of a sign-in form or a proxy, whatever its status says.
pub(crate) fn is_page(response: &reqwest::Response) -> bool {
    header(response, "content-type").is_some_and(|kind| kind.trim().to_ascii_lowercase().starts_with("text/html"))
}

/// Reads a body, at most its first `limit` bytes.
///
/// # Errors
/// When the connection breaks before that.
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

/// Parses `Retry-After`: seconds, or a date (RFC 9110, 10.2.3). A date in the past gives a wait of zero.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok().map(|date| date.duration_since(now).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::EXCERPT_MAX_CHARS;

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
    fn the_reason_in_the_detail_and_all_errors_are_shown() {
        let url = "https://r.io/v2/".parse().unwrap();
        for (body, expected) in [
            (r#"{"errors":[{"code":"A","message":"no","detail":"full"}]}"#, " A: no: full"),
            (r#"{"errors":[{"code":"A","message":"no: full","detail":"full"}]}"#, " A: no: full"),
            (r#"{"errors":[{"code":"A","detail":{"Err":28}}]}"#, r#" A: {"Err":28}"#),
            (r#"{"errors":[{"code":"A","message":"no","detail":{}}]}"#, " A: no"),
            (
                r#"{"errors":[{"code":"A","message":"no"},{"code":"B","message":"nor"},{"code":"C"}]}"#,
                " A: no; B nor; C",
            ),
            (r#"{"errors":[{"message":"no","detail":null},{"message":"nor"}]}"#, ": no; nor"),
        ] {
            let mut failure = HttpFailure::protocol(Method::PUT, &url, "");
            failure.message = None;
            failure.read_body(body.as_bytes());
            failure.make_showable(&[]);
            assert_eq!(failure.to_string(), format!("PUT https://r.io/v2/{expected}"), "{body}");
        }
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

    #[test]
    fn failures_that_may_pass_are_worth_another_try() {
        let failure = |status: u16, code: &str| {
            let url = "http://r.io/v2/".parse().unwrap();
            HttpFailure {
                status: StatusCode::from_u16(status).ok(),
                code: Some(code.to_owned()).filter(|code| !code.is_empty()),
                ..HttpFailure::protocol(Method::PUT, &url, "")
            }
        };
        for status in [408, 425, 429, 500, 502, 503, 504, 522] {
            assert!(failure(status, "").is_retryable(), "{status}");
        }
        for status in [400, 401, 403, 404, 405, 411, 413, 416, 501] {
            assert!(!failure(status, "").is_retryable(), "{status}");
        }
        assert!(failure(403, "TOOMANYREQUESTS").is_retryable());
        for code in FINAL_CODES {
            assert!(!failure(500, code).is_retryable(), "{code}");
        }
    }
}
