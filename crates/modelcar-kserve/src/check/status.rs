//! What the cluster already tried, and how it failed.

use super::{
    cause::{CreateFault, PullFault, Refusal, is_pull, of_container, of_eviction, of_pull},
    ending::Ending,
    finding::Finding,
    pod::{ContainerStatus, Reason},
    report::Mode,
    tried::Tried,
    wait::Wait,
    words,
};
use crate::findings::Severity;

/// A server that starts before the link is there tries once or twice; one that fails more often has another reason.
const RACE_RESTARTS: u64 = 2;
/// Restarts of a server that is Ready now, which a race and a busy node explain.
const EARLIER_RESTARTS: u64 = 3;
/// Largest number of a pod's pull secrets that are named.
const SECRETS_MAX: usize = 8;

pub(super) fn find(tried: &Tried<'_>, found: &mut Vec<Finding>) {
    let pod = tried.pod;
    let since = found.len();
    let status = &pod.status;
    if let Some(why) = of_eviction(&status.reason, &status.message) {
        found.push(Finding::Ended { why, said: words::cut(&status.message) });
    }
    if let Some(refused) = status.conditions.iter().find(|condition| condition.message.contains("violates PodSecurity"))
    {
        found.push(Finding::Refused { why: Refusal::PodSecurity, said: words::cut(&refused.message) });
    }
    // One that is ready has got over what ended it before.
    for container in status.containers().filter(|container| !container.ready) {
        found.extend(explain(tried, container));
    }
    if pod.ready() == Some(false) && !found.iter().skip(since).any(is_error) {
        found.extend(sandbox(tried).or_else(|| event_of_pull(tried)));
    }
    if tried.evidence.mode == Mode::Modelcar {
        race(tried, found);
    }
}

fn is_error(finding: &Finding) -> bool {
    finding.severity() == Severity::Error
}

/// Why the pod has no sandbox.
fn sandbox(tried: &Tried<'_>) -> Option<Finding> {
    let event = tried.event(&["FailedCreatePodSandBox"]).filter(|_| !tried.pod.has_sandbox())?;
    Some(Finding::Sandbox { said: words::cut(event.message()) })
}

/// A pull that failed, where only an event says so: the kubelet tries again, and the container's state has no words.
fn event_of_pull(tried: &Tried<'_>) -> Option<Finding> {
    let event = tried.event(&["Failed", "Pulling", "Pulled", "InspectFailed"])?;
    if !is_pull(event.reason(), event.message()) {
        return None;
    }
    let waits = |status: &&ContainerStatus| !status.ready && status.state.waiting.is_some();
    let container = tried.pod.status.containers().find(waits)?;
    Some(pull(tried, &container.name, event.reason(), event.message()))
}

/// Explains why a container does not run.
fn explain(tried: &Tried<'_>, status: &ContainerStatus) -> Option<Finding> {
    let last = status.last_state.terminated.as_ref();
    if let Some(waiting) = &status.state.waiting {
        return match waiting.reason.as_str() {
            // Not begun, or about to begin again.
            "" | "PodInitializing" | "ContainerCreating" => again(tried, status, last?),
            "CrashLoopBackOff" => Some(match last {
                Some(ended) => crash(tried, status, ended, &waiting.message),
                None => crashes(status, None, &waiting.message),
            }),
            reason if is_pull(reason, "") => Some(pull(tried, &status.name, reason, &waiting.message)),
            reason => Some(created(tried, &status.name, reason, &waiting.message)),
        };
    }
    match &status.state.terminated {
        Some(ended) if ended.exit_code == 0 && is_init(tried, &status.name) => None,
        Some(ended) => again(tried, status, ended),
        None => again(tried, status, last?),
    }
}

fn is_init(tried: &Tried<'_>, name: &str) -> bool {
    tried.pod.spec.init_containers.iter().any(|container| container.name == name)
}

/// Explains a container that ended and starts again by itself. A server that ends once or twice may have looked for the
/// model before the sidecar's link was there.
fn again(tried: &Tried<'_>, status: &ContainerStatus, ended: &Reason) -> Option<Finding> {
    let is_ours = Tried::is_sidecar(&status.name) || is_init(tried, &status.name);
    let found = crash(tried, status, ended, "");
    let is_vague = matches!(found, Finding::ServerCrashes { .. } | Finding::ModelUnseen { .. }) && !is_ours;
    let is_kill = match &found {
        Finding::ProbeKills { said, .. } => said.is_empty(),
        _ => was_killed(ended) && matches!(found, Finding::SidecarCrashes { .. }),
    };
    if was_lost(ended) || status.restart_count <= RACE_RESTARTS && (is_vague || is_kill) {
        let what =
            Wait::Restarting { container: status.name.clone(), ended: ending(ended), restarts: status.restart_count };
        return Some(Finding::Waits { what });
    }
    if is_ours && status.state.running.is_some() && is_slow(ended) {
        return None;
    }
    Some(found)
}

/// Returns whether a container ended with its node, so that nobody knows how.
fn was_lost(ended: &Reason) -> bool {
    matches!(ended.reason.as_str(), "Unknown" | "ContainerStatusUnknown")
}

/// Returns whether a busy node ended a container, which then started.
fn is_slow(ended: &Reason) -> bool {
    of_container(&ended.message) == CreateFault::Slow
}

/// Explains a pull that failed.
fn pull(tried: &Tried<'_>, container: &str, reason: &str, message: &str) -> Finding {
    let own = tried.image(container);
    // The message names the image: with an image volume it is another one than the container's, and KServe changes tags.
    let image = if !own.is_empty() && message.contains(&format!("\"{own}\"")) {
        own
    } else {
        quoted_image(message).unwrap_or(own)
    };
    let is_native = tried.evidence.mode == Mode::Native && message.contains("ImageVolume");
    let why = of_pull(reason, message);
    // A secret that is named and not there leaves the node without a login; the failure of the pull does not say so.
    let mut events = tried.events.iter().filter(|_| why == PullFault::Denied);
    let secret = events.find(|event| event.reason() == "FailedToRetrieveImagePullSecret").map(|event| event.message());
    let said = secret.map_or_else(|| message.to_owned(), |secret| format!("{secret} {message}"));
    Finding::Pull {
        container: container.to_owned(),
        image: words::cut(image),
        of_model: tried.is_model(image) || Tried::is_sidecar(container) || is_native,
        why,
        said: words::cut(&said),
        secrets: tried
            .pod
            .spec
            .image_pull_secrets
            .iter()
            .take(SECRETS_MAX)
            .map(|secret| words::cut(&secret.name))
            .collect(),
    }
}

/// Reads `image "REFERENCE"` in the words of the kubelet.
fn quoted_image(message: &str) -> Option<&str> {
    message.split("image \"").skip(1).find_map(|rest| rest.split('"').next()).filter(|image| !image.is_empty())
}

/// Explains why a container was not made or not started.
fn created(tried: &Tried<'_>, name: &str, reason: &str, message: &str) -> Finding {
    let (container, image, said) = (name.to_owned(), words::cut(tried.image(name)), words::cut(message));
    match of_container(message) {
        CreateFault::Missing { kind, name } => Finding::Waits {
            what: Wait::MissingObject { kind: kind.to_owned(), name: words::cut(&name), container, said },
        },
        CreateFault::NamedUser => Finding::NamedUser { container, image, said },
        CreateFault::Root => Finding::RunsAsRoot { container, image },
        CreateFault::Processor => Finding::Processor { container, image, said },
        CreateFault::NoShell if Tried::is_sidecar(name) => Finding::NoShell { container, said },
        CreateFault::NoImageVolumes => {
            let runtime = tried.node().map(|node| words::cut(&node.runtime)).unwrap_or_default();
            Finding::NativeRuntime { runtime, said }
        }
        CreateFault::NoSubPath if tried.evidence.mode == Mode::Native => Finding::NoModels { container },
        CreateFault::Mount => Finding::MountFails { container, said },
        _ if message.contains("no space left on device") => pull(tried, name, reason, message),
        CreateFault::Other if Tried::is_sidecar(name) && reason != "CreateContainerConfigError" => {
            Finding::NotStarted { container, said }
        }
        _ => Finding::NotCreated { container, reason: words::cut(reason), said },
    }
}

/// Explains how a container ended. `back_off` is what the kubelet says of its next start.
fn crash(tried: &Tried<'_>, status: &ContainerStatus, ended: &Reason, back_off: &str) -> Finding {
    let (name, text) = (status.name.as_str(), ended.message.as_str());
    let (container, said) = (name.to_owned(), words::cut(text));
    if matches!(ended.reason.as_str(), "StartError" | "ContainerCannotRun") {
        return created(tried, name, &ended.reason, text);
    }
    if text.contains("exec format error") {
        return Finding::Processor { container, image: words::cut(tried.image(name)), said };
    }
    match (ended.reason.as_str(), name) {
        ("OOMKilled", name) if Tried::is_sidecar(name) => Finding::SidecarMemory { container },
        ("OOMKilled", _) => Finding::ServerMemory { container, restarts: status.restart_count },
        (_, "storage-initializer") => {
            Finding::DownloadFailed { said: if said.is_empty() { words::cut(back_off) } else { said } }
        }
        (_, name) if name.starts_with("modelcar-init") => init(tried, status, ended, back_off),
        (_, name) if Tried::is_sidecar(name) => sidecar(status, ended, back_off),
        _ => server(tried, status, ended, back_off),
    }
}

/// Explains how `modelcar-init` ended. The command of KServe ends with 0 or 1 and nothing else, and says `NOK` where its
/// words are kept; an entrypoint may end with 1 too.
fn init(tried: &Tried<'_>, status: &ContainerStatus, ended: &Reason, back_off: &str) -> Finding {
    let container = status.name.clone();
    match ended.exit_code {
        1 if ended.message.contains("NOK") => Finding::NoModels { container },
        1 => Finding::NoModelsOrEntrypoint { container },
        _ if was_killed(ended) => crashes(status, Some(ended), back_off),
        126 | 127 if matches!(of_container(&ended.message), CreateFault::NoShell) => {
            created(tried, &status.name, &ended.reason, &ended.message)
        }
        exit_code => Finding::ForeignExit { container, exit_code },
    }
}

/// Explains how a sidecar ended, which must not end.
fn sidecar(status: &ContainerStatus, ended: &Reason, back_off: &str) -> Finding {
    let container = status.name.clone();
    if ended.exit_code == 0 {
        return Finding::SidecarEnded { container };
    }
    if ended.message.contains("ln:") {
        return Finding::Link { container, said: words::cut(&ended.message) };
    }
    crashes(status, Some(ended), back_off)
}

/// Explains how a server ended, by its last words.
fn server(tried: &Tried<'_>, status: &ContainerStatus, ended: &Reason, back_off: &str) -> Finding {
    let (container, said) = (status.name.clone(), words::cut(&ended.message));
    let small = ended.message.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| small.contains(part));
    if has(&["permission denied", "permissionerror", "eacces"]) && has(&["/mnt/models", "/models", "/proc/"]) {
        return Finding::ModelDenied { container, ended: ending(ended) };
    }
    if has(&["cuda out of memory", "outofmemoryerror", "no available memory for the cache blocks", "hip out of memory"])
    {
        return Finding::GpuMemory { container, said };
    }
    if has(&["no such file", "not exist", "filenotfound", "not a directory", "repo id must", "no config.json"])
        && has(&["/mnt/models"])
    {
        return Finding::ModelUnseen { container, ended: ending(ended) };
    }
    let probe = probe(tried, &status.name);
    if was_killed(ended) && ended.reason == "Error" || probe.is_some() && status.restart_count > 0 {
        return Finding::ProbeKills { container, restarts: status.restart_count, said: probe.unwrap_or_default() };
    }
    crashes(status, Some(ended), back_off)
}

/// What the kubelet says when it kills a container because of a probe: `Container NAME failed startup probe, will be
/// restarted`.
fn probe(tried: &Tried<'_>, container: &str) -> Option<String> {
    let is_kill =
        |text: &str| text.contains(&format!("{container} failed")) && text.contains("probe, will be restarted");
    let mut kills = tried.events.iter().filter(|event| event.reason() == "Killing");
    let kill = kills.find(|event| is_kill(event.message()))?;
    let why = tried.event(&["Unhealthy"]).map(|event| words::cut(event.message()));
    Some([words::cut(kill.message())].into_iter().chain(why).collect::<Vec<_>>().join(". "))
}

/// Returns whether a signal from outside ended a container: a probe failed, the node shut down, or memory ran out.
fn was_killed(ended: &Reason) -> bool {
    matches!(ended.exit_code, 137 | 143)
}

fn crashes(status: &ContainerStatus, ended: Option<&Reason>, back_off: &str) -> Finding {
    let (container, ended, said) = (status.name.clone(), ended.map(ending), words::cut(back_off));
    if Tried::is_sidecar(&container) {
        Finding::SidecarCrashes { container, ended, said }
    } else {
        Finding::ServerCrashes { container, ended, said }
    }
}

/// The status, reason and last words of a container that ended.
fn ending(ended: &Reason) -> Ending {
    Ending { exit_code: ended.exit_code, reason: words::cut(&ended.reason), said: words::cut(&ended.message) }
}

/// The kubelet starts the server before the sidecar: it may look for the model too early, once.
fn race(tried: &Tried<'_>, found: &mut Vec<Finding>) {
    let evidence = tried.evidence;
    let Some(target) = evidence.target else { return };
    let of = |name: &str| tried.pod.status.container_statuses.iter().find(|container| container.name == name);
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
    } else if restarts <= EARLIER_RESTARTS {
        Finding::StartRace { container, restarts }
    } else {
        Finding::ServerRestarted { container, restarts }
    }
}

/// Turns what follows from another finding into a symptom of it, so that one cause is told once.
pub(super) fn symptoms(found: &mut [Finding]) {
    let has_cause = found.iter().any(Finding::explains_crashes);
    let sidecar_fails = found.iter().any(|finding| matches!(finding, Finding::SidecarCrashes { .. }));
    for finding in found {
        *finding = match finding {
            Finding::ServerCrashes { container, ended, .. } if has_cause || sidecar_fails => {
                Finding::Symptom { container: container.clone(), ended: ended.take() }
            }
            Finding::SidecarCrashes { container, ended, .. } if has_cause => {
                Finding::Symptom { container: container.clone(), ended: ended.take() }
            }
            Finding::ModelUnseen { container, ended } | Finding::ModelDenied { container, ended } if has_cause => {
                Finding::Symptom { container: container.clone(), ended: Some(ended.clone()) }
            }
            Finding::Waits { what: Wait::Restarting { container, ended, .. } } if has_cause || sidecar_fails => {
                Finding::Symptom { container: container.clone(), ended: Some(ended.clone()) }
            }
            _ => continue,
        };
    }
}
