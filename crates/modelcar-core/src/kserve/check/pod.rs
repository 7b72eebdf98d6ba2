//! As much of a pod as is looked at. Unknown fields are passed over, `null` is the same as nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// A pod, or the template of pods.
#[derive(Debug, Clone, Default)]
pub(super) struct Pod {
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) spec: Spec,
    pub(super) status: Status,
    /// Whether it is a template, on which the webhook has not acted.
    pub(super) is_template: bool,
}

fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

macro_rules! parsed {
    ($($name:ident { $($field:ident: $type:ty),+ $(,)? })+) => {$(
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        #[allow(clippy::struct_field_names, reason = "the names are those of Kubernetes")]
        pub(super) struct $name {
            $(#[serde(deserialize_with = "nullable")] pub(super) $field: $type,)+
        }
    )+};
}

parsed! {
    Metadata {
        name: String,
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
    }
    Container {
        name: String,
        image: String,
        args: Vec<String>,
        env: Vec<EnvVar>,
        volume_mounts: Vec<VolumeMount>,
        security_context: Option<SecurityContext>,
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
        capabilities: Option<Capabilities>,
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
        reason: String,
        message: String,
        init_container_statuses: Vec<ContainerStatus>,
        container_statuses: Vec<ContainerStatus>,
        conditions: Vec<Condition>,
    }
    State {
        waiting: Option<Reason>,
        terminated: Option<Reason>,
    }
    Reason {
        reason: String,
        message: String,
        exit_code: i64,
    }
    Condition {
        reason: String,
        message: String,
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
