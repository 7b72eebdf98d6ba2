//! Layer.
use crate::{error::ErrorKind, source::SourceError};

/// Why a layer could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The source failed.
    #[error("read layer")]
    Source(#[source] SourceError),
}

impl LayerError {
    /// Returns what a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Integrity
    }
}
