//! What an image says of itself: the layers that it holds, and the facts of its model.

use crate::{
    Digest, ImageError,
    facts::StatedFacts,
    image::{FILES, RECIPE},
    oci::{Descriptor, Manifest},
    plan::{self, Layer},
    reader::{Configs, Extent, read_below},
    registry::Repository,
    sink::ManifestBlob,
    source::SourceFile,
};

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

/// An image, or one manifest of it.
#[derive(Debug, Default)]
pub(super) struct FoundImage {
    /// Its weight layers, each once.
    pub(super) layers: Vec<FoundLayer>,
    /// The facts of its model; every manifest of an image states the same ones.
    pub(super) stated: Option<StatedFacts>,
}

/// Reads the image that `top` is. A manifest that the index lists and that is not there is passed over.
///
/// # Errors
/// When one of its manifests can't be read.
pub(super) async fn image(repository: &Repository, top: &ManifestBlob) -> Result<FoundImage, ImageError> {
    let tree = read_below(repository, top, Extent { every_platform: true, configs: Configs::None }).await?;
    let mut whole = FoundImage::default();
    for one in tree.images.iter().map(|image| one_manifest(&image.manifest)) {
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
pub(super) fn one_manifest(manifest: &Manifest) -> FoundImage {
    let layers: Vec<FoundLayer> = manifest.layers.iter().filter_map(found_layer).collect();
    let files = layers.iter().flat_map(|layer| layer.files.clone()).collect();
    FoundImage { stated: StatedFacts::new(&manifest.annotations, files), layers }
}

fn found_layer(layer: &Descriptor) -> Option<FoundLayer> {
    let recipe = layer.annotation(RECIPE)?.parse().ok()?;
    let mut files: Vec<SourceFile> = serde_json::from_str(layer.annotation(FILES)?).ok()?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let plain = layer.media_type == PLAIN_TAR && !files.is_empty() && plan::is_bounded(&files);
    plain.then_some(FoundLayer { digest: layer.digest, size: layer.size, recipe, files })
}
