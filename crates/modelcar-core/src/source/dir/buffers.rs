//! A pool of read buffers.

use std::sync::{Arc, Mutex, PoisonError};

/// Size of one read and of a buffer, in bytes. At this size the cost of the system call is small beside the cost of the
/// copy, and a buffer still fits the CPU's cache.
pub(super) const READ_BYTES: usize = 512 * 1024;

/// A pool of read buffers. A buffer returns to the pool when the last user of its bytes drops it, so most reads need no
/// allocation and cause no page faults.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// Takes a buffer from the pool, or allocates a new one when the pool is empty.
    pub(super) fn take(&self) -> Buffer {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer { bytes: free.unwrap_or_else(|| vec![0; READ_BYTES]), home: self.clone() }
    }
}

/// A buffer that returns to its pool when it is dropped.
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
