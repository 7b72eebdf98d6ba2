//! Copies an image with all its manifests into a repository. The digest stays.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;

use super::BaseError;
use crate::{
    Digest, ImageError, Tag,
    error::Result,
    oci::{Descriptor, Document},
    progress::{Phase, Progress},
    reader::ImageReader,
    registry::{RegistrySink, Repository, StoredImage},
    sink::{ManifestBlob, Sink},
};

/// Largest number of manifests of one image: those of a base for all platforms, and an attestation for each of them.
const MAX_MANIFESTS: usize = 256;
/// Largest number of indexes inside each other.
const MAX_DEPTH: usize = 4;

/// An image that was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// Digest of the image, there as here.
    pub digest: Digest,
    /// Number of manifests, the index not counted.
    pub manifests: usize,
    /// Number of blobs: configs and layers.
    pub blobs: usize,
    /// Bytes of the blobs that the repository lacked.
    pub bytes_sent: u64,
}

/// Copies the image that `from` has under `selector` into the repository `to`, for all platforms and with everything
/// that its index lists, and sets `tags`. Without tags the image has its digest as its only name. The copy is read back
/// as a pull does.
///
/// # Errors
/// The reader's error when a part of the image is missing or wrong, [`BaseError::Unusable`] when the image has more than
/// 256 manifests or deep indexes, and the registry's error when it refuses a part or does not give it back.
pub async fn copy_image(
    from: &dyn ImageReader,
    selector: &str,
    to: &Repository,
    tags: Vec<Tag>,
    progress: &Arc<dyn Progress>,
) -> Result<Copied> {
    let mut image = Parts::default();
    let top = image.read(from, selector, None).await?;
    let sink = RegistrySink::new(to.clone(), tags);
    Phase::Layers.begin(&**progress);
    let mut bytes_sent = 0;
    for (digest, size) in image.configs.iter().chain(&image.layers) {
        if !sink.has_blob(digest, *size).await? {
            sink.write_blob(&*from.body(format!("blob `{digest}`"), *digest, *size), &|_reason| ()).await?;
            bytes_sent += size;
        }
    }
    Phase::Publish.begin(&**progress);
    for manifest in &image.manifests {
        sink.write_manifest(manifest).await?;
    }
    sink.publish(&top).await?;
    Phase::Verify.begin(&**progress);
    let stored = StoredImage {
        index: top.digest,
        manifests: image.manifests.iter().map(|manifest| manifest.digest).collect(),
        configs: image.configs.clone().into_iter().collect(),
        layers: image.layers.clone().into_iter().collect(),
    };
    sink.read_back(&stored).await?;
    let (manifests, blobs) = (image.manifests.len(), image.configs.len() + image.layers.len());
    Ok(Copied { digest: top.digest, manifests, blobs, bytes_sent })
}

/// What an image consists of, without the document at its top.
#[derive(Debug, Default)]
struct Parts {
    /// Each after those that it lists.
    manifests: Vec<ManifestBlob>,
    /// Sizes in bytes.
    configs: BTreeMap<Digest, u64>,
    layers: BTreeMap<Digest, u64>,
    depth: usize,
}

impl Parts {
    /// Reads a document and everything below it, and returns the document. `entry` is what an index says of it.
    fn read<'a>(
        &'a mut self,
        from: &'a dyn ImageReader,
        selector: &'a str,
        entry: Option<&'a Descriptor>,
    ) -> BoxFuture<'a, Result<ManifestBlob, BaseError>> {
        Box::pin(async move {
            let mut document = from.manifest(selector).await?;
            document.digest = Digest::of(&document.bytes);
            if let Ok(expected) = selector.parse::<Digest>()
                && expected != document.digest
            {
                return Err(ImageError::Corrupt { expected, found: document.digest }.into());
            }
            let parsed = Document::parse(&document.bytes);
            let parsed = parsed.map_err(|_| unusable(selector, "is neither an index nor an image manifest"))?;
            if document.media_type.is_empty() {
                document.media_type = media_type(&parsed, entry).to_owned();
            }
            match parsed {
                Document::Manifest(manifest) => {
                    self.configs.insert(manifest.config.digest, manifest.config.size);
                    self.layers.extend(manifest.layers.iter().map(|layer| (layer.digest, layer.size)));
                }
                Document::Index { manifests, .. } => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err(unusable(selector, "has too many indexes inside each other"));
                    }
                    for entry in &manifests {
                        if self.manifests.len() >= MAX_MANIFESTS {
                            return Err(unusable(selector, "has more than 256 manifests"));
                        }
                        if self.manifests.iter().all(|known| known.digest != entry.digest) {
                            let below = self.read(from, &entry.digest.to_string(), Some(entry)).await?;
                            self.manifests.push(below);
                        }
                    }
                    self.depth -= 1;
                }
            }
            Ok(document)
        })
    }
}

/// Returns the media type of a document that states none: the one that the index states, else the one of its form.
fn media_type<'a>(document: &Document, entry: Option<&'a Descriptor>) -> &'a str {
    match (entry, document) {
        (Some(entry), _) if !entry.media_type.is_empty() => &entry.media_type,
        (_, Document::Index { .. }) => "application/vnd.oci.image.index.v1+json",
        (_, Document::Manifest(_)) => "application/vnd.oci.image.manifest.v1+json",
    }
}

fn unusable(selector: &str, reason: &str) -> BaseError {
    BaseError::Unusable { image: selector.to_owned(), what: "it".to_owned(), reason: reason.to_owned() }
}
