//! What an image says of itself: the layers that it holds, and the facts of its model.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use crate::{
    Digest,
    facts::StatedFacts,
    image::{FILES, RECIPE},
    plan::{self, Layer},
    registry::{RegistryError, Repository},
    sink::ManifestBlob,
    source::SourceFile,
};

/// Most manifests of an index that are read: one for each platform, and an index has a handful.
const MANIFESTS_MAX: usize = 16;
const READS: usize = 8;
const PLAIN_TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// A weight layer as the annotations of a manifest describe it. Whoever may write the manifest may have made it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundLayer {
    /// Digest of the layer.
    pub(super) digest: Digest,
    /// Size in bytes.
    pub(super) size: u64,
    /// Digest of the recipe, as stated.
    pub(super) recipe: Digest,
    /// The files, as stated.
    pub(super) files: Vec<SourceFile>,
}

impl FoundLayer {
    /// Returns whether recipe and size follow from the files that are stated with them.
    pub(super) fn is_consistent(&self, mtime: u64) -> bool {
        let layer = Layer::new(self.files.clone(), mtime);
        layer.recipe == Some(self.recipe) && layer.size == self.size
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Manifest {
    layers: Vec<Entry>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// An image, or one manifest of it.
#[derive(Debug, Default)]
pub(super) struct FoundImage {
    /// Its weight layers, each once.
    pub(super) layers: Vec<FoundLayer>,
    /// The facts of its model; every manifest of an image states the same ones.
    pub(super) stated: Option<StatedFacts>,
}

/// Reads the image that `top` is.
///
/// # Errors
/// When one of its manifests is not there or can't be read.
pub(super) async fn image(repository: &Repository, top: &ManifestBlob) -> Result<FoundImage, RegistryError> {
    let Ok(index) = serde_json::from_slice::<Index>(&top.bytes) else { return Ok(one_manifest(top)) };
    let digests: Vec<String> = index.manifests.into_iter().take(MANIFESTS_MAX).map(|entry| entry.digest).collect();
    let read = |digest: String| async move {
        let manifest = repository.manifest(&digest).await?;
        manifest.ok_or_else(|| RegistryError::ImageNotFound(format!("{}@{digest}", repository.name())))
    };
    let manifests: Vec<ManifestBlob> = stream::iter(digests).map(read).buffered(READS).try_collect().await?;
    let mut whole = FoundImage::default();
    for one in manifests.iter().map(one_manifest) {
        for layer in one.layers {
            if !whole.layers.contains(&layer) {
                whole.layers.push(layer);
            }
        }
        whole.stated = whole.stated.or(one.stated);
    }
    Ok(whole)
}

/// Reads one manifest. What is no layer of modelcar's is passed over.
pub(super) fn one_manifest(manifest: &ManifestBlob) -> FoundImage {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(&manifest.bytes) else { return FoundImage::default() };
    let layer = |entry: Entry| {
        let recipe = entry.annotations.get(RECIPE)?.parse().ok()?;
        let mut files: Vec<SourceFile> = serde_json::from_str(entry.annotations.get(FILES)?).ok()?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let plain = entry.media_type == PLAIN_TAR && !files.is_empty() && plan::is_bounded(&files);
        let digest = entry.digest.parse().ok()?;
        plain.then_some(FoundLayer { digest, size: entry.size, recipe, files })
    };
    let layers: Vec<FoundLayer> = manifest.layers.into_iter().filter_map(layer).collect();
    let files = layers.iter().flat_map(|layer| layer.files.clone()).collect();
    FoundImage { stated: StatedFacts::new(&manifest.annotations, files), layers }
}
