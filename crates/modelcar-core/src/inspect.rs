//! What an image holds, read from its manifests alone.

use std::{collections::BTreeMap, path::Path};

use oci_spec::image::{ImageIndex, ImageManifest};
use serde::Serialize;

use crate::{
    Digest, ImageRef,
    base::{BaseError, ImageReader, Platform},
    error::Result,
    image::FILES,
    registry::Repository,
    sink::{Layout, ManifestBlob},
    source::SourceFile,
};

/// An image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// Digest of the index, or of the manifest of an image without one.
    pub digest: Digest,
    /// Annotations of the index or manifest.
    pub annotations: BTreeMap<String, String>,
    /// A manifest for each platform.
    pub manifests: Vec<InspectedManifest>,
}

/// One platform's manifest.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InspectedManifest {
    /// The platform; `unknown/unknown` for a manifest that stands alone.
    pub platform: Platform,
    /// Digest of the manifest.
    pub digest: Digest,
    /// The layers, bottom first.
    pub layers: Vec<InspectedLayer>,
}

/// One layer.
#[derive(Debug, Clone, Serialize)]
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
pub async fn registry(repository: &Repository, image: &ImageRef) -> Result<Inspection> {
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
    let top = reader.manifest(selector).await?;
    if top.media_type.ends_with("index.v1+json") || top.media_type.ends_with("manifest.list.v2+json") {
        let index: ImageIndex = parse(&top)?;
        let mut manifests = Vec::new();
        for entry in index.manifests() {
            let platform = entry.platform().as_ref().map(|platform| {
                let (os, architecture) = (platform.os().to_string(), platform.architecture().to_string());
                Platform::new(os, architecture, platform.variant().clone())
            });
            let blob = reader.manifest(entry.digest().as_ref()).await?;
            manifests.push(manifest(&blob, platform.unwrap_or_else(unknown))?);
        }
        let annotations = index.annotations().clone().unwrap_or_default().into_iter().collect();
        return Ok(Inspection { digest: top.digest, annotations, manifests });
    }
    let single = manifest(&top, unknown())?;
    let annotations = parse::<ImageManifest>(&top)?.annotations().clone().unwrap_or_default().into_iter().collect();
    Ok(Inspection { digest: top.digest, annotations, manifests: vec![single] })
}

fn unknown() -> Platform {
    Platform::new("unknown", "unknown", None)
}

fn manifest(blob: &ManifestBlob, platform: Platform) -> Result<InspectedManifest> {
    let parsed: ImageManifest = parse(blob)?;
    let mut layers = Vec::new();
    for layer in parsed.layers() {
        let digest =
            layer.digest().to_string().parse().map_err(|_| invalid(blob, "names a digest that is not SHA-256"))?;
        let listed = layer.annotations().as_ref().and_then(|annotations| annotations.get(FILES));
        let files = listed.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        layers.push(InspectedLayer { digest, size: layer.size(), media_type: layer.media_type().to_string(), files });
    }
    Ok(InspectedManifest { platform, digest: blob.digest, layers })
}

fn parse<T: serde::de::DeserializeOwned>(blob: &ManifestBlob) -> Result<T> {
    serde_json::from_slice(&blob.bytes).map_err(|error| invalid(blob, &error.to_string()))
}

fn invalid(blob: &ManifestBlob, reason: &str) -> crate::Error {
    let (image, what) = (blob.digest.to_string(), "its manifest".to_owned());
    BaseError::Image { image, what, reason: reason.to_owned(), source: None }.into()
}
