//! The contract of the places that an image is written to: a registry, an OCI image layout, an OCI archive, or memory.

mod memory;
mod restarts;

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::memory::MemorySink;
pub(crate) use self::restarts::Restarts;
#[doc(no_inline)]
pub use crate::blob::{Blob, BytesBlob, OpenBlob, VerifiedBlob};
use crate::{Digest, error::Result};

/// An image manifest or an image index, as the exact bytes to store.
#[derive(Debug, Clone)]
pub struct ManifestBlob {
    /// The JSON document. It must be stored unchanged, because `digest` is computed over these bytes.
    pub bytes: Bytes,
    /// The document's `mediaType`. A registry wants it as the `Content-Type` of the request (OCI distribution-spec,
    /// "Pushing Manifests").
    pub media_type: String,
    /// Digest of `bytes`, under which the document is stored.
    pub digest: Digest,
}

/// A blob that a sink may have already, or may get from another repository without any bytes being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingBlob {
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
    /// The repository that holds the blob, if it is another repository of the same registry. `None`: the sink itself
    /// may hold the blob.
    pub repository: Option<String>,
}

/// What the sink has published: the index, and the names that point to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Digest of the index.
    pub digest: Digest,
    /// The names that point to the index for certain: tags of a registry, or the path of a layout or archive.
    pub names: Vec<String>,
    /// A tag that may point to the index. The sink was stopped after the request was sent and before the answer came.
    pub maybe: Option<String>,
}

impl Published {
    /// Returns the index with this digest, to which no name points.
    pub fn new(digest: Digest) -> Self {
        Self { digest, names: Vec::new(), maybe: None }
    }
}

/// A place that takes an image.
///
/// The caller writes the blobs first, then the manifests by digest. Last it calls [`publish`](Self::publish) with the
/// index, so that nothing has a name before everything it refers to is stored. Any call may run at the same time as
/// other calls on the same sink.
///
/// No method has a default implementation. A wrapper that passes its calls on to another sink would not notice that it
/// lacks a method, and would silently use the default. [`conformance::sink`](crate::conformance::sink) checks whether
/// an implementation keeps this contract.
///
/// Dropping the future of a call cancels the call. A write that is dropped leaves no blob, but threads of the sink may
/// still be at work; [`abandon`](Self::abandon) waits for them.
#[async_trait]
pub trait Sink: Send + Sync + Debug {
    /// Returns the largest number of layers whose bytes the sink takes at the same time, at least 1.
    ///
    /// If the number is above 1, a build may begin to write further layers while earlier layers are being committed.
    /// If the number is 1, a build calls [`write_blob`](Self::write_blob) for one layer at a time.
    fn max_jobs(&self) -> usize;

    /// Returns whether a blob of this digest and size in bytes is stored.
    ///
    /// # Errors
    /// When the sink can't find out: a registry that fails, or a file that can't be read.
    async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool>;

    /// Returns whether the blob is stored now, without its bytes having been sent.
    ///
    /// A registry may take the blob over from the repository that `blob` names (OCI distribution-spec, "Mounting a
    /// blob from another repository"). A sink that can't do that answers `false` where a repository is named, and
    /// answers as [`has_blob`](Self::has_blob) does where none is named.
    ///
    /// # Errors
    /// When the sink can't find out. The caller may then send the blob.
    async fn mount_or_find(&self, blob: &ExistingBlob) -> Result<bool>;

    /// Writes a blob and returns its digest and size, verified.
    ///
    /// After a failure that may pass, the sink opens `body` again and sends it from its first byte. It calls
    /// `restarted` before that, with the reason as text. Nothing stays behind when `body` fails, when its bytes are
    /// wrong, or when the returned future is dropped.
    ///
    /// # Errors
    /// The error of `body` when reading or verifying it failed. Otherwise the sink's own error, after its last try.
    async fn write_blob(&self, body: &dyn Blob, restarted: &(dyn Fn(String) + Send + Sync)) -> Result<VerifiedBlob>;

    /// Stores a manifest under its digest, without a name. All blobs that the manifest names must be stored before.
    ///
    /// # Errors
    /// When the document can't be stored. A registry also refuses a manifest that names a blob which is not stored.
    async fn write_manifest(&self, manifest: &ManifestBlob) -> Result<()>;

    /// Stores the index under its digest and makes the sink's names point to it.
    ///
    /// # Errors
    /// When the index can't be stored, or a name can't be set. Then [`published`](Self::published) says which names
    /// are set.
    async fn publish(&self, index: &ManifestBlob) -> Result<()>;

    /// Returns what [`publish`](Self::publish) has done so far. `publish` may have set some of the names when it
    /// failed or when its future was dropped. `None` when nothing has a name.
    fn published(&self) -> Option<Published>;

    /// Removes what an unfinished build has left, and nothing of a published image.
    ///
    /// The caller calls `abandon` once, after a failure or an interruption, when no other call is under way. It waits
    /// until the sink's own threads have ended. Its errors are not returned, because the caller has an error already.
    async fn abandon(&self);
}
