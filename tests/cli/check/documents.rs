//! Documents in the form that `kubectl get -o json` gives them, as small as they can be.

use serde_json::{Value, json};

pub(super) const DIGEST: &str = "sha256:3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855e";
pub(super) const OLD_DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000001";

pub(super) fn image() -> String {
    format!("reg.example/models/m@{DIGEST}")
}

/// The specification that KServe 0.20 makes of a service with a model.
pub(super) fn spec() -> Value {
    let resources = json!({"limits": {"cpu": "10m", "memory": "15Mi"}, "requests": {"cpu": "10m", "memory": "15Mi"}});
    let mount = json!([{"name": "kserve-provision-location", "mountPath": "/mnt"}]);
    json!({"shareProcessNamespace": true, "nodeName": "node1",
        "securityContext": {"runAsUser": 1010, "runAsGroup": 0},
        "volumes": [{"name": "kserve-provision-location", "emptyDir": {}}],
        "initContainers": [{"name": "modelcar-init", "image": image(), "resources": resources,
            "args": ["sh", "-c", "[ -d /models ] && echo OK || (echo NOK && exit 1)"]}],
        "containers": [
            {"name": "kserve-container", "image": "vllm/vllm-openai:v0.23.0", "args": ["--model=/mnt/models"],
             "resources": {"limits": {"nvidia.com/gpu": "1"}}, "volumeMounts": mount,
             "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsUser": 1010}},
            {"name": "modelcar", "image": image(), "resources": resources, "volumeMounts": mount,
             "args": ["sh", "-c", "ln -sf /proc/$$$$/root/models /mnt/models && sleep infinity"],
             "securityContext": {"runAsUser": 1010}}]})
}

/// The specification with an image volume instead of a sidecar.
pub(super) fn native_spec() -> Value {
    json!({"nodeName": "node1", "volumes": [{"name": "mnt-models", "image": {"reference": image()}}],
        "containers": [{"name": "kserve-container", "image": "vllm/vllm-openai:v0.23.0", "volumeMounts": [
            {"name": "mnt-models", "mountPath": "/mnt/models", "subPath": "models", "readOnly": true}]}]})
}

/// A pod of the service `m`.
pub(super) fn pod(name: &str, spec: Value, status: Value) -> Value {
    json!({"kind": "Pod", "metadata": {"name": name, "namespace": "team", "resourceVersion": "7",
            "labels": {"serving.kserve.io/inferenceservice": "m", "component": "predictor"},
            "annotations": {"internal.serving.kserve.io/storage-initializer-sourceuri": format!("oci://{}", image())}},
        "spec": spec, "status": status})
}

/// A manifest of the pod, which no cluster tried.
pub(super) fn manifest(spec: Value) -> Value {
    let mut pod = pod("m-0", spec, json!({}));
    pod["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    pod
}

/// The pod `value` at `pointer`, whose parent is there.
pub(super) fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap_or_else(|| panic!("{parent}")) {
        Value::Object(map) => drop(map.insert(key.replace("~1", "/"), value)),
        Value::Array(items) => match key.parse::<usize>() {
            Ok(at) if at < items.len() => items[at] = value,
            _ => items.push(value),
        },
        _ => panic!("{pointer} is inside a scalar"),
    }
    document
}

pub(super) fn list(items: &[Value]) -> Value {
    json!({"kind": "List", "items": items})
}

pub(super) fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-11-25T17:45:07Z"})
}

/// Conditions of a pod that is on a node and not Ready.
fn not_ready(set_up: &str) -> Value {
    json!([
        condition("PodScheduled", "True", "", ""),
        condition("PodReadyToStartContainers", set_up, "", ""),
        condition("Ready", "False", "ContainersNotReady", "containers with unready status")
    ])
}

pub(super) fn container(name: &str, ready: bool, restarts: u64, state: Value, last: Value) -> Value {
    json!({"name": name, "ready": ready, "restartCount": restarts, "imageID": "", "state": state, "lastState": last})
}

pub(super) fn waiting(reason: &str, message: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": message}})
}

pub(super) fn running() -> Value {
    json!({"running": {"startedAt": "2026-11-25T17:46:00Z"}})
}

pub(super) fn ended(reason: &str, code: i64, message: &str) -> Value {
    json!({"terminated": {"reason": reason, "exitCode": code, "message": message}})
}

fn completed() -> Value {
    container("modelcar-init", true, 0, ended("Completed", 0, ""), json!({}))
}

fn begins(name: &str) -> Value {
    container(name, false, 0, waiting("PodInitializing", ""), json!({}))
}

/// Status of a pod whose init container is in this state.
pub(super) fn init(state: Value, last: Value, restarts: u64) -> Value {
    json!({"phase": "Pending", "conditions": not_ready("True"),
        "initContainerStatuses": [container("modelcar-init", false, restarts, state, last)],
        "containerStatuses": [begins("kserve-container"), begins("modelcar")]})
}

/// Status of a pod whose server is in this state, while the sidecar runs.
pub(super) fn server(state: Value, last: Value, restarts: u64) -> Value {
    json!({"phase": "Running", "conditions": not_ready("True"), "initContainerStatuses": [completed()],
        "containerStatuses": [container("kserve-container", false, restarts, state, last),
            container("modelcar", true, 0, running(), json!({}))]})
}

/// Status of a pod whose sidecar is in this state, while the server fails for want of it.
pub(super) fn sidecar(state: Value, last: Value, restarts: u64) -> Value {
    let fails = ended("Error", 1, "");
    json!({"phase": "Running", "conditions": not_ready("True"), "initContainerStatuses": [completed()],
        "containerStatuses": [
            container("kserve-container", false, restarts, waiting("CrashLoopBackOff", "back-off"), fails),
            container("modelcar", false, restarts, state, last)]})
}

pub(super) fn back_off() -> Value {
    waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container")
}

/// Status of a pod that is Ready.
pub(super) fn ready() -> Value {
    json!({"phase": "Running", "conditions": [condition("Ready", "True", "", "")],
        "initContainerStatuses": [completed()], "containerStatuses": [
            container("kserve-container", true, 0, running(), json!({})), container("modelcar", true, 0, running(), json!({}))]})
}

/// Status of a pod with an image volume whose server is in this state.
pub(super) fn native(state: Value, last: Value, restarts: u64) -> Value {
    json!({"phase": "Pending", "conditions": not_ready("True"),
        "containerStatuses": [container("kserve-container", false, restarts, state, last)]})
}

/// Status of a pod that the kubelet has ended or refused.
pub(super) fn failed(reason: &str, message: &str) -> Value {
    json!({"phase": "Failed", "reason": reason, "message": message})
}

/// Status of a pod that the scheduler does not place.
pub(super) fn unscheduled(reason: &str, message: &str) -> Value {
    json!({"phase": "Pending", "conditions": [condition("PodScheduled", "False", reason, message)]})
}

/// Status of a pod of which nothing has begun; `set_up` tells whether it has a sandbox.
pub(super) fn beginning(set_up: &str) -> Value {
    json!({"phase": "Pending", "conditions": not_ready(set_up), "initContainerStatuses": [begins("modelcar-init")],
        "containerStatuses": [begins("kserve-container"), begins("modelcar")]})
}

pub(super) fn event(kind: &str, about: (&str, &str), reason: &str, message: &str) -> Value {
    json!({"kind": "Event", "metadata": {"name": "e", "namespace": "team"}, "type": kind, "reason": reason,
        "message": message, "count": 2, "firstTimestamp": "2026-11-25T17:45:10Z", "reportingComponent": "kubelet",
        "involvedObject": {"kind": about.0, "namespace": "team", "name": about.1}})
}

/// A `ReplicaSet` of the service whose pods the API server refuses with these words.
pub(super) fn refused(message: &str) -> Value {
    json!({"kind": "ReplicaSet", "metadata": {"name": "m-predictor-1", "namespace": "team", "resourceVersion": "3"},
        "spec": {"replicas": 1, "template": pod("", spec(), json!(null))},
        "status": {"conditions": [condition("ReplicaFailure", "True", "FailedCreate", message)]}})
}

/// An `InferenceService` with these conditions.
pub(super) fn service(conditions: Value) -> Value {
    json!({"kind": "InferenceService", "metadata": {"name": "m", "namespace": "team"},
        "spec": {"predictor": {"model": {"storageUri": format!("oci://{}", image())}}}, "status": {"conditions": conditions}})
}

pub(super) fn node(runtime: &str) -> Value {
    json!({"kind": "Node", "metadata": {"name": "node1"}, "status": {"allocatable": {"nvidia.com/gpu": "0", "cpu": "8"},
        "nodeInfo": {"containerRuntimeVersion": runtime}}})
}
