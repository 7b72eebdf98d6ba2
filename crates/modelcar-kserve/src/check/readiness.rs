//! Whether a pod is Ready, and what the cluster says when it is not.

use super::{
    finding::{Ending, Finding},
    pod::{ContainerStatus, Pod, Reason},
    words,
};
use crate::findings::Severity;

/// Most containers whose state is told.
const MOST_CONTAINERS: usize = 3;
/// Conditions that say no more than that containers are not ready.
const SUMMARIES: [&str; 3] = ["Ready", "ContainersReady", "Initialized"];

/// Adds that a pod is not Ready, with the words of who knows why, unless an error in `found` from `since` on, which
/// come from the pod's status, explains it already.
pub(super) fn find(pod: &Pod, since: usize, found: &mut Vec<Finding>) {
    if pod.ready() != Some(false) {
        return;
    }
    let is_error = |finding: &Finding| finding.severity() == Severity::Error;
    let said = said(pod);
    let lacks_sandbox =
        said.is_empty() && found.iter().any(|finding| matches!(finding, Finding::GroupWithoutUser { .. }));
    if lacks_sandbox || found.iter().skip(since).any(is_error) {
        return;
    }
    let said = if said.is_empty() { waits(pod) } else { said.join(". ") };
    found.push(Finding::NotReady { phase: phase(pod), unscheduled: is_unscheduled(pod), said });
}

fn phase(pod: &Pod) -> String {
    if pod.is_terminating {
        return "it is being deleted".to_owned();
    }
    let phase = pod.status.phase.as_str();
    if phase.is_empty() { "no phase".to_owned() } else { format!("phase {}", words::cut(phase)) }
}

/// Returns whether the scheduler finds no node for the pod.
fn is_unscheduled(pod: &Pod) -> bool {
    pod.condition("PodScheduled").is_some_and(|scheduled| scheduled.status == "False")
}

/// What is known of a pod that is not Ready, the scheduler first, the containers last.
fn said(pod: &Pod) -> Vec<String> {
    let status = &pod.status;
    let mut said = Vec::new();
    if !status.reason.is_empty() || !status.message.is_empty() {
        said.push(format!("the kubelet says {}", reason_and_message(&status.reason, &status.message)));
    }
    for condition in status.conditions.iter().filter(|condition| condition.status != "True") {
        if SUMMARIES.contains(&condition.kind.as_str()) || condition.reason.is_empty() && condition.message.is_empty() {
            continue;
        }
        let actor = if condition.kind == "PodScheduled" { "the scheduler says" } else { "a condition says" };
        said.push(format!("{actor} {}", reason_and_message(&condition.reason, &condition.message)));
    }
    // Those that wait for others say nothing of the cause.
    let told = status.containers().filter(|container| !container.ready && !only_waits(container));
    said.extend(told.take(MOST_CONTAINERS).map(state));
    said
}

/// What is known of a pod that nobody says anything of: how far the kubelet is.
fn waits(pod: &Pod) -> String {
    let first = pod.status.containers().find(|container| !container.ready);
    first.map_or_else(|| "the kubelet has not said why yet".to_owned(), state)
}

fn only_waits(container: &ContainerStatus) -> bool {
    let waiting = container.state.waiting.as_ref();
    let begins = |reason: &Reason| matches!(reason.reason.as_str(), "" | "PodInitializing" | "ContainerCreating");
    waiting.is_some_and(|waiting| begins(waiting) && waiting.message.is_empty())
        && container.last_state.terminated.is_none()
}

/// What the kubelet says of a container, now and of its last run.
fn state(container: &ContainerStatus) -> String {
    let name = words::cut(&container.name);
    let now = match (&container.state.terminated, &container.state.waiting) {
        (Some(ended), _) => format!("`{name}` ended with {}", ending(ended)),
        (None, Some(waiting)) => {
            format!("`{name}` waits: {}", reason_and_message(&waiting.reason, &waiting.message))
        }
        (None, None) => format!("`{name}` runs and is not ready"),
    };
    let last = container.last_state.terminated.as_ref().filter(|_| container.state.terminated.is_none());
    let last = last.map(|ended| format!(", before it ended with {}", ending(ended))).unwrap_or_default();
    let restarts = match container.restart_count {
        0 => String::new(),
        count => format!(" (restarts: {count})"),
    };
    format!("{now}{last}{restarts}")
}

/// The status, reason and last words of a container that ended.
pub(super) fn ending(ended: &Reason) -> Ending {
    Ending { exit_code: ended.exit_code, reason: words::cut(&ended.reason), said: words::cut(&ended.message) }
}

pub(super) fn reason_and_message(reason: &str, message: &str) -> String {
    match (words::cut(reason), words::cut(message)) {
        (reason, message) if message.is_empty() => reason,
        (reason, message) if reason.is_empty() => message,
        (reason, message) => format!("{reason}: {message}"),
    }
}
