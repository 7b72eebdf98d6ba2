//! What a pod that is not Ready waits for, a row for each thing.

use super::ending::{Ending, after_colon};
use crate::findings::findings;

findings! {
    /// What a pod waits for that nothing is wrong with, or that starts by itself as soon as somebody adds what is missing.
    ///
    /// `since` is a time as the cluster writes it (RFC 3339), and empty where the document does not tell.
    pub enum Wait {
        /// A secret or config map that a container names is missing.
        MissingObject {
            /// `Secret` or `ConfigMap`.
            kind: String,
            /// Its name.
            name: String,
            /// The container that names it; empty for a volume.
            container: String,
            /// What the kubelet says.
            said: String,
        } => if kind == "Secret" { "missing-secret" } else { "missing-configmap" },
            "{} {kind} `{name}`, which is not there or lacks a key: {said}", waits_for(container);
        /// The controllers have not made a pod yet.
        NotMade => "not-made", "no pod has been made from the template yet, which takes a moment";
        /// The scheduler finds no node.
        Unschedulable {
            /// What the scheduler says.
            said: String,
            /// What the pod requests beside what the nodes have, where the document tells.
            asks: String,
            /// A Ready pod of the same service, which a rollout replaces only when this one is Ready.
            replaces: Option<String>,
            /// Since when.
            since: String,
        } => "unschedulable", "the scheduler finds no node for the pod{}: {said}{asks}{}", since_when(since),
            replaced(replaces.as_deref());
        /// Somebody holds the pod back from the scheduler.
        Gated {
            /// What the API server says.
            said: String,
        } => "scheduling-gated", "a scheduling gate holds the pod back, as a queue does until there is room{}", after_colon(Some(said));
        /// No scheduler has looked at the pod.
        NotScheduled {
            /// Since when.
            since: String,
        } => "not-scheduled", "no scheduler has looked at the pod yet{}", since_when(since);
        /// A volume is not there yet.
        Volume {
            /// What the kubelet says.
            said: String,
        } => "volume", "a volume of the pod can't be mounted: {said}";
        /// The kubelet sets up the pod.
        SettingUp {
            /// Since when.
            since: String,
        } => "setting-up", "the kubelet sets up the pod's network and volumes{}", since_when(since);
        /// An image is being pulled.
        Pulling {
            /// The container that waits for the image.
            container: String,
            /// The image.
            image: String,
            /// Whether an event says so; otherwise it follows from the state of the containers.
            is_told: bool,
            /// Since when.
            since: String,
        } => "pulling", "the node {} the image `{image}` of `{container}`{}",
            if *is_told { "pulls" } else { "prepares the container, and most likely pulls" }, since_when(since);
        /// A container is about to start.
        Starting {
            /// The container.
            container: String,
            /// Since when.
            since: String,
        } => "starting", "`{container}` starts{}", since_when(since);
        /// A container runs and its probe has not passed.
        Probe {
            /// The container.
            container: String,
            /// Since when it runs.
            since: String,
            /// What the kubelet says of the probe; may be empty.
            said: String,
        } => "probe", "`{container}` runs{} and is not ready: its startup or readiness probe has not passed{}", since_when(since),
            after_colon(Some(said));
        /// A server ended early and starts again.
        Restarting {
            /// The container.
            container: String,
            /// How its last run ended.
            ended: Ending,
            /// How often it was restarted.
            restarts: u64,
        } => "restarting", "`{container}` ended with {ended} and starts again (restarts: {restarts})";
        /// A condition that somebody else has to fulfil.
        Gate {
            /// Type of the condition.
            condition: String,
            /// What it says.
            said: String,
        } => "readiness-gate", "the pod's condition `{condition}` is not true{}", after_colon(Some(said));
        /// The pod is not Ready, and nobody says why.
        NotReady {
            /// Its phase, or that it is being deleted.
            phase: String,
        } => "not-ready", "the pod is not Ready ({phase}), and the kubelet has not said why yet";
    }
}

fn since_when(since: &str) -> String {
    if since.is_empty() { String::new() } else { format!(" since {since}") }
}

fn waits_for(container: &str) -> String {
    if container.is_empty() { "a volume of the pod needs the".to_owned() } else { format!("`{container}` needs the") }
}

fn replaced(ready: Option<&str>) -> String {
    let told = |ready| {
        format!(". Pod `{ready}` of the same service is Ready and keeps what this one needs until this one is Ready")
    };
    ready.map(told).unwrap_or_default()
}
