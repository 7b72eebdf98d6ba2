//! Words of others, as messages repeat them: cut at a length that can be read, and without the values of variables.

use super::{finding::Finding, pod::Pod};

/// Most characters of one message of the cluster. The cause stands at the end of a long one.
const LONGEST: usize = 600;
/// Values shorter than this are ordinary words, numbers and switches.
const SHORTEST_VALUE: usize = 8;

/// Returns `text` without the middle of what is too long.
pub(super) fn cut(text: &str) -> String {
    let text = text.trim();
    let count = text.chars().count();
    if count <= LONGEST {
        return text.to_owned();
    }
    let half = LONGEST / 2;
    let start: String = text.chars().take(half).collect();
    let end: String = text.chars().skip(count - half).collect();
    format!("{start} … {end}")
}

/// Returns a one-word reason and its message as one text, or the one of them that is there.
pub(super) fn reason_and_message(reason: &str, message: &str) -> String {
    match (cut(reason), cut(message)) {
        (reason, message) if message.is_empty() => reason,
        (reason, message) if reason.is_empty() => message,
        (reason, message) => format!("{reason}: {message}"),
    }
}

/// Writes `$NAME` in place of the value of a variable that somebody's message repeats: it may be a password.
///
/// Paths, addresses of images, and whatever is a part of the pod's own name, containers or images are what the messages
/// are about: manifests of ours set `USER=modelcar`, and the sidecar is called that.
pub(super) fn hide_values(pod: &Pod, findings: &mut [Finding]) {
    let containers = || pod.spec.init_containers.iter().chain(&pod.spec.containers);
    let is_name = |value: &str| {
        let own = containers().flat_map(|container| [&container.name, &container.image]);
        own.chain([&pod.name, &pod.namespace]).any(|name| name.contains(value))
    };
    for variable in containers().flat_map(|container| &container.env) {
        let value = variable.value.trim();
        if value.len() < SHORTEST_VALUE || value.starts_with('/') || value.starts_with("oci") || is_name(value) {
            continue;
        }
        for said in findings.iter_mut().flat_map(Finding::said_mut).filter(|said| said.contains(value)) {
            *said = said.replace(value, &format!("${}", variable.name));
        }
    }
}
