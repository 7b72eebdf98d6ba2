//! Why a registry did not do what it was asked.

use std::{io, path::PathBuf, time::Duration};

use crate::{
    Digest, Tag,
    error::{Error, ErrorKind, ModelcarError, OtherError},
    http::HttpFailure,
};

/// Why a registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// A request was refused or got no answer.
    #[error("{act} at `{repository}`")]
    Request {
        /// The act and its object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// The failure.
        source: Box<HttpFailure>,
    },
    /// The answer is not what the protocol promises.
    #[error("{act} at `{repository}`: {reason}")]
    Protocol {
        /// The act and its object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// What is wrong with the answer.
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
    /// An upload session came to nothing: the registry does not know it any more, or takes nothing more into it.
    #[error("{act} at `{repository}`: the upload session is lost")]
    SessionLost {
        /// The act and its object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// What the registry said.
        source: Box<HttpFailure>,
    },
    /// What a session holds after it went on from a break is not what was sent.
    #[error("{act} at `{repository}`: the upload did not resume at the offset that the registry had confirmed")]
    Resumed {
        /// The act and its object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// What the registry said.
        source: Box<HttpFailure>,
    },
    /// The login was good when an upload began and is refused in the middle of it.
    #[error("{act} at `{repository}`: the login ran out during the upload")]
    LoginExpired {
        /// The act and its object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// What the registry said.
        source: Box<HttpFailure>,
    },
    /// The registry, or a proxy before it, takes no request of this size.
    #[error("{act} at `{repository}`: the registry, or a proxy before it, takes no request of {bytes} bytes")]
    TooLarge {
        /// The act and its object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// Size of the request that was refused.
        bytes: u64,
        /// What the registry said.
        source: Box<HttpFailure>,
    },
    /// The registry takes no uploads in chunks, and they were asked for.
    #[error("`{repository}`: {registry} takes no uploads in chunks")]
    NoChunks {
        /// `registry/repository`.
        repository: String,
        /// Name of the registry's product.
        registry: &'static str,
    },
    /// The repository's name has not the shape that the registry wants.
    #[error("`{repository}` can't be a repository on {registry}: {reason}")]
    BadName {
        /// `registry/repository`.
        repository: String,
        /// Name of the registry's product.
        registry: &'static str,
        /// The shape it wants.
        reason: &'static str,
    },
    /// A tag that can't be moved is taken by another image.
    #[error("tag `{tag}` of `{repository}` can't be moved and is taken by `{digest}`")]
    TagTaken {
        /// `registry/repository`.
        repository: String,
        /// The tag.
        tag: Tag,
        /// The image it points to.
        digest: Digest,
    },
    /// A body is longer or shorter than it said.
    #[error("{title} has {actual} bytes or more, expected {expected}")]
    WrongLength {
        /// What was to be uploaded.
        title: String,
        /// The size it said.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// A body is not the blob that it was said to be.
    #[error("{title} is `{actual}`, expected `{expected}`")]
    WrongBody {
        /// What was to be uploaded.
        title: String,
        /// The digest it was said to have.
        expected: Digest,
        /// The digest it has.
        actual: Digest,
    },
    /// No byte moved for a long time.
    #[error("{act} at `{repository}`: no byte moved for {seconds} s")]
    Stalled {
        /// The act and its object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// How long.
        seconds: u64,
    },
    /// The registry said that it took an upload which it had not read to its end.
    #[error("{act} at `{repository}`: it answered {status} before all bytes were sent")]
    AnsweredEarly {
        /// The act and its object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// The status.
        status: u16,
    },
    /// The registry holds other bytes than the ones asked for.
    #[error("`{repository}` gave wrong bytes: expected `{expected}`, got `{actual}`")]
    WrongDigest {
        /// `registry/repository`.
        repository: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// An image is not there.
    #[error("image `{0}` was not found")]
    ImageNotFound(String),
    /// The credential store failed. It is never passed over in silence.
    #[error("find the login for `{registry}`")]
    Keychain {
        /// The registry.
        registry: String,
        /// The failure.
        source: KeychainError,
    },
    /// The registry wants a login, and there is none.
    #[error("`{registry}` wants a login and none was found; looked at {looked}")]
    NoLogin {
        /// The registry.
        registry: String,
        /// The places that were asked.
        looked: String,
        /// What the token server said, when it was asked.
        source: Option<Box<HttpFailure>>,
    },
    /// The registry takes none of the logins that were found.
    #[error("`{registry}` refuses the login from {origin}")]
    LoginRefused {
        /// The registry.
        registry: String,
        /// Where the last one came from.
        origin: String,
        /// What the token server said, when it was asked.
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
    /// A login file is not what it should be.
    #[error("login file `{path}`: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong. Never holds a value of the file.
        reason: String,
    },
    /// Google gave no access token.
    #[error("get an access token from {origin}: {reason}")]
    Google {
        /// The kind of credential and its place.
        origin: String,
        /// What happened. Never holds a secret.
        reason: String,
        /// Whether the same may well succeed later.
        passing: bool,
    },
    /// A credential helper failed.
    #[error("credential helper `{helper}`: {reason}")]
    Helper {
        /// The program.
        helper: String,
        /// What happened.
        reason: String,
    },
    /// A keychain of somebody else failed.
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
