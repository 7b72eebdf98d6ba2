//! Pods that serve, whatever they went through, and pods that do not count.

use serde_json::json;

use super::{documents::*, situations};

/// A Ready pod of which one container ended once before.
fn after(index: usize, of: &str, last: serde_json::Value) -> serde_json::Value {
    let status = with(ready(), &format!("/{of}/{index}/lastState"), last);
    pod("m-0", spec(), with(status, &format!("/{of}/{index}/restartCount"), json!(1)))
}

/// A pod that runs this image where `wanted` is asked for.
fn runs(image: &str, wanted: &str) -> serde_json::Value {
    let spec = with(with(spec(), "/containers/1/image", json!(image)), "/initContainers/0/image", json!(image));
    let annotation = "/metadata/annotations/internal.serving.kserve.io~1storage-initializer-sourceuri";
    with(pod("m-0", spec, ready()), annotation, json!(format!("oci://{wanted}")))
}

fn of_digest(name: &str, digest: &str) -> serde_json::Value {
    let image = format!("reg.example/models/m@{digest}");
    with(runs(&image, &image), "/metadata/name", json!(name))
}

fn deleted(document: serde_json::Value) -> serde_json::Value {
    with(document, "/metadata/deletionTimestamp", json!("2026-11-25T17:45:22Z"))
}

fn stranger() -> serde_json::Value {
    json!({"kind": "Pod", "metadata": {"name": "redis", "namespace": "team", "resourceVersion": "3"},
        "spec": {"containers": [{"name": "redis"}]},
        "status": {"containerStatuses": [container("redis", false, 9, back_off(), ended("Error", 1, "Permission denied"))]}})
}

situations! {
    a_pod_that_is_ready: pod("m-0", spec(), ready()) => "ready", "", "", "";
    a_native_pod_that_is_ready: pod("m-0", native_spec(), ready()) => "ready", "", "", "";
    a_manifest: manifest(spec()) => "", "", "", "";
    the_start_race_is_over: after(0, "containerStatuses", ended("Error", 1, "")) => "ready", "", "", "";
    an_init_container_that_was_slow_once:
        after(0, "initContainerStatuses", ended("StartError", 128, "context deadline exceeded")) => "ready", "", "", "";
    an_init_container_that_ran_out_of_memory_once:
        after(0, "initContainerStatuses", ended("OOMKilled", 137, "")) => "ready", "", "", "";
    a_sidecar_that_was_slow_once: after(1, "containerStatuses", ended("StartError", 128, "context deadline exceeded"))
        => "ready", "sidecar-restarted", "modelcar", "restart the pod";
    a_node_that_was_restarted: after(1, "containerStatuses", ended("Unknown", 255, ""))
        => "ready", "sidecar-restarted", "modelcar", "restart the pod";
    a_server_that_ran_out_of_memory_before: after(0, "containerStatuses", ended("OOMKilled", 137, ""))
        => "ready", "server-memory", "kserve-container", "--memory";
    a_tag_that_a_policy_pinned: runs(&image(), "reg.example/models/m:v1") => "ready", "", "", "";
    a_tag_that_a_policy_pinned_and_kept:
        runs(&format!("reg.example/models/m:v1@{DIGEST}"), "reg.example/models/m:v1") => "ready", "", "", "";
    a_mirror_of_the_digest: runs(&format!("mirror.example/x/m@{DIGEST}"), &image()) => "ready", "", "", "";
    a_mirror_of_the_expected_digest: runs(&format!("mirror.example/x/m@{DIGEST}"), &image()), with &["--expect", DIGEST]
        => "ready", "", "", "";
    a_mirror_of_a_tag: runs(&format!("mirror.example/x/m@{DIGEST}"), "reg.example/models/m:v1")
        => "ready", "mirrored", "", "by its digest";
    another_image: runs(&format!("reg.example/other/n@{DIGEST}"), "reg.example/models/m:v1")
        => "failing", "other-image", "", "delete the pod";
    another_digest: runs(&image(), &format!("reg.example/models/m@{OLD_DIGEST}"))
        => "failing", "other-image", "", "delete the pod";
    the_expected_digest: of_digest("m-0", DIGEST), with &["--expect", DIGEST] => "ready", "", "", "";
    the_digest_before_alone: of_digest("m-0", OLD_DIGEST), with &["--expect", DIGEST]
        => "failing", "unexpected-digest", "", "apply the manifests";
    a_rollout_whose_old_pod_still_runs:
        list(&[of_digest("old", OLD_DIGEST), of_digest("new", DIGEST)]), with &["--expect", DIGEST] => "ready", "", "", "";
    a_rollout_whose_old_pod_is_deleted:
        list(&[deleted(of_digest("old", OLD_DIGEST)), of_digest("new", DIGEST)]), with &["--expect", DIGEST]
        => "ready", "", "", "";
    a_pod_that_is_being_deleted: deleted(pod("m-0", spec(), ready())) => "ready", "", "", "";
    an_evicted_pod_beside_its_successor:
        list(&[pod("old", spec(), failed("Evicted", "low on resource: ephemeral-storage")), pod("m-0", spec(), ready())])
        => "ready", "", "", "";
    a_stranger_that_crashes: list(&[pod("m-0", spec(), ready()), stranger()]) => "ready", "", "", "";
    a_service_that_is_ready_without_pods: service(json!([condition("Ready", "True", "", "")])) => "ready", "", "", "";
    a_read_only_root_with_tmp: pod("m-0", with(with(with(spec(), "/volumes/9", json!({"name": "tmp", "emptyDir": {}})),
            "/containers/0/volumeMounts/9", json!({"name": "tmp", "mountPath": "/tmp"})),
            "/containers/0/securityContext/readOnlyRootFilesystem", json!(true)), ready()) => "ready", "", "", "";
}
