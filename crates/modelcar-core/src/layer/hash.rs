//! Hashing beside the bytes: each hash runs on a thread of its own, fed with the very buffers that are sent.

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use sha2::Digest as _;
use tokio::{sync::mpsc, task};

use crate::{
    ContentId, Digest,
    digest::{ContentHash, ContentHasher},
};

/// Buffers that may wait for a hash. They are shared with the sink's, so waiting costs no copy.
const DEPTH: usize = 8;

/// What a thread hands back at its end.
pub(super) type Hashed<T> = BoxFuture<'static, Result<T, task::JoinError>>;

/// The digest of a stream.
pub(super) struct LayerHash {
    sender: mpsc::Sender<Bytes>,
}

impl LayerHash {
    /// Starts a thread; the future resolves to the digest and the number of bytes once the hash is dropped.
    pub(super) fn start() -> (Self, Hashed<(Digest, u64)>) {
        let (sender, mut receiver) = mpsc::channel::<Bytes>(DEPTH);
        let thread = task::spawn_blocking(move || {
            let (mut hasher, mut size) = (sha2::Sha256::new(), 0);
            while let Some(bytes) = receiver.blocking_recv() {
                size += bytes.len() as u64;
                hasher.update(&bytes);
            }
            (Digest::from(<[u8; 32]>::from(hasher.finalize())), size)
        });
        (Self { sender }, thread.boxed())
    }

    /// Feeds the next bytes; waits while the thread is behind.
    pub(super) async fn update(&self, bytes: Bytes) {
        // The thread ends only when this sender does, or by a panic that the future reports.
        let _thread_is_gone = self.sender.send(bytes).await;
    }
}

enum Step {
    Start(ContentHash, u64),
    Bytes(Bytes),
}

/// The content ids of a layer's files, one after the other.
pub(super) struct ContentHashes {
    sender: mpsc::Sender<Step>,
}

impl ContentHashes {
    /// Starts a thread; the future resolves to the ids in order once the hashes are dropped.
    pub(super) fn start() -> (Self, Hashed<Vec<ContentId>>) {
        let (sender, mut receiver) = mpsc::channel(DEPTH);
        let thread = task::spawn_blocking(move || {
            let mut ids = Vec::new();
            let mut current: Option<ContentHasher> = None;
            while let Some(step) = receiver.blocking_recv() {
                match step {
                    Step::Start(hash, size) => {
                        ids.extend(current.replace(hash.hasher(size)).map(ContentHasher::finish));
                    }
                    Step::Bytes(bytes) => {
                        if let Some(hasher) = &mut current {
                            hasher.update(&bytes);
                        }
                    }
                }
            }
            ids.extend(current.map(ContentHasher::finish));
            ids
        });
        (Self { sender }, thread.boxed())
    }

    /// Ends the file before and begins one of `size` bytes.
    pub(super) async fn start_file(&self, hash: ContentHash, size: u64) {
        let _thread_is_gone = self.sender.send(Step::Start(hash, size)).await;
    }

    /// Feeds the next bytes of the file; waits while the thread is behind.
    pub(super) async fn update(&self, bytes: Bytes) {
        let _thread_is_gone = self.sender.send(Step::Bytes(bytes)).await;
    }
}
