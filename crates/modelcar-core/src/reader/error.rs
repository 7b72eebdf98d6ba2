//! Errors of reading an image.

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
    /// The layout that holds the image could not be read, or does not hold the image.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The registry that holds the image refused a request or failed, or does not hold the image.
    #[cfg(feature = "registry")]
    #[error(transparent)]
    Registry(#[from] crate::registry::RegistryError),
    /// The place of the image has no manifest or blob of this name. Registries and layouts have errors of their own for
    /// that.
    #[error("`{name}` is not there")]
    NotFound {
        /// The digest or name that was asked for.
        name: String,
    },
    /// An index, manifest or config is not JSON of the form that the image-spec requires.
    #[error("`{digest}` is not the expected JSON")]
    Json {
        /// Digest of the document.
        digest: Digest,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// An index, manifest or config is refused: its kind is unknown, or the image exceeds a limit of the reader.
    #[error("`{digest}` {reason}")]
    Document {
        /// Digest of the document.
        digest: Digest,
        /// What is wrong with the document.
        reason: String,
    },
    /// The bytes of a document do not have the digest that the document was requested by.
    #[error("the content of `{expected}` is {found}")]
    Corrupt {
        /// The digest by which the document was requested.
        expected: Digest,
        /// The digest of the bytes that came.
        found: Digest,
    },
    /// The reader failed with an error that is neither of a layout nor of a registry.
    #[error("read blob `{digest}`")]
    Blob {
        /// Digest of the blob.
        digest: Digest,
        /// The reader's error.
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
