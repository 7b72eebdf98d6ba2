//! Pods that did not get as far as a container, and services without pods.

use serde_json::{Value, json};

use super::{documents::*, situations};

fn pulls(reason: &str, message: &str) -> Value {
    pod("m-0", spec(), init(waiting(reason, message), json!({}), 0))
}

/// A pull that failed with these words of the container runtime.
fn pull(message: &str) -> Value {
    pulls("ErrImagePull", message)
}

fn waits_with(events: &[Value], set_up: &str) -> Value {
    list(&[&[pod("m-0", spec(), beginning(set_up))], events].concat())
}

fn pod_event(kind: &str, reason: &str, message: &str) -> Value {
    event(kind, ("Pod", "m-0"), reason, message)
}

/// A service that a rollout updates on one GPU.
fn deadlock() -> Value {
    let words = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.";
    list(&[pod("old", spec(), ready()), pod("new", spec(), unscheduled("Unschedulable", words))])
}

fn revision(reason: &str, message: &str) -> Value {
    json!({"kind": "Revision", "apiVersion": "serving.knative.dev/v1", "metadata": {"name": "m-1", "namespace": "team",
            "labels": {"serving.kserve.io/inferenceservice": "m"}},
        "spec": {"containers": [{"name": "kserve-container", "env": [{"name": "STORAGE_URI", "value": format!("oci://{}", image())}]}]},
        "status": {"conditions": [condition("Ready", "False", reason, message)]}})
}

fn deployment(replicas: u32, conditions: Value) -> Value {
    json!({"kind": "Deployment", "metadata": {"name": "m-predictor", "namespace": "team", "resourceVersion": "3"},
        "spec": {"replicas": replicas, "template": pod("", spec(), json!(null))}, "status": {"conditions": conditions}})
}

situations! {
    no_node_has_the_gpu: list(&[pod("m-0", spec(), unscheduled("Unschedulable", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")), node("containerd://2.4.2")])
        => "waiting", "unschedulable", "", "request less";
    a_rollout_on_one_gpu: deadlock() => "waiting", "unschedulable", "", "stop the old pod first";
    a_taint: pod("m-0", spec(), unscheduled("Unschedulable", "0/1 nodes are available: 1 node(s) had untolerated taint {nvidia.com/gpu: present}."))
        => "waiting", "unschedulable", "", "";
    a_queue_holds_it_back: pod("m-0", spec(), unscheduled("SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates"))
        => "waiting", "scheduling-gated", "", "Kueue";
    no_scheduler_looked: pod("m-0", with(spec(), "/nodeName", json!("")), json!({"phase": "Pending"})) => "waiting", "not-scheduled", "", "events";
    the_pod_is_set_up: waits_with(&[], "False") => "waiting", "setting-up", "", "events";
    the_image_is_pulled: waits_with(&[pod_event("Normal", "Pulling", &format!("Pulling image \"{}\"", image()))], "True")
        => "waiting", "pulling", "modelcar-init", "";
    the_image_is_most_likely_pulled: waits_with(&[], "True") => "waiting", "pulling", "modelcar-init", "";
    the_container_starts: waits_with(&[pod_event("Normal", "Pulled", &format!("Successfully pulled image \"{}\" in 1s", image()))], "True")
        => "waiting", "starting", "modelcar-init", "";
    the_model_of_a_volume_is_pulled: list(&[pod("m-0", native_spec(), native(waiting("ContainerCreating", ""), json!({}), 0)),
            pod_event("Normal", "Pulling", &format!("Pulling image \"{}\"", image()))])
        => "waiting", "pulling", "kserve-container", "";
    a_secret_of_a_volume_is_missing: waits_with(&[pod_event("Warning", "FailedMount", "MountVolume.SetUp failed for volume \"hf\" : secret \"hf-token\" not found")], "False")
        => "waiting", "missing-secret", "", "kubectl get secret hf-token -n team";
    a_volume_can_not_be_attached: waits_with(&[pod_event("Warning", "FailedAttachVolume", "Multi-Attach error for volume \"pvc-1\"")], "False")
        => "waiting", "volume", "", "kubectl describe pod m-0";
    no_sandbox: waits_with(&[pod_event("Warning", "FailedCreatePodSandBox", "plugin type=\"bridge\" failed: no addresses left")], "False")
        => "failing", "sandbox", "", "network plugin";
    a_group_without_a_user: pod("m-0", with(spec(), "/securityContext", json!({"runAsGroup": 0})), beginning("False"))
        => "failing", "group-without-user", "", "runAsUser 1010";
    the_registry_has_no_such_digest: pull("rpc error: code = NotFound desc = failed to resolve reference \"r/m\": not found")
        => "failing", "image-not-found", "modelcar-init", "modelcar inspect reg.example/models/m:TAG";
    the_registry_has_no_such_manifest: pull("reading manifest v1 in reg.example/m: manifest unknown") => "failing", "image-not-found", "modelcar-init", "push the model again";
    no_variant_for_the_platform: pull("no match for platform in manifest: not found") => "failing", "image-platform", "modelcar-init", "--platform";
    no_variant_by_podman: pull("no image found in image index for architecture \"arm64\", variant \"v8\", OS \"linux\"")
        => "failing", "image-platform", "modelcar-init", "--platform";
    a_login_is_refused: pull("failed to fetch oauth token: unexpected status from GET request: 403 Forbidden")
        => "failing", "pull-denied", "modelcar-init", "imagePullSecrets";
    no_login: pull("pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials")
        => "failing", "pull-denied", "modelcar-init", "imagePullSecrets";
    no_login_at_all: pull("unexpected status code 401 Unauthorized") => "failing", "pull-denied", "modelcar-init", "make a secret";
    a_login_of_another_registry: pod("m-0", with(spec(), "/imagePullSecrets", json!([{"name": "regcred"}])),
        init(waiting("ErrImagePull", "unexpected status code 401 Unauthorized"), json!({}), 0))
        => "failing", "pull-denied", "modelcar-init", "kubectl get secret regcred";
    too_many_pulls: pull("429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit.")
        => "failing", "pull-rate-limited", "modelcar-init", "mirror";
    too_many_pulls_of_the_node: pull("pull QPS exceeded") => "failing", "pull-node-limited", "modelcar-init", "registryPullQPS";
    an_unknown_authority: pulls("ImagePullBackOff", "tls: failed to verify certificate: x509: certificate signed by unknown authority")
        => "failing", "pull-certificate", "modelcar-init", "the node, not the pod";
    plain_http: pull("http: server gave HTTP response to HTTPS client") => "failing", "pull-plain-http", "modelcar-init", "hosts.toml";
    a_registry_that_is_down: pull("failed to do request: Head \"https://reg.example/v2/\": dial tcp 10.0.0.1:443: connect: connection refused")
        => "failing", "registry-unreachable", "modelcar-init", "reach the registry";
    a_registry_without_a_name: pull("dial tcp: lookup reg.example on 10.0.0.10:53: no such host") => "failing", "registry-unreachable", "modelcar-init", "DNS";
    a_login_server_that_is_down: pull("failed to authorize: failed to fetch anonymous token: dial tcp 1.1.1.1:443: i/o timeout")
        => "failing", "registry-unreachable", "modelcar-init", "reach the registry";
    a_registry_that_fails: pull("unexpected status from HEAD request: 503 Service Unavailable") => "failing", "registry-fails", "modelcar-init", "wait";
    a_pull_that_was_cancelled: pull("rpc error: code = Canceled desc = failed to extract layer: context canceled")
        => "failing", "pull-cancelled", "modelcar-init", "image_pull_progress_timeout";
    a_pull_that_took_too_long: pulls("ImagePullBackOff", "rpc error: code = DeadlineExceeded desc = context deadline exceeded")
        => "failing", "pull-deadline", "modelcar-init", "faster disk";
    a_full_disk: pull("failed to extract layer: write /var/lib/containerd/x: no space left on device") => "failing", "disk", "modelcar-init", "boot disk";
    a_full_disk_in_an_event_alone: waits_with(&[pod_event("Warning", "Failed", "Failed to pull image \"m\": write: no space left on device")], "True")
        => "failing", "disk", "modelcar-init", "boot disk";
    other_bytes: pull("failed commit on ref \"layer\": unexpected commit digest sha256:1, expected sha256:2: failed precondition")
        => "failing", "image-corrupt", "modelcar-init", "proxy";
    a_name_with_words_of_every_fault: pull("failed to resolve reference \"reg.example/403-forbidden/certificate:sha-1a4290c\": \
         reg.example/403-forbidden/certificate:sha-1a4290c: not found") => "failing", "image-not-found", "modelcar-init", "digest";
    a_status_alone: pull("unexpected status code 403") => "failing", "pull-denied", "modelcar-init", "imagePullSecrets";
    a_port_that_looks_like_a_status: pull("dial tcp 10.0.0.1:4290: connect: connection refused") => "failing", "registry-unreachable", "modelcar-init", "reach";
    a_digest_that_looks_like_a_status: pull(&format!("failed to pull {}: connection reset by peer", "sha256:4290a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8a9b0c1d2e3f4a5b6c7d84030"))
        => "failing", "registry-unreachable", "modelcar-init", "reach the registry";
    never_pulled: pulls("ErrImageNeverPull", "Container image is not present with pull policy of Never") => "failing", "image-never-pulled", "modelcar-init", "IfNotPresent";
    no_signature: pulls("SignatureValidationFailed", "image pull failed because the signature validation failed") => "failing", "image-signature", "modelcar-init", "cosign";
    a_store_that_is_damaged: pulls("ImageInspectError", "Failed to inspect image") => "failing", "image-inspect", "modelcar-init", "store on the node";
    a_registry_that_is_not_available: pulls("RegistryUnavailable", "i/o") => "failing", "registry-unreachable", "modelcar-init", "reach the registry";
    a_name_that_is_none: pulls("InvalidImageName", "couldn't parse image name \"oci+native://x\": invalid reference format") => "failing", "image-name", "modelcar-init", "scheme";
    a_pull_without_words: pulls("ImagePullBackOff", "Back-off pulling image") => "failing", "image-pull", "modelcar-init", "kubectl describe pod m-0 -n team";
    a_pull_of_the_server_with_a_tag_of_kserve:
        pod("m-0", spec(), server(waiting("ImagePullBackOff", "Back-off pulling image \"vllm/vllm-openai:v0.23.0-gpu\": not found"), json!({}), 0))
        => "failing", "image-not-found", "kserve-container", "appends `-gpu`";
    a_pull_of_an_image_volume: pod("m-0", native_spec(), native(waiting("ImagePullBackOff", &format!("Back-off pulling image \"{}\": 403 Forbidden", image())), json!({}), 0))
        => "failing", "pull-denied", "kserve-container", "imagePullSecrets";
    evicted_by_its_own_limit: pod("m-0", spec(), failed("Evicted", "Pod ephemeral local storage usage exceeds the total limit of containers 10Gi. "))
        => "failing", "ephemeral-limit", "", "ephemeral-storage";
    evicted_by_a_containers_limit: pod("m-0", spec(), failed("Evicted", "Container kserve-container exceeded its local ephemeral storage limit \"1Gi\". "))
        => "failing", "ephemeral-limit", "", "ephemeral-storage";
    evicted_by_a_volumes_limit: pod("m-0", spec(), failed("Evicted", "Usage of EmptyDir volume \"dshm\" exceeds the limit \"1Gi\". "))
        => "failing", "empty-dir-limit", "", "sizeLimit";
    evicted_for_the_disk: pod("m-0", spec(), failed("Evicted", "The node was low on resource: ephemeral-storage.")) => "failing", "disk", "", "boot disk";
    evicted_for_pressure: pod("m-0", spec(), failed("Evicted", "The node had condition: [DiskPressure]. ")) => "failing", "disk", "", "boot disk";
    evicted_for_memory: pod("m-0", spec(), failed("Evicted", "The node was low on resource: memory.")) => "failing", "evicted", "", "request the memory";
    the_node_shut_down: pod("m-0", spec(), failed("NodeShutdown", "Pod was terminated in response to imminent node shutdown.")) => "failing", "node-shutdown", "", "another pod";
    a_spot_node_ended: pod("m-0", spec(), failed("Terminated", "Pod was terminated in response to imminent node shutdown.")) => "failing", "node-shutdown", "", "another pod";
    a_device_is_gone: pod("m-0", spec(), failed("UnexpectedAdmissionError", "Allocate failed due to requested number of devices unavailable for nvidia.com/gpu."))
        => "failing", "node-rejected", "", "device plugin";
    the_gpu_is_taken: pod("m-0", spec(), failed("OutOfnvidia.com/gpu", "Node didn't have enough resource: nvidia.com/gpu")) => "failing", "node-rejected", "", "device";
    the_node_changed: pod("m-0", spec(), failed("NodeAffinity", "Predicate NodeAffinity failed")) => "failing", "node-rejected", "", "kubectl describe node";
    a_more_important_pod: pod("m-0", spec(), failed("Preempting", "Preempted in order to admit critical pod")) => "failing", "preempted", "", "another pod";
    no_quota: refused("pods \"m\" is forbidden: exceeded quota: q, requested: limits.nvidia.com/gpu=1, used: limits.nvidia.com/gpu=4, limited: limits.nvidia.com/gpu=4")
        => "failing", "quota", "", "ResourceQuota";
    a_quota_that_wants_limits: refused("pods \"m\" is forbidden: failed quota: q: must specify limits.cpu for: modelcar") => "failing", "quota", "", "ResourceQuota";
    below_a_minimum: refused("pods \"m\" is forbidden: minimum memory usage per Container is 64Mi, but request is 15Mi") => "failing", "limit-range", "", "memoryModelcar";
    a_webhook_that_is_down: refused("Internal error occurred: failed calling webhook \"inferenceservice.kserve-webhook-server.pod-mutator\": no endpoints available for service")
        => "failing", "webhook-down", "", "endpoints";
    pod_security: refused("pods \"m\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false") => "failing", "pod-security", "", "oci+native";
    a_constraint_of_openshift: refused("pods \"m\" is forbidden: unable to validate against any security context constraint: [1010 is not an allowed group]")
        => "failing", "scc", "", "SCC";
    a_policy: refused("admission webhook \"validate.kyverno.svc-fail\" denied the request: resource Pod was blocked due to the following policies") => "failing", "policy", "", "policy";
    a_policy_of_the_api_server: refused("pods \"m\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no latest") => "failing", "policy", "", "policy";
    no_image_volumes: refused("Pod \"m\" is invalid: [spec.volumes[0]: Required value: must specify a volume type, spec.containers[0].volumeMounts[0].name: Not found: \"mnt-models\"]")
        => "failing", "image-volume-gate", "", "ImageVolume";
    no_sub_paths: refused("Pod \"m\" is invalid: spec.containers[0].volumeMounts[0].subPath: Invalid value: \"models\": not allowed in image volumes")
        => "failing", "image-volume-sub-path", "", "1.33";
    no_service_account: refused("pods \"m\" is forbidden: error looking up service account team/sa: serviceaccount \"sa\" not found") => "failing", "missing-object", "", "create";
    no_priority_class: refused("pods \"m\" is forbidden: no PriorityClass with name high was found") => "failing", "pod-refused", "", "mend";
    knative_gave_up: revision("ProgressDeadlineExceeded", "Initial scale was never achieved") => "failing", "progress-deadline", "", "progress-deadline";
    knative_waits: revision("Deploying", "") => "waiting", "service-not-ready", "", "kubectl get isvc,deploy,rs,pod,events,nodes -n team";
    a_rollout_that_takes_long: list(&[deployment(1, json!([condition("Progressing", "False", "ProgressDeadlineExceeded", "timed out progressing")])), pod("m-0", spec(), beginning("True"))])
        => "waiting", "progress-deadline", "", "longer";
    scaled_to_zero: deployment(0, json!([])) => "", "", "", "";
    a_service_that_is_stopped: service(json!([condition("Ready", "False", "Stopped", "")])) => "waiting", "stopped", "", "serving.kserve.io/stop-";
    a_service_that_is_stopped_in_a_list: list(&[service(json!([condition("Stopped", "True", "", "")])), deployment(0, json!([]))])
        => "waiting", "stopped", "", "serving.kserve.io/stop-";
    a_service_without_pods: service(json!([condition("PredictorReady", "False", "Deploying", "no pods")])) => "waiting", "service-not-ready", "", "kubectl get";
    a_revision_that_failed: service(json!([condition("Ready", "False", "RevisionFailed", "Revision m failed")])) => "failing", "service-not-ready", "", "kubectl get";
}
