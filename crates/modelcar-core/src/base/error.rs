//! Errors of base images.

#[cfg(feature = "registry")]
use std::fmt;
use std::{io, path::PathBuf, time::Duration};

use crate::{
    Digest, ImageError, InvalidReference, Platform,
    error::{ErrorKind, ModelcarError},
    layout::LayoutError,
};
#[cfg(feature = "registry")]
use crate::{ImageRef, error::chain, registry::RegistryError, text};

/// Why a base image can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaseError {
    /// A text is not an image reference.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// A text with the form of a base image's name names none.
    #[error("`{text}` is not a base image: {reason}")]
    InvalidText {
        /// The text.
        text: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The layout that holds the base image could not be read, or does not hold the image.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The registry that holds the base image refused a request or failed, or does not hold the image.
    #[error(transparent)]
    #[cfg(feature = "registry")]
    Registry(#[from] crate::registry::RegistryError),
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
    /// The binary can't run alone in an image: it needs a loader, is for another platform, or is no executable.
    #[error("`{path}` {reason}")]
    Binary {
        /// Path on the file system.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The image can't be read: a document is invalid, or the image exceeds a limit of the reader.
    #[error(transparent)]
    Image(ImageError),
    /// Layers can't be put on the image: its layers don't fit its config, or a layer is of an unknown type.
    #[error("image `{image}`: {what} {reason}")]
    Unusable {
        /// The image.
        image: String,
        /// The config or layer.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The base image is for neither linux/amd64 nor linux/arm64.
    #[error("base image `{image}` has neither linux/amd64 nor linux/arm64{}", not_there(.missing))]
    NoPlatform {
        /// The image.
        image: String,
        /// Manifests that the index lists and that are not there. One of them may be for a usable platform.
        missing: Vec<Digest>,
    },
    /// The base image has two manifests for one platform, so that the choice would be arbitrary.
    #[error("base image `{image}` has {platform} twice")]
    DuplicatePlatform {
        /// The image.
        image: String,
        /// The platform.
        platform: Platform,
    },
    /// None of the places that may have the base gave the image.
    #[error("get base `{name}`: {}", .tried.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    #[cfg(feature = "registry")]
    NoPlace {
        /// The base, as plans name it.
        name: String,
        /// The places in the order in which they were asked, and why each of them did not give the image.
        tried: Vec<PlaceFailure>,
    },
    /// The caller asked for a layer that is not of this base image. The field is the digest of the layer.
    #[error("layer `{0}` is not of this base image")]
    ForeignLayer(Digest),
    /// A blocking task of this library panicked or was cancelled.
    #[error("a file thread ended unexpectedly")]
    Task(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ModelcarError for BaseError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Layout(error) => error.kind(),
            #[cfg(feature = "registry")]
            Self::Registry(error) => error.kind(),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::Io { .. } => ErrorKind::Io,
            Self::Image(error) => error.kind(),
            Self::Task(_) => ErrorKind::Internal,
            // Whatever each of them said: together they are a network without a base.
            #[cfg(feature = "registry")]
            Self::NoPlace { .. } => ErrorKind::Network,
            Self::Reference(_)
            | Self::ForeignLayer(_)
            | Self::InvalidText { .. }
            | Self::Binary { .. }
            | Self::Unusable { .. }
            | Self::NoPlatform { .. }
            | Self::DuplicatePlatform { .. } => ErrorKind::InvalidInput,
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            #[cfg(feature = "registry")]
            Self::Registry(error) => error.is_retryable(),
            #[cfg(feature = "registry")]
            Self::NoPlace { tried, .. } => {
                tried.iter().any(|failure| failure.error.as_ref().is_none_or(Self::is_retryable))
            }
            Self::Image(error) => error.is_retryable(),
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            #[cfg(feature = "registry")]
            Self::Registry(error) => error.retry_after(),
            Self::Image(error) => error.retry_after(),
            _ => None,
        }
    }
}

impl From<ImageError> for BaseError {
    fn from(error: ImageError) -> Self {
        match error {
            #[cfg(feature = "registry")]
            ImageError::Registry(error) => Self::Registry(error),
            ImageError::Layout(error) => Self::Layout(error),
            other => Self::Image(other),
        }
    }
}

fn not_there(digests: &[Digest]) -> String {
    match digests {
        [] => String::new(),
        digests => {
            let digests: Vec<String> = digests.iter().map(|digest| format!("`{digest}`")).collect();
            format!(": its index lists {}, which is not there", digests.join(", "))
        }
    }
}

/// Why a place did not give the base.
#[cfg(feature = "registry")]
#[derive(Debug)]
#[non_exhaustive]
pub struct PlaceFailure {
    /// The repository.
    pub place: ImageRef,
    /// Why. `None` when the place did not give everything within a minute.
    pub error: Option<BaseError>,
}

#[cfg(feature = "registry")]
impl fmt::Display for PlaceFailure {
    /// Writes the place and the reason, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}/{}`: {}", self.place.registry(), self.place.repository(), self.reason())
    }
}

#[cfg(feature = "registry")]
impl PlaceFailure {
    /// Returns the reason, without the name of the place, on one line.
    pub fn reason(&self) -> String {
        match &self.error {
            None => "it did not give the base within a minute".to_owned(),
            // What was asked of the place is the same for every place, and the place is named already.
            Some(BaseError::Registry(RegistryError::Request { source, .. })) => {
                let said = chain(&**source);
                let asked = format!("{} {}: ", source.method, source.url);
                text::excerpt(said.strip_prefix(&asked).unwrap_or(&said))
            }
            Some(error) => text::excerpt(&chain(error)),
        }
    }
}
