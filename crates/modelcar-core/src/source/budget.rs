//! The read budget: how many connections and how much memory all readers of a build use together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Semaphore;

/// Smallest part of [`ReadBudget::for_memory`], in bytes. With smaller parts, the latency of requests costs too much
/// time.
const PART_BYTES_LEAST: u64 = 1 << 20;
/// Largest part of [`ReadBudget::for_memory`], in bytes. Larger parts are not faster.
const PART_BYTES_MOST: u64 = 16 << 20;

/// The connections and the memory that all readers of a build share. A stream of [`Source::read`](super::Source::read)
/// is a reader.
///
/// A reader requests its files in parts of [`part_bytes`](Self::part_bytes), several parts at a time. The active
/// readers share the connections evenly: of eight connections, four readers have two each, and the last reader has all
/// eight. Memory is bounded by one part for each connection and one for each reader, whatever the size of a file.
#[derive(Debug, Clone)]
pub struct ReadBudget {
    connections: usize,
    permits: Arc<Semaphore>,
    readers: Arc<AtomicUsize>,
    part_bytes: u64,
}

impl ReadBudget {
    /// Returns a budget of `connections` connections and parts of `part_bytes` bytes. A value of 0 counts as 1.
    pub fn new(connections: usize, part_bytes: u64) -> Self {
        let connections = connections.max(1);
        let permits = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
        Self { connections, permits, readers: Arc::default(), part_bytes: part_bytes.max(1) }
    }

    /// Returns a budget of `connections` connections that hold about `bytes` bytes in memory together. A part has 1 MiB
    /// at least, so many connections may hold more than `bytes`, and 16 MiB at most.
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

    /// Returns the semaphore of the connections. A request to the source has to hold one permit until it ends.
    pub fn permits(&self) -> &Arc<Semaphore> {
        &self.permits
    }

    /// Registers a reader, which has a share of the connections until the returned value is dropped.
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
    /// Returns how many parts this reader may request at the same time, at least one. The number changes when readers
    /// join or leave.
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
