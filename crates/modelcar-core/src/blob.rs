//! The bytes of a blob, as a sink takes them and a reader of images gives them: in order, counted, and able to start
//! over.
//!
//! A blob is first described (title, size, perhaps digest) and then opened. Opening gives a stream of bytes and a
//! future that says, after the stream, whether the bytes are right.

use std::{fmt::Debug, ops::Range};

use bytes::{Buf, Bytes};
use futures_util::{
    FutureExt, StreamExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};

use crate::{ContentId, Digest, error::Result};

/// What the bytes of a blob are, known once the last byte has passed and every hash agrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedBlob {
    /// Digest of the bytes as they are stored. The blob is stored under this digest.
    pub digest: Digest,
    /// Number of bytes as they are stored.
    pub size: u64,
    /// Digest of the bytes before compression: the layer's entry in `rootfs.diff_ids` of the image's config (OCI
    /// image-spec, config.md). It equals `digest` for a blob that is not compressed.
    pub diff_id: Digest,
    /// For a weight layer: the content ids of its files, in the layer's order. Empty for every other blob.
    pub files: Vec<ContentId>,
}

/// A blob that is being read. Dropping it ends the reading.
pub struct OpenBlob {
    /// The bytes, from first to last. After an error the stream has ended. Chunks may have any size, and may be empty.
    pub stream: BoxStream<'static, Result<Bytes>>,
    /// Says whether the bytes of `stream` are right. It is to be awaited after the stream has ended.
    ///
    /// An error means that the bytes are wrong and must not be committed: no manifest or tag may refer to them. For a
    /// blob whose bytes are checked while they pass, it is an error too when the stream was dropped before its end.
    pub verified: BoxFuture<'static, Result<VerifiedBlob>>,
}

impl Debug for OpenBlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenBlob").finish_non_exhaustive()
    }
}

/// A blob that can be read again from its first byte at any time, also while another reading is under way.
///
/// No method has a default implementation. A wrapper that passes its calls on to another blob would not notice that it
/// lacks a method, and would silently use the default.
pub trait Blob: Send + Sync + Debug {
    /// Returns what the blob is, for messages: ``layer 3 (`model-00001.safetensors`)``.
    fn title(&self) -> String;

    /// Returns the number of bytes. It is known before the bytes are, since layers are not compressed.
    fn size(&self) -> u64;

    /// Returns the digest if it is known before the blob is read. A weight layer gets its digest only while it is
    /// read.
    fn digest(&self) -> Option<Digest>;

    /// Starts reading from the first byte. Each call gives a reading of its own. A failure to open is told by the
    /// stream.
    fn open(&self) -> OpenBlob;

    /// Reads the bytes of `range` again, from `range.start` up to but not including `range.end`. They are neither
    /// hashed nor verified.
    ///
    /// A sink needs this when a connection breaks: it sends the lost bytes again, while the [`OpenBlob`] that it is
    /// reading keeps its position and its hashes. [`reread_from_start`] does this for a blob that can only be read
    /// from its first byte.
    ///
    /// The stream ends early, without an error, when the blob ends before `range` does.
    fn reread(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>>;
}

/// Opens `body`, skips the bytes before `range` and gives the bytes in `range`.
///
/// All bytes before `range` are read and thrown away. The stream ends early, without an error, when `body` ends before
/// `range` does. What `body` says of its bytes at the end is not asked for.
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

/// A small blob that is held in memory, such as an image's config.
#[derive(Debug, Clone)]
pub struct BytesBlob {
    /// For messages only.
    title: String,
    bytes: Bytes,
    /// Computed when the blob is made.
    digest: Digest,
}

impl BytesBlob {
    /// Makes a blob of `bytes` and computes their digest. `title` is for messages.
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

    /// Gives all bytes as one chunk. Nothing can go wrong with the bytes, so `verified` never fails.
    fn open(&self) -> OpenBlob {
        let size = self.bytes.len() as u64;
        let verified = VerifiedBlob { digest: self.digest, size, diff_id: self.digest, files: Vec::new() };
        OpenBlob {
            stream: stream::once(std::future::ready(Ok(self.bytes.clone()))).boxed(),
            verified: std::future::ready(Ok(verified)).boxed(),
        }
    }

    /// Gives the part of `range` that lies inside the blob, as one chunk.
    fn reread(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        let [start, end] =
            [range.start, range.end].map(|at| usize::try_from(at).unwrap_or(usize::MAX).min(self.bytes.len()));
        let bytes = if start < end { self.bytes.slice(start..end) } else { Bytes::new() };
        stream::once(std::future::ready(Ok(bytes))).boxed()
    }
}
