//! Reads the annotations that modelcar writes into an image: the recipes and files of its layers, and the properties of
//! its model.

use std::collections::BTreeSet;

use super::action::Place;
use crate::{
    Digest, ImageError,
    facts::StatedFacts,
    image::RECIPE,
    oci::{Descriptor, LAYER_FILES, Manifest},
    plan::{self, Layer},
    reader::{Configs, Extent, read_below},
    registry::Repository,
    sink::ManifestBlob,
    source::SourceFile,
};

/// Media type of an uncompressed layer, the only type of modelcar's weight layers.
const PLAIN_TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// A weight layer as the annotations of a manifest describe it. The annotations prove nothing: anybody who may write
/// the manifest can state anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImageLayer {
    /// Digest of the layer.
    pub(super) digest: Digest,
    /// Size in bytes.
    pub(super) size: u64,
    /// The recipe that the annotations state.
    pub(super) recipe: Digest,
    /// The files that the annotations state, sorted by path.
    pub(super) files: Vec<SourceFile>,
}

impl ImageLayer {
    /// Returns a digest of everything that is stated of the layer.
    fn identity(&self) -> Digest {
        let Self { digest, size, recipe, files } = self;
        Digest::of(serde_json::to_vec(&(digest, size, recipe, files)).unwrap_or_default())
    }

    /// Returns whether recipe and size follow from the files that are stated with them. `mtime` is the time of the
    /// plan's files, in seconds since 1970, which is part of a recipe.
    pub(super) fn is_consistent(&self, mtime: u64) -> bool {
        let layer = Layer::new(self.files.clone(), mtime);
        layer.recipe == Some(self.recipe) && layer.size == self.size
    }
}

/// A layer of an image, and where the image is.
#[derive(Debug, Clone)]
pub(super) struct SeenLayer {
    /// The layer.
    pub(super) layer: ImageLayer,
    /// Where the image is.
    pub(super) place: Place,
    /// The image that names the layer, for messages.
    pub(super) from: String,
}

/// What an image states, or one manifest of the image.
#[derive(Debug, Default)]
pub(super) struct StatedImage {
    /// Its weight layers, each once.
    pub(super) layers: Vec<ImageLayer>,
    /// The properties of the model; every manifest of an image states the same ones.
    pub(super) stated: Option<StatedFacts>,
}

/// Reads the image whose index or manifest is `top`. A manifest that the index lists and that is missing is skipped.
///
/// # Errors
/// When one of the manifests can't be read.
pub(super) async fn read(repository: &Repository, top: &ManifestBlob) -> Result<StatedImage, ImageError> {
    let tree = read_below(repository, top, Extent { every_platform: true, configs: Configs::None }).await?;
    let (mut whole, mut known) = (StatedImage::default(), BTreeSet::new());
    for one in tree.images.iter().map(|image| one_manifest(&image.manifest)) {
        // A set, because an image of strangers may have a hundred thousand layers.
        whole.layers.extend(one.layers.into_iter().filter(|layer| known.insert(layer.identity())));
        whole.stated = whole.stated.or(one.stated);
    }
    Ok(whole)
}

/// Reads one manifest. Layers that modelcar did not make are skipped.
pub(super) fn one_manifest(manifest: &Manifest) -> StatedImage {
    let layers: Vec<ImageLayer> = manifest.layers.iter().filter_map(image_layer).collect();
    let files = layers.iter().flat_map(|layer| layer.files.clone()).collect();
    StatedImage { stated: StatedFacts::new(&manifest.annotations, files), layers }
}

/// Returns the weight layer that a descriptor describes; `None` if its annotations are missing, invalid or too large.
fn image_layer(layer: &Descriptor) -> Option<ImageLayer> {
    let recipe = layer.annotation(RECIPE)?.parse().ok()?;
    let mut files: Vec<SourceFile> = serde_json::from_str(layer.annotation(LAYER_FILES)?).ok()?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let plain = layer.media_type == PLAIN_TAR && !files.is_empty() && plan::is_bounded(&files);
    plain.then_some(ImageLayer { digest: layer.digest, size: layer.size, recipe, files })
}
