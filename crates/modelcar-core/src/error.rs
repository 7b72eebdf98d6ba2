//! The ground floor of errors: what every error of the library can say of itself, and the one type that carries them.

use std::{error::Error as StdError, fmt, time::Duration};

/// What a caller can do about an [`Error`]; nobody needs to read its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked for can't be done; ask for something else.
    InvalidInput,
    /// The named thing is not there.
    NotFound,
    /// Credentials are missing, wrong or expired.
    Auth,
    /// The credentials are good and the right is missing.
    Denied,
    /// The server asks for patience.
    RateLimited,
    /// The connection or the server failed.
    Network,
    /// Bytes are not what they should be; nothing was published.
    Integrity,
    /// The local file system refused.
    Io,
    /// The caller stopped the work.
    Stopped,
    /// A defect in this library.
    Internal,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidInput => "invalid input",
            Self::NotFound => "not found",
            Self::Auth => "credentials missing or refused",
            Self::Denied => "permission denied",
            Self::RateLimited => "rate limited",
            Self::Network => "network failure",
            Self::Integrity => "wrong bytes",
            Self::Io => "file system failure",
            Self::Stopped => "stopped",
            Self::Internal => "defect",
        })
    }
}

/// An error that can become an [`Error`]: it knows its kind, and whether the same call may succeed later.
///
/// Every error type of this library implements `ModelcarError`. A [`Source`](crate::source::Source) or
/// [`Sink`](crate::sink::Sink) of one's own can implement `ModelcarError` for an error of its own, or use [`OtherError`].
pub trait ModelcarError: StdError + Send + Sync + 'static {
    /// Returns what a caller can do about the error.
    fn kind(&self) -> ErrorKind;

    /// Returns whether the same call may succeed later without anybody having changed anything: the connection broke,
    /// the server is overloaded or asks for patience.
    fn is_retryable(&self) -> bool {
        false
    }

    /// Returns how long the server asks to wait before the next try.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// Returns whether whoever failed has tried again by itself already, so that trying again at once gains nothing.
    /// That is so of every source.
    fn was_retried(&self) -> bool {
        false
    }
}

/// Why an operation of this library failed.
///
/// `Error` carries the error of the module that failed; [`downcast_ref`](Self::downcast_ref) and
/// [`find`](Self::find) give that error back. `Display` and `source()` are those of the carried error.
pub struct Error(Box<dyn ModelcarError>);

/// Result of this library's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns what a caller can do about the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind()
    }

    /// Returns whether the same call may succeed later without anybody having changed anything.
    ///
    /// The library has tried again by itself before it gave up; whoever calls again should wait some minutes, or
    /// [`retry_after`](Self::retry_after) where that is longer.
    pub fn is_retryable(&self) -> bool {
        self.0.is_retryable()
    }

    /// Returns how long the server asks to wait before the next try, if it does.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after()
    }

    /// Returns the error that is carried, when it is a `T`.
    pub fn downcast_ref<T: StdError + 'static>(&self) -> Option<&T> {
        self.dynamic().downcast_ref()
    }

    /// Returns the error that is carried, when it is a `T`.
    ///
    /// # Errors
    /// The error itself, when it carries another type.
    pub fn downcast<T: StdError + 'static>(self) -> Result<T, Self> {
        if self.downcast_ref::<T>().is_none() {
            return Err(self);
        }
        let Self(carried) = self;
        let carried: Box<dyn StdError> = carried;
        match carried.downcast() {
            Ok(error) => Ok(*error),
            Err(_) => unreachable!("the type was asked for above"),
        }
    }

    /// Returns the first `T` among the carried error and its causes, for example the
    /// [`HttpFailure`](crate::http::HttpFailure) that is below a failed push. An error that stands in another one
    /// without a text of its own (`#[error(transparent)]`) is passed over: only its causes are looked at.
    pub fn find<T: StdError + 'static>(&self) -> Option<&T> {
        let mut cause = Some(self.dynamic());
        while let Some(error) = cause {
            if let Some(inner) = error.downcast_ref::<Self>() {
                cause = Some(inner.dynamic());
                continue;
            }
            let found = error.downcast_ref().or_else(|| error.downcast_ref::<Box<T>>().map(|boxed| &**boxed));
            if found.is_some() {
                return found;
            }
            cause = error.source();
        }
        None
    }

    /// Returns the error and its causes on one line, one after the other.
    pub fn chain(&self) -> String {
        chain(self.dynamic())
    }

    /// Returns whether a blob whose reading or sending failed is worth another try at once.
    pub(crate) fn is_worth_another_try(&self) -> bool {
        self.0.is_retryable() && !self.0.was_retried()
    }

    fn dynamic(&self) -> &(dyn StdError + 'static) {
        &*self.0
    }
}

impl<E: ModelcarError> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// The error of something that this library does not know: a source, sink or keychain of somebody else.
#[derive(Debug, thiserror::Error)]
#[error("{act}")]
pub struct OtherError {
    act: String,
    kind: ErrorKind,
    retryable: bool,
    retry_after: Option<Duration>,
    source: Box<dyn StdError + Send + Sync>,
}

impl OtherError {
    /// `act` says what failed and on what (``read `config.json` from s3://models/qwen``), `source` says why.
    pub fn new(act: impl Into<String>, kind: ErrorKind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { act: act.into(), kind, retryable: false, retry_after: None, source: source.into() }
    }

    /// Says that the same call may succeed later, and how long to wait before it where the server says so.
    #[must_use]
    pub fn retryable(self, after: Option<Duration>) -> Self {
        Self { retryable: true, retry_after: after, ..self }
    }
}

impl ModelcarError for OtherError {
    fn kind(&self) -> ErrorKind {
        self.kind
    }

    fn is_retryable(&self) -> bool {
        self.retryable
    }

    fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// Returns the texts of an error and of its causes, the outermost first. They are not made safe to print.
///
/// The HTTP client fails in layers ("error sending request", "client error (Connect)", "dns error"). The last layer alone
/// says what happened: its text stands behind the text of the request that failed.
pub fn causes(error: &dyn StdError) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        if is_client(error) {
            let mut root = error;
            while let Some(deeper) = root.source() {
                root = deeper;
            }
            let request = texts.pop().unwrap_or_default();
            texts.push(format!("{request}: {root}"));
            break;
        }
        texts.push(error.to_string());
        cause = error.source();
    }
    texts
}

/// Returns whether an error is the outermost layer of the HTTP client. Its text tells: this module knows no client.
fn is_client(error: &(dyn StdError + 'static)) -> bool {
    error.to_string().starts_with("error sending request")
}

/// Returns an error and its causes, one after the other.
pub(crate) fn chain(error: &dyn StdError) -> String {
    causes(error).join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("push the image")]
    struct Outer {
        source: Box<OtherError>,
    }

    impl ModelcarError for Outer {
        fn kind(&self) -> ErrorKind {
            self.source.kind()
        }
    }

    fn inner() -> OtherError {
        OtherError::new("read `a`", ErrorKind::RateLimited, "slow down").retryable(Some(Duration::from_secs(7)))
    }

    #[test]
    fn an_error_says_what_the_carried_one_says() {
        let error = Error::from(inner());
        assert_eq!(error.to_string(), "read `a`");
        assert_eq!(error.chain(), "read `a`: slow down");
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert!(error.is_retryable() && error.is_worth_another_try());
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_carried_error_is_found_again_also_below_others() {
        let error = Error::from(Outer { source: Box::new(inner()) });
        assert!(error.downcast_ref::<Outer>().is_some() && error.downcast_ref::<OtherError>().is_none());
        assert_eq!(error.find::<OtherError>().map(ToString::to_string).as_deref(), Some("read `a`"));
        assert!(error.find::<fmt::Error>().is_none());
        let error = error.downcast::<OtherError>().unwrap_err();
        assert_eq!(error.downcast::<Outer>().unwrap().source.to_string(), "read `a`");
    }
}
