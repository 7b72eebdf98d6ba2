//! What a pod waits for that is not Ready and of which nothing is known to be wrong.

use super::{
    cause::{CreateFault, of_container},
    events::Event,
    finding::Finding,
    pod::{ContainerStatus, Pod},
    tried::Tried,
    wait::Wait,
    words,
};

/// Most containers that are told of.
const MOST_CONTAINERS: usize = 3;
/// Conditions that say no more than that containers are not ready.
const SUMMARIES: [&str; 6] =
    ["Ready", "ContainersReady", "Initialized", "PodScheduled", "PodReadyToStartContainers", "DisruptionTarget"];

/// Adds what a pod waits for that is not Ready.
pub(super) fn find(tried: &Tried<'_>, found: &mut Vec<Finding>) {
    let pod = tried.pod;
    if pod.ready() != Some(false) || found.iter().any(Finding::is_waiting) {
        return;
    }
    let mut waits = waits(tried);
    // A pod that gets no sandbox waits for nothing else, as soon as it is on a node.
    if found.iter().any(|finding| matches!(finding, Finding::GroupWithoutUser { .. })) {
        waits.retain(|wait| !matches!(wait, Wait::SettingUp { .. }));
    } else if waits.is_empty() {
        waits.push(Wait::NotReady { phase: phase(pod) });
    }
    found.extend(waits.into_iter().map(|what| Finding::Waits { what }));
}

fn waits(tried: &Tried<'_>) -> Vec<Wait> {
    let pod = tried.pod;
    let before = scheduler(tried).or_else(|| volume(tried));
    if let Some(wait) = before {
        return vec![wait];
    }
    let status = &pod.status;
    let is_open = |status: &&ContainerStatus| !status.ready;
    // Init containers run one after the other: what comes after the first one that is not through waits for it.
    if let Some(init) = status.init_container_statuses.iter().find(is_open) {
        return container(tried, init).into_iter().collect();
    }
    let open = status.container_statuses.iter().filter(is_open).take(MOST_CONTAINERS);
    let mut waits: Vec<Wait> = open.filter_map(|status| container(tried, status)).collect();
    // The sandbox is one for all.
    waits.dedup_by(|a, b| matches!((a, b), (Wait::SettingUp { .. }, Wait::SettingUp { .. })));
    if waits.is_empty() {
        waits.extend(gates(pod));
    }
    waits
}

fn phase(pod: &Pod) -> String {
    let phase = pod.status.phase.as_str();
    if phase.is_empty() { "no phase".to_owned() } else { format!("phase {}", words::cut(phase)) }
}

/// What the scheduler says, or that it has said nothing.
fn scheduler(tried: &Tried<'_>) -> Option<Wait> {
    let pod = tried.pod;
    let Some(condition) = pod.condition("PodScheduled") else {
        let is_new = pod.status.containers().next().is_none() && pod.spec.node_name.is_empty();
        let is_pending = matches!(pod.status.phase.as_str(), "" | "Pending");
        return (is_new && is_pending).then(|| Wait::NotScheduled { since: pod.created.clone() });
    };
    if condition.status != "False" {
        return None;
    }
    let said = words::cut(&condition.message);
    if condition.reason == "SchedulingGated" {
        return Some(Wait::Gated { said });
    }
    let asks = tried.asks(&condition.message);
    Some(Wait::Unschedulable {
        said: words::reason_and_message(&condition.reason, said.trim_end_matches('.')),
        asks,
        replaces: tried.sibling.map(str::to_owned),
        since: condition.last_transition_time.clone(),
    })
}

/// What the kubelet says of a volume, as long as no container came further.
fn volume(tried: &Tried<'_>) -> Option<Wait> {
    if tried.pod.has_sandbox() {
        return None;
    }
    let event =
        tried.event(&["FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedPrepareDynamicResources"])?;
    let said = words::cut(event.message());
    Some(match of_container(event.message()) {
        CreateFault::Missing { kind, name } => {
            Wait::MissingObject { kind: kind.to_owned(), name: words::cut(&name), container: String::new(), said }
        }
        _ => Wait::Volume { said },
    })
}

/// What a container waits for that is not ready.
fn container(tried: &Tried<'_>, status: &ContainerStatus) -> Option<Wait> {
    let name = status.name.clone();
    let state = &status.state;
    if let Some(running) = &state.running {
        let since = words::cut(&running.started_at);
        if tried.pod.status.init_container_statuses.iter().any(|init| init.name == name) {
            return Some(Wait::Starting { container: name, since });
        }
        return Some(Wait::Probe { said: unhealthy(tried, &name), container: name, since });
    }
    let has_begun = state.terminated.is_some() || status.was_tried() && status.last_state.terminated.is_none();
    (!has_begun).then(|| begins(tried, status))
}

/// How far a container is that has not begun: its image comes, the pod is set up, or the container starts.
fn begins(tried: &Tried<'_>, status: &ContainerStatus) -> Wait {
    let container = status.name.clone();
    let spec = tried.container(&status.name);
    let images = spec.map(|spec| tried.images_before(spec)).unwrap_or_default();
    let told: Vec<(&str, Option<&Event>)> = images.iter().map(|image| (*image, tried.pull_event(image))).collect();
    let pulling = told
        .iter()
        .find_map(|(image, event)| event.filter(|event| event.reason() == "Pulling").map(|event| (*image, event)));
    if let Some((image, event)) = pulling {
        return Wait::Pulling { container, image: words::cut(image), is_told: true, since: words::cut(event.since()) };
    }
    let pod = tried.pod;
    let sandbox = pod.condition("PodReadyToStartContainers");
    let is_set_up = sandbox.map_or_else(|| pod.has_sandbox(), |condition| condition.status == "True");
    let since = sandbox.map(|condition| words::cut(&condition.last_transition_time));
    let since = since.filter(|since| !since.is_empty()).unwrap_or_else(|| words::cut(&pod.status.start_time));
    match told.iter().find(|(_, event)| event.is_none()) {
        Some((image, _)) if is_set_up && !image.is_empty() => {
            Wait::Pulling { container, image: words::cut(image), is_told: false, since }
        }
        None if is_set_up && !told.is_empty() => Wait::Starting { container, since },
        _ => Wait::SettingUp { since },
    }
}

/// What the kubelet says of a container's probe.
fn unhealthy(tried: &Tried<'_>, container: &str) -> String {
    let mut events = tried.events.iter().filter(|event| matches!(event.reason(), "Unhealthy" | "ProbeWarning"));
    events.find(|event| event.is_of(container)).map(|event| words::cut(event.message())).unwrap_or_default()
}

/// Conditions that somebody else has to fulfil.
fn gates(pod: &Pod) -> impl Iterator<Item = Wait> + '_ {
    let open = pod.status.conditions.iter().filter(|condition| condition.status != "True");
    open.filter(|condition| !SUMMARIES.contains(&condition.kind.as_str())).map(|condition| Wait::Gate {
        condition: words::cut(&condition.kind),
        said: words::reason_and_message(&condition.reason, &condition.message),
    })
}
