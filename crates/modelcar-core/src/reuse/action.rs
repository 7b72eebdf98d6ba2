//! What can be done with a layer, and the decision for it: data, without a way to reach a registry.

use serde::Serialize;

use crate::{
    Digest, ModelPath,
    plan::Layer,
    sink::{ExistingBlob, VerifiedBlob},
};

/// What is done with a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LayerAction {
    /// The layer's files are read from the source, and the layer is uploaded.
    #[default]
    Upload,
    /// The layer is in the repository already. Nothing is transferred.
    Reuse,
    /// The registry mounts the layer from another of its repositories. Nothing is transferred.
    Mount,
    /// The layer is downloaded from another registry and uploaded. The source is not read.
    Copy,
}

/// Where a layer is, seen from the repository that is pushed to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(feature = "push"), allow(dead_code, reason = "only a push looks for layers"))]
pub(crate) enum Place {
    /// In the repository that is pushed to.
    Here,
    /// In another repository of the same registry: its name there.
    Sibling(String),
    /// In a repository of another registry: `registry/repository`.
    Elsewhere(String),
}

/// A layer in a registry that may be used instead of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayerCandidate {
    /// Digest of the layer, which is an uncompressed tar: also its diff id.
    pub(crate) digest: Digest,
    /// Size of the layer, in bytes.
    pub(crate) size: u64,
    /// Where the layer is.
    pub(crate) place: Place,
    /// The image, checkpoint or cache that names the layer, for messages.
    pub(crate) from: String,
}

impl LayerCandidate {
    /// Returns what has to be done to use the layer, which follows from its place.
    pub(crate) fn action(&self) -> LayerAction {
        match self.place {
            Place::Here => LayerAction::Reuse,
            Place::Sibling(_) => LayerAction::Mount,
            Place::Elsewhere(_) => LayerAction::Copy,
        }
    }

    /// Returns the blob as a sink is asked for it: with a repository if the blob has to be mounted.
    pub(crate) fn blob(&self) -> ExistingBlob {
        let repository = match &self.place {
            Place::Sibling(repository) => Some(repository.clone()),
            Place::Here | Place::Elsewhere(_) => None,
        };
        ExistingBlob { digest: self.digest, size: self.size, repository }
    }

    /// Returns size, digest and content ids of the blob, assuming that the blob was made to `layer`'s recipe; `None` if
    /// the content of a file is unknown.
    pub(crate) fn verified(&self, layer: &Layer) -> Option<VerifiedBlob> {
        let files = layer.files.iter().map(|file| file.content).collect::<Option<Vec<_>>>()?;
        Some(VerifiedBlob { digest: self.digest, size: self.size, diff_id: self.digest, files })
    }
}

/// A file whose content an image holds under another path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Renamed {
    /// The path in the image.
    pub from: ModelPath,
    /// The path in the plan.
    pub to: ModelPath,
}

/// What is done with one layer, and why. As JSON, the fields have names in camel case and empty fields are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// What is done with the layer; `way` in JSON.
    #[serde(rename = "way")]
    pub action: LayerAction,
    /// Digest of the layer, if the layer was found in a registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The image, checkpoint or cache that names the layer, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Files whose content an image holds under another path. The path is part of a layer, so that the layer is
    /// uploaded anew; the list explains why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub renamed: Vec<Renamed>,
    /// Layers that can be used. The first was seen in the registry, the others are fallbacks for the case that it
    /// vanishes.
    #[serde(skip)]
    pub(crate) candidates: Vec<LayerCandidate>,
}
