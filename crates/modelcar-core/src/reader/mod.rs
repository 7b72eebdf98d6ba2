//! Reads an image from a registry, a layout or memory: the manifests below an index, their platforms, and the manifests
//! that the index lists and that are missing.
//!
//! This is the only reader of images. Base images, `inspect`, `lint` and reuse are views of the [`ImageTree`] that is
//! read here. Every document is checked against its digest, and its size and number are limited, because an image may
//! come from anybody.

mod error;
mod layout;
mod memory;
#[cfg(feature = "registry")]
mod registry;
#[cfg(test)]
#[cfg(feature = "registry")]
mod tests;

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use serde::Deserialize;

pub use self::{error::ImageError, layout::open_layout};
pub use crate::oci::{Descriptor, Manifest};
use crate::{
    Digest,
    blob::Blob,
    error::{ErrorKind, ModelcarError},
    oci::{Document, DocumentError, MAX_JSON_BYTES, Platform},
    sink::ManifestBlob,
};

/// Largest number of indexes inside each other. Indexes in indexes are rare, and never deep.
const MAX_DEPTH: usize = 4;
/// Largest number of manifests of one image: more than any image has platforms.
const MAX_MANIFESTS: usize = 64;
/// Largest size of all manifests and configs of one image together, in bytes. A large model's manifest has a megabyte
/// for each platform.
const MAX_BYTES: u64 = 64 << 20;
/// Number of manifests of one index that are requested side by side.
const READS: usize = 8;

/// Reads manifests and blobs of images from one place: a repository, a layout, or memory.
///
/// An implementation need not check digests of manifests and small blobs: [`read_image`] checks them.
#[async_trait]
pub trait ImageReader: Send + Sync + Debug {
    /// Returns an index or manifest by digest, tag or name. The media type of the result is empty where the place keeps
    /// none.
    ///
    /// # Errors
    /// An error of the kind [`ErrorKind::NotFound`] when the place has no such manifest, so that the caller can tell a
    /// missing manifest from one that can't be read.
    async fn manifest(&self, selector: &str) -> Result<ManifestBlob, ImageError>;

    /// Returns a small blob as a whole in memory. `size` is in bytes, as the manifest states it.
    ///
    /// # Errors
    /// When the blob is missing, can't be read, or is larger than `size` as far as the place checks the size.
    async fn blob(&self, digest: &Digest, size: u64) -> Result<Bytes, ImageError>;

    /// Returns a blob of any size, to be read later. The body itself proves its digest. A blob that is missing fails
    /// when the body is opened.
    fn body(&self, title: String, digest: Digest, size: u64) -> Arc<dyn Blob>;
}

/// Which configs are read beside the manifests. Each config is one more request to a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Configs {
    /// No config.
    None,
    /// The configs of manifests whose platform the index does not state.
    ForPlatform,
    /// Every config.
    All,
}

/// How much of an image is read.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Whether manifests are read that are for platforms on which no KServe node runs.
    pub every_platform: bool,
    /// Which configs are read.
    pub configs: Configs,
}

/// An image with all manifests below its index.
#[derive(Debug)]
pub struct ImageTree {
    /// Digest of the index, or of the manifest of an image without one.
    pub digest: Digest,
    /// Whether the image has an index.
    pub is_index: bool,
    /// Annotations of the index, or of the manifest of an image without one.
    pub annotations: BTreeMap<String, String>,
    /// The image of each platform, in the index's order. Artifacts, such as signatures and attestations, are left out
    /// unless the image consists of artifacts only.
    pub images: Vec<TreeImage>,
    /// Manifests that the index lists and that are not there.
    pub missing: Vec<Missing>,
}

/// The image of one platform.
#[derive(Debug)]
pub struct TreeImage {
    /// Digest of the manifest.
    pub digest: Digest,
    /// The platform: the one that the index states, else the one that the config states if it was read, else unknown.
    pub platform: Platform,
    /// The manifest.
    pub manifest: Manifest,
    /// The config's bytes, checked against their digest. `None` when [`Configs`] leaves the config out, and for an
    /// artifact.
    pub config: Option<Bytes>,
}

/// A manifest that an index lists and that is not there.
#[derive(Debug, Clone)]
pub struct Missing {
    /// Digest of the manifest.
    pub digest: Digest,
    /// The platform, if the index states it.
    pub platform: Option<Platform>,
}

/// Reads the image that `reader` has under `selector`, a digest, a tag or a name.
///
/// A missing manifest below the index is no error, see [`ImageTree::missing`].
///
/// # Errors
/// - The reader's error, when the index or a config is missing, or anything can't be read.
/// - [`ImageError::Corrupt`] when a document does not have the digest that it was requested by.
/// - [`ImageError::Json`] when a document is not JSON of the expected form.
/// - [`ImageError::Document`] when a document is neither index nor manifest, or the image exceeds a limit: 4 indexes
///   inside each other, 64 manifests, 64 MiB of documents.
pub async fn read_image(reader: &dyn ImageReader, selector: &str, extent: Extent) -> Result<ImageTree, ImageError> {
    let mut top = reader.manifest(selector).await?;
    top.digest = Digest::of(&top.bytes);
    if let Ok(expected) = selector.parse() {
        proven(expected, top.digest)?;
    }
    read_below(reader, &top, extent).await
}

/// Reads the manifests and configs below `top`, which was read already and whose digest is correct.
///
/// # Errors
/// As [`read_image`].
pub(crate) async fn read_below(
    reader: &dyn ImageReader,
    top: &ManifestBlob,
    extent: Extent,
) -> Result<ImageTree, ImageError> {
    let walk = Walk { reader, extent, manifests: AtomicUsize::new(0), bytes: AtomicU64::new(0) };
    let (is_index, annotations) = match parse(top)? {
        Document::Index { annotations, .. } => (true, annotations),
        Document::Manifest(manifest) => (false, manifest.annotations),
    };
    let mut tree = ImageTree { digest: top.digest, is_index, annotations, images: Vec::new(), missing: Vec::new() };
    for found in walk.document(top.clone(), None, 0).await? {
        match found {
            Found::Image(image) => tree.images.push(*image),
            Found::Missing(missing) => tree.missing.push(missing),
        }
    }
    // Beside an image an artifact is about the image; alone, the artifact is what was asked for.
    if tree.images.iter().any(|image| !image.manifest.is_artifact()) {
        tree.images.retain(|image| !image.manifest.is_artifact());
    }
    Ok(tree)
}

/// What one entry of an index turned out to be.
enum Found {
    Image(Box<TreeImage>),
    Missing(Missing),
}

/// One image being read.
struct Walk<'a> {
    /// Where the image is read from.
    reader: &'a dyn ImageReader,
    /// How much of the image is read.
    extent: Extent,
    /// Number of manifests that the indexes listed so far, at most [`MAX_MANIFESTS`].
    manifests: AtomicUsize,
    /// Bytes of manifests and configs so far, at most [`MAX_BYTES`].
    bytes: AtomicU64,
}

impl<'a> Walk<'a> {
    /// Reads what is below `blob`; `stated` is the platform that the index above states. Boxed, because an index may
    /// hold an index.
    fn document(
        &'a self,
        blob: ManifestBlob,
        stated: Option<Platform>,
        depth: usize,
    ) -> BoxFuture<'a, Result<Vec<Found>, ImageError>> {
        Box::pin(async move {
            self.count(blob.digest, blob.bytes.len() as u64)?;
            match parse(&blob)? {
                Document::Manifest(manifest) => {
                    let image = self.image(blob.digest, manifest, stated).await?;
                    Ok(vec![Found::Image(Box::new(image))])
                }
                Document::Index { .. } if depth == MAX_DEPTH => {
                    Err(refused(blob.digest, "is an index inside too many others"))
                }
                Document::Index { manifests, .. } => self.children(blob.digest, manifests, stated, depth + 1).await,
            }
        })
    }

    /// Reads the entries of an index side by side. The result has the order of the entries.
    async fn children(
        &'a self,
        index: Digest,
        entries: Vec<Descriptor>,
        stated: Option<Platform>,
        depth: usize,
    ) -> Result<Vec<Found>, ImageError> {
        let wanted: Vec<Descriptor> = entries.into_iter().filter(|entry| self.is_wanted(entry)).collect();
        if self.manifests.fetch_add(wanted.len(), Ordering::Relaxed) + wanted.len() > MAX_MANIFESTS {
            return Err(refused(index, format!("lists more than {MAX_MANIFESTS} manifests")));
        }
        let reads: Vec<_> = wanted.iter().map(|entry| self.child(entry, stated.clone(), depth)).collect();
        let found: Vec<Vec<Found>> = stream::iter(reads).buffered(READS).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Reads one entry of an index. `above` is the platform of the index that holds the entry, for an entry that states
    /// none.
    async fn child(
        &'a self,
        entry: &Descriptor,
        above: Option<Platform>,
        depth: usize,
    ) -> Result<Vec<Found>, ImageError> {
        let platform = entry.platform().or(above);
        let mut blob = match self.reader.manifest(&entry.digest.to_string()).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(vec![Found::Missing(Missing { digest: entry.digest, platform })]);
            }
            read => read?,
        };
        blob.digest = Digest::of(&blob.bytes);
        proven(entry.digest, blob.digest)?;
        self.document(blob, platform, depth).await
    }

    /// Returns whether an entry may be an image and is for a platform that the extent includes.
    fn is_wanted(&self, entry: &Descriptor) -> bool {
        let is_usable = || entry.platform().is_none_or(|platform| platform.is_usable());
        entry.may_be_image() && (self.extent.every_platform || is_usable())
    }

    /// Makes the image of one manifest, with its config if the extent asks for it.
    async fn image(
        &self,
        digest: Digest,
        manifest: Manifest,
        stated: Option<Platform>,
    ) -> Result<TreeImage, ImageError> {
        let is_needed = match self.extent.configs {
            Configs::All => true,
            Configs::ForPlatform => stated.is_none(),
            Configs::None => false,
        };
        // The config of an artifact may be anything, of any size.
        let config =
            if is_needed && !manifest.is_artifact() { Some(self.config(&manifest.config).await?) } else { None };
        let platform = stated.or_else(|| platform_in(config.as_deref()?)).unwrap_or_else(Platform::unknown);
        Ok(TreeImage { digest, platform, manifest, config })
    }

    /// Reads a config and checks its digest. The stated size is checked first, so that a hostile config is not
    /// downloaded.
    async fn config(&self, config: &Descriptor) -> Result<Bytes, ImageError> {
        if config.size > MAX_JSON_BYTES {
            let reason = format!("is a config of {} bytes, at most {MAX_JSON_BYTES} are read", config.size);
            return Err(refused(config.digest, reason));
        }
        self.count(config.digest, config.size)?;
        let bytes = self.reader.blob(&config.digest, config.size).await?;
        proven(config.digest, Digest::of(&bytes))?;
        Ok(bytes)
    }

    /// Adds `bytes` to the size of the image, and refuses the document that exceeds the limit.
    fn count(&self, digest: Digest, bytes: u64) -> Result<(), ImageError> {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > MAX_BYTES {
            return Err(refused(digest, format!("is one too many: the image's manifests have over {MAX_BYTES} bytes")));
        }
        Ok(())
    }
}

/// Returns the platform that a config states; `None` for a config without one, or one that is not JSON.
fn platform_in(config: &[u8]) -> Option<Platform> {
    #[derive(Deserialize)]
    struct Stated {
        os: String,
        architecture: String,
        #[serde(default)]
        variant: Option<String>,
    }
    let stated: Stated = serde_json::from_slice(config).ok()?;
    Some(Platform::new(stated.os, stated.architecture, stated.variant))
}

/// Parses an index or manifest.
fn parse(blob: &ManifestBlob) -> Result<Document, ImageError> {
    Document::parse(&blob.bytes).map_err(|error| match error {
        DocumentError::Json(source) => ImageError::Json { digest: blob.digest, source },
        DocumentError::Neither => refused(blob.digest, "is neither an index nor an image manifest"),
    })
}

fn refused(digest: Digest, reason: impl Into<String>) -> ImageError {
    ImageError::Document { digest, reason: reason.into() }
}

/// Refuses bytes that don't have the digest that they were requested by.
fn proven(expected: Digest, found: Digest) -> Result<(), ImageError> {
    if expected == found { Ok(()) } else { Err(ImageError::Corrupt { expected, found }) }
}
