//! Parses indexes and manifests, those of OCI and those of Docker, which have the same structure. No other code parses
//! them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Platform;
use crate::Digest;

/// Media types of an index.
const INDEX: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
/// Media types of a manifest.
const MANIFEST: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
/// Media types of an image's config.
const CONFIG: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
/// Buildx marks a manifest that is about another manifest with this annotation of its entry.
const ABOUT_ANOTHER: &str = "vnd.docker.reference.type";

/// The descriptor of a blob or manifest: the members of an OCI descriptor that are used here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type; empty where the document states none.
    #[serde(default)]
    pub media_type: String,
    /// Digest of the blob or manifest.
    pub digest: Digest,
    /// Size of the blob or manifest, in bytes, as the document states it.
    pub size: u64,
    /// The platform, in an index.
    #[serde(default)]
    platform: Option<DescriptorPlatform>,
    /// The type of the artifact that the entry of an index points to.
    #[serde(default)]
    artifact_type: Option<String>,
    /// Annotations of the descriptor.
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// What an index states as the platform of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct DescriptorPlatform {
    os: String,
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

impl Descriptor {
    /// Returns the annotation `key`.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// Returns the platform that an index states for this manifest, without a default variant (see [`Platform::new`]).
    pub fn platform(&self) -> Option<Platform> {
        let stated = self.platform.as_ref()?;
        Some(Platform::new(&stated.os, &stated.architecture, stated.variant.clone()))
    }

    /// Returns whether this entry of an index may be an image, or an index of images. Attestations, signatures and
    /// other artifacts are listed beside images and are none.
    pub(crate) fn may_be_image(&self) -> bool {
        let kind = self.media_type.as_str();
        let is_known = kind.is_empty() || INDEX.contains(&kind) || MANIFEST.contains(&kind);
        let platform = self.platform();
        let is_artifact = self.artifact_type.is_some() && platform.is_none();
        is_known && !is_artifact && self.annotation(ABOUT_ANOTHER).is_none() && platform != Some(Platform::unknown())
    }
}

/// An index or a manifest.
#[derive(Debug)]
pub(crate) enum Document {
    /// Manifests or further indexes, usually one manifest for each platform.
    Index {
        /// The entries, in the order of the document.
        manifests: Vec<Descriptor>,
        /// Annotations of the index.
        annotations: BTreeMap<String, String>,
    },
    /// The manifest of one image or artifact.
    Manifest(Manifest),
}

/// The manifest of an image or of an artifact.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The config. For an artifact, any blob.
    pub config: Descriptor,
    /// The layers, lowest first. Empty for a manifest without `layers`.
    pub layers: Vec<Descriptor>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Returns whether the media type of the config is not one of an image. A config without a media type counts as an
    /// image's.
    pub fn is_artifact(&self) -> bool {
        let kind = self.config.media_type.as_str();
        !kind.is_empty() && !CONFIG.contains(&kind)
    }
}

/// Why bytes are neither an index nor a manifest.
#[derive(Debug)]
pub(crate) enum DocumentError {
    /// The bytes are not JSON, or a member has another type than the image-spec requires.
    Json(serde_json::Error),
    /// The document has neither `manifests` nor `config`, or it has members of both.
    Neither,
}

/// The members that tell an index from a manifest. All other members are ignored.
#[derive(Deserialize)]
struct Lists {
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "mediaType")]
    media_type: Option<String>,
}

impl Document {
    /// Parses an index or a manifest. The members `manifests` and `config` decide which of them the document is,
    /// because `mediaType` is optional in both (image-spec). A `mediaType` of the other kind is refused.
    ///
    /// A document with members of both is refused: two clients would take one digest for two images (CVE-2021-41190).
    ///
    /// # Errors
    /// [`DocumentError::Json`] and [`DocumentError::Neither`].
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let lists: Lists = serde_json::from_slice(bytes).map_err(DocumentError::Json)?;
        // A list is taken for the fields, in the order in which they stand here.
        if bytes.trim_ascii_start().first() == Some(&b'[') {
            return Err(DocumentError::Neither);
        }
        let annotations = lists.annotations.unwrap_or_default();
        let media_type = lists.media_type.unwrap_or_default();
        let (says_index, says_manifest) = (INDEX.contains(&&*media_type), MANIFEST.contains(&&*media_type));
        match (lists.manifests, lists.config, lists.layers) {
            (Some(manifests), None, None) if !says_manifest => Ok(Self::Index { manifests, annotations }),
            (None, Some(config), layers) if !says_index => {
                Ok(Self::Manifest(Manifest { config, layers: layers.unwrap_or_default(), annotations }))
            }
            _ => Err(DocumentError::Neither),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(media_type: &str, more: &Value) -> Value {
        let mut entry = json!({"mediaType": media_type, "digest": Digest::of("x"), "size": 1});
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry
    }

    #[test]
    fn the_lists_tell_what_a_document_is() {
        let one = entry("", &json!({}));
        for (document, expected) in [
            (json!({"manifests": []}), "index"),
            (json!({"manifests": [one], "mediaType": MANIFEST[0]}), "neither"),
            (json!({"manifests": [one], "mediaType": INDEX[1]}), "index"),
            (json!({"config": one, "mediaType": INDEX[0]}), "neither"),
            (json!({"config": one, "mediaType": "application/x"}), "manifest"),
            (json!({"config": one}), "manifest"),
            (json!({"config": one, "layers": [one], "manifests": null, "annotations": null}), "manifest"),
            (json!({"config": one, "layers": [], "manifests": []}), "neither"),
            (json!({"layers": [], "manifests": []}), "neither"),
            (json!({"layers": [one]}), "neither"),
            (json!({}), "neither"),
            (json!({"schemaVersion": 1, "fsLayers": []}), "neither"),
            (json!([]), "neither"),
            (json!([null, one, []]), "neither"),
            (json!({"config": 7}), "no JSON of it"),
            (json!({"config": {"digest": "sha512:00", "size": 1}}), "no JSON of it"),
        ] {
            let told = match Document::parse(document.to_string().as_bytes()) {
                Ok(Document::Index { .. }) => "index",
                Ok(Document::Manifest(_)) => "manifest",
                Err(DocumentError::Neither) => "neither",
                Err(DocumentError::Json(_)) => "no JSON of it",
            };
            assert_eq!(told, expected, "{document}");
        }
    }

    #[test]
    fn only_images_are_looked_into() {
        let platform = |os: &str, architecture: &str| json!({"platform": {"os": os, "architecture": architecture}});
        for (entry, expected) in [
            (entry(MANIFEST[0], &platform("linux", "amd64")), true),
            (entry(MANIFEST[1], &platform("windows", "amd64")), true),
            (entry(INDEX[0], &json!({})), true),
            (entry(INDEX[1], &json!({})), true),
            (entry("", &json!({})), true),
            (entry(MANIFEST[0], &platform("unknown", "unknown")), false),
            (entry(MANIFEST[0], &json!({"annotations": {ABOUT_ANOTHER: "attestation-manifest"}})), false),
            (entry(MANIFEST[0], &json!({"artifactType": "application/spdx+json"})), false),
            (entry("application/vnd.oci.artifact.manifest.v1+json", &json!({})), false),
        ] {
            let descriptor: Descriptor = serde_json::from_value(entry.clone()).unwrap();
            assert_eq!(descriptor.may_be_image(), expected, "{entry}");
        }
    }
}
