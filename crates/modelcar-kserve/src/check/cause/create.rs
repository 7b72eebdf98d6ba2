//! Why a container is not made or not started.

use super::Words;

/// Why a container is not made or not started, as far as the kubelet's and the runtime's words tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum CreateFault {
    /// A secret or config map that it names is missing, or a key in it.
    Missing { kind: &'static str, name: String },
    /// Its user has a name, so that nobody can tell that it is not root.
    NamedUser,
    /// It would run as root.
    Root,
    /// The image has no shell.
    NoShell,
    /// The image's programs are for another processor.
    Processor,
    /// The image volume has no folder `models`.
    NoSubPath,
    /// The runtime does not know image volumes.
    NoImageVolumes,
    /// A volume can't be mounted at its place.
    Mount,
    /// The runtime was too slow.
    Slow,
    /// Some other reason.
    Other,
}

/// Returns why a container is not made or not started, by the runtime's words.
pub(in super::super) fn of_container(message: &str) -> CreateFault {
    let words = Words::new(message);
    if let Some(missing) = missing(message) {
        missing
    } else if words.any(&["non-numeric user"]) {
        CreateFault::NamedUser
    } else if words.any(&["runasnonroot", "image will run as root", "break non-root policy"]) {
        CreateFault::Root
    } else if words.any(&["exec format error"]) {
        CreateFault::Processor
    } else if words.any(&[
        "failed to mkdir \"\"",
        "mkdir : no such file",
        "source must not be empty",
        "invalid mount config",
    ]) {
        CreateFault::NoImageVolumes
    } else if words.any(&["image subpath", "imagevolumemountfailed", "subpath"]) {
        CreateFault::NoSubPath
    } else if words.any(&["error mounting", "mkdirat", "not a directory: are you trying to mount", "failed to mkdir"]) {
        CreateFault::Mount
    } else if lacks_shell(message) {
        CreateFault::NoShell
    } else if words.any(&["deadline exceeded", "is reserved for", "code = canceled", "context canceled"]) {
        CreateFault::Slow
    } else {
        CreateFault::Other
    }
}

/// Returns whether a runtime says that it found no shell: containerd, cri-dockerd and crun quote in their own ways.
fn lacks_shell(message: &str) -> bool {
    let names = ["\"sh\"", "`sh`", "'sh'", "/bin/sh"].iter().any(|name| message.contains(name));
    let words = Words::new(message);
    names && words.any(&["not found", "no such file", "permission denied"])
}

/// Reads `secret "hf" not found`, `configmap "x" not found` and `couldn't find key k in Secret ns/hf`.
fn missing(message: &str) -> Option<CreateFault> {
    let words = Words::new(message);
    for (kind, word) in [("Secret", "secret"), ("ConfigMap", "configmap")] {
        let quoted = format!("{word} \"");
        if words.any(&["not found"])
            && let Some(at) = words.0.find(&quoted)
        {
            let name = message.get(at + quoted.len()..)?.split('"').next()?;
            return Some(CreateFault::Missing { kind, name: name.to_owned() });
        }
        let of_key = format!("in {word} ");
        if words.any(&["couldn't find key", "references non-existent"])
            && let Some(at) = words.0.find(&of_key)
        {
            let place = message.get(at + of_key.len()..)?.split_whitespace().next()?;
            let name = place.rsplit('/').next()?.trim_matches(['"', '.', ',']);
            return Some(CreateFault::Missing { kind, name: name.to_owned() });
        }
    }
    None
}
