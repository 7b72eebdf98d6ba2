//! What an image holds, read from its manifests alone.

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;

use crate::{
    Digest, Platform,
    error::Result,
    layout::Layout,
    oci::LAYER_FILES,
    reader::{Configs, Extent, ImageReader, Missing, TreeImage, read_image},
    source::SourceFile,
};

/// An image.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// Digest of the index, or of the manifest of an image without one.
    pub digest: Digest,
    /// Annotations of the index or manifest.
    pub annotations: BTreeMap<String, String>,
    /// A manifest for each platform. Attestations and other artifacts that an index lists beside images are left out.
    pub manifests: Vec<InspectedManifest>,
    /// Manifests that the index lists and that are not there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingManifest>,
}

/// A manifest that an index lists and that is not there: nodes of its platform can't pull the image.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct MissingManifest {
    /// The platform, as far as the index states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Digest of the manifest.
    pub digest: Digest,
}

/// One platform's manifest.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InspectedManifest {
    /// The platform that the index states, else the one in the config; `unknown/unknown` for an artifact.
    pub platform: Platform,
    /// Digest of the manifest.
    pub digest: Digest,
    /// The layers, bottom first.
    pub layers: Vec<InspectedLayer>,
}

/// One layer.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InspectedLayer {
    /// Digest of the layer.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
    /// Media type.
    pub media_type: String,
    /// The model files in it, as modelcar's annotation states them; empty for layers of others.
    pub files: Vec<SourceFile>,
}

/// Inspects an image in a registry.
///
/// # Errors
/// When the image is not there or can't be read.
#[cfg(feature = "registry")]
pub async fn registry(repository: &crate::registry::Repository, image: &crate::ImageRef) -> Result<Inspection> {
    inspect(repository, &image.selector()).await
}

/// Inspects an image in a layout directory; `name` chooses one of several.
///
/// # Errors
/// When the directory is no layout, or holds no such image.
pub async fn layout(dir: &Path, name: Option<&str>) -> Result<Inspection> {
    let layout = Layout::open(dir).await?;
    let picked = layout.pick(name).await?;
    inspect(&layout, &picked.digest.to_string()).await
}

async fn inspect(reader: &dyn ImageReader, selector: &str) -> Result<Inspection> {
    let tree = read_image(reader, selector, Extent { every_platform: true, configs: Configs::ForPlatform }).await?;
    let missing = tree.missing.into_iter().map(|Missing { platform, digest }| MissingManifest { platform, digest });
    Ok(Inspection {
        digest: tree.digest,
        annotations: tree.annotations,
        manifests: tree.images.into_iter().map(manifest).collect(),
        missing: missing.collect(),
    })
}

fn manifest(image: TreeImage) -> InspectedManifest {
    let layers = image.manifest.layers.into_iter().map(|layer| {
        let files = layer.annotation(LAYER_FILES).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        InspectedLayer { digest: layer.digest, size: layer.size, media_type: layer.media_type, files }
    });
    InspectedManifest { platform: image.platform, digest: image.digest, layers: layers.collect() }
}
