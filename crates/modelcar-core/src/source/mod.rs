//! Where a model's files come from: the Hub, its cache, a store, a directory, memory.

mod answerer;
mod budget;
#[cfg(any(feature = "hub", feature = "object-store"))]
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

/// A part of a file to read.
#[derive(Debug, Clone)]
pub struct Extent {
    /// The file.
    pub file: Arc<SourceFile>,
    /// First byte.
    pub offset: u64,
    /// Number of bytes, at least one.
    pub len: u64,
}

/// Bytes in order.
pub type ByteStream = BoxStream<'static, Result<Bytes, SourceError>>;

/// Gives a model's files.
///
/// No method has a default: a source that gives another source on would forget the method without a word.
/// [`conformance::source`](crate::conformance::source) checks an implementation.
///
/// A source is pinned: [`list`](Self::list) and [`read`](Self::read) speak of the same content until the source is
/// dropped, or fail.
#[async_trait]
pub trait Source: Send + Sync + Debug {
    /// Returns where the model came from.
    fn origin(&self) -> &Origin;

    /// Lists every file, in any order.
    async fn list(&self) -> Result<Vec<SourceFile>, SourceError>;

    /// Returns `files` with the content ids that the listing leaves out.
    ///
    /// A source whose listing leaves none out returns `files` as they are; any other source reads the files, for which
    /// [`hash_files`] is enough.
    async fn identify(&self, files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError>;

    /// Reads `extents` one after the other.
    ///
    /// The stream yields exactly the bytes asked for, in order, or an error that names the file. `read` can be called
    /// again at any time. Content is not verified here; whoever frames a layer does.
    ///
    /// No chunk is larger than a part of `budget`, where a part has 1 MiB or more. A stream that is dropped gives its
    /// connections back. [`ranged::read`] does all that for a store that can give ranges of a file.
    ///
    /// A source that reads over a network tries again by itself: what the stream ends with is final for the layer.
    fn read(&self, extents: Vec<Extent>, budget: &ReadBudget) -> ByteStream;
}

/// Reads each of `files` that has no content id from `source`, one after the other, and returns all with their content
/// ids: the SHA-256 where there was none.
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
