//! The image that is rendered for, as its manifests tell it.

use modelcar_core::{Digest, ImageRef, facts::ModelFacts, inspect::Inspection, text::one_line};

use crate::sizing::{ImageBytes, PullTime};

/// An image to render for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedImage {
    /// Repository of the image; its tag is not used.
    pub image: ImageRef,
    /// Digest that is pinned.
    pub digest: Digest,
    /// Title, usually the model's name on the Hub.
    pub title: Option<String>,
    /// Revision that was asked for.
    pub version: Option<String>,
    /// Commit of the model.
    pub revision: Option<String>,
    /// What is known of the model.
    pub facts: ModelFacts,
    /// Bytes of the largest platform.
    pub bytes: ImageBytes,
    /// How long a node takes to pull it.
    pub pull: PullTime,
    /// Whether there is anything below the weights that may have a shell; `None` when the image does not tell.
    pub has_base: Option<bool>,
    /// The platforms, as `os/architecture`; empty when the image does not tell.
    pub platforms: Vec<String>,
}

impl ServedImage {
    /// Takes over what was read from the image called `image`.
    pub fn new(image: &ImageRef, inspection: &Inspection) -> Self {
        let annotation = |key: &str| inspection.annotations.get(&format!("org.opencontainers.image.{key}")).cloned();
        let platforms = inspection.manifests.iter().map(|manifest| manifest.platform.to_string());
        let mut layers = inspection.manifests.iter().flat_map(|manifest| &manifest.layers);
        let ours = layers.clone().any(|layer| !layer.files.is_empty());
        Self {
            image: image.clone(),
            digest: inspection.digest,
            title: annotation("title"),
            version: annotation("version"),
            revision: annotation("revision"),
            facts: ModelFacts::from_annotations(&inspection.annotations),
            bytes: ImageBytes::of_largest(inspection).unwrap_or_default(),
            pull: PullTime::of_largest(inspection).unwrap_or_default(),
            has_base: ours.then(|| layers.any(|layer| layer.files.is_empty())),
            platforms: platforms.filter(|name| name != UNKNOWN).collect(),
        }
    }

    /// Returns the same with texts of one line each. The image's writer chose them, and a comment that ended early would
    /// be followed by objects of his.
    pub(super) fn in_lines(&self) -> Self {
        let line = |text: &Option<String>| text.as_deref().map(one_line);
        Self {
            title: line(&self.title),
            version: line(&self.version),
            revision: line(&self.revision),
            facts: ModelFacts {
                architecture: line(&self.facts.architecture),
                dtype: line(&self.facts.dtype),
                quantization: line(&self.facts.quantization),
                file: line(&self.facts.file),
                adapter_base: line(&self.facts.adapter_base),
                ..self.facts.clone()
            },
            platforms: self.platforms.iter().map(|name| one_line(name)).collect(),
            ..self.clone()
        }
    }

    /// Returns `registry/repository@digest`.
    pub(super) fn pinned(&self) -> String {
        self.image.with_digest(&self.digest).to_string()
    }

    /// Returns the name of the objects that are made for the image, where none is given.
    pub fn default_name(&self) -> String {
        self.in_lines().kubernetes_name()
    }

    /// Returns a name for Kubernetes: from the title without its owner, or the repository's last part.
    pub(super) fn kubernetes_name(&self) -> String {
        let title = self.title.as_deref().unwrap_or(self.image.repository());
        let last = title.rsplit('/').next().unwrap_or(title);
        let mut name = String::new();
        for c in last.chars() {
            match c.to_ascii_lowercase() {
                c if c.is_ascii_alphanumeric() => name.push(c),
                _ if name.is_empty() || name.ends_with('-') => {}
                _ => name.push('-'),
            }
        }
        name.truncate(NAME_MAX_CHARS);
        let name = name.trim_end_matches('-');
        match name.chars().next() {
            Some(first) if first.is_ascii_alphabetic() => name.to_owned(),
            Some(_) => format!("model-{name}"),
            None => "model".to_owned(),
        }
    }
}

/// The platform of an artifact.
const UNKNOWN: &str = "unknown/unknown";
/// Knative makes host names of at most 63 characters from name, role, revision and namespace.
const NAME_MAX_CHARS: usize = 40;
