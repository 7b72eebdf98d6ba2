//! Why nothing can be rendered.

use modelcar_core::{ErrorKind, ModelcarError, text::excerpt};

use crate::KserveVersion;

/// What KServe names by it may have 63 characters: `NAME-predictor`.
pub(super) const MAX_NAME: usize = 53;
pub(super) const MAX_NAMESPACE: usize = 63;

/// Why nothing can be rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// Options that contradict each other.
    #[error("{0} and {1} do not go together")]
    Conflict(&'static str, &'static str),
    /// The release can't do it.
    #[error("KServe {version} has no {what}: it came with {since}")]
    Unsupported {
        /// The release asked for.
        version: KserveVersion,
        /// What it lacks.
        what: &'static str,
        /// The first release that has it.
        since: &'static str,
    },
    /// The image can't be served this way.
    #[error("the image has nothing below its weights, so KServe's sidecar finds no shell in it")]
    NoShell,
    /// The image says that files of its model are missing or broken.
    #[error("the image was made although files of the model are missing or broken ({0}): no server can load the model")]
    Incomplete(String),
    /// An `LLMInferenceService` serves a folder.
    #[error("an LLMInferenceService serves the folder /mnt/models, and GGUF weights are served by the name of a file")]
    LlmGguf,
    /// The name of the model's file would be more than a name in a manifest.
    #[error(
        "the model's file `{}` can't be named in a manifest: KServe's templates or a shell may act on `{found}`",
        excerpt(.file)
    )]
    UnsafeFile {
        /// The file, as the image's annotations state it.
        file: String,
        /// What is in its name.
        found: &'static str,
    },
    /// A name that KServe does not take.
    #[error(
        "`{0}` is not a Kubernetes name: lower-case letters, digits and `-`, starting with a letter, at most {MAX_NAME} \
         characters (KServe appends `-predictor`)"
    )]
    BadName(String),
    /// A namespace that Kubernetes does not take.
    #[error(
        "`{0}` is not a name for a Kubernetes namespace: lower-case letters, digits and `-`, at most {MAX_NAMESPACE} \
         characters"
    )]
    BadNamespace(String),
    /// The objects can't be written as YAML.
    #[error("write the manifests as YAML")]
    Yaml(#[source] serde_saphyr::ser::Error),
    /// A template of the user fails.
    #[cfg(feature = "template")]
    #[error("fill the template")]
    Template(#[source] minijinja::Error),
}

impl ModelcarError for RenderError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Yaml(_) => ErrorKind::Internal,
            _ => ErrorKind::InvalidInput,
        }
    }
}
