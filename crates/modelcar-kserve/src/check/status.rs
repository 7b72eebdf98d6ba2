//! What is wrong with a pod that runs, or tries to.

use super::{
    evidence::Evidence,
    hazards::RESTRICTED_REMEDY,
    pod::{ContainerStatus, Pod, Reason},
    readiness::ending,
    report::{Finding, Findings, Mode},
    words,
};

pub(super) fn find(pod: &Pod, evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    let status = &pod.status;
    if status.message.contains("no space left on device") || status.reason == "Evicted" && is_disk(&status.message) {
        found.error(
            "disk",
            format!("the node's disk is full: {}", words::cut(&status.message)),
            "give nodes a larger boot disk: modelcar inspect prints the size that the image needs",
        );
    } else if status.reason == "Evicted" {
        found.error(
            "evicted",
            format!("the node put the pod out: {}", words::cut(&status.message)),
            "see kubectl describe node: what it lacks must be requested by the pods, or there must be more of it",
        );
    }
    if status.conditions.iter().any(|condition| condition.message.contains("violates PodSecurity")) {
        found.error("pod-security", "the namespace's Pod Security level refuses the pod", RESTRICTED_REMEDY);
    }
    // One that is ready has got over what ended it before.
    for container in status.containers().filter(|container| !container.ready) {
        // How a container ended says more than that it waits to start again.
        let reasons = [&container.state.terminated, &container.last_state.terminated, &container.state.waiting];
        if let Some(finding) = reasons.into_iter().flatten().find_map(|reason| explain(container, reason)) {
            found.push(finding);
        }
    }
    if evidence.mode == Mode::Modelcar {
        race(pod, evidence, found);
    }
}

/// Returns whether the kubelet evicted a pod for want of disk, and not of memory, processes or rank.
fn is_disk(message: &str) -> bool {
    let signals = ["ephemeral-storage", "nodefs", "imagefs", "containerfs", "inodes", "no space left", "DiskPressure"];
    signals.iter().any(|signal| message.contains(signal))
}

/// Returns whether a runtime says that it found no shell: containerd, cri-dockerd and crun quote in their own ways.
fn lacks_shell(message: &str) -> bool {
    let names = ["\"sh\"", "`sh`", "'sh'"].iter().any(|name| message.contains(name));
    names && (message.contains("not found") || message.contains("no such file"))
}

/// Returns whether a signal from outside ended a container: the node shut down, or memory ran out.
fn was_killed(exit_code: i64) -> bool {
    matches!(exit_code, 137 | 143)
}

/// Explains why a container does not run.
fn explain(container: &ContainerStatus, reason: &Reason) -> Option<Finding> {
    let name = container.name.as_str();
    let text = reason.message.as_str();
    let cut = words::cut(text);
    let of_model = name.starts_with("modelcar");
    let mut found = Vec::new();
    match reason.reason.as_str() {
        "ErrImagePull" | "ImagePullBackOff" if text.contains("no space left") => found.error(
            "disk",
            format!("the image of `{name}` does not fit on the node"),
            "give nodes a larger boot disk: modelcar inspect prints the size that the image needs",
        ),
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" => found.error(
            "image-pull",
            format!("the image of `{name}` can't be pulled: {cut}"),
            "the kubelet pulls: imagePullSecrets and the node's own login count, KServe's storage secrets do not",
        ),
        "CreateContainerConfigError" if text.contains("runAsNonRoot") => found.error(
            "init-user",
            format!("`{name}` would run as root, which the pod forbids"),
            "the image must have a numeric user that is not 0: see modelcar inspect --lint",
        ),
        _ if of_model && lacks_shell(text) => found.error(
            "no-shell",
            "the image has no shell, which KServe's sidecar runs",
            "build it on a base with a shell (modelcar's default), or use oci+native://",
        ),
        "StartError" | "RunContainerError" | "ContainerCannotRun" if of_model => found.error(
            "entrypoint",
            format!("`{name}` can't be started: {cut}"),
            "the image may have an entrypoint, which takes KServe's command as its arguments: modelcar inspect --lint",
        ),
        "OOMKilled" if of_model => found.error(
            "sidecar-memory",
            format!("`{name}` ran out of memory"),
            "raise memoryModelcar in the ConfigMap inferenceservice-config",
        ),
        // The command of KServe ends with 0 or 1 and nothing else.
        "Error" if name.starts_with("modelcar-init") && reason.exit_code == 1 => no_models(text, &mut found),
        "Error" if name.starts_with("modelcar-init") && !was_killed(reason.exit_code) => found.error(
            "entrypoint",
            format!("`{name}` ended with {}, which KServe's command never does", reason.exit_code),
            "the image has an entrypoint, which takes KServe's command as its arguments: modelcar inspect --lint",
        ),
        "Error" | "CrashLoopBackOff" if name == "storage-initializer" => found.error(
            "download-failed",
            format!("the storage initializer fails: {cut}"),
            "see its log: kubectl logs POD -c storage-initializer",
        ),
        "CrashLoopBackOff" if of_model => found.error(
            "sidecar-crashes",
            crash(container, &cut),
            "an entrypoint in the image or an old link (KServe before 0.15) are the usual causes: modelcar inspect --lint",
        ),
        "OOMKilled" => found.error(
            "server-memory",
            format!("`{name}` ran out of memory and was killed (OOMKilled; restarts: {})", container.restart_count),
            "give it more memory (modelcar render --memory); modelcar inspect prints the size of the model",
        ),
        "CrashLoopBackOff" => found.error(
            "server-crashes",
            crash(container, &cut),
            "see its log: kubectl logs POD -c CONTAINER --previous. `Permission denied` below /mnt/models means another \
             user or group",
        ),
        _ => {}
    }
    found.pop()
}

/// How a container ended, and what the kubelet does about it.
fn crash(container: &ContainerStatus, said: &str) -> String {
    let ended = container.last_state.terminated.as_ref();
    let ended = ended.map(|ended| format!(": it ended with {}", ending(ended))).unwrap_or_default();
    let said = if said.is_empty() { String::new() } else { format!(". The kubelet says: {said}") };
    format!("`{}` keeps failing{ended}{said}", container.name)
}

/// An entrypoint may end with 1 too; only KServe's command says `NOK`, where its words are kept.
fn no_models(text: &str, found: &mut Vec<Finding>) {
    if text.contains("NOK") {
        return found.error(
            "no-models",
            "modelcar-init found no files in /models of the image, or may not read them",
            "see modelcar inspect --lint; /models must hold the files and be readable for all",
        );
    }
    found.error(
        "no-models",
        "modelcar-init failed: the image has no files in /models that it may read, or an entrypoint, which takes KServe's \
         command as its arguments",
        "see modelcar inspect --lint, and kubectl logs POD -c modelcar-init: the first cause says NOK there",
    );
}

/// A server that starts before the link is there tries a few times; one that fails more often has another reason.
const RACE_RESTARTS: u64 = 3;

/// The kubelet starts the server before the sidecar: it may look for the model too early, once.
fn race(pod: &Pod, evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    let Some(target) = evidence.target else { return };
    let of = |name: &str| pod.status.container_statuses.iter().find(|container| container.name == name);
    if let Some(server) = of(&target.name).filter(|server| server.ready && server.restart_count > 0) {
        restarts(server, found);
    }
    for sidecar in &evidence.sidecars {
        let restarted = of(&sidecar.container.name).filter(|status| status.ready && status.restart_count > 0);
        if let Some(status) = restarted {
            found.warning(
                "sidecar-restarted",
                format!(
                    "`{}` restarted {} times: the server's link led nowhere meanwhile",
                    status.name, status.restart_count
                ),
                "restart the pod if the server can't find its files",
            );
        }
    }
}

/// Why a server that is ready did not stay up before.
fn restarts(server: &ContainerStatus, found: &mut Vec<Finding>) {
    let (name, times) = (&server.name, server.restart_count);
    let ended = server.last_state.terminated.as_ref();
    if ended.is_some_and(|ended| ended.reason == "OOMKilled") {
        found.warning(
            "server-memory",
            format!("`{name}` ran out of memory and restarted {times} times"),
            "give it more memory: modelcar render --memory",
        );
    } else if times <= RACE_RESTARTS {
        let message =
            format!("`{name}` restarted {times} times: it may have started before the sidecar's link was there");
        found.info("start-race", message);
    } else {
        found.warning(
            "server-restarted",
            format!("`{name}` restarted {times} times"),
            "see its log: kubectl logs POD --previous",
        );
    }
}
