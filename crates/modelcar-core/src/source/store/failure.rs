//! Why a request to a store failed.

use std::{error::Error as StdError, fmt, time::Duration};

use super::{
    connector::{NoCredentials, Silent},
    refusal::Refusal,
};
use crate::{
    error::{ErrorKind, ModelcarError},
    http::{is_transient, tls_error},
    text::excerpt,
};

/// What a store's refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreTrouble {
    /// There is no such bucket.
    NoBucket,
    /// There is no such object.
    NoObject,
    /// There are no credentials.
    NoCredentials,
    /// The credentials are wrong or have expired.
    Credentials,
    /// The credentials are good, or none are needed, and the right to read is missing.
    Denied,
    /// The bucket is in another region than the one that was asked.
    Region,
    /// The store asks for patience.
    Busy,
    /// The object is not the one that was listed any more.
    Changed,
    /// The store failed.
    Server,
    /// The server's certificate is not from a trusted authority.
    Untrusted,
    /// No connection, or no answer.
    Connection,
    /// A setting can't be used, or an answer can't be understood.
    Other,
}

/// A request to a store that failed, or a store that can't be asked.
#[derive(Debug)]
pub struct StoreFailure {
    /// What it is about.
    pub trouble: StoreTrouble,
    /// Status of the answer, when there was one.
    pub status: Option<u16>,
    /// The store's name for what is wrong, for example `NoSuchBucket`.
    pub code: Option<String>,
    /// The reason in words, as one line of bounded length.
    pub message: Option<String>,
    /// How long the store asks to wait.
    pub retry_after: Option<Duration>,
    /// What the library below says; its text repeats that of its causes.
    error: object_store::Error,
}

/// Codes of credentials that are wrong or too old, whatever the status.
const LOGIN_CODES: [&str; 8] = [
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "AuthenticationRequired",
    "RequestTimeTooSkewed",
    "invalid_grant",
];
/// Codes of a bucket that is elsewhere.
const REGION_CODES: [&str; 3] =
    ["PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"];

impl StoreFailure {
    /// Takes an error of the library below. What is known of it is looked up in its causes, not in its text.
    pub(super) fn new(error: object_store::Error) -> Self {
        if let Some(refusal) = find::<Refusal>(&error).cloned() {
            return Self::refused(&refusal, error);
        }
        let trouble = match &error {
            _ if find::<NoCredentials>(&error).is_some() => StoreTrouble::NoCredentials,
            _ if is_untrusted(&error) => StoreTrouble::Untrusted,
            _ if find::<reqwest::Error>(&error).is_some_and(|error| !error.is_builder()) => StoreTrouble::Connection,
            _ if find::<Silent>(&error).is_some() => StoreTrouble::Connection,
            object_store::Error::NotFound { .. } => StoreTrouble::NoObject,
            object_store::Error::Precondition { .. } => StoreTrouble::Changed,
            object_store::Error::PermissionDenied { .. } => StoreTrouble::Denied,
            object_store::Error::Unauthenticated { .. } => StoreTrouble::Credentials,
            _ => StoreTrouble::Other,
        };
        let broke = find::<reqwest::Error>(&error).is_some_and(|error| error.is_body() || error.is_decode());
        let message = match trouble {
            StoreTrouble::Connection if broke => Some("the connection broke".to_owned()),
            StoreTrouble::Connection | StoreTrouble::Untrusted => None,
            StoreTrouble::NoCredentials => Some(NoCredentials.to_string()),
            _ if find::<reqwest::Error>(&error).is_some() => Some("the request can't be made".to_owned()),
            _ => Some(excerpt(&below(&error).to_string())),
        };
        let message = find::<Silent>(&error).map(ToString::to_string).or(message);
        Self { trouble, status: None, code: None, message, retry_after: None, error }
    }

    /// Tells by status and code what a refusal is about. The code says more: some stores answer 400 or 403 to all that is
    /// wrong with credentials.
    fn refused(refusal: &Refusal, error: object_store::Error) -> Self {
        let code = refusal.code.as_deref().unwrap_or_default();
        let trouble = match refusal.status {
            _ if code == "NoSuchBucket" => StoreTrouble::NoBucket,
            _ if REGION_CODES.contains(&code) => StoreTrouble::Region,
            300..=399 => StoreTrouble::Region,
            429 => StoreTrouble::Busy,
            _ if matches!(code, "SlowDown" | "TooManyRequests") => StoreTrouble::Busy,
            _ if LOGIN_CODES.contains(&code) => StoreTrouble::Credentials,
            500..=599 | 408 | 425 => StoreTrouble::Server,
            401 => StoreTrouble::Credentials,
            400..=499 if refusal.of_login => StoreTrouble::Credentials,
            403 => StoreTrouble::Denied,
            404 | 410 => StoreTrouble::NoObject,
            412 => StoreTrouble::Changed,
            _ => StoreTrouble::Other,
        };
        let region = refusal.region.as_ref().filter(|_| trouble == StoreTrouble::Region);
        let message = match (region, &refusal.message) {
            (Some(region), _) => Some(format!("the bucket is in region `{region}`")),
            (None, told) => told.clone(),
        };
        let status = Some(refusal.status);
        Self { trouble, status, code: refusal.code.clone(), message, retry_after: refusal.retry_after, error }
    }

    /// Returns whether the object was replaced or is gone.
    pub(super) fn is_change(&self) -> bool {
        matches!(self.trouble, StoreTrouble::Changed | StoreTrouble::NoObject)
    }
}

impl ModelcarError for StoreFailure {
    fn kind(&self) -> ErrorKind {
        match self.trouble {
            StoreTrouble::NoBucket | StoreTrouble::NoObject => ErrorKind::NotFound,
            StoreTrouble::NoCredentials | StoreTrouble::Credentials => ErrorKind::Auth,
            StoreTrouble::Denied => ErrorKind::Denied,
            StoreTrouble::Busy => ErrorKind::RateLimited,
            StoreTrouble::Changed => ErrorKind::Integrity,
            StoreTrouble::Server | StoreTrouble::Untrusted | StoreTrouble::Connection => ErrorKind::Network,
            StoreTrouble::Region | StoreTrouble::Other => ErrorKind::InvalidInput,
        }
    }

    fn is_retryable(&self) -> bool {
        match self.trouble {
            StoreTrouble::Busy | StoreTrouble::Connection => true,
            StoreTrouble::Server => {
                self.status.and_then(|status| reqwest::StatusCode::from_u16(status).ok()).is_some_and(is_transient)
            }
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.map(|status| format!("status {status}"));
        let named = [status, self.code.clone()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        match (named.as_str(), &self.message) {
            ("", None) => f.write_str("no answer"),
            ("", Some(message)) => f.write_str(message),
            (named, None) => f.write_str(named),
            (named, Some(message)) => write!(f, "{named}: {message}"),
        }
    }
}

impl StdError for StoreFailure {
    /// Returns the failure of the connection. What stands between it and this error repeats it.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        find::<reqwest::Error>(&self.error).map(|error| error as _)
    }
}

/// Returns whether the certificate of the server is not from a trusted authority, or not for this server.
fn is_untrusted(error: &object_store::Error) -> bool {
    matches!(tls_error(error), Some(rustls::Error::InvalidCertificate(_)))
}

/// Returns the first `T` among an error and its causes.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// Returns the cause of an error of the library below, whose text has all further causes in it.
fn below(error: &object_store::Error) -> &(dyn StdError + 'static) {
    error.source().unwrap_or(error)
}
