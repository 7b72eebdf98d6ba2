//! Pods that were never made: what the controller of a template says when the API server refuses them.

use super::{
    events::Warnings,
    hazards::RESTRICTED_REMEDY,
    pod::Pod,
    readiness::reason_and_message,
    report::{Finding, Findings},
    words,
};

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

pub(super) fn find(said: &str, found: &mut Vec<Finding>) {
    if said.contains("violates PodSecurity") {
        return found.error(
            "pod-security",
            format!("the namespace's Pod Security level refuses the pod: {}", words::cut(said)),
            RESTRICTED_REMEDY,
        );
    }
    found.error(
        "pod-refused",
        format!("the API server refuses the pod, so there is none: {}", words::cut(said)),
        "mend what these words name (a quota, a limit, a webhook that is down, a policy); the controller then tries again \
         by itself",
    );
}
