//! Bounds what an archive of others may cost.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

/// Most bytes of headers before a member: its long name and its PAX records. Names have 4096 bytes at most on Linux.
const HEADERS_MAX_BYTES: u64 = 1 << 20;

/// Bytes that may still be read before the next member must begin.
#[derive(Debug, Clone)]
pub(super) struct Allowance(Rc<Cell<u64>>);

impl Allowance {
    /// Notes that a member with `size` bytes of content begins.
    pub(super) fn next_member(&self, size: u64) {
        self.0.set(size.saturating_add(HEADERS_MAX_BYTES));
    }
}

/// An archive that ends with an error where a header is longer than any is. The parser above holds headers in memory.
pub(super) struct Bounded<R> {
    inner: R,
    left: Allowance,
}

impl<R> Bounded<R> {
    pub(super) fn new(inner: R) -> (Self, Allowance) {
        let left = Allowance(Rc::new(Cell::new(HEADERS_MAX_BYTES)));
        (Self { inner, left: left.clone() }, left)
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let left = self.left.0.get().checked_sub(read as u64);
        self.left.0.set(left.ok_or_else(|| io::Error::other("a header is too long"))?);
        Ok(read)
    }
}
