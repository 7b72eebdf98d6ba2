//! What can go wrong with a base image.

use std::{io, path::PathBuf};

use super::Platform;
use crate::{Digest, InvalidReference, error::ErrorKind, registry::RegistryError, sink::LayoutError};

/// Why a base image can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaseError {
    /// A text is not an image reference.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// A text names no base image.
    #[error("`{text}` is not a base image: {reason}")]
    InvalidText {
        /// The text.
        text: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A text is no platform.
    #[error("`{0}` is not a platform: expected `os/architecture` or `os/architecture/variant`")]
    InvalidPlatform(String),
    /// The layout that holds the base image could not be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The registry that holds the base image refused or failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The binary could not be read.
    #[error("{act} `{path}`")]
    Io {
        /// What was being done.
        act: &'static str,
        /// Path on the file system.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The binary can't run alone in an image.
    #[error("`{path}` {reason}")]
    Binary {
        /// Path on the file system.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The image is not one that can be read, or that layers can be put on.
    #[error("image `{image}`: {what} {reason}")]
    Image {
        /// The image.
        image: String,
        /// The manifest, config or layer.
        what: String,
        /// What is wrong with it.
        reason: String,
        /// What the parser says, when it is not the expected JSON.
        source: Option<serde_json::Error>,
    },
    /// Bytes do not have the digest they were asked for by.
    #[error("image `{image}`: content of `{expected}` is {found}")]
    Corrupt {
        /// The image.
        image: String,
        /// Digest asked for.
        expected: Digest,
        /// Digest of what came.
        found: Digest,
    },
    /// The base image is for other platforms only.
    #[error("base image `{0}` has neither linux/amd64 nor linux/arm64")]
    NoPlatform(String),
    /// The base image has two answers for one platform.
    #[error("base image `{image}` has {platform} twice")]
    DuplicatePlatform {
        /// The image.
        image: String,
        /// The platform.
        platform: Platform,
    },
    /// A layer of another image was asked for.
    #[error("layer `{0}` is not of this base image")]
    ForeignLayer(Digest),
    /// A thread of this library died.
    #[error("a file thread ended unexpectedly")]
    Task(#[source] tokio::task::JoinError),
}

impl BaseError {
    /// Returns what a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Layout(error) => error.kind(),
            Self::Registry(error) => error.kind(),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::Io { .. } => ErrorKind::Io,
            Self::Corrupt { .. } => ErrorKind::Integrity,
            Self::ForeignLayer(_) | Self::Task(_) => ErrorKind::Internal,
            Self::Reference(_)
            | Self::InvalidText { .. }
            | Self::InvalidPlatform(_)
            | Self::Binary { .. }
            | Self::Image { .. }
            | Self::NoPlatform(_)
            | Self::DuplicatePlatform { .. } => ErrorKind::InvalidInput,
        }
    }
}
