//! Hashes a layer while it passes, on a thread of its own. The thread gets the same buffers that are sent to the sink.
//!
//! The digest of the layer and the content ids of its files come from one pass ([`TwinSha256`]). The content of a file
//! begins at a block boundary of the layer and so has the same SHA-256 blocks in both hashes, which makes the second
//! hash almost free.

use bytes::Bytes;
use sha2::Digest as _;
use tokio::sync::mpsc;
use twin_sha256::TwinSha256;

use crate::{
    ContentId, Digest,
    digest::ContentHash,
    thread::{self, Running as Thread},
};

/// Number of buffers that may wait for the thread. When more come, the layer is read no faster than it is hashed. The
/// buffers are shared with the sink, so that waiting costs no copy.
const DEPTH: usize = 4;

/// The hashes of a layer.
#[derive(Debug)]
pub(super) struct Hashed {
    /// SHA-256 of all bytes of the layer.
    pub(super) digest: Digest,
    /// Bytes that were hashed.
    pub(super) size: u64,
    /// The content ids of the files, in the layer's order.
    pub(super) files: Vec<ContentId>,
}

/// What the thread is told.
enum Step {
    /// Bytes of the tar that belong to no file.
    Frame(Bytes),
    /// The content of a file begins: its hash, and its size in bytes.
    Begin(ContentHash, u64),
    /// Bytes of the file that was begun last.
    Content(Bytes),
}

/// The sender to the thread that hashes one layer.
pub(super) struct LayerHashes(mpsc::Sender<Step>);

impl LayerHashes {
    /// Starts the thread. The returned future gives the hashes once the [`LayerHashes`] is dropped.
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

    /// Gives a step to the thread; waits while the thread has [`DEPTH`] steps to do.
    async fn send(&self, step: Step) {
        // The thread ends only when this sender does, or by a panic that its handle reports.
        let _thread_is_gone = self.0.send(step).await;
    }
}

/// The state of the hashes on the thread.
#[derive(Default)]
struct Running {
    /// The hash of the layer, and of the current file if the file has a SHA-256.
    layer: TwinSha256,
    /// The file whose content is under way.
    file: Option<File>,
    /// The content ids of the files before.
    files: Vec<ContentId>,
}

/// How the current file is hashed: as its content id asks for, or with SHA-256 if it has none.
enum File {
    /// As a part of the layer's own hash.
    Sha256,
    /// With git's SHA-1 of a blob: the SHA-1 of a header with the size, and of the content.
    GitSha1(sha1::Sha1),
}

impl Running {
    /// Hashes what a step brings.
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

    /// Finishes the hash of the current file, if there is one.
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
