//! What can be done with a layer, and what is decided for it: data without a way to reach a registry.

use serde::Serialize;

use crate::{
    Digest, ModelPath,
    plan::Layer,
    sink::{ExistingBlob, VerifiedBlob},
};

/// What is done with a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerAction {
    /// The layer's files are read from the source and uploaded.
    #[default]
    Upload,
    /// The layer is in the repository already.
    Reuse,
    /// The registry mounts the layer from another of its repositories.
    Mount,
    /// The layer is read from another registry and uploaded.
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

/// A layer of a registry that may serve for a layer of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayerCandidate {
    pub(crate) digest: Digest,
    /// In bytes.
    pub(crate) size: u64,
    pub(crate) place: Place,
    /// The image, checkpoint or cache that names the layer, for people.
    pub(crate) from: String,
}

impl LayerCandidate {
    pub(crate) fn action(&self) -> LayerAction {
        match self.place {
            Place::Here => LayerAction::Reuse,
            Place::Sibling(_) => LayerAction::Mount,
            Place::Elsewhere(_) => LayerAction::Copy,
        }
    }

    /// Returns the blob as a sink is asked for it.
    pub(crate) fn blob(&self) -> ExistingBlob {
        let repository = match &self.place {
            Place::Sibling(repository) => Some(repository.clone()),
            Place::Here | Place::Elsewhere(_) => None,
        };
        ExistingBlob { digest: self.digest, size: self.size, repository }
    }

    /// Returns the descriptor of the blob, assuming that the blob was made to `layer`'s recipe.
    pub(crate) fn verified(&self, layer: &Layer) -> Option<VerifiedBlob> {
        let files = layer.files.iter().map(|file| file.content).collect::<Option<Vec<_>>>()?;
        Some(VerifiedBlob { digest: self.digest, size: self.size, diff_id: self.digest, files })
    }
}

/// A file that an image holds under another path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Renamed {
    /// The path in the image.
    pub from: ModelPath,
    /// The path in the plan.
    pub to: ModelPath,
}

/// What is done with one layer, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// What is done.
    #[serde(rename = "way")]
    pub action: LayerAction,
    /// Digest of the layer, when it is known before its bytes are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Where the layer is from: an image, a checkpoint, the local cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Files whose content an image holds under another path. The path is part of a layer, so that the layer is new.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub renamed: Vec<Renamed>,
    /// Layers that can serve. The first is proven to be there, the others are fallbacks.
    #[serde(skip)]
    pub(crate) candidates: Vec<LayerCandidate>,
}
