//! The registry client.

use crate::error::ErrorKind;

/// Why a registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {}

impl RegistryError {
    /// Returns what a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Network
    }

    /// Returns whether the same may well succeed later.
    pub fn is_transient(&self) -> bool {
        false
    }
}
