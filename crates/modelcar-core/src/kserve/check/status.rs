//! What is wrong with a pod that runs, or tries to.

use super::{
    evidence::Evidence,
    pod::{ContainerStatus, Pod, Reason},
    report::{Finding, Findings, Mode},
};

pub(super) fn find(pod: &Pod, evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    let status = &pod.status;
    if status.reason == "Evicted" || status.message.contains("no space left on device") {
        found.error(
            "disk",
            format!("the node's disk is full: {}", status.message),
            "give nodes a larger boot disk: modelcar inspect prints the size that the image needs",
        );
    }
    if status.conditions.iter().any(|condition| condition.message.contains("violates PodSecurity")) {
        found.error(
            "pod-security",
            "the namespace's Pod Security level refuses the pod",
            "enforce `baseline` there, or use oci+native:// (KServe 0.20)",
        );
    }
    for container in status.init_container_statuses.iter().chain(&status.container_statuses) {
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

/// Explains why a container does not run.
fn explain(container: &ContainerStatus, reason: &Reason) -> Option<Finding> {
    let name = container.name.as_str();
    let text = reason.message.as_str();
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
            format!("the image of `{name}` can't be pulled: {text}"),
            "the kubelet pulls: imagePullSecrets and the node's own login count, KServe's storage secrets do not",
        ),
        "CreateContainerConfigError" if text.contains("runAsNonRoot") => found.error(
            "init-user",
            format!("`{name}` would run as root, which the pod forbids"),
            "the image must have a numeric user that is not 0: see modelcar inspect --lint",
        ),
        _ if of_model && text.contains("\"sh\"") && (text.contains("not found") || text.contains("no such file")) => {
            found.error(
                "no-shell",
                "the image has no shell, which KServe's sidecar runs",
                "build it on a base with a shell (modelcar's default), or use oci+native://",
            );
        }
        "StartError" | "RunContainerError" | "ContainerCannotRun" if of_model => found.error(
            "entrypoint",
            format!("`{name}` can't be started: {text}"),
            "the image may have an entrypoint, which takes KServe's command as its arguments: modelcar inspect --lint",
        ),
        "OOMKilled" if of_model => found.error(
            "sidecar-memory",
            format!("`{name}` ran out of memory"),
            "raise memoryModelcar in the ConfigMap inferenceservice-config",
        ),
        "Error" if name.starts_with("modelcar-init") && reason.exit_code != 0 => found.error(
            "no-models",
            "modelcar-init found no files in /models of the image, or may not read them",
            "see modelcar inspect --lint; /models must hold the files and be readable for all",
        ),
        "Error" | "CrashLoopBackOff" if name == "storage-initializer" => found.error(
            "download-failed",
            format!("the storage initializer fails: {text}"),
            "see its log: kubectl logs POD -c storage-initializer",
        ),
        "CrashLoopBackOff" if of_model => found.error(
            "sidecar-crashes",
            format!("`{name}` keeps failing: {text}"),
            "an entrypoint in the image or an old link (KServe before 0.15) are the usual causes: modelcar inspect --lint",
        ),
        "CrashLoopBackOff" => found.error(
            "server-crashes",
            format!("`{name}` keeps failing: {text}"),
            "see its log: kubectl logs POD --previous. `Permission denied` below /mnt/models means another user or group",
        ),
        _ => {}
    }
    found.pop()
}

/// The kubelet starts the server before the sidecar: it may look for the model too early, once.
fn race(pod: &Pod, evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    let Some(target) = evidence.target else { return };
    let of = |name: &str| pod.status.container_statuses.iter().find(|container| container.name == name);
    if let Some(server) = of(&target.name).filter(|server| server.ready && server.restart_count > 0) {
        let times = server.restart_count;
        found.info(
            "start-race",
            format!(
                "`{}` restarted {times} times before it was ready: it starts before the sidecar's link",
                target.name
            ),
        );
    }
    let restarted = evidence
        .sidecar
        .and_then(|sidecar| of(&sidecar.name))
        .filter(|sidecar| sidecar.ready && sidecar.restart_count > 0);
    if let Some(sidecar) = restarted {
        let times = sidecar.restart_count;
        found.warning(
            "sidecar-restarted",
            format!("the sidecar restarted {times} times: the server's link led nowhere meanwhile"),
            "restart the pod if the server can't find its files",
        );
    }
}
