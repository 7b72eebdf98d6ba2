//! What is wrong with a pod that runs, or tries to.

use super::{
    evidence::Evidence,
    finding::Finding,
    pod::{ContainerStatus, Pod, Reason},
    readiness::ending,
    report::Mode,
    words,
};

pub(super) fn find(pod: &Pod, evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    let status = &pod.status;
    if status.message.contains("no space left on device") || status.reason == "Evicted" && is_disk(&status.message) {
        found.push(Finding::DiskFull { said: words::cut(&status.message) });
    } else if status.reason == "Evicted" {
        found.push(Finding::Evicted { said: words::cut(&status.message) });
    }
    if status.conditions.iter().any(|condition| condition.message.contains("violates PodSecurity")) {
        found.push(Finding::PodSecurityRefused { said: None });
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
fn explain(status: &ContainerStatus, reason: &Reason) -> Option<Finding> {
    let container = status.name.clone();
    let text = reason.message.as_str();
    let said = words::cut(text);
    let of_model = container.starts_with("modelcar");
    let ended = || status.last_state.terminated.as_ref().map(ending);
    Some(match reason.reason.as_str() {
        "ErrImagePull" | "ImagePullBackOff" if text.contains("no space left") => Finding::ImageTooLarge { container },
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" => Finding::ImagePull { container, said },
        "CreateContainerConfigError" if text.contains("runAsNonRoot") => Finding::RunsAsRoot { container },
        _ if of_model && lacks_shell(text) => Finding::NoShell,
        "StartError" | "RunContainerError" | "ContainerCannotRun" if of_model => {
            Finding::NotStarted { container, said }
        }
        "OOMKilled" if of_model => Finding::SidecarMemory { container },
        // The command of KServe ends with 0 or 1 and nothing else.
        "Error" if container.starts_with("modelcar-init") && reason.exit_code == 1 => no_models(text),
        "Error" if container.starts_with("modelcar-init") && !was_killed(reason.exit_code) => {
            Finding::ForeignExit { container, exit_code: reason.exit_code }
        }
        "Error" | "CrashLoopBackOff" if container == "storage-initializer" => Finding::DownloadFailed { said },
        "CrashLoopBackOff" if of_model => Finding::SidecarCrashes { ended: ended(), container, said },
        "OOMKilled" => Finding::ServerMemory { container, restarts: status.restart_count },
        "CrashLoopBackOff" => Finding::ServerCrashes { ended: ended(), container, said },
        _ => return None,
    })
}

/// An entrypoint may end with 1 too; only KServe's command says `NOK`, where its words are kept.
fn no_models(text: &str) -> Finding {
    if text.contains("NOK") { Finding::NoModels } else { Finding::NoModelsOrEntrypoint }
}

/// A server that starts before the link is there tries a few times; one that fails more often has another reason.
const RACE_RESTARTS: u64 = 3;

/// The kubelet starts the server before the sidecar: it may look for the model too early, once.
fn race(pod: &Pod, evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    let Some(target) = evidence.target else { return };
    let of = |name: &str| pod.status.container_statuses.iter().find(|container| container.name == name);
    if let Some(server) = of(&target.name).filter(|server| server.ready && server.restart_count > 0) {
        found.push(restarts(server));
    }
    for sidecar in &evidence.sidecars {
        let restarted = of(&sidecar.container.name).filter(|status| status.ready && status.restart_count > 0);
        if let Some(status) = restarted {
            found.push(Finding::SidecarRestarted { container: status.name.clone(), restarts: status.restart_count });
        }
    }
}

/// Why a server that is ready did not stay up before.
fn restarts(server: &ContainerStatus) -> Finding {
    let (container, restarts) = (server.name.clone(), server.restart_count);
    let ended = server.last_state.terminated.as_ref();
    if ended.is_some_and(|ended| ended.reason == "OOMKilled") {
        Finding::ServerMemoryBefore { container, restarts }
    } else if restarts <= RACE_RESTARTS {
        Finding::StartRace { container, restarts }
    } else {
        Finding::ServerRestarted { container, restarts }
    }
}
