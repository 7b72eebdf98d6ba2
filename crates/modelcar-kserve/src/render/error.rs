//! Why nothing can be rendered.

use std::fmt;

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
    /// The least number of replicas is above the largest.
    #[error("at least {least} replicas and at most {most} do not go together")]
    Replicas {
        /// The least number.
        least: u32,
        /// The largest number.
        most: u32,
    },
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
    /// A value that Kubernetes does not take.
    #[error("`{}` is not {setting}", excerpt(.value))]
    BadValue {
        /// What it was set for.
        setting: Setting,
        /// The value.
        value: String,
    },
    /// The server would refuse sequences of that length.
    #[error("the model was made for sequences of {most} tokens, and its server does not start for {tokens}")]
    TooLong {
        /// What is asked for.
        tokens: u64,
        /// The longest sequence of the model.
        most: u64,
    },
    /// A server is asked for sequences without tokens.
    #[error("a server needs room for one token at least")]
    NoTokens,
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

macro_rules! settings {
    ($($name:ident $doc:literal $rule:literal;)+) => {
        /// What a value is for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Setting {
            $(#[doc = $doc] $name,)+
        }

        impl fmt::Display for Setting {
            /// Writes what the value should be.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $rule,)+
                })
            }
        }
    };
}

settings! {
    Cpu "CPUs." "an amount of CPU above 0: write a number such as 4, 1.5 or 500m";
    Memory "Memory." "an amount of memory: write whole bytes with a unit of Kubernetes, such as 16Gi or 500M";
    EphemeralStorage "Disk that the server writes to." "an amount of disk: write whole bytes with a unit of Kubernetes, such as 10Gi";
    GpuResource "Resource that counts GPUs." "a resource that a node counts: write DOMAIN/NAME, such as nvidia.com/gpu";
    GpuType "Type of the GPUs." "a GPU type as a label of nodes: letters, digits, `-`, `_` and `.`, at most 63, such as nvidia-l4";
    ServiceAccount "Service account." "the name of a service account: lower-case letters, digits, `-` and `.`";
    PullSecret "Secret that the kubelet pulls with." "the name of a secret: lower-case letters, digits, `-` and `.`";
    Runtime "Runtime." "the name of a serving runtime: lower-case letters, digits, `-` and `.`";
    ModelFormat "Model format." "a model format: letters, digits, `-`, `_` and `.`";
    ServedName "Name of the model in requests." "a name for requests: no space, no quote, no backslash, no `{{`, `}}` or `$(`";
    LoadFormat "How the server reads the weights." "a load format: letters, digits, `-`, `_` and `.`";
    Variable "Variable of the environment." "the name of a variable: letters, digits, `_`, `-` and `.`, and no digit first";
    CustomContainer "Image of the server." "an image: write [REGISTRY/]NAME[:TAG][@sha256:DIGEST], in lower-case letters and without a scheme";
    RuntimeImage "Image in place of the runtime's." "an image: write [REGISTRY/]NAME[:TAG][@sha256:DIGEST], in lower-case letters and without a scheme";
    RuntimeVersion "Tag of the runtime's image." "a tag of an image: letters, digits, `_`, `-` and `.`, at most 128";
    NodeSelector "Label of nodes." "a part of a node's label: letters, digits, `-`, `_` and `.`, at most 63, and a domain before the key's `/`";
    Toleration "Taint." "a part of a taint: letters, digits, `-`, `_` and `.`, at most 63, and a domain before the key's `/`";
    Label "Label." "a part of a label: letters, digits, `-`, `_` and `.`, at most 63, and a domain before the key's `/`";
    Annotation "Annotation." "the key of an annotation that can be added: letters, digits, `-`, `_` and `.`, at most 63, after a domain and `/`; the keys deploymentMode, autoscalerClass and stop of serving.kserve.io have settings of their own";
    Lora "Name of an adapter." "a name for an adapter: lower-case letters, digits and `-`, at most 63";
}
