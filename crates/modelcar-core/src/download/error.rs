//! What can go wrong with a download.

use std::{io, path::PathBuf};

use crate::{
    ContentId, ModelPath,
    error::{ErrorKind, ModelcarError},
    source::{SourceError, SourceRef},
};

/// Why files are not downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The source can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A pattern is no glob.
    #[error("`{pattern}` is not a pattern")]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// No file of the source is wanted.
    #[error("no file of `{0}` is left to download")]
    NoFiles(SourceRef),
    /// The layout of the Hugging Face cache has models of the Hub alone.
    #[error("`{0}` has no place in a Hugging Face cache: it is not a model of the Hub")]
    NotOfTheHub(SourceRef),
    /// A link is where a file or folder of the download belongs: it could lead anywhere.
    #[error("`{path}` is a link, and a download follows none")]
    Link {
        /// Path on the file system.
        path: PathBuf,
    },
    /// Something else is where a file or folder of the download belongs.
    #[error("`{path}` is there and is not a {wanted}")]
    InTheWay {
        /// Path on the file system.
        path: PathBuf,
        /// What should be there: `file` or `folder`.
        wanted: &'static str,
    },
    /// A file of the model would lie where unfinished files lie.
    #[error("a file of the model is called `{path}`, which is the place of unfinished files")]
    Reserved {
        /// Path inside the model.
        path: ModelPath,
    },
    /// Somebody else downloads into the same folder.
    #[error("another download into `{folder}` is under way")]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// The disk has not enough room.
    #[error("the download needs {need} bytes, the disk of `{folder}` has {have} bytes free")]
    NoSpace {
        /// The folder.
        folder: PathBuf,
        /// Bytes that are still to come.
        need: u64,
        /// Bytes that are free.
        have: u64,
    },
    /// The source gave other bytes than it lists.
    #[error("`{path}` is not what the source lists: its content is {found}, not {listed}")]
    Corrupt {
        /// Path inside the model.
        path: ModelPath,
        /// What the bytes are.
        found: ContentId,
        /// What the source says that they are.
        listed: ContentId,
    },
    /// The file system refused.
    #[error("{act} `{path}`")]
    Io {
        /// What was being done.
        act: &'static str,
        /// Path on the file system.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl ModelcarError for DownloadError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Source(error) => error.kind(),
            Self::BadPattern { .. }
            | Self::NoFiles(_)
            | Self::NotOfTheHub(_)
            | Self::Link { .. }
            | Self::InTheWay { .. }
            | Self::Reserved { .. } => ErrorKind::InvalidInput,
            Self::Corrupt { .. } => ErrorKind::Integrity,
            Self::Busy { .. } | Self::NoSpace { .. } | Self::Io { .. } => ErrorKind::Io,
        }
    }

    fn is_retryable(&self) -> bool {
        matches!(self, Self::Source(error) if error.is_retryable())
    }

    fn was_retried(&self) -> bool {
        matches!(self, Self::Source(error) if error.was_retried())
    }
}
