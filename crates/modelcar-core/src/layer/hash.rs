//! Hashing beside the bytes: a layer's hashes run on a thread of their own, fed with the very buffers that are sent.
//!
//! The layer's digest and the content ids of its files come from one pass ([`TwinSha256`]): a file's content has the
//! same blocks in both, so that proving it costs next to nothing.

use bytes::Bytes;
use sha2::Digest as _;
use tokio::sync::mpsc;
use twin_sha256::TwinSha256;

use crate::{
    ContentId, Digest,
    digest::ContentHash,
    thread::{self, Running as Thread},
};

/// Buffers that may wait for the hashes. They are shared with the sink's, so waiting costs no copy.
const DEPTH: usize = 4;

/// What the hashes say of a layer.
#[derive(Debug)]
pub(super) struct Hashed {
    pub(super) digest: Digest,
    /// Bytes that were hashed.
    pub(super) size: u64,
    /// The content ids of the files, in the layer's order.
    pub(super) files: Vec<ContentId>,
}

enum Step {
    Frame(Bytes),
    Begin(ContentHash, u64),
    Content(Bytes),
}

/// The hashes of one layer.
pub(super) struct LayerHashes(mpsc::Sender<Step>);

impl LayerHashes {
    /// Starts a thread; it ends with the answer once the hashes are dropped.
    pub(super) fn start() -> (Self, Thread<Hashed>) {
        let (sender, mut receiver) = mpsc::channel(DEPTH);
        let thread = thread::spawn("modelcar-hash", move || {
            let mut running = Running::default();
            while let Some(step) = receiver.blocking_recv() {
                running.take(step);
            }
            running.finish()
        });
        (Self(sender), thread)
    }

    /// Feeds bytes that belong to no file; waits while the thread is behind.
    pub(super) async fn frame(&self, bytes: Bytes) {
        self.send(Step::Frame(bytes)).await;
    }

    /// Begins a file of `size` bytes.
    pub(super) async fn begin(&self, hash: ContentHash, size: u64) {
        self.send(Step::Begin(hash, size)).await;
    }

    /// Feeds the next bytes of the file; waits while the thread is behind.
    pub(super) async fn content(&self, bytes: Bytes) {
        self.send(Step::Content(bytes)).await;
    }

    async fn send(&self, step: Step) {
        // The thread ends only when this sender does, or by a panic that its handle reports.
        let _thread_is_gone = self.0.send(step).await;
    }
}

#[derive(Default)]
struct Running {
    layer: TwinSha256,
    /// The file under way.
    file: Option<File>,
    files: Vec<ContentId>,
}

enum File {
    /// A stretch of `layer`.
    Sha256,
    GitSha1(sha1::Sha1),
}

impl Running {
    fn take(&mut self, step: Step) {
        match step {
            Step::Frame(bytes) => {
                self.end_file();
                self.layer.update(&bytes);
            }
            Step::Begin(hash, size) => {
                self.end_file();
                self.file = Some(match hash {
                    ContentHash::Sha256 => {
                        self.layer.begin_stretch();
                        File::Sha256
                    }
                    ContentHash::GitSha1 => File::GitSha1(ContentHash::git_blob(size)),
                });
            }
            Step::Content(bytes) => {
                if let Some(File::GitSha1(hasher)) = &mut self.file {
                    hasher.update(&bytes);
                }
                self.layer.update(&bytes);
            }
        }
    }

    fn end_file(&mut self) {
        self.files.extend(match self.file.take() {
            None => None,
            Some(File::Sha256) => self.layer.end_stretch().map(ContentId::Sha256),
            Some(File::GitSha1(hasher)) => Some(ContentId::GitSha1(hasher.finalize().into())),
        });
    }

    fn finish(mut self) -> Hashed {
        self.end_file();
        Hashed { size: self.layer.len(), digest: Digest::from(self.layer.finish()), files: self.files }
    }
}
