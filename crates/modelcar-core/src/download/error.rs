//! The errors of a download.

use std::{io, path::PathBuf};

use crate::{
    ContentId, ModelPath,
    error::{ErrorKind, ModelcarError},
    source::{SourceError, SourceRef},
};

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The source can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A pattern is not a valid glob.
    #[error("`{pattern}` is not a valid glob pattern")]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// The patterns leave no file of the source.
    #[error("no file of `{0}` is left to download")]
    NoFiles(SourceRef),
    /// The source is not a model of the Hub, and the layout of the Hugging Face cache has a place for these only.
    #[error("`{0}` has no place in a Hugging Face cache: it is not a model of the Hub")]
    NotOfTheHub(SourceRef),
    /// A symbolic link is where a file or folder of the download belongs. A download follows no link, because the link
    /// could lead out of the folder.
    #[error("`{path}` is a link, and a download follows none")]
    Link {
        /// Path on the file system.
        path: PathBuf,
    },
    /// A folder is where a file of the download belongs, or a file where a folder belongs.
    #[error("`{path}` is there and is not a {wanted}")]
    InTheWay {
        /// Path on the file system.
        path: PathBuf,
        /// What should be there: `file` or `folder`.
        wanted: &'static str,
    },
    /// The path of a file of the model is in the folder that a download uses for unfinished files.
    #[error("the model's file `{path}` is in the folder that downloads use for unfinished files")]
    Reserved {
        /// Path inside the model.
        path: ModelPath,
    },
    /// Another download holds the lock of the folder.
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
        /// Bytes that the download still has to write.
        need: u64,
        /// Bytes that are free for this user.
        have: u64,
    },
    /// The bytes of a file do not have the content id that the source lists.
    #[error("`{path}` is not what the source lists: its content is {found}, not {listed}")]
    Corrupt {
        /// Path inside the model.
        path: ModelPath,
        /// Content id of the downloaded bytes.
        found: ContentId,
        /// Content id in the source's listing.
        listed: ContentId,
    },
    /// The source gave fewer or more bytes than it lists, of a file whose content id it does not list.
    #[error("`{path}` is not what the source lists: it has {found} bytes, not {listed}")]
    WrongSize {
        /// Path inside the model.
        path: ModelPath,
        /// Number of downloaded bytes.
        found: u64,
        /// Size in bytes in the source's listing.
        listed: u64,
    },
    /// An operation of the file system failed.
    #[error("{act} `{path}`")]
    Io {
        /// The operation, as a verb.
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
            Self::Corrupt { .. } | Self::WrongSize { .. } => ErrorKind::Integrity,
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
