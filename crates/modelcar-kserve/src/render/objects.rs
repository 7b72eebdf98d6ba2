//! The Kubernetes objects that are rendered, as far as their fields are used. Field order is the order in the YAML.

use std::collections::BTreeMap;

use serde::Serialize;

/// One rendered object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Object {
    /// A namespace.
    Namespace(Namespace),
    /// An `InferenceService` of `serving.kserve.io/v1beta1`.
    InferenceService(Box<InferenceService>),
    /// An `LLMInferenceService` of `serving.kserve.io/v1alpha2`.
    LlmInferenceService(Box<LlmInferenceService>),
    /// A daemon set.
    DaemonSet(Box<DaemonSet>),
    /// A pod.
    Pod(Box<Pod>),
}

macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty $(= $rename:literal)?),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($(#[$field_doc])* #[serde(skip_serializing_if = "Skip::skip" $(, rename = $rename)?)] pub $field: $type,)+
        }
    )+};
}

/// Whether a field is left out of the YAML.
trait Skip {
    fn skip(&self) -> bool;
}

impl<T> Skip for Option<T> {
    fn skip(&self) -> bool {
        self.is_none()
    }
}

impl<T> Skip for Vec<T> {
    fn skip(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Skip for BTreeMap<K, V> {
    fn skip(&self) -> bool {
        self.is_empty()
    }
}

macro_rules! always {
    ($($type:ty),+) => {$(
        impl Skip for $type {
            fn skip(&self) -> bool {
                false
            }
        }
    )+};
}
always!(
    &'static str,
    String,
    u32,
    bool,
    ObjectMeta,
    InferenceServiceSpec,
    Predictor,
    ModelFormat,
    LlmSpec,
    LlmModel,
    PodSpec,
    PodTemplate,
    DaemonSetSpec,
    Selector,
    HttpGet,
    Empty
);

objects! {
    /// A namespace.
    Namespace {
        /// `v1`.
        api_version: &'static str,
        /// `Namespace`.
        kind: &'static str,
        /// Name.
        metadata: ObjectMeta,
    }
    /// Name and annotations of an object.
    ObjectMeta {
        /// Name; left out in the template of a pod.
        name: Option<String>,
        /// Namespace.
        namespace: Option<String>,
        /// Labels.
        labels: BTreeMap<String, String>,
        /// Annotations.
        annotations: BTreeMap<String, String>,
    }
    /// An inference service.
    InferenceService {
        /// `serving.kserve.io/v1beta1`.
        api_version: &'static str,
        /// `InferenceService`.
        kind: &'static str,
        /// Name and annotations.
        metadata: ObjectMeta,
        /// What it is.
        spec: InferenceServiceSpec,
    }
    /// What an inference service is.
    InferenceServiceSpec {
        /// The server.
        predictor: Predictor,
    }
    /// The server of an inference service, and the pod around it.
    Predictor {
        /// Fewest replicas.
        min_replicas: Option<u32>,
        /// Most replicas.
        max_replicas: Option<u32>,
        /// Service account of the pod.
        service_account_name: Option<String>,
        /// Secrets that the kubelet pulls with.
        image_pull_secrets: Vec<LocalObjectReference>,
        /// Labels of the nodes that may run it.
        node_selector: BTreeMap<String, String>,
        /// Taints it stands.
        tolerations: Vec<Toleration>,
        /// How a Deployment replaces its pods.
        deployment_strategy: Option<Strategy>,
        /// Users and groups of all containers.
        security_context: Option<PodSecurityContext>,
        /// Where the model comes from, in place of a model's `storageUri` (0.16).
        storage_uris: Vec<StorageUri>,
        /// A model and its runtime.
        model: Option<Model>,
        /// Containers in place of a runtime.
        containers: Vec<Container>,
        /// Volumes of the pod.
        volumes: Vec<Volume>,
        /// Further pods that share the model.
        worker_spec: Option<Workers>,
    }
    /// How a Deployment replaces its pods.
    Strategy {
        /// `Recreate` or `RollingUpdate`.
        strategy: &'static str = "type",
        /// How many at a time.
        rolling_update: Option<RollingUpdate>,
    }
    /// How many pods are replaced at a time.
    RollingUpdate {
        /// Pods above the number that is wanted.
        max_surge: u32,
        /// Pods below it.
        max_unavailable: u32,
    }
    /// Further pods that share the model of an inference service.
    Workers {
        /// All pods, the first one included.
        pipeline_parallel_size: u32,
        /// GPUs of each pod.
        tensor_parallel_size: u32,
        /// Service account.
        service_account_name: Option<String>,
        /// Secrets that the kubelet pulls with.
        image_pull_secrets: Vec<LocalObjectReference>,
        /// Labels of the nodes that may run them.
        node_selector: BTreeMap<String, String>,
        /// Taints they stand.
        tolerations: Vec<Toleration>,
        /// Users and groups of all containers.
        security_context: Option<PodSecurityContext>,
        /// Containers, over those of the runtime.
        containers: Vec<Container>,
    }
    /// A pod.
    Pod {
        /// `v1`.
        api_version: &'static str,
        /// `Pod`.
        kind: &'static str,
        /// Name, labels and annotations.
        metadata: ObjectMeta,
        /// What it is.
        spec: PodSpec,
    }
    /// A model with its runtime.
    Model {
        /// Format that chooses the runtime.
        model_format: ModelFormat,
        /// Runtime.
        runtime: Option<String>,
        /// Tag of the runtime's image.
        runtime_version: Option<String>,
        /// Image in place of the runtime's.
        image: Option<String>,
        /// The image with the model.
        storage_uri: Option<String>,
        /// Arguments after those of the runtime.
        args: Vec<String>,
        /// Environment.
        env: Vec<EnvVar>,
        /// Resources.
        resources: Option<Resources>,
        /// User and rights.
        security_context: Option<SecurityContext>,
    }
    /// Format of a model.
    ModelFormat {
        /// Name, as runtimes list it.
        name: String,
    }
    /// A source with the place where it appears.
    StorageUri {
        /// The image with the model.
        uri: String,
        /// Where the server sees it.
        mount_path: String,
    }
    /// A container.
    Container {
        /// Name.
        name: String,
        /// Image.
        image: Option<String>,
        /// Program.
        command: Vec<String>,
        /// Arguments.
        args: Vec<String>,
        /// Environment.
        env: Vec<EnvVar>,
        /// Ports.
        ports: Vec<Port>,
        /// Resources.
        resources: Option<Resources>,
        /// User and rights.
        security_context: Option<SecurityContext>,
        /// Mounts.
        volume_mounts: Vec<VolumeMount>,
        /// When it has started.
        startup_probe: Option<Probe>,
        /// When it can serve.
        readiness_probe: Option<Probe>,
    }
    /// A variable of the environment.
    EnvVar {
        /// Name.
        name: String,
        /// Value.
        value: String,
    }
    /// A port of a container.
    Port {
        /// Number.
        container_port: u32,
        /// `TCP`.
        protocol: &'static str,
    }
    /// Resources of a container.
    Resources {
        /// What it is scheduled with.
        requests: BTreeMap<String, String>,
        /// What it may take.
        limits: BTreeMap<String, String>,
    }
    /// User and rights of a container.
    SecurityContext {
        /// Whether it may gain rights.
        allow_privilege_escalation: Option<bool>,
        /// Linux capabilities.
        capabilities: Option<Capabilities>,
        /// User.
        run_as_user: Option<u32>,
        /// Group.
        run_as_group: Option<u32>,
        /// Whether root is refused.
        run_as_non_root: Option<bool>,
        /// System calls that are allowed.
        seccomp_profile: Option<SeccompProfile>,
    }
    /// System calls that are allowed.
    SeccompProfile {
        /// `RuntimeDefault`.
        profile: &'static str = "type",
    }
    /// Linux capabilities.
    Capabilities {
        /// Those it does not have.
        drop: Vec<String>,
    }
    /// Users and groups of a pod.
    PodSecurityContext {
        /// User of every container.
        run_as_user: Option<u32>,
        /// Group of every container.
        run_as_group: Option<u32>,
        /// Whether root is refused.
        run_as_non_root: Option<bool>,
        /// System calls that are allowed.
        seccomp_profile: Option<SeccompProfile>,
    }
    /// A taint that is stood.
    Toleration {
        /// Key of the taint; any when left out.
        key: Option<String>,
        /// `Exists` or `Equal`.
        operator: Option<&'static str>,
        /// Value of the taint.
        value: Option<String>,
        /// Effect of the taint; any when left out.
        effect: Option<String>,
    }
    /// A reference to an object of the same namespace.
    LocalObjectReference {
        /// Its name.
        name: String,
    }
    /// A volume.
    Volume {
        /// Name.
        name: String,
        /// A folder that lives as long as the pod.
        empty_dir: Option<EmptyDir>,
        /// An OCI image.
        image: Option<ImageVolume>,
    }
    /// A folder that lives as long as the pod.
    EmptyDir {
        /// `Memory` for shared memory.
        medium: Option<&'static str>,
    }
    /// An OCI image as a volume.
    ImageVolume {
        /// The image.
        reference: String,
        /// When it is pulled.
        pull_policy: &'static str,
    }
    /// A mount of a volume.
    VolumeMount {
        /// The volume.
        name: String,
        /// Where it appears.
        mount_path: String,
        /// Whether it can't be written to.
        read_only: Option<bool>,
    }
    /// A probe.
    Probe {
        /// The request to make.
        http_get: HttpGet,
        /// Seconds between two.
        period_seconds: u32,
        /// How many may fail.
        failure_threshold: u32,
    }
    /// A request of a probe.
    HttpGet {
        /// Path.
        path: &'static str,
        /// Port.
        port: u32,
    }
    /// An LLM inference service.
    LlmInferenceService {
        /// `serving.kserve.io/v1alpha2`.
        api_version: &'static str,
        /// `LLMInferenceService`.
        kind: &'static str,
        /// Name and annotations.
        metadata: ObjectMeta,
        /// What it is.
        spec: LlmSpec,
    }
    /// What an LLM inference service is.
    LlmSpec {
        /// The model.
        model: LlmModel,
        /// Number of replicas.
        replicas: Option<u32>,
        /// Spread over GPUs.
        parallelism: Option<Parallelism>,
        /// How requests reach it.
        router: Option<Router>,
        /// The pod, over the one of the cluster's configuration.
        template: PodSpec,
    }
    /// The model of an LLM inference service.
    LlmModel {
        /// The image with the model.
        uri: String,
        /// Name in requests.
        name: Option<String>,
    }
    /// Spread over GPUs.
    Parallelism {
        /// GPUs that share each layer.
        tensor: u32,
    }
    /// How requests reach an LLM inference service.
    Router {
        /// The cluster's gateway.
        gateway: Empty,
        /// A route made by KServe.
        route: Empty,
        /// The scheduler that spreads requests.
        scheduler: Option<Empty>,
    }
    /// A daemon set.
    DaemonSet {
        /// `apps/v1`.
        api_version: &'static str,
        /// `DaemonSet`.
        kind: &'static str,
        /// Name.
        metadata: ObjectMeta,
        /// What it is.
        spec: DaemonSetSpec,
    }
    /// What a daemon set is.
    DaemonSetSpec {
        /// Its pods.
        selector: Selector,
        /// The pod.
        template: PodTemplate,
    }
    /// Chooses pods.
    Selector {
        /// By labels.
        match_labels: BTreeMap<String, String>,
    }
    /// The pods of a daemon set.
    PodTemplate {
        /// Labels.
        metadata: ObjectMeta,
        /// The pod.
        spec: PodSpec,
    }
    /// What a pod is.
    PodSpec {
        /// Service account.
        service_account_name: Option<String>,
        /// Whether it gets the account's token.
        automount_service_account_token: Option<bool>,
        /// Secrets that the kubelet pulls with.
        image_pull_secrets: Vec<LocalObjectReference>,
        /// Labels of the nodes that may run it.
        node_selector: BTreeMap<String, String>,
        /// Taints it stands.
        tolerations: Vec<Toleration>,
        /// Users and groups of all containers.
        security_context: Option<PodSecurityContext>,
        /// Seconds between the signal to stop and the end.
        termination_grace_period_seconds: Option<u32>,
        /// Containers.
        containers: Vec<Container>,
        /// Volumes.
        volumes: Vec<Volume>,
    }
}

/// `{}`: present, with nothing in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Empty {}

impl EnvVar {
    /// Returns `name=value`.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}
