//! Where a model's files come from: the Hub, its cache, a store, a directory, memory.

mod answerer;
mod budget;
mod card;
mod dir;
mod error;
mod file;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
mod hub_cache;
mod memory;
mod model_id;
mod open;
pub mod ranged;
mod source_ref;
#[cfg(feature = "object-store")]
mod store;
mod store_url;
mod unwanted;

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{TryStreamExt, stream::BoxStream};
use sha2::Digest as _;

#[cfg(feature = "hub")]
pub(crate) use self::dir::UNFINISHED;
#[cfg(all(fuzzing, feature = "hub"))]
#[doc(hidden)]
pub use self::hub::fuzz;
#[cfg(feature = "object-store")]
pub use self::store::{Contents, StoreFailure, StoreOptions, StoreSource, StoreTrouble};
pub use self::{
    answerer::{Answerer, GateReason, TokenUse},
    budget::{ReadBudget, ReaderShare},
    dir::DirSource,
    error::SourceError,
    file::{Origin, SourceFile},
    memory::MemorySource,
    model_id::ModelId,
    open::OpenSource,
    source_ref::SourceRef,
    store_url::{StoreKind, StoreUrl},
    unwanted::Unwanted,
};
#[cfg(feature = "hub")]
pub use self::{
    hub::{HubOptions, HubSource},
    hub_cache::{CachedSnapshot, HubCache, HubCacheSource},
    open::Reach,
};
use crate::ContentId;

/// A range of bytes in a file.
#[derive(Debug, Clone)]
pub struct Extent {
    /// The file.
    pub file: Arc<SourceFile>,
    /// Offset of the first byte, from the start of the file.
    pub offset: u64,
    /// Number of bytes, at least 1.
    pub len: u64,
}

/// A stream of bytes in the order of the files. An error ends the stream.
pub type ByteStream = BoxStream<'static, Result<Bytes, SourceError>>;

/// Lists and reads a model's files.
///
/// A source is pinned: as long as the source exists, [`list`](Self::list) and [`read`](Self::read) return the same
/// content, or fail. [`conformance::source`](crate::conformance::source) checks an implementation.
///
/// No method has a default implementation, so that the compiler notices a method that a source forgets. A source that
/// wraps another source has to forward every method.
#[async_trait]
pub trait Source: Send + Sync + Debug {
    /// Returns where the model came from, for the annotations of the image.
    fn origin(&self) -> &Origin;

    /// Lists every file, in any order.
    ///
    /// # Errors
    /// When the source can't be read, or an entry can't be a file of a model.
    async fn list(&self) -> Result<Vec<SourceFile>, SourceError>;

    /// Returns `files`, in the same order, with a content id for every file.
    ///
    /// A source that lists every file with a content id returns `files` as they are. Any other source reads and hashes
    /// the files, for example with [`hash_files`].
    ///
    /// # Errors
    /// When a file can't be read.
    async fn identify(&self, files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError>;

    /// Reads `extents` one after the other.
    ///
    /// The stream yields exactly the bytes of the extents, in order, or ends with an error that names the file. `read`
    /// can be called again at any time, also while other streams are read. The source does not verify the content: the
    /// writer of the layer does.
    ///
    /// No chunk is larger than [`ReadBudget::part_bytes`] if that is 1 MiB or more. A stream that is dropped releases
    /// its connections. [`ranged::read`] does all of this for a store that can return ranges of a file.
    ///
    /// A source that reads over a network retries by itself. The error that ends the stream is final: the layer fails.
    fn read(&self, extents: Vec<Extent>, budget: &ReadBudget) -> ByteStream;
}

/// Reads every file of `files` without a content id from `source`, one file after the other, and returns all `files`
/// with content ids. A content id that was missing becomes the SHA-256 of the bytes.
///
/// # Errors
/// The first error of a read.
pub async fn hash_files<S: Source + ?Sized>(
    source: &S,
    mut files: Vec<SourceFile>,
    budget: &ReadBudget,
) -> Result<Vec<SourceFile>, SourceError> {
    for file in files.iter_mut().filter(|file| file.content.is_none()) {
        let extent = Extent { file: Arc::new(file.clone()), offset: 0, len: file.size };
        let mut content = source.read(Vec::from_iter((file.size > 0).then_some(extent)), budget);
        let mut hasher = sha2::Sha256::new();
        while let Some(bytes) = content.try_next().await? {
            hasher.update(&bytes);
        }
        file.content = Some(ContentId::Sha256(hasher.finalize().into()));
    }
    Ok(files)
}
