//! The contract of where an image goes, whatever keeps the image: a registry, an OCI image layout, an OCI archive.

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

/// A manifest or index, as the exact bytes to store.
#[derive(Debug, Clone)]
pub struct ManifestBlob {
    /// The JSON.
    pub bytes: Bytes,
    /// Its `mediaType`.
    pub media_type: String,
    /// Digest of `bytes`.
    pub digest: Digest,
}

/// A blob that a sink may have, or may get without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The repository that holds it, when that is another one of the same registry.
    pub repository: Option<String>,
}

/// What a sink has given names to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Digest of the index.
    pub digest: Digest,
    /// The names that point to it.
    pub names: Vec<String>,
    /// A name that may point to it: the sink was stopped while it was being set.
    pub maybe: Option<String>,
}

impl Published {
    /// The image of this index, without a name.
    pub fn new(digest: Digest) -> Self {
        Self { digest, names: Vec::new(), maybe: None }
    }
}

/// Takes an image.
///
/// No method has a default: a sink that gives another sink on would forget the method without a word.
/// [`conformance::sink`](crate::conformance::sink) checks an implementation.
///
/// The caller writes blobs first, then manifests by digest, then [`publish`](Self::publish)es the index: nothing has
/// a name before all of it is there. Every call may run beside others of the same sink.
#[async_trait]
pub trait Sink: Send + Sync + Debug {
    /// Returns the most layers that can be written side by side.
    fn max_jobs(&self) -> usize;

    /// Returns whether a blob of this digest and size is there.
    async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool>;

    /// Returns whether the blob is there now, without its bytes having been sent.
    ///
    /// A sink that can take no blob over from another repository answers as [`has_blob`](Self::has_blob) does, and `false`
    /// where a repository is named.
    async fn mount_or_find(&self, blob: &ExistingBlob) -> Result<bool>;

    /// Writes a blob and returns its digest and size, proven.
    ///
    /// On a transient failure the body is opened again and sent from its first byte; `restarted` is then told why.
    /// Nothing is left behind by a body that fails or that is not what it should be, nor by a write that is dropped.
    async fn write_blob(&self, body: &dyn Blob, restarted: &(dyn Fn(String) + Send + Sync)) -> Result<VerifiedBlob>;

    /// Stores a manifest under its digest. All it names must be there.
    async fn write_manifest(&self, manifest: &ManifestBlob) -> Result<()>;

    /// Stores the index under its digest and points the sink's names at it.
    async fn publish(&self, index: &ManifestBlob) -> Result<()>;

    /// Returns what [`publish`](Self::publish) has done so far; after it was dropped or has failed, it may have done a
    /// part. `None` when nothing has a name.
    fn published(&self) -> Option<Published>;

    /// Removes what an unfinished build left, and nothing of a published image. Called once, after a failure; errors are
    /// of no use to the caller.
    async fn abandon(&self);
}
