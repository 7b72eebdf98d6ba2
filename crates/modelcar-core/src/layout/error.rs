//! What can go wrong with an image layout or archive on disk.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    Digest,
    error::{ErrorKind, ModelcarError},
};

/// Why a layout or archive could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
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
    /// A directory is not an image layout, and not empty either.
    #[error("`{path}` is not an OCI image layout and not empty: it has no `oci-layout` file")]
    NotALayout {
        /// The directory.
        path: PathBuf,
    },
    /// An archive can't be put where something else is.
    #[error("`{path}` is there and is not a regular file")]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// A file of a layout is not what the image-spec says it is.
    #[error("`{path}` is not valid: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// What the parser says, when it is not JSON.
        source: Option<serde_json::Error>,
    },
    /// A layout has no image of that name.
    #[error("`{path}` has no image named `{name}`{}", list(", it has ", .names))]
    NoSuchImage {
        /// The layout.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// Names that are there.
        names: Vec<String>,
    },
    /// A layout has several images and none was named, or several of that name.
    #[error("`{path}` has {count} images, name one{}", list(": ", .names))]
    Ambiguous {
        /// The layout.
        path: PathBuf,
        /// Number of images that fit.
        count: usize,
        /// Names that are there.
        names: Vec<String>,
    },
    /// A layout lists no image.
    #[error("`{path}` has no image")]
    Empty {
        /// The layout.
        path: PathBuf,
    },
    /// A blob's content does not have the digest it is stored under.
    #[error("blob `{path}` is corrupt: its content is {found}")]
    Corrupt {
        /// The blob.
        path: PathBuf,
        /// Digest of what is there.
        found: Digest,
    },
    /// A blob does not have the size its descriptor states.
    #[error("blob `{path}` is corrupt: it has {found} bytes, {expected} are expected")]
    WrongSize {
        /// The blob.
        path: PathBuf,
        /// Bytes that are there.
        found: u64,
        /// Bytes that the descriptor states.
        expected: u64,
    },
    /// A JSON document is larger than any real one.
    #[error("`{path}` is too large: {size} bytes, at most {max} are read")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// A blob was let go before its last byte, so nothing is known of it.
    #[error("blob `{path}` was not read to its end")]
    Unfinished {
        /// The blob.
        path: PathBuf,
    },
    /// Other bytes arrived than a body counted.
    #[error("{title} has {verified} bytes by its own count, {written} arrived")]
    Miscounted {
        /// What was written.
        title: String,
        /// Bytes that the body counted.
        verified: u64,
        /// Bytes that arrived.
        written: u64,
    },
    /// Another build writes the same archive, or keeps a layout to itself.
    #[error("`{path}` is being written by another build")]
    Busy {
        /// The unfinished archive, or the layout.
        path: PathBuf,
    },
    /// The archive was published already.
    #[error("`{path}` is complete, nothing can be added")]
    Complete {
        /// The archive.
        path: PathBuf,
    },
    /// A thread of this library died.
    #[error("a file thread ended unexpectedly")]
    Task(#[source] tokio::task::JoinError),
}

impl ModelcarError for LayoutError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::Io { .. } | Self::Busy { .. } | Self::Unfinished { .. } => ErrorKind::Io,
            Self::NotALayout { .. }
            | Self::NotAFile { .. }
            | Self::Invalid { .. }
            | Self::Ambiguous { .. }
            | Self::TooLarge { .. }
            | Self::Complete { .. } => ErrorKind::InvalidInput,
            Self::NoSuchImage { .. } | Self::Empty { .. } => ErrorKind::NotFound,
            Self::Corrupt { .. } | Self::WrongSize { .. } => ErrorKind::Integrity,
            Self::Miscounted { .. } | Self::Task(_) => ErrorKind::Internal,
        }
    }

    fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

/// Returns a function that turns the system's error into one that names the act and the path.
pub(super) fn io_error(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LayoutError {
    move |source| LayoutError::Io { act, path: path.to_owned(), source }
}

fn list(lead: &str, names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("{lead}`{}`", names.join("`, `")),
    }
}
