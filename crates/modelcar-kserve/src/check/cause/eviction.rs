//! Why a kubelet ended a whole pod, or never began with it.

use super::Words;
use crate::findings::findings;

findings! {
    /// Why the kubelet ended a pod, or refused it.
    pub enum Eviction {
        /// The node's disk is full.
        NodeDisk => "disk", "the node's disk is full";
        /// The node's memory is full.
        NodeMemory => "evicted", "the node ran out of memory";
        /// The node has too many processes, or something else too much.
        Node => "evicted", "the node ran short of something";
        /// The pod wrote more than its own limit of local storage.
        OwnStorage => "ephemeral-limit", "the pod wrote more to the node's disk than its own limit of ephemeral-storage";
        /// An emptyDir volume is full.
        EmptyDir => "empty-dir-limit", "an emptyDir volume of the pod holds more than its sizeLimit";
        /// The node shut down.
        Shutdown => "node-shutdown", "the node shut down";
        /// The node is gone.
        Lost => "node-lost", "the node does not answer any more";
        /// Another pod was more important.
        Preempted => "preempted", "the pod made room for another one of higher priority";
        /// The kubelet refused it when it came.
        Rejected => "node-rejected", "the kubelet of the node refused the pod when it arrived";
        /// It ran longer than it may.
        Deadline => "pod-deadline", "the pod ran longer than its activeDeadlineSeconds";
        /// Some other reason.
        Other => "pod-failed", "the pod failed";
    }
}

/// Reasons of a kubelet that refuses a pod on its arrival: `OutOf` and a resource come beside them.
const REJECTED: &[&str] = &[
    "UnexpectedAdmissionError",
    "InvalidNodeInfo",
    "NodeAffinity",
    "NodeName",
    "NodePorts",
    "NodeSelectorMismatching",
    "NodeUnschedulable",
    "TaintToleration",
    "TopologyAffinityError",
    "AppArmor",
    "SysctlForbidden",
    "UnexpectedPredicateFailureType",
    "UnknownReason",
    "PodLevelResourcesNotSupported",
    "VolumeAttachmentLimitExceeded",
    "PodOSSelectorNodeLabelDoesNotMatch",
    "PodOSNotSupported",
    "InitContainerRestartPolicyForbidden",
    "SupplementalGroupsPolicyNotSupported",
    "PodFeatureUnsupported",
];
/// Returns why a pod failed, by its own reason and message; nothing for a pod that did not.
pub(in super::super) fn of_eviction(reason: &str, message: &str) -> Option<Eviction> {
    let words = Words::new(message);
    Some(match reason {
        "" => return words.any(&["no space left on device"]).then_some(Eviction::NodeDisk),
        "Evicted" => evicted(&words),
        "NodeShutdown" | "Shutdown" => Eviction::Shutdown,
        "Terminated" if words.any(&["shutdown"]) => Eviction::Shutdown,
        "NodeLost" => Eviction::Lost,
        "Preempting" | "Preempted" => Eviction::Preempted,
        "DeadlineExceeded" => Eviction::Deadline,
        reason if reason.starts_with("OutOf") || REJECTED.contains(&reason) => Eviction::Rejected,
        _ if words.any(&["pod was rejected", "predicate"]) => Eviction::Rejected,
        _ if words.any(&["no space left on device"]) => Eviction::NodeDisk,
        _ => Eviction::Other,
    })
}

/// The kubelet writes one word for all evictions; its message says of what.
fn evicted(words: &Words) -> Eviction {
    if words.any(&["usage of emptydir"]) {
        Eviction::EmptyDir
    } else if words.any(&[
        "ephemeral local storage",
        "local ephemeral storage limit",
        "exceeds the total limit of containers",
    ]) {
        Eviction::OwnStorage
    } else if words.any(&[
        "ephemeral-storage",
        "nodefs",
        "imagefs",
        "containerfs",
        "inodes",
        "no space left",
        "diskpressure",
    ]) {
        Eviction::NodeDisk
    } else if words.any(&["memory"]) {
        Eviction::NodeMemory
    } else {
        Eviction::Node
    }
}
