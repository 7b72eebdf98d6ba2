//! Bodies that are right or wrong in one way.

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

/// Sizes of a body's chunks, over and over: nothing, one byte, more than a page.
const CHUNKS: [usize; 5] = [1, 0, 7, 5000, 70_000];

/// What is wrong with a body.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    None,
    /// So many times the body breaks off in its middle, in a way that may pass.
    Passing(Arc<AtomicUsize>),
    /// The body breaks off in its middle.
    Breaks,
    /// The bytes are not proven.
    Unproven,
    /// Fewer bytes come than the body counts.
    Short,
    /// The second half comes once the semaphore has a permit.
    Waits(Arc<Semaphore>),
}

/// A body of made-up bytes.
#[derive(Debug, Clone)]
pub(super) struct Made {
    bytes: Bytes,
    /// Whether the digest is known beforehand.
    known: bool,
    fault: Fault,
}

impl Made {
    /// Makes a body of `size` bytes that no other `seed` has, as long as there are some bytes.
    pub(super) fn new(seed: &str, size: usize) -> Self {
        let text = seed.bytes().chain([b'\n']).cycle().zip(0_usize..);
        let bytes = text.map(|(byte, at)| byte.wrapping_add(u8::try_from(at / 251 % 256).unwrap_or_default()));
        Self { bytes: bytes.take(size).collect(), known: false, fault: Fault::None }
    }

    pub(super) fn of(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), known: true, fault: Fault::None }
    }

    pub(super) fn known(self) -> Self {
        Self { known: true, ..self }
    }

    pub(super) fn fault(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }

    /// Returns what the body proves when nothing is wrong.
    pub(super) fn verified(&self) -> VerifiedBlob {
        let (digest, size) = (Digest::of(&self.bytes), self.bytes.len() as u64);
        VerifiedBlob {
            digest,
            size,
            diff_id: Digest::of(b"before compression"),
            files: vec![Digest::of(b"a file").into()],
        }
    }

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
