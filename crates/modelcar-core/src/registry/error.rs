//! Why a registry did not do what it was asked.

use std::{io, path::PathBuf};

use crate::{Digest, error::ErrorKind, http::HttpFailure};

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
    /// The registry wants to send the client to a place where it will not go.
    #[error("`{repository}` points to `{place}`: {reason}")]
    RefusedPlace {
        /// `registry/repository`.
        repository: String,
        /// The host it points to.
        place: String,
        /// Why not.
        reason: &'static str,
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
    },
    /// A credential helper failed.
    #[error("credential helper `{helper}`: {reason}")]
    Helper {
        /// The program.
        helper: String,
        /// What happened.
        reason: String,
    },
}

impl RegistryError {
    /// Returns what a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Request { source, .. } => source.kind(),
            Self::Protocol { .. } | Self::Stalled { .. } | Self::RefusedPlace { .. } => ErrorKind::Network,
            Self::WrongDigest { .. } => ErrorKind::Integrity,
            Self::ImageNotFound(_) => ErrorKind::NotFound,
            Self::Keychain { .. } | Self::NoLogin { .. } | Self::LoginRefused { .. } => ErrorKind::Auth,
            Self::Client(_) => ErrorKind::Internal,
        }
    }

    /// Returns whether the same may well succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Request { source, .. } => source.is_transient(),
            Self::Stalled { .. } => true,
            _ => false,
        }
    }
}
