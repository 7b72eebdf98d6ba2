//! Pods that were never made: what the controller of a template says when the API server refuses them.

use super::{
    cause::of_refusal,
    events::{Event, Events},
    finding::Finding,
    pod::Pod,
    words,
};

/// Reason of the events with which controllers tell that they can't make a pod.
const FAILED_CREATE: &str = "FailedCreate";

/// Why the pods of `template` can't be made, in the words of its controller; nothing where they can.
///
/// Its condition says so as long as it is so. Events stay for an hour, so they count only where `has_pod` is false.
pub(super) fn refusal(template: &Pod, events: &Events<'_>, has_pod: bool) -> Option<String> {
    let mut failures = template.status.conditions.iter().filter(|condition| condition.kind == "ReplicaFailure");
    if let Some(failure) = failures.find(|failure| failure.status == "True") {
        return Some(words::reason_and_message(&failure.reason, &failure.message));
    }
    let is_refusal = |event: &&Event| event.reason() == FAILED_CREATE;
    let event = events.about(template).find(is_refusal).filter(|_| !has_pod)?;
    Some(words::reason_and_message(FAILED_CREATE, event.message()))
}

pub(super) fn find(said: &str) -> Finding {
    Finding::Refused { why: of_refusal(said), said: words::cut(said) }
}
