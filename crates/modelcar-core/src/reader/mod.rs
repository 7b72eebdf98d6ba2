//! The only reader of images: what is below an index, for which platform, and what of it is not there.
//!
//! Base images, `inspect`, `lint` and reuse are views of the [`ImageTree`] that is read here.

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

/// Indexes in indexes are rare, and never deep.
const MAX_DEPTH: usize = 4;
/// More manifests than any image has platforms.
const MAX_MANIFESTS: usize = 64;
/// Manifests and configs of one image, together. A large model's manifest has a megabyte for each platform.
const MAX_BYTES: u64 = 64 << 20;
/// Manifests that are asked for side by side.
const READS: usize = 8;

/// Reads images from where they are kept.
#[async_trait]
pub trait ImageReader: Send + Sync + Debug {
    /// Returns an index or manifest by digest, tag or name.
    async fn manifest(&self, selector: &str) -> Result<ManifestBlob, ImageError>;

    /// Returns a small blob.
    async fn blob(&self, digest: &Digest, size: u64) -> Result<Bytes, ImageError>;

    /// Returns a blob of any size, to be read later. Its digest is proven by the body itself.
    fn body(&self, title: String, digest: Digest, size: u64) -> Arc<dyn Blob>;
}

/// What is read beside the manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Configs {
    /// No config.
    None,
    /// The configs of manifests whose platform no index states.
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

/// An image with everything below its index.
#[derive(Debug)]
pub struct ImageTree {
    /// Digest of the index, or of the manifest of an image without one.
    pub digest: Digest,
    /// Whether the image has an index.
    pub is_index: bool,
    /// Annotations of the index, or of the manifest of an image without one.
    pub annotations: BTreeMap<String, String>,
    /// One for each platform, in the image's order.
    pub images: Vec<TreeImage>,
    /// What the index lists and its keeper does not have.
    pub missing: Vec<Missing>,
}

/// The image of one platform.
#[derive(Debug)]
pub struct TreeImage {
    /// Digest of the manifest.
    pub digest: Digest,
    /// The platform: what the index states, else what the config says.
    pub platform: Platform,
    /// The manifest.
    pub manifest: Manifest,
    /// The config's bytes, proven, where they were asked for. `None` for an artifact.
    pub config: Option<Bytes>,
}

/// A manifest that an index lists and that is not there.
#[derive(Debug, Clone)]
pub struct Missing {
    /// Digest of the manifest.
    pub digest: Digest,
    /// The platform, as far as the index states it.
    pub platform: Option<Platform>,
}

/// Reads the image that `reader` has under `selector`, a digest, a tag or a name.
///
/// # Errors
/// When the image is not there, can't be read, or is refused.
pub async fn read_image(reader: &dyn ImageReader, selector: &str, extent: Extent) -> Result<ImageTree, ImageError> {
    let mut top = reader.manifest(selector).await?;
    top.digest = Digest::of(&top.bytes);
    if let Ok(expected) = selector.parse() {
        proven(expected, top.digest)?;
    }
    read_below(reader, &top, extent).await
}

/// Reads what is below `top`, which is there already.
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

enum Found {
    Image(Box<TreeImage>),
    Missing(Missing),
}

/// One image being read.
struct Walk<'a> {
    reader: &'a dyn ImageReader,
    extent: Extent,
    /// Manifests seen so far.
    manifests: AtomicUsize,
    /// Bytes read so far.
    bytes: AtomicU64,
}

impl<'a> Walk<'a> {
    /// Reads what is below `blob`; `stated` is the platform that the index above states.
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

    fn is_wanted(&self, entry: &Descriptor) -> bool {
        let is_usable = || entry.platform().is_none_or(|platform| platform.is_usable());
        entry.may_be_image() && (self.extent.every_platform || is_usable())
    }

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

    fn count(&self, digest: Digest, bytes: u64) -> Result<(), ImageError> {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > MAX_BYTES {
            return Err(refused(digest, format!("is one too many: the image's manifests have over {MAX_BYTES} bytes")));
        }
        Ok(())
    }
}

/// Returns the platform that a config states.
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

fn parse(blob: &ManifestBlob) -> Result<Document, ImageError> {
    Document::parse(&blob.bytes).map_err(|error| match error {
        DocumentError::Json(source) => ImageError::Json { digest: blob.digest, source },
        DocumentError::Neither => refused(blob.digest, "is neither an index nor an image manifest"),
    })
}

fn refused(digest: Digest, reason: impl Into<String>) -> ImageError {
    ImageError::Document { digest, reason: reason.into() }
}

fn proven(expected: Digest, found: Digest) -> Result<(), ImageError> {
    if expected == found { Ok(()) } else { Err(ImageError::Corrupt { expected, found }) }
}
