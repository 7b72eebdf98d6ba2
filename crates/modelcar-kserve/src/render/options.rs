//! What can be asked for.

use std::{collections::BTreeMap, str::FromStr};

use modelcar_core::{ErrorKind, ModelcarError};

use super::{objects::Toleration, served_image::ServedImage};
use crate::{KserveVersion, SidecarUser};

/// What is rendered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// An `InferenceService`.
    #[default]
    InferenceService,
    /// An `LLMInferenceService`.
    LlmInferenceService,
    /// An `InferenceService` in a namespace of its own, with the commands to try it and to remove it.
    SmokeTest,
    /// A `DaemonSet` that pulls the image on chosen nodes and keeps it there.
    Prepull,
    /// A `Pod` that is only shown to KServe's webhook, by a dry run: what comes back shows what the webhook injects.
    AdmissionPod,
}

/// How the model gets from the image to the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Delivery {
    /// A sidecar of the image holds it (`oci://`).
    #[default]
    Sidecar,
    /// An image volume (`oci+native://`).
    Native,
    /// An init container of KServe downloads it (`oci+fetch://`).
    Fetch,
}

impl Delivery {
    pub(super) fn scheme(self) -> &'static str {
        match self {
            Self::Sidecar => "oci",
            Self::Native => "oci+native",
            Self::Fetch => "oci+fetch",
        }
    }
}

/// How the pods of a Deployment are replaced by new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentStrategy {
    /// All old pods end before new ones start.
    Recreate,
    /// One after another, an old pod ends before its new one starts.
    NoSurge,
}

/// An adapter that is served beside the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lora {
    /// Its name in requests.
    pub name: String,
    /// The image that holds it.
    pub image: ServedImage,
}

/// How KServe deploys an `InferenceService`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeploymentMode {
    /// A plain Deployment.
    #[default]
    Standard,
    /// A Knative service, which can scale to zero by itself.
    Knative,
}

/// What sets the number of replicas in the standard mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Autoscaler {
    /// The horizontal pod autoscaler: KServe's default.
    Hpa,
    /// KEDA.
    Keda,
    /// Something that KServe leaves alone.
    External,
    /// Nothing: the number of replicas is the smallest one asked for.
    None,
}

impl Autoscaler {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hpa => "hpa",
            Self::Keda => "keda",
            Self::External => "external",
            Self::None => "none",
        }
    }
}

/// What to render, and everything the model's facts do not tell. `None` means: derive it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct RenderOptions {
    /// What is rendered.
    pub kind: Kind,
    /// Release of KServe.
    pub version: KserveVersion,
    /// Name of the object; from the model's title.
    pub name: Option<String>,
    /// Namespace; left to `kubectl`.
    pub namespace: Option<String>,
    /// Name of the model in requests; that of the object.
    pub served_name: Option<String>,
    /// Image of a server that is run in place of a runtime.
    pub custom_container: Option<String>,
    /// How the model gets to the server.
    pub delivery: Delivery,
    /// Write `storageUris` in place of a model's `storageUri`.
    pub storage_uris: bool,
    /// Adapters that are served beside the model.
    pub loras: Vec<Lora>,
    /// How KServe deploys it.
    pub mode: DeploymentMode,
    /// What sets the number of replicas; KServe's default.
    pub autoscaler: Option<Autoscaler>,
    /// How pods are replaced in the standard mode; KServe's default.
    pub deployment_strategy: Option<DeploymentStrategy>,
    /// Fewest replicas.
    pub min_replicas: Option<u32>,
    /// Most replicas.
    pub max_replicas: Option<u32>,
    /// Runtime; by format and release.
    pub runtime: Option<String>,
    /// Model format; by task and release.
    pub model_format: Option<String>,
    /// Image in place of the runtime's.
    pub runtime_image: Option<String>,
    /// Tag of the runtime's image.
    pub runtime_version: Option<String>,
    /// Number of GPUs; 1 for models that generate, else 0.
    pub gpus: Option<u32>,
    /// Pods that share the layers of the model, each with the number of GPUs; 1.
    pub pipeline_parallel: u32,
    /// Resource that counts GPUs.
    pub gpu_resource: String,
    /// GPU type, as GKE labels its nodes.
    pub gpu_type: Option<String>,
    /// CPU request and limit; by GPUs.
    pub cpu: Option<String>,
    /// Memory request and limit; by weights and GPUs.
    pub memory: Option<String>,
    /// Request for disk that the server writes to; 10 GiB.
    pub ephemeral_storage: Option<String>,
    /// Labels of the nodes that may run it.
    pub node_selector: BTreeMap<String, String>,
    /// Taints it stands.
    pub tolerations: Vec<Toleration>,
    /// Further labels of the objects.
    pub labels: BTreeMap<String, String>,
    /// Further annotations of the objects.
    pub annotations: BTreeMap<String, String>,
    /// The user that KServe's configuration gives to sidecars; beside an image volume the server's user.
    pub kserve_uid: SidecarUser,
    /// Service account.
    pub service_account: Option<String>,
    /// Secrets that the kubelet pulls with.
    pub image_pull_secrets: Vec<String>,
    /// Further arguments of the server.
    pub args: Vec<String>,
    /// Further environment, over what is set by itself.
    pub env: Vec<(String, String)>,
    /// Longest sequence in tokens; the model's own.
    pub max_model_len: Option<u64>,
    /// How the server reads the weights, in its own words.
    pub load_format: Option<String>,
    /// Let the server run code that the model brings.
    pub trust_remote_code: bool,
    /// Leave out the scheduler of an `LLMInferenceService`.
    pub no_scheduler: bool,
    /// Create it stopped.
    pub stop: bool,
    /// Render for an image that says that files of its model are missing or broken.
    pub allow_incomplete: bool,
}

impl Default for RenderOptions {
    /// An `InferenceService` for the release that is tested most, everything else derived.
    fn default() -> Self {
        Self {
            kind: Kind::default(),
            version: KserveVersion::default(),
            name: None,
            namespace: None,
            served_name: None,
            custom_container: None,
            delivery: Delivery::default(),
            storage_uris: false,
            loras: Vec::new(),
            mode: DeploymentMode::default(),
            autoscaler: None,
            deployment_strategy: None,
            min_replicas: None,
            max_replicas: None,
            runtime: None,
            model_format: None,
            runtime_image: None,
            runtime_version: None,
            gpus: None,
            pipeline_parallel: 1,
            gpu_resource: "nvidia.com/gpu".to_owned(),
            gpu_type: None,
            cpu: None,
            memory: None,
            ephemeral_storage: None,
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            kserve_uid: SidecarUser::default(),
            service_account: None,
            image_pull_secrets: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            max_model_len: None,
            load_format: None,
            trust_remote_code: false,
            no_scheduler: false,
            stop: false,
            allow_incomplete: false,
        }
    }
}

/// A text is no toleration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a toleration, write KEY[=VALUE][:EFFECT]")]
pub struct InvalidToleration(String);

impl ModelcarError for InvalidToleration {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

impl FromStr for Toleration {
    type Err = InvalidToleration;

    /// Reads `KEY[=VALUE][:EFFECT]`.
    fn from_str(text: &str) -> Result<Self, InvalidToleration> {
        let (taint, effect) = match text.split_once(':') {
            Some((taint, effect)) => (taint, Some(effect)),
            None => (text, None),
        };
        let (key, value) = match taint.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (taint, None),
        };
        let known = effect.is_none_or(|effect| ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect));
        if key.is_empty() || !known {
            return Err(InvalidToleration(text.to_owned()));
        }
        Ok(Self {
            key: Some(key.to_owned()),
            operator: Some(if value.is_some() { "Equal" } else { "Exists" }),
            value: value.map(str::to_owned),
            effect: effect.map(str::to_owned),
        })
    }
}

impl Eq for Toleration {}
