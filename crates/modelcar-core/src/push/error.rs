//! What can go wrong with a push that is not the error of a single part.

use std::time::Duration;

use crate::{
    ImageRef,
    base::{BaseError, BaseRef},
    error::{Error, ErrorKind, ModelcarError},
    plan::PlanError,
    sink::Published,
    source::SourceRef,
};

/// Why a push or a build can't be prepared or did not end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The image to push to names a digest.
    #[error("can't push to `{0}`: its digest is computed by the push")]
    DigestAsTarget(ImageRef),
    /// The base image can't be used.
    #[error("use {}base `{name}`", if *.name == BaseRef::default() { "the default " } else { "" })]
    Base {
        /// The base.
        name: BaseRef,
        /// What is wrong with it.
        source: BaseError,
    },
    /// The files make no image.
    #[error("plan `{name}`")]
    Plan {
        /// The source.
        name: SourceRef,
        /// What is wrong.
        source: PlanError,
    },
    /// What a lock file pins is not there, or can't be reached.
    #[error("open the source and the base of the lock file")]
    LockedNames {
        /// The failure.
        source: Error,
    },
    /// The base is another one than the lock file's.
    #[error("base `{0}` is not the one that the lock file was made with")]
    OtherBase(BaseRef),
    /// The source lacks a file of the lock file, or has one of another size.
    #[error("`{name}` is not what the lock file pins: {first}{}", match .others { 0 => String::new(), n => format!(" and {n} more") })]
    OtherFiles {
        /// The source.
        name: SourceRef,
        /// The first file, and what is wrong with it.
        first: String,
        /// Number of other files that something is wrong with.
        others: usize,
    },
    /// The push failed when the image had a name already: names are set one after the other.
    #[error("the image was published in part")]
    PartlyPublished {
        /// What has a name.
        published: Published,
        /// The failure.
        source: Error,
    },
    /// The caller stopped the work. Nothing that is unfinished is left.
    #[error("stopped before the end")]
    Stopped {
        /// What had a name by then.
        published: Option<Published>,
    },
}

impl ModelcarError for PushError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::DigestAsTarget(_) | Self::OtherBase(_) | Self::OtherFiles { .. } => ErrorKind::InvalidInput,
            Self::Base { source, .. } => source.kind(),
            Self::Plan { source, .. } => source.kind(),
            Self::LockedNames { source } | Self::PartlyPublished { source, .. } => source.kind(),
            Self::Stopped { .. } => ErrorKind::Stopped,
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Base { source, .. } => source.is_retryable(),
            Self::LockedNames { source } | Self::PartlyPublished { source, .. } => source.is_retryable(),
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Base { source, .. } => source.retry_after(),
            Self::LockedNames { source } | Self::PartlyPublished { source, .. } => source.retry_after(),
            _ => None,
        }
    }
}
