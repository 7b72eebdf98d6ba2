//! The library's error: a phase with its object, and the kind a caller can act on.

use std::iter::successors;

use crate::{
    base::BaseError, layer::LayerError, plan::PlanError, reader::ImageError, reference::InvalidReference,
    registry::RegistryError, sink::LayoutError, source::SourceError,
};

/// Returns an error and its causes, one after the other.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let texts: Vec<String> = successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
    texts.join(": ")
}

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
    /// A defect in this library.
    Internal,
}

/// Why a build did not end. `Display` names the phase's object; the cause is in `source()`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text is not an image reference.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// The source could not be listed or read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The files make no image.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A layer could not be made.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The base image could not be used.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// An image can't be read.
    #[error(transparent)]
    ReadImage(ImageError),
    /// The registry refused or failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The OCI image layout or archive could not be written or read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The image's JSON could not be made.
    #[error("make the image's manifests")]
    Image(#[from] oci_spec::OciSpecError),
    /// A task of this library died.
    #[error("a worker task ended unexpectedly")]
    Task(#[from] tokio::task::JoinError),
}

/// Result of this library's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<ImageError> for Error {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Registry(error) => Self::Registry(error),
            ImageError::Layout(error) => Self::Layout(error),
            other => Self::ReadImage(other),
        }
    }
}

impl Error {
    /// Returns what a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Reference(_) | Self::Plan(_) => ErrorKind::InvalidInput,
            Self::Source(error) => error.kind(),
            Self::Layer(error) => error.kind(),
            Self::Base(error) => error.kind(),
            Self::ReadImage(error) => error.kind(),
            Self::Registry(error) => error.kind(),
            Self::Layout(error) => error.kind(),
            Self::Image(_) | Self::Task(_) => ErrorKind::Internal,
        }
    }

    /// Returns whether a sink should open the body again. A source has tried again by itself before it gives up, so
    /// its errors are final; so is everything that is wrong rather than broken.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_transient())
    }
}
