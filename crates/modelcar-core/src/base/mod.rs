//! The image below the weights: a shell for KServe's sidecar, or nothing.

use crate::error::ErrorKind;

/// Why a base image can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaseError {}

impl BaseError {
    /// Returns what a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}
