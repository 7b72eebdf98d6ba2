//! What can go wrong with a push as a whole. Errors of a single part, such as a registry, are passed on as they are.

use std::time::Duration;

use crate::{
    ImageRef,
    base::{BaseError, BaseRef},
    error::{Error, ErrorKind, ModelcarError},
    facts::Flaw,
    plan::PlanError,
    sink::Published,
    source::SourceRef,
};

/// Why a push or a build can't be prepared, or did not complete.
///
/// The kind is that of `source` where there is one, [`ErrorKind::Stopped`] for `Stopped`, and
/// [`ErrorKind::InvalidInput`] otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The reference to push to has a digest. The digest is the push's result and can't be chosen.
    #[error("can't push to `{0}`: its digest is computed by the push")]
    DigestAsTarget(ImageRef),
    /// The base image can't be used.
    #[error("use {}base `{name}`", if *.name == BaseRef::default() { "the default " } else { "" })]
    Base {
        /// The base as the caller named it.
        name: BaseRef,
        /// Why the base can't be used.
        source: BaseError,
    },
    /// The files of the source make no image.
    #[error("plan `{name}`")]
    Plan {
        /// The pinned name of the source.
        name: SourceRef,
        /// Why they make no image.
        source: PlanError,
    },
    /// Files of the model are missing or broken.
    #[error("no server can load `{name}`: {}", .flaws.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    BrokenModel {
        /// The source.
        name: SourceRef,
        /// What is wrong with the files.
        flaws: Vec<Flaw>,
    },
    /// The source or the base of a lock file does not exist any more, or can't be reached.
    #[error("open the source and the base of the lock file")]
    LockedNames {
        /// Why it can't be opened.
        source: Error,
    },
    /// The base is not the image that the lock file was made with, or its platforms have other layers.
    #[error("base `{0}` is not the one that the lock file was made with")]
    OtherBase(BaseRef),
    /// The source lacks a file of the lock file, or has a file of another size.
    #[error("`{name}` is not what the lock file pins: {first}{}", match .others { 0 => String::new(), n => format!(" and {n} more") })]
    OtherFiles {
        /// The pinned name of the source.
        name: SourceRef,
        /// A sentence on the first file that is wrong.
        first: String,
        /// Number of further files that are wrong.
        others: usize,
    },
    /// The push failed when one of the names pointed to the image already: names are set one after the other.
    #[error("the image was published in part")]
    PartlyPublished {
        /// The names that are set.
        published: Published,
        /// Why the push failed.
        source: Error,
    },
    /// The caller stopped the work. Open upload sessions and unfinished files were removed.
    #[error("stopped before the end")]
    Stopped {
        /// The names that were set by then; `None` if there are none.
        published: Option<Published>,
    },
}

impl ModelcarError for PushError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::DigestAsTarget(_) | Self::BrokenModel { .. } | Self::OtherBase(_) | Self::OtherFiles { .. } => {
                ErrorKind::InvalidInput
            }
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
