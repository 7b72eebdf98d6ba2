//! Pods that were never made: what the controller of a template says when the API server refuses them.

use super::{events::Warnings, finding::Finding, pod::Pod, readiness::reason_and_message, words};

/// Reason of the events with which controllers tell that they can't make a pod.
const FAILED_CREATE: &str = "FailedCreate";

/// Why the pods of `template` can't be made, in the words of its controller; nothing where they can.
///
/// Its condition says so as long as it is so. Events stay for an hour, so they count only where `has_pod` is false.
pub(super) fn refusal(template: &Pod, warnings: &Warnings<'_>, has_pod: bool) -> Option<String> {
    let mut failures = template.status.conditions.iter().filter(|condition| condition.kind == "ReplicaFailure");
    if let Some(failure) = failures.find(|failure| failure.status == "True") {
        return Some(reason_and_message(&failure.reason, &failure.message));
    }
    let event = warnings.about(template).find(|event| event.reason() == FAILED_CREATE).filter(|_| !has_pod)?;
    Some(reason_and_message(FAILED_CREATE, event.message()))
}

pub(super) fn find(said: &str) -> Finding {
    let is_pod_security = said.contains("violates PodSecurity");
    let said = words::cut(said);
    if is_pod_security { Finding::PodSecurityRefused { said: Some(said) } } else { Finding::PodRefused { said } }
}
