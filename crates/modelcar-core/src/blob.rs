//! A blob's bytes as a sink takes them and a reader gives them: in order, counted, able to start over.

use std::{fmt::Debug, ops::Range};

use bytes::{Buf, Bytes};
use futures_util::{
    FutureExt, StreamExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};

use crate::{ContentId, Digest, error::Result};

/// What a body turned out to be, once its last byte has passed and every hash agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedBlob {
    /// Digest of the bytes.
    pub digest: Digest,
    /// Number of bytes.
    pub size: u64,
    /// Digest of the bytes before compression; equal to `digest` where there is none.
    pub diff_id: Digest,
    /// For a weight layer: the content ids of its files, in the layer's order.
    pub files: Vec<ContentId>,
}

/// A body being read.
pub struct OpenBlob {
    /// The bytes. An error ends the stream.
    pub stream: BoxStream<'static, Result<Bytes>>,
    /// Resolves after the stream has ended; an error means the bytes are wrong and must not be committed. When the
    /// stream was dropped before its end, it resolves to an error.
    pub verified: BoxFuture<'static, Result<VerifiedBlob>>,
}

impl Debug for OpenBlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenBlob").finish_non_exhaustive()
    }
}

/// A blob that can be read again from its first byte at any time.
///
/// No method has a default: a body that gives another body on would forget the method without a word.
pub trait Blob: Send + Sync + Debug {
    /// Returns what the blob is, for messages: ``layer 3 (`model-00001.safetensors`)``.
    fn title(&self) -> String;

    /// Returns the number of bytes. It is known before they are made, since layers are not compressed.
    fn size(&self) -> u64;

    /// Returns the digest, when it is known beforehand.
    fn digest(&self) -> Option<Digest>;

    /// Starts reading from the first byte.
    fn open(&self) -> OpenBlob;

    /// Reads the bytes of `range` once more, neither hashed nor verified: a sink sends them again when a connection
    /// breaks, while the body that it has open keeps its place and its hashes.
    ///
    /// [`reread_from_start`] does that for a body that can only be read from its first byte.
    fn reread(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>>;
}

/// Opens `body` and leaves out what is not in `range`.
pub fn reread_from_start<B: Blob + ?Sized>(body: &B, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
    let left = range.end.saturating_sub(range.start);
    let cut = stream::try_unfold((body.open().stream, range.start, left), |(mut bytes, mut skip, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        while let Some(mut chunk) = bytes.try_next().await? {
            let before = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            chunk.advance(before);
            skip -= before as u64;
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            if !chunk.is_empty() {
                let left = left - chunk.len() as u64;
                return Ok(Some((chunk, (bytes, skip, left))));
            }
        }
        Ok(None)
    });
    cut.boxed()
}

/// A small blob held in memory: a config, a base layer.
#[derive(Debug, Clone)]
pub struct BytesBlob {
    title: String,
    bytes: Bytes,
    digest: Digest,
}

impl BytesBlob {
    /// Wraps `bytes`.
    pub fn new(title: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        Self { title: title.into(), bytes, digest }
    }
}

impl Blob for BytesBlob {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn digest(&self) -> Option<Digest> {
        Some(self.digest)
    }

    fn open(&self) -> OpenBlob {
        let size = self.bytes.len() as u64;
        let verified = VerifiedBlob { digest: self.digest, size, diff_id: self.digest, files: Vec::new() };
        OpenBlob {
            stream: stream::once(std::future::ready(Ok(self.bytes.clone()))).boxed(),
            verified: std::future::ready(Ok(verified)).boxed(),
        }
    }

    fn reread(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        let [start, end] =
            [range.start, range.end].map(|at| usize::try_from(at).unwrap_or(usize::MAX).min(self.bytes.len()));
        let bytes = if start < end { self.bytes.slice(start..end) } else { Bytes::new() };
        stream::once(std::future::ready(Ok(bytes))).boxed()
    }
}
