//! Layers that an image says it holds.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use crate::{
    Digest,
    image::{FILES, RECIPE},
    plan::Layer,
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
pub struct FoundLayer {
    /// Digest of the layer.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the recipe, as stated.
    pub recipe: Digest,
    /// The files, as stated.
    pub files: Vec<SourceFile>,
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
}

/// Returns the weight layers of the image that `top` is, each once.
///
/// # Errors
/// When one of its manifests is not there or can't be read.
pub(super) async fn layers_of(repository: &Repository, top: &ManifestBlob) -> Result<Vec<FoundLayer>, RegistryError> {
    let Ok(index) = serde_json::from_slice::<Index>(&top.bytes) else { return Ok(layers_in(top)) };
    let digests: Vec<String> = index.manifests.into_iter().take(MANIFESTS_MAX).map(|entry| entry.digest).collect();
    let read = |digest: String| async move {
        let manifest = repository.manifest(&digest).await?;
        manifest.ok_or_else(|| RegistryError::ImageNotFound(format!("{}@{digest}", repository.name())))
    };
    let manifests: Vec<ManifestBlob> = stream::iter(digests).map(read).buffered(READS).try_collect().await?;
    let mut layers: Vec<FoundLayer> = Vec::new();
    for layer in manifests.iter().flat_map(layers_in) {
        if !layers.contains(&layer) {
            layers.push(layer);
        }
    }
    Ok(layers)
}

/// Returns the weight layers of one manifest. What is no layer of modelcar's is passed over.
pub(super) fn layers_in(manifest: &ManifestBlob) -> Vec<FoundLayer> {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(&manifest.bytes) else { return Vec::new() };
    let layer = |entry: Entry| {
        let recipe = entry.annotations.get(RECIPE)?.parse().ok()?;
        let mut files: Vec<SourceFile> = serde_json::from_str(entry.annotations.get(FILES)?).ok()?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let plain = entry.media_type == PLAIN_TAR && !files.is_empty() && bounded(&files);
        let digest = entry.digest.parse().ok()?;
        plain.then_some(FoundLayer { digest, size: entry.size, recipe, files })
    };
    manifest.layers.into_iter().filter_map(layer).collect()
}

/// Sizes that can be summed up, as those of a plan can.
fn bounded(files: &[SourceFile]) -> bool {
    let total = files.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.size));
    total.is_some_and(|total| total < u64::MAX / 4)
}
