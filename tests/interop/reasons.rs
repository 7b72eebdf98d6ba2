//! The words of Kubernetes for what becomes of a pod, in its own sources: `modelcar check` knows each of them.
//!
//! A word that a new release of Kubernetes adds is missing in a table here, and one that it drops is too much.

use std::{collections::BTreeMap, fs, path::Path, process::Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::parts::{Part, available, go_module, modelcar};

/// What `check` makes of a reason: its exit status, and the code of what it says.
type Table = &'static [(&'static str, i32, &'static str)];

/// Reasons for which a container waits.
const WAITING: Table = &[
    ("ConfigPodSandboxError", 1, "create-container"),
    ("ContainerCreating", 3, "pulling"),
    ("CrashLoopBackOff", 1, "server-crashes"),
    ("CreateContainerConfigError", 1, "create-container"),
    ("CreateContainerError", 1, "create-container"),
    ("CreatePodSandboxError", 1, "create-container"),
    ("ErrImageNeverPull", 1, "image-never-pulled"),
    ("ErrImagePull", 1, "image-pull"),
    ("ImageInspectError", 1, "image-inspect"),
    ("ImagePullBackOff", 1, "image-pull"),
    ("ImageVolumeMountFailed", 1, "create-container"),
    ("InvalidImageName", 1, "image-name"),
    ("KillContainerError", 1, "create-container"),
    ("KillPodSandboxError", 1, "create-container"),
    ("PodInitializing", 3, "pulling"),
    ("PostStartHookError", 1, "create-container"),
    ("PreCreateHookError", 1, "create-container"),
    ("PreStartHookError", 1, "create-container"),
    ("RROUnsupported", 1, "create-container"),
    ("RegistryUnavailable", 1, "registry-unreachable"),
    ("RemoveContainerError", 1, "create-container"),
    ("ResizePodInPlaceError", 1, "create-container"),
    ("RunContainerError", 1, "create-container"),
    ("SignatureValidationFailed", 1, "image-signature"),
];
const WAITING_SOURCES: &[(&str, &str)] = &[
    ("k8s.io/kubernetes", "pkg/kubelet/images/types.go"),
    ("k8s.io/kubernetes", "pkg/kubelet/container/sync_result.go"),
    ("k8s.io/kubernetes", "pkg/kubelet/kuberuntime/kuberuntime_container.go"),
    ("k8s.io/kubernetes", "pkg/kubelet/kubelet_pods.go"),
    ("k8s.io/cri-api", "pkg/errors/errors.go"),
];
/// Errors that no container waits for: they stay inside of the kubelet.
const INSIDE: [&str; 2] = ["no matching container", "logs not available"];

/// Reasons of a pod that failed.
const FAILED: Table = &[
    ("AppArmor", 1, "node-rejected"),
    ("Evicted", 1, "evicted"),
    ("InitContainerRestartPolicyForbidden", 1, "node-rejected"),
    ("InvalidNodeInfo", 1, "node-rejected"),
    ("NodeShutdown", 1, "node-shutdown"),
    ("OutOf", 1, "node-rejected"),
    ("OutOfcpu", 1, "node-rejected"),
    ("OutOfmemory", 1, "node-rejected"),
    ("OutOfpods", 1, "node-rejected"),
    ("PodFeatureUnsupported", 1, "node-rejected"),
    ("PodLevelResourcesNotSupported", 1, "node-rejected"),
    ("PodOSNotSupported", 1, "node-rejected"),
    ("PodOSSelectorNodeLabelDoesNotMatch", 1, "node-rejected"),
    ("SupplementalGroupsPolicyNotSupported", 1, "node-rejected"),
    ("SysctlForbidden", 1, "node-rejected"),
    ("Terminated", 1, "pod-failed"),
    ("UnexpectedAdmissionError", 1, "node-rejected"),
    ("UnexpectedPredicateFailureType", 1, "node-rejected"),
    ("UnknownReason", 1, "node-rejected"),
];
const FAILED_SOURCES: &[(&str, &str)] = &[
    ("k8s.io/kubernetes", "pkg/kubelet/lifecycle/predicate.go"),
    ("k8s.io/kubernetes", "pkg/kubelet/lifecycle/handlers.go"),
    ("k8s.io/kubernetes", "pkg/kubelet/sysctl/allowlist.go"),
    ("k8s.io/kubernetes", "pkg/kubelet/eviction/helpers.go"),
    ("k8s.io/kubernetes", "pkg/kubelet/nodeshutdown/nodeshutdown_manager.go"),
];

/// Reasons of the condition `PodScheduled`, and of others of a pod.
const CONDITIONS: Table = &[
    ("Deferred", 3, "unschedulable"),
    ("Error", 3, "unschedulable"),
    ("Infeasible", 3, "unschedulable"),
    ("PreemptionByScheduler", 3, "unschedulable"),
    ("SchedulerError", 3, "unschedulable"),
    ("SchedulingGated", 3, "scheduling-gated"),
    ("TerminationByKubelet", 3, "unschedulable"),
    ("Unschedulable", 3, "unschedulable"),
];

/// Events that change the verdict on a pod that waits.
const EVENTS: Table = &[
    ("FailedAttachVolume", 3, "volume"),
    ("FailedCreatePodSandBox", 1, "sandbox"),
    ("FailedMapVolume", 3, "volume"),
    ("FailedMount", 3, "volume"),
    ("FailedPrepareDynamicResources", 3, "volume"),
    ("InspectFailed", 1, "image-pull"),
];
/// Events that are quoted beside what the pod waits for.
const QUOTED: &[&str] = &[
    "AlreadyMountedVolume",
    "CgroupV1",
    "ContainerGCFailed",
    "Created",
    "ErrImageNeverPull",
    "ExceededGracePeriod",
    "Failed",
    "FailedCreatePodContainer",
    "FailedKillPod",
    "FailedMountOnFilesystemMismatch",
    "FailedNodeAllocatableEnforcement",
    "FailedNodeDeclaredFeaturesCheck",
    "FailedPodSandBoxStatus",
    "FailedPostStartHook",
    "FailedPreStopHook",
    "FailedSync",
    "FailedValidation",
    "FileSystemResizeFailed",
    "FileSystemResizeSuccessful",
    "FreeDiskSpaceFailed",
    "ImageGCFailed",
    "InvalidDiskCapacity",
    "InvalidImageID",
    "Killing",
    "KubeletSetupFailed",
    "NetworkNotReady",
    "NodeAllocatableEnforced",
    "NodeNotReady",
    "NodeNotSchedulable",
    "NodeReady",
    "NodeSchedulable",
    "PossibleMemoryBackedVolumesOnDisk",
    "Preempting",
    "ProbeWarning",
    "Pulled",
    "Pulling",
    "Rebooted",
    "ResizeCompleted",
    "ResizeDeferred",
    "ResizeError",
    "ResizeInfeasible",
    "ResizeStarted",
    "SandboxChanged",
    "Shutdown",
    "Started",
    "Starting",
    "SuccessfulAttachVolume",
    "SuccessfulMountVolume",
    "Unhealthy",
    "VolumePermissionChangeInProgress",
    "VolumeResizeFailed",
    "VolumeResizeSuccessful",
];
/// Events that say what the state of a container says.
const SILENT: &[&str] = &["BackOff"];

/// Reads the constants of Go files: `Name = "Word"` and `Name = errors.New("Word")`. Words that are no reason have a
/// space or begin with a small letter.
fn constants(sources: &[(&str, &str)], wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (module, path) in sources {
        let file = go_module(module).unwrap().join(path);
        let text = fs::read_to_string(&file).unwrap_or_else(|_| panic!("{}", file.display()));
        for line in text.lines().filter(|line| wanted(line)) {
            let Some((_, value)) = line.split_once("= ") else { continue };
            let value = value.trim_start_matches("errors.New(");
            let Some(word) = value.strip_prefix('"').and_then(|rest| rest.split('"').next()) else { continue };
            if word.starts_with(|first: char| first.is_ascii_uppercase()) && !word.contains([' ', '%', '/', '-', '.']) {
                found.push(word.to_owned());
            }
        }
    }
    found.sort();
    found.dedup();
    assert!(found.len() > 3, "{sources:?}");
    found
}

fn same(found: &[String], known: impl Iterator<Item = &'static str>) {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    assert_eq!(found, known, "left: what the sources have, right: what the table of this test has");
}

/// Asks `check` of a pod with this status, and of these events about it.
fn check(dir: &Path, status: &Value, event: Option<Value>) -> (i32, String) {
    let pod = json!({"kind": "Pod", "metadata": {"name": "m", "namespace": "n", "resourceVersion": "1"}, "status": status,
        "spec": {"volumes": [{"name": "mnt-models", "image": {"reference": format!("r.io/m@sha256:{}", "0".repeat(64))}}],
            "containers": [{"name": "kserve-container", "image": "r.io/s:1", "volumeMounts": [
                {"name": "mnt-models", "mountPath": "/mnt/models", "subPath": "models", "readOnly": true}]}]}});
    let items: Vec<Value> = [Some(pod), event].into_iter().flatten().collect();
    let file = dir.join("pod.json");
    fs::write(&file, json!({"kind": "List", "items": items}).to_string()).unwrap();
    let mut check = modelcar(dir);
    let output = check.arg("check").arg(&file).args(["--format", "json"]).stdin(Stdio::null()).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = answer["pods"][0]["findings"].as_array().unwrap();
    let codes: Vec<&str> = findings.iter().filter_map(|finding| finding["code"].as_str()).collect();
    (output.status.code().unwrap(), codes.join(" "))
}

fn on_a_node(set_up: &str, state: &Value) -> Value {
    json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"},
            {"type": "PodReadyToStartContainers", "status": set_up}, {"type": "Ready", "status": "False"}],
        "containerStatuses": [{"name": "kserve-container", "ready": false, "restartCount": 0, "imageID": "", "state": state,
            "lastState": {}}]})
}

/// Compares what `check` says of every word of a table with the table.
fn compare(table: Table, ask: impl Fn(&Path, &str) -> (i32, String)) {
    let dir = TempDir::new().unwrap();
    let wrong: BTreeMap<&str, (i32, String)> = table
        .iter()
        .map(|(word, status, code)| (*word, ask(dir.path(), word), (*status, *code)))
        .filter(|(_, got, (status, code))| got.0 != *status || got.1.split(' ').next() != Some(*code))
        .map(|(word, got, _)| (word, got))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_reason_of_a_container_is_known() {
    if !available(&[Part::KubernetesSources]) {
        return;
    }
    let is_reason = |line: &str| {
        line.contains("errors.New(") || line.contains("PodInitializing ") || line.contains("ContainerCreating ")
    };
    let found =
        constants(WAITING_SOURCES, |line| is_reason(line) && !INSIDE.iter().any(|inside| line.contains(inside)));
    same(&found, WAITING.iter().map(|row| row.0));
    compare(WAITING, |dir, reason| {
        check(dir, &on_a_node("True", &json!({"waiting": {"reason": reason, "message": ""}})), None)
    });
}

#[test]
fn every_reason_of_a_failed_pod_is_known() {
    if !available(&[Part::KubernetesSources]) {
        return;
    }
    let found = constants(FAILED_SOURCES, |line| line.starts_with('\t') && !line.contains(":="));
    same(&found, FAILED.iter().map(|row| row.0));
    compare(FAILED, |dir, reason| check(dir, &json!({"phase": "Failed", "reason": reason, "message": ""}), None));
}

#[test]
fn every_reason_of_a_condition_is_known() {
    if !available(&[Part::KubernetesSources]) {
        return;
    }
    let found = constants(&[("k8s.io/api", "core/v1/types.go")], |line| line.trim_start().starts_with("PodReason"));
    same(&found, CONDITIONS.iter().map(|row| row.0));
    compare(CONDITIONS, |dir, reason| {
        let condition = json!({"type": "PodScheduled", "status": "False", "reason": reason, "message": ""});
        check(dir, &json!({"phase": "Pending", "conditions": [condition]}), None)
    });
}

#[test]
fn every_event_of_the_kubelet_is_known() {
    if !available(&[Part::KubernetesSources]) {
        return;
    }
    let found = constants(&[("k8s.io/kubernetes", "pkg/kubelet/events/event.go")], |_| true);
    let rows = EVENTS.iter().map(|row| row.0).chain(QUOTED.iter().copied()).chain(SILENT.iter().copied());
    same(&found, rows);
    let ask = |dir: &Path, reason: &str| {
        let event = json!({"kind": "Event", "type": "Warning", "reason": reason, "message": "words", "reportingComponent": "kubelet",
            "involvedObject": {"kind": "Pod", "namespace": "n", "name": "m"}});
        check(dir, &on_a_node("False", &json!({"waiting": {"reason": "ContainerCreating"}})), Some(event))
    };
    compare(EVENTS, ask);
    let dir = TempDir::new().unwrap();
    for reason in QUOTED {
        assert_eq!(ask(dir.path(), reason), (3, "setting-up event".to_owned()), "{reason}");
    }
    for reason in SILENT {
        assert_eq!(ask(dir.path(), reason), (3, "setting-up".to_owned()), "{reason}");
    }
}
