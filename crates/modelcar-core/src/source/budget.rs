//! How far a source may read ahead, shared by all readers of a build.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Semaphore;

/// Shorter parts would spend their time on requests.
const PART_BYTES_LEAST: u64 = 1 << 20;
/// Longer parts gain nothing.
const PART_BYTES_MOST: u64 = 16 << 20;

/// Connections and memory of a build's readers.
///
/// A reader asks for its files in parts of [`part_bytes`](Self::part_bytes), several at a time. The readers at work
/// share the connections evenly: four layers have two each of eight, and the last layer has all of them. Memory is
/// bounded by a part for each connection and each reader, whatever the size of a file.
#[derive(Debug, Clone)]
pub struct ReadBudget {
    connections: usize,
    permits: Arc<Semaphore>,
    readers: Arc<AtomicUsize>,
    part_bytes: u64,
}

impl ReadBudget {
    /// Shares out `connections` of them, at least one, to read parts of `part_bytes` bytes, at least one.
    pub fn new(connections: usize, part_bytes: u64) -> Self {
        let connections = connections.max(1);
        let permits = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
        Self { connections, permits, readers: Arc::default(), part_bytes: part_bytes.max(1) }
    }

    /// Shares out `connections`, which read `bytes` ahead in all; a part has from 1 to 16 MiB.
    pub fn for_memory(connections: usize, bytes: u64) -> Self {
        let connections = connections.max(1);
        Self::new(connections, (bytes / connections as u64).clamp(PART_BYTES_LEAST, PART_BYTES_MOST))
    }

    /// Returns a budget of one part of 8 MiB at a time over one connection.
    pub fn sequential() -> Self {
        Self::new(1, 8 << 20)
    }

    /// Returns the size of a part in bytes.
    pub fn part_bytes(&self) -> u64 {
        self.part_bytes
    }

    /// Returns what a request to the source must hold: one permit is one connection.
    pub fn permits(&self) -> &Arc<Semaphore> {
        &self.permits
    }

    /// Takes a share of the connections, until the share is dropped.
    #[must_use]
    pub fn join(&self) -> ReaderShare {
        self.readers.fetch_add(1, Ordering::Relaxed);
        ReaderShare { connections: self.connections, readers: Arc::clone(&self.readers) }
    }
}

/// A reader's share of a [`ReadBudget`].
#[derive(Debug)]
pub struct ReaderShare {
    connections: usize,
    readers: Arc<AtomicUsize>,
}

impl ReaderShare {
    /// Returns how many parts this reader may have in flight now. It changes as readers come and go.
    pub fn parts(&self) -> usize {
        self.connections.div_ceil(self.readers.load(Ordering::Relaxed).max(1))
    }
}

impl Drop for ReaderShare {
    fn drop(&mut self) {
        self.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_the_connections() {
        let budget = ReadBudget::new(8, 1);
        let first = budget.join();
        assert_eq!(first.parts(), 8);
        let others = [budget.join(), budget.join()];
        assert_eq!((first.parts(), others[1].parts()), (3, 3));
        drop(others);
        assert_eq!(first.parts(), 8);
        let crowd: Vec<ReaderShare> = (0..20).map(|_| budget.join()).collect();
        assert_eq!(crowd[19].parts(), 1);
    }
}
