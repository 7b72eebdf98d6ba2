//! Read buffers that are used again.

use std::sync::{Arc, Mutex, PoisonError};

/// Size of one read. Large enough that a system call costs nothing beside the copy, small enough to stay in cache.
pub(super) const READ_BYTES: usize = 512 * 1024;

/// Read buffers that come back when the last reader of their bytes lets go: no allocation and no page fault a read.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// Returns a buffer that nobody reads any more, or a new one.
    pub(super) fn take(&self) -> Buffer {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer { bytes: free.unwrap_or_else(|| vec![0; READ_BYTES]), home: self.clone() }
    }
}

/// A buffer on loan.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    home: Buffers,
}

impl Buffer {
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.home.0.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }
}
