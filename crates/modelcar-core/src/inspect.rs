//! What an image holds, read from its manifests alone.

use std::{collections::BTreeMap, path::Path};

use oci_spec::image::{ImageIndex, ImageManifest};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{
    Digest, ImageRef,
    base::{ImageReader, Platform},
    error::{ErrorKind, Result},
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

/// Why an image can't be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// An index or manifest is not the JSON that it should be.
    #[error("read manifest `{digest}`")]
    Json {
        /// Its digest.
        digest: Digest,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// An index or manifest is none.
    #[error("manifest `{digest}` {reason}")]
    Manifest {
        /// Its digest.
        digest: Digest,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl InspectError {
    /// Returns what a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

/// The lists of an index or a manifest, which tell it: the media type is optional in both.
#[derive(Deserialize)]
struct Lists {
    #[serde(default)]
    manifests: Option<IgnoredAny>,
    #[serde(default)]
    config: Option<IgnoredAny>,
    #[serde(default)]
    layers: Option<IgnoredAny>,
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
    if is_index(&top)? {
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

fn is_index(blob: &ManifestBlob) -> Result<bool> {
    match parse(blob)? {
        Lists { manifests: Some(_), config: None, layers: None } => Ok(true),
        Lists { manifests: None, config: Some(_), .. } => Ok(false),
        // Both at once is how one digest is made to mean two images.
        _ => Err(invalid(blob, "is neither an index nor an image manifest")),
    }
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
    let digest = blob.digest;
    serde_json::from_slice(&blob.bytes).map_err(|source| InspectError::Json { digest, source }.into())
}

fn invalid(blob: &ManifestBlob, reason: &'static str) -> crate::Error {
    InspectError::Manifest { digest: blob.digest, reason }.into()
}

#[cfg(test)]
mod tests {
    use std::{error::Error as _, sync::Arc};

    use async_trait::async_trait;
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::{base::BaseError, sink::Body};

    /// Manifests by digest, without media types.
    #[derive(Debug, Default)]
    struct Manifests(BTreeMap<Digest, Bytes>);

    impl Manifests {
        fn store(&mut self, json: &Value) -> Digest {
            let bytes = Bytes::from(json.to_string());
            let digest = Digest::of(&bytes);
            self.0.insert(digest, bytes);
            digest
        }
    }

    #[async_trait]
    impl ImageReader for Manifests {
        async fn manifest(&self, selector: &str) -> Result<ManifestBlob, BaseError> {
            let digest = selector.parse().unwrap();
            Ok(ManifestBlob { bytes: self.0[&digest].clone(), media_type: String::new(), digest })
        }

        async fn blob(&self, _digest: &Digest, _size: u64) -> Result<Bytes, BaseError> {
            unreachable!("manifests alone are read")
        }

        fn body(&self, _title: String, _digest: Digest, _size: u64) -> Arc<dyn Body> {
            unreachable!("manifests alone are read")
        }
    }

    fn descriptor(kind: &str, digest: &Digest) -> Value {
        json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": 7})
    }

    fn manifest() -> Value {
        let blob = Digest::of("blob");
        json!({"schemaVersion": 2, "config": descriptor("config.v1+json", &blob),
            "layers": [descriptor("layer.v1.tar", &blob)]})
    }

    #[tokio::test]
    async fn the_lists_tell_an_index_from_a_manifest() {
        let mut image = Manifests::default();
        let digest = image.store(&manifest());
        let alone = inspect(&image, &digest.to_string()).await.unwrap();
        assert_eq!((alone.manifests.len(), alone.manifests[0].layers.len()), (1, 1));
        let mut entry = descriptor("manifest.v1+json", &digest);
        entry["platform"] = json!({"os": "linux", "architecture": "arm64"});
        let index = image.store(&json!({"schemaVersion": 2, "manifests": [entry]}));
        let told = inspect(&image, &index.to_string()).await.unwrap();
        assert_eq!(told.manifests[0].platform.to_string(), "linux/arm64");
        assert_eq!(told.manifests[0].digest, digest);
    }

    #[tokio::test]
    async fn what_is_no_image_is_told_with_its_cause() {
        let mut both = manifest();
        both["manifests"] = json!([]);
        let mut other = manifest();
        other["layers"][0]["digest"] = json!(format!("sha512:{}", "a".repeat(128)));
        for (json, message, cause) in [
            (both, "manifest `DIGEST` is neither an index nor an image manifest", None),
            (json!({}), "manifest `DIGEST` is neither an index nor an image manifest", None),
            (other, "manifest `DIGEST` names a digest that is not SHA-256", None),
            (json!({"config": 7, "layers": []}), "read manifest `DIGEST`", Some("invalid type: integer `7`")),
        ] {
            let mut image = Manifests::default();
            let digest = image.store(&json);
            let error = inspect(&image, &digest.to_string()).await.unwrap_err();
            assert_eq!(error.to_string(), message.replace("DIGEST", &digest.to_string()));
            let source = error.source().map(ToString::to_string);
            assert!(source.as_deref().unwrap_or_default().contains(cause.unwrap_or_default()), "{source:?}");
            assert_eq!(source.is_some(), cause.is_some());
        }
    }
}
