//! As much of a pod as is looked at. Unknown fields are passed over, `null` is the same as nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// A pod, or the template of pods.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Pod {
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) spec: Spec,
    pub(super) status: Status,
    /// When it was made, as the cluster writes times.
    pub(super) created: String,
    /// How many pods the object of a template wishes for, where it says so.
    pub(super) replicas: Option<u64>,
    /// Whether it is a template, on which the webhook has not acted.
    pub(super) is_template: bool,
    /// Whether the API server has stored the object: what it answers to a dry run has no version.
    pub(super) is_stored: bool,
    /// Name of the `ReplicaSet` that made the pod; empty where the document does not say.
    pub(super) replica_set: String,
    /// Whether no pod has been made from this template.
    pub(super) is_unmade: bool,
    /// Whether it is being deleted.
    pub(super) is_terminating: bool,
}

/// Where KServe writes the wish for a model.
pub(super) const SOURCE_ANNOTATION: &str = "internal.serving.kserve.io/storage-initializer-sourceuri";
/// The webhook acts on pods with this label.
pub(super) const SERVICE_LABEL: &str = "serving.kserve.io/inferenceservice";
/// Label with which KServe marks what belongs to an `LLMInferenceService`, and the label with the service's name.
const PART_OF_LABEL: &str = "app.kubernetes.io/part-of";
const LLM_PART: &str = "llminferenceservice";
const NAME_LABEL: &str = "app.kubernetes.io/name";
/// Label that tells a predictor's pods from a transformer's.
const COMPONENT_LABEL: &str = "component";

/// The service that a pod or a template is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Service<'a> {
    namespace: &'a str,
    name: Option<&'a str>,
}

impl<'a> Service<'a> {
    pub(super) fn new(namespace: &'a str, name: &'a str) -> Self {
        Self { namespace, name: Some(name) }
    }
}

impl Pod {
    pub(super) fn service(&self) -> Service<'_> {
        let llm = self.labels.get(NAME_LABEL).filter(|_| self.is_of_llm());
        let name = self.labels.get(SERVICE_LABEL).or(llm);
        Service { namespace: &self.namespace, name: name.map(String::as_str) }
    }

    /// Returns the part of a service that the pod plays: `predictor`, `transformer` …
    pub(super) fn component(&self) -> Option<&str> {
        self.labels.get(COMPONENT_LABEL).map(String::as_str)
    }

    /// Returns whether KServe made it for a service.
    pub(super) fn is_of_kserve(&self) -> bool {
        self.labels.contains_key(SERVICE_LABEL) || self.is_of_llm()
    }

    fn is_of_llm(&self) -> bool {
        self.labels.get(PART_OF_LABEL).is_some_and(|part| part == LLM_PART)
    }

    /// Returns whether the pod is tried by a cluster. A manifest and what a dry run answers are not, nor is a template.
    pub(super) fn is_tried(&self) -> bool {
        let status = &self.status;
        let has_status = !status.conditions.is_empty() || status.containers().next().is_some();
        let has_left_pending = !matches!(status.phase.as_str(), "" | "Pending");
        !self.is_template && (self.is_stored || has_status || has_left_pending)
    }

    /// Returns whether the pod is Ready; nothing for what is not tried.
    pub(super) fn ready(&self) -> Option<bool> {
        self.is_tried().then(|| self.condition("Ready").is_some_and(|ready| ready.status == "True"))
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready() == Some(true)
    }

    pub(super) fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// Returns whether the container runtime made the pod's sandbox: something ran in it, or was tried.
    pub(super) fn has_sandbox(&self) -> bool {
        let made = self.condition("PodReadyToStartContainers").is_some_and(|made| made.status == "True");
        made || self.status.containers().any(ContainerStatus::was_tried)
    }
}

impl Status {
    /// Returns the init containers' statuses, then the others'.
    pub(super) fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.init_container_statuses.iter().chain(&self.container_statuses)
    }
}

impl ContainerStatus {
    /// Returns whether the container ran at some time, so that its image is on the node.
    pub(super) fn has_run(&self) -> bool {
        self.state.running.is_some() || self.state.terminated.is_some() || self.last_state.terminated.is_some()
    }

    /// Returns whether the kubelet came as far as this container.
    pub(super) fn was_tried(&self) -> bool {
        let begins = |reason: &Reason| matches!(reason.reason.as_str(), "" | "PodInitializing" | "ContainerCreating");
        let state = &self.state;
        self.has_run() || state.waiting.as_ref().is_some_and(|waiting| !begins(waiting))
    }
}

fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

macro_rules! parsed {
    ($($name:ident { $($(#[$meta:meta])* $field:ident: $type:ty),+ $(,)? })+) => {$(
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        #[allow(clippy::struct_field_names, reason = "the names are those of Kubernetes")]
        pub(super) struct $name {
            $($(#[$meta])* #[serde(deserialize_with = "nullable")] pub(super) $field: $type,)+
        }
    )+};
}

parsed! {
    Metadata {
        name: String,
        resource_version: String,
        creation_timestamp: String,
        deletion_timestamp: String,
        namespace: String,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
    }
    Spec {
        share_process_namespace: bool,
        security_context: SecurityContext,
        init_containers: Vec<Container>,
        containers: Vec<Container>,
        volumes: Vec<Volume>,
        node_name: String,
        image_pull_secrets: Vec<PullSecret>,
    }
    PullSecret {
        name: String,
    }
    Container {
        name: String,
        image: String,
        command: Vec<String>,
        args: Vec<String>,
        env: Vec<EnvVar>,
        volume_mounts: Vec<VolumeMount>,
        security_context: Option<SecurityContext>,
        resources: Resources,
    }
    Resources {
        requests: BTreeMap<String, serde_json::Value>,
        limits: BTreeMap<String, serde_json::Value>,
    }
    EnvVar {
        name: String,
        value: String,
    }
    VolumeMount {
        name: String,
        mount_path: String,
        sub_path: String,
        read_only: bool,
    }
    SecurityContext {
        run_as_user: Option<u64>,
        run_as_group: Option<u64>,
        run_as_non_root: Option<bool>,
        allow_privilege_escalation: Option<bool>,
        read_only_root_filesystem: bool,
        se_linux_options: Option<SeLinux>,
        capabilities: Option<Capabilities>,
    }
    SeLinux {
        level: String,
    }
    Capabilities {
        drop: Vec<String>,
    }
    Volume {
        name: String,
        empty_dir: Option<serde_json::Value>,
        image: Option<ImageVolume>,
    }
    ImageVolume {
        reference: String,
    }
    Status {
        phase: String,
        reason: String,
        message: String,
        init_container_statuses: Vec<ContainerStatus>,
        container_statuses: Vec<ContainerStatus>,
        conditions: Vec<Condition>,
        start_time: String,
    }
    State {
        running: Option<Running>,
        waiting: Option<Reason>,
        terminated: Option<Reason>,
    }
    Running {
        started_at: String,
    }
    Reason {
        reason: String,
        message: String,
        exit_code: i64,
        finished_at: String,
    }
    Condition {
        #[serde(rename = "type")] kind: String,
        status: String,
        reason: String,
        message: String,
        last_transition_time: String,
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    pub(super) ready: bool,
    pub(super) restart_count: u64,
    #[serde(rename = "imageID")]
    pub(super) image_id: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) state: State,
    #[serde(deserialize_with = "nullable")]
    pub(super) last_state: State,
}

impl Container {
    pub(super) fn mount(&self, volume: &str) -> Option<&VolumeMount> {
        self.volume_mounts.iter().find(|mount| mount.name == volume)
    }
}
