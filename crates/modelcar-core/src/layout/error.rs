//! What can go wrong with an image layout or an archive on disk.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    Digest,
    error::{ErrorKind, ModelcarError},
};

/// Why a layout or an archive could not be written or read.
///
/// Only `Busy` may pass by itself ([`is_retryable`](ModelcarError::is_retryable)).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The file system refused. The kind is [`ErrorKind::NotFound`] when a file is missing, and [`ErrorKind::Io`]
    /// otherwise.
    #[error("{act} `{path}`")]
    Io {
        /// What was being done, as a verb: `open`.
        act: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The directory has no file `oci-layout`, and is not empty either, so that no layout is begun in it.
    #[error("`{path}` is not an OCI image layout and not empty: it has no `oci-layout` file")]
    NotALayout {
        /// The directory.
        path: PathBuf,
    },
    /// Something else than a regular file is where the archive should go, such as a directory, a device or a link. A
    /// rename would replace a device or a link instead of writing to it.
    #[error("`{path}` is there and is not a regular file")]
    NotAFile {
        /// Path of what is there.
        path: PathBuf,
    },
    /// A file of a layout does not have the content that the OCI image-spec asks for.
    #[error("`{path}` is not valid: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, as the end of a sentence.
        reason: String,
        /// The error of the JSON parser, when the file is not the JSON that is expected.
        source: Option<serde_json::Error>,
    },
    /// No image of the layout has the name that was asked for.
    #[error("`{path}` has no image named `{name}`{}", list(", it has ", .names))]
    NoSuchImage {
        /// The directory of the layout.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// The names of the images in the layout.
        names: Vec<String>,
    },
    /// The layout has several images and no name was given, or several images have the name that was given.
    #[error("`{path}` has {count} images, name one{}", list(": ", .names))]
    Ambiguous {
        /// The directory of the layout.
        path: PathBuf,
        /// Number of images that fit.
        count: usize,
        /// The names of the images in the layout.
        names: Vec<String>,
    },
    /// The layout lists no image, and no name was asked for.
    #[error("`{path}` has no image")]
    Empty {
        /// The directory of the layout.
        path: PathBuf,
    },
    /// The content of a blob does not have the digest that the blob is stored under.
    #[error("blob `{path}` is corrupt: its content is {found}")]
    Corrupt {
        /// The file of the blob.
        path: PathBuf,
        /// Digest of the content.
        found: Digest,
    },
    /// A blob does not have the size that its descriptor states.
    #[error("blob `{path}` is corrupt: it has {found} bytes, {expected} are expected")]
    WrongSize {
        /// The file of the blob.
        path: PathBuf,
        /// Size of the file in bytes.
        found: u64,
        /// Size in bytes that the descriptor states.
        expected: u64,
    },
    /// A JSON document is larger than the limit, which no real document reaches.
    #[error("`{path}` is too large: {size} bytes, at most {max} are read")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Size of the file in bytes.
        size: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// Whoever read the blob stopped before its last byte, so that its digest is not known.
    #[error("blob `{path}` was not read to its end")]
    Unfinished {
        /// The file of the blob.
        path: PathBuf,
    },
    /// More or fewer bytes arrived than the blob counted itself. The blob's implementation is wrong.
    #[error("{title} has {verified} bytes by its own count, {written} arrived")]
    Miscounted {
        /// The blob, as its [`title`](crate::blob::Blob::title) names it.
        title: String,
        /// Bytes that the body counted.
        verified: u64,
        /// Bytes that arrived.
        written: u64,
    },
    /// Another build writes the same archive, or holds the exclusive lock on the layout. Another try may succeed
    /// later.
    #[error("`{path}` is being written by another build")]
    Busy {
        /// The unfinished archive, or the directory of the layout.
        path: PathBuf,
    },
    /// The archive is published, and nothing can be added to it.
    #[error("`{path}` is complete, nothing can be added")]
    Complete {
        /// The archive.
        path: PathBuf,
    },
    /// A blocking task of the runtime panicked or was cancelled.
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

/// Returns a function that turns an error of the system into one that names what was being done, and the path.
pub(super) fn io_error(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LayoutError {
    move |source| LayoutError::Io { act, path: path.to_owned(), source }
}

/// Returns `lead` and the names in backticks; nothing if there are no names.
fn list(lead: &str, names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("{lead}`{}`", names.join("`, `")),
    }
}
