//! What can go wrong when an image is read.

use std::time::Duration;

use crate::{
    Digest,
    error::{ErrorKind, ModelcarError},
    layout::LayoutError,
};

/// Why an image can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The layout that holds the image could not be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The registry that holds the image refused or failed.
    #[cfg(feature = "registry")]
    #[error(transparent)]
    Registry(#[from] crate::registry::RegistryError),
    /// The keeper of images has no manifest or blob of this name.
    #[error("`{name}` is not there")]
    NotFound {
        /// The digest or name that was asked for.
        name: String,
    },
    /// An index, manifest or config is not the JSON that it should be.
    #[error("`{digest}` is not the expected JSON")]
    Json {
        /// Digest of the document.
        digest: Digest,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// An index, manifest or config is refused.
    #[error("`{digest}` {reason}")]
    Document {
        /// Digest of the document.
        digest: Digest,
        /// What is wrong with the document.
        reason: String,
    },
    /// Bytes do not have the digest that they were asked for by.
    #[error("the content of `{expected}` is {found}")]
    Corrupt {
        /// Digest that was asked for.
        expected: Digest,
        /// Digest of what came.
        found: Digest,
    },
    /// The reader failed in a way of its own.
    #[error("read blob `{digest}`")]
    Blob {
        /// Digest of the blob.
        digest: Digest,
        /// What the reader says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ModelcarError for ImageError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Layout(error) => error.kind(),
            #[cfg(feature = "registry")]
            Self::Registry(error) => error.kind(),
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Corrupt { .. } => ErrorKind::Integrity,
            Self::Json { .. } | Self::Document { .. } => ErrorKind::InvalidInput,
            Self::Blob { .. } => ErrorKind::Internal,
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            #[cfg(feature = "registry")]
            Self::Registry(error) => error.is_retryable(),
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            #[cfg(feature = "registry")]
            Self::Registry(error) => error.retry_after(),
            _ => None,
        }
    }
}
