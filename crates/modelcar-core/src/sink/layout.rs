//! An OCI image layout directory.

use crate::error::ErrorKind;

/// Layout.
#[derive(Debug)]
pub struct LayoutSink;

/// Why a layout or archive could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {}

impl LayoutError {
    /// Returns what a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Io
    }
}
