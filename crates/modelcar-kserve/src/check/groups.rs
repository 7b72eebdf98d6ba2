//! A group without a user: a pod that no container runtime makes a sandbox for.

use super::{
    finding::Finding,
    pod::{Pod, Spec},
};

/// Returns whether a pod of this kind is refused by the container runtime: `runAsGroup` stands at the pod alone.
pub(super) fn lacks_user(spec: &Spec) -> bool {
    spec.security_context.run_as_group.is_some() && spec.security_context.run_as_user.is_none()
}

/// Returns whether this pod, or the ones of this template, get no sandbox. One that got further has a runtime that took it.
pub(super) fn refuses_sandbox(pod: &Pod) -> bool {
    let is_pending = pod.is_template || matches!(pod.status.phase.as_str(), "" | "Pending");
    lacks_user(&pod.spec) && is_pending && !pod.is_ready() && !pod.has_sandbox()
}

pub(super) fn find(pod: &Pod, found: &mut Vec<Finding>) {
    let group = pod.spec.security_context.run_as_group;
    found.extend(group.map(|group| Finding::GroupWithoutUser { group, is_template: pod.is_template }));
}
