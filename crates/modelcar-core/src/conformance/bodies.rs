//! Blobs for the checks of sinks: correct ones, and blobs that are wrong in one way.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::Semaphore;

use crate::{
    Digest,
    blob::{self, Blob, OpenBlob, VerifiedBlob},
    error::{Error, ErrorKind, OtherError},
};

/// Sizes in bytes of a blob's chunks, repeated: one byte, an empty chunk, and up to several pages.
const CHUNKS: [usize; 5] = [1, 0, 7, 5000, 70_000];

/// What is wrong with a blob.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// The blob fails at its middle as often as the number says, in a way that may pass. Then it is read to its end.
    Passing(Arc<AtomicUsize>),
    /// The blob always fails at its middle, for good.
    Breaks,
    /// All bytes come, and `verified` is an error.
    Unproven,
    /// The last byte does not come, and `verified` counts it nevertheless.
    Short,
    /// The second half comes only when the semaphore has a permit.
    Waits(Arc<Semaphore>),
}

/// A blob with bytes that are made up.
#[derive(Debug, Clone)]
pub(super) struct Made {
    bytes: Bytes,
    /// Whether the digest is known before the blob is read.
    known: bool,
    fault: Fault,
}

impl Made {
    /// Makes a blob of `size` bytes. Another `seed` makes other bytes, unless `size` is very small.
    pub(super) fn new(seed: &str, size: usize) -> Self {
        let text = seed.bytes().chain([b'\n']).cycle().zip(0_usize..);
        let bytes = text.map(|(byte, at)| byte.wrapping_add(u8::try_from(at / 251 % 256).unwrap_or_default()));
        Self { bytes: bytes.take(size).collect(), known: false, fault: Fault::None }
    }

    /// Makes a correct blob of `bytes`, whose digest is known before it is read.
    pub(super) fn of(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), known: true, fault: Fault::None }
    }

    /// Makes the digest known before the blob is read.
    pub(super) fn known(self) -> Self {
        Self { known: true, ..self }
    }

    /// Makes the blob wrong.
    pub(super) fn fault(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }

    /// Returns what a correct blob verifies. The diff id and the files are made up too, to see whether a sink passes
    /// them on.
    pub(super) fn verified(&self) -> VerifiedBlob {
        let (digest, size) = (Digest::of(&self.bytes), self.bytes.len() as u64);
        VerifiedBlob {
            digest,
            size,
            diff_id: Digest::of(b"before compression"),
            files: vec![Digest::of(b"a file").into()],
        }
    }

    /// Returns the error of a blob that fails.
    fn error(&self, kind: ErrorKind) -> OtherError {
        OtherError::new(format!("read {}", self.title()), kind, "it fails on purpose")
    }
}

impl Blob for Made {
    fn title(&self) -> String {
        format!("a body of {} bytes", self.bytes.len())
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn digest(&self) -> Option<Digest> {
        self.known.then(|| Digest::of(&self.bytes))
    }

    fn reread(&self, range: Range<u64>) -> BoxStream<'static, crate::Result<Bytes>> {
        blob::reread_from_start(self, range)
    }

    fn open(&self) -> OpenBlob {
        let half = self.bytes.len() / 2;
        let take_one = |left: &AtomicUsize| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        };
        let broken: Option<Error> = match &self.fault {
            Fault::Passing(left) if take_one(left) => Some(self.error(ErrorKind::Network).retryable(None).into()),
            Fault::Breaks => Some(self.error(ErrorKind::Integrity).into()),
            _ => None,
        };
        let given = match &self.fault {
            _ if broken.is_some() => self.bytes.slice(..half),
            Fault::Short => self.bytes.slice(..self.bytes.len().saturating_sub(1)),
            _ => self.bytes.clone(),
        };
        let gate = match &self.fault {
            Fault::Waits(gate) => Some(Arc::clone(gate)),
            _ => None,
        };
        let state = (given, 0, broken, gate);
        let stream = stream::unfold(state, move |(mut left, turn, mut broken, mut gate)| async move {
            if left.is_empty() {
                return Some((Err(broken.take()?), (left, turn, broken, gate)));
            }
            if left.len() <= half
                && let Some(gate) = gate.take()
            {
                // Nobody closes the semaphore.
                drop(gate.acquire().await);
            }
            let most = if gate.is_some() { left.len().saturating_sub(half).max(1) } else { usize::MAX };
            let chunk = left.split_to(CHUNKS[turn % CHUNKS.len()].min(left.len()).min(most));
            Some((Ok(chunk), (left, turn + 1, broken, gate)))
        });
        let verified = match self.fault {
            Fault::Unproven => Err(self.error(ErrorKind::Integrity).into()),
            _ => Ok(self.verified()),
        };
        OpenBlob { stream: stream.boxed(), verified: std::future::ready(verified).boxed() }
    }
}
