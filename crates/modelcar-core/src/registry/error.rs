//! Errors of requests to a registry.

use std::{io, path::PathBuf, time::Duration};

use crate::{
    Digest, Tag,
    error::{Error, ErrorKind, ModelcarError, OtherError},
    http::HttpFailure,
};

/// Errors of requests to a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// A request was refused or got no answer.
    #[error("{act} at `{repository}`")]
    Request {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// The failure.
        source: Box<HttpFailure>,
    },
    /// The registry's answer breaks the protocol.
    #[error("{act} at `{repository}`: {reason}")]
    Protocol {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// How the answer breaks the protocol.
        reason: String,
    },
    /// The registry names a location or token server that the client must not go to.
    #[error("`{repository}` points to `{host}`: {reason}")]
    RefusedRedirect {
        /// `registry/repository`.
        repository: String,
        /// The host that the registry names.
        host: String,
        /// Why the client does not go there.
        reason: &'static str,
    },
    /// An upload session is lost: the registry does not know it any more, or accepts no more bytes in it.
    #[error("{act} at `{repository}`: the upload session is lost")]
    SessionLost {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// The registry's answer.
        source: Box<HttpFailure>,
    },
    /// After an upload was resumed, its session holds other bytes than were sent.
    #[error("{act} at `{repository}`: the upload did not resume at the offset that the registry had confirmed")]
    Resumed {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// The registry's answer.
        source: Box<HttpFailure>,
    },
    /// The registry accepted the login at the start of an upload and refuses it during the upload.
    #[error("{act} at `{repository}`: the credentials expired during the upload")]
    LoginExpired {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// The registry's answer.
        source: Box<HttpFailure>,
    },
    /// The registry, or a proxy before it, accepts no request of this size.
    #[error("{act} at `{repository}`: the registry, or a proxy before it, accepts no request of {bytes} bytes")]
    TooLarge {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// Size of the refused request, in bytes.
        bytes: u64,
        /// The registry's answer.
        source: Box<HttpFailure>,
    },
    /// The options ask for chunked uploads, and the registry does not support them.
    #[error("`{repository}`: {registry} takes no uploads in chunks")]
    NoChunks {
        /// `registry/repository`.
        repository: String,
        /// Name of the registry's product.
        registry: &'static str,
    },
    /// The repository's name does not have the form that the registry requires.
    #[error("`{repository}` can't be a repository on {registry}: {reason}")]
    BadName {
        /// `registry/repository`.
        repository: String,
        /// Name of the registry's product.
        registry: &'static str,
        /// The required form.
        reason: &'static str,
    },
    /// An immutable tag points to another image.
    #[error("tag `{tag}` of `{repository}` can't be moved and is taken by `{digest}`")]
    TagTaken {
        /// `registry/repository`.
        repository: String,
        /// The tag.
        tag: Tag,
        /// The image that the tag points to.
        digest: Digest,
    },
    /// A body is longer or shorter than it announced.
    #[error("{title} has {actual} bytes or more, expected {expected}")]
    WrongLength {
        /// Title of the body.
        title: String,
        /// The announced size, in bytes.
        expected: u64,
        /// The number of bytes that came, at least.
        actual: u64,
    },
    /// A body has another digest than it announced.
    #[error("{title} is `{actual}`, expected `{expected}`")]
    WrongBody {
        /// Title of the body.
        title: String,
        /// The announced digest.
        expected: Digest,
        /// The digest of the body.
        actual: Digest,
    },
    /// The connection transferred no byte for a long time.
    #[error("{act} at `{repository}`: no byte moved for {seconds} s")]
    Stalled {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// Time without a byte, in seconds.
        seconds: u64,
    },
    /// The registry reported success before it had read the whole upload.
    #[error("{act} at `{repository}`: it answered {status} before all bytes were sent")]
    AnsweredEarly {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// Status of the answer.
        status: u16,
    },
    /// The registry gave or stored bytes with another digest.
    #[error("`{repository}` gave wrong bytes: expected `{expected}`, got `{actual}`")]
    WrongDigest {
        /// `registry/repository`.
        repository: String,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of the bytes that came.
        actual: Digest,
    },
    /// The registry has no such image.
    #[error("image `{0}` was not found")]
    ImageNotFound(String),
    /// A keychain failed. A failure never counts as a keychain without a login.
    #[error("find the login for `{registry}`")]
    Keychain {
        /// The registry.
        registry: String,
        /// The failure.
        source: KeychainError,
    },
    /// The registry requires a login, and no keychain has one.
    #[error("`{registry}` wants a login and none was found; looked at {looked}")]
    NoLogin {
        /// The registry.
        registry: String,
        /// The places where a login was looked for.
        looked: String,
        /// The token server's answer, if it was asked.
        source: Option<Box<HttpFailure>>,
    },
    /// The registry refuses every login that was found.
    #[error("`{registry}` refuses the login from {origin}")]
    LoginRefused {
        /// The registry.
        registry: String,
        /// Origin of the last login.
        origin: String,
        /// The token server's answer, if it was asked.
        source: Option<Box<HttpFailure>>,
    },
    /// The HTTP client could not be made.
    #[error("set up the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Why a login could not be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeychainError {
    /// A login file can't be read.
    #[error("read login file `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A login file has an invalid form.
    #[error("login file `{path}`: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why the file is invalid. Never holds a value of the file.
        reason: String,
    },
    /// Google gave no access token.
    #[error("get an access token from {origin}: {reason}")]
    Google {
        /// Kind and place of the credential.
        origin: String,
        /// Reason of the failure. Never holds a secret.
        reason: String,
        /// Whether another try may succeed later.
        passing: bool,
    },
    /// A credential helper failed.
    #[error("credential helper `{helper}`: {reason}")]
    Helper {
        /// The program.
        helper: String,
        /// Reason of the failure.
        reason: String,
    },
    /// A keychain that is not from this library failed.
    #[error(transparent)]
    Other(#[from] OtherError),
}

impl ModelcarError for KeychainError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Other(error) => error.kind(),
            _ => ErrorKind::Auth,
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Google { passing, .. } => *passing,
            Self::Other(error) => error.is_retryable(),
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Other(error) => error.retry_after(),
            _ => None,
        }
    }
}

impl RegistryError {
    /// Returns the registry's error that `error` carries.
    pub(super) fn of(error: &Error) -> Option<&Self> {
        error.downcast_ref()
    }

    /// Returns the HTTP failure that ended the request.
    pub(super) fn http(&self) -> Option<&HttpFailure> {
        match self {
            Self::Request { source, .. }
            | Self::SessionLost { source, .. }
            | Self::Resumed { source, .. }
            | Self::LoginExpired { source, .. }
            | Self::TooLarge { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl ModelcarError for RegistryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Request { source, .. } => source.kind(),
            Self::Protocol { .. }
            | Self::Stalled { .. }
            | Self::AnsweredEarly { .. }
            | Self::RefusedRedirect { .. }
            | Self::SessionLost { .. }
            | Self::Resumed { .. } => ErrorKind::Network,
            Self::WrongDigest { .. } | Self::WrongBody { .. } | Self::WrongLength { .. } => ErrorKind::Integrity,
            Self::ImageNotFound(_) => ErrorKind::NotFound,
            Self::Keychain { source: KeychainError::Other(error), .. } => error.kind(),
            Self::Keychain { .. } | Self::NoLogin { .. } | Self::LoginRefused { .. } | Self::LoginExpired { .. } => {
                ErrorKind::Auth
            }
            Self::TooLarge { .. } | Self::NoChunks { .. } | Self::BadName { .. } | Self::TagTaken { .. } => {
                ErrorKind::InvalidInput
            }
            Self::Client(_) => ErrorKind::Internal,
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Request { source, .. } => source.is_retryable(),
            Self::Keychain { source, .. } => source.is_retryable(),
            Self::Stalled { .. }
            | Self::AnsweredEarly { .. }
            | Self::SessionLost { .. }
            | Self::LoginExpired { .. } => true,
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Keychain { source, .. } => source.retry_after(),
            other => other.http()?.retry_after,
        }
    }
}
