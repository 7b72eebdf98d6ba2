//! Containers that were made and do not stay up, and specifications that can't work.

use serde_json::{Value, json};

use super::{documents::*, situations};

fn server_pod(state: Value, last: Value, restarts: u64) -> Value {
    pod("m-0", spec(), server(state, last, restarts))
}

/// A server that crashes with these last words.
fn crashes(code: i64, message: &str) -> Value {
    server_pod(back_off(), ended("Error", code, message), 6)
}

fn init_pod(state: Value, last: Value) -> Value {
    pod("m-0", spec(), init(state, last, 4))
}

fn sidecar_pod(last: Value) -> Value {
    pod("m-0", spec(), sidecar(back_off(), last, 6))
}

fn native_pod(state: Value, last: Value) -> Value {
    pod("m-0", native_spec(), native(state, last, 4))
}

fn start_error(message: &str) -> Value {
    ended("StartError", 128, message)
}

fn mounted(name: &str, path: &str, volume: Value) -> Value {
    let spec = with(spec(), "/volumes/9", with(volume, "/name", json!(name)));
    with(spec, "/containers/0/volumeMounts/9", json!({"name": name, "mountPath": path}))
}

/// A pod whose own container serves, with this environment.
fn custom(name: &str, env: Value) -> Value {
    let spec = json!({"containers": [{"name": name, "image": "vllm/vllm-openai:v0.23.0", "args": ["--model=/mnt/models"], "env": env}]});
    json!({"kind": "Pod", "metadata": {"name": "m-0", "labels": {"serving.kserve.io/inferenceservice": "m"}}, "spec": spec})
}

situations! {
    the_server_runs_and_loads: server_pod(running(), json!({}), 0) => "waiting", "probe", "kserve-container", "kubectl logs m-0 -n team -c kserve-container";
    the_server_looked_too_early: server_pod(running(), ended("Error", 1, ""), 1) => "waiting", "restarting", "kserve-container", "--previous";
    the_server_exits: crashes(3, "no such option") => "failing", "server-crashes", "kserve-container", "kubectl logs m-0 -n team -c kserve-container --previous";
    the_server_exits_between_two_starts: server_pod(running(), ended("Error", 3, ""), 4) => "failing", "server-crashes", "kserve-container", "--previous";
    the_server_has_no_memory: server_pod(back_off(), ended("OOMKilled", 137, ""), 6) => "failing", "server-memory", "kserve-container", "modelcar inspect reg.example/models/m@sha256:3b0c";
    the_server_has_no_memory_and_starts: server_pod(running(), ended("OOMKilled", 137, ""), 4) => "failing", "server-memory", "kserve-container", "--memory";
    the_gpu_has_no_memory: crashes(1, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB") => "failing", "gpu-memory", "kserve-container", "GPUs";
    the_probe_kills_it: server_pod(running(), ended("Error", 137, ""), 5) => "failing", "probe-killed", "kserve-container", "startupProbe";
    the_probe_kills_it_and_an_event_says_so: list(&[server_pod(running(), ended("Error", 1, ""), 1),
            event("Normal", ("Pod", "m-0"), "Killing", "Container kserve-container failed startup probe, will be restarted")])
        => "failing", "probe-killed", "kserve-container", "startupProbe";
    the_model_may_not_be_read: crashes(1, "PermissionError: [Errno 13] Permission denied: '/mnt/models/config.json'") => "failing", "model-denied", "kserve-container", "modelcar inspect --lint reg.example";
    the_model_is_not_seen: crashes(1, "FileNotFoundError: [Errno 2] No such file or directory: '/mnt/models/config.json'") => "failing", "model-unseen", "kserve-container", "-c modelcar";
    a_secret_is_missing: server_pod(waiting("CreateContainerConfigError", "secret \"hf-token\" not found"), json!({}), 0)
        => "waiting", "missing-secret", "kserve-container", "kubectl get secret hf-token -n team";
    a_key_of_a_secret_is_missing: server_pod(waiting("CreateContainerConfigError", "couldn't find key token in Secret team/hf-token"), json!({}), 0)
        => "waiting", "missing-secret", "kserve-container", "kubectl get secret hf-token -n team";
    a_config_map_is_missing: server_pod(waiting("CreateContainerConfigError", "configmap \"chat\" not found"), json!({}), 0)
        => "waiting", "missing-configmap", "kserve-container", "kubectl get configmap chat -n team";
    the_models_user_has_a_name: init_pod(waiting("CreateContainerConfigError", "container has runAsNonRoot and image has non-numeric user (model), cannot verify user is non-root"), json!({}))
        => "failing", "named-user", "modelcar-init", "modelcar inspect --lint reg.example";
    the_model_is_roots: init_pod(waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"), json!({}))
        => "failing", "runs-as-root", "modelcar-init", "modelcar inspect --lint reg.example";
    the_server_is_roots: server_pod(waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"), json!({}), 0)
        => "failing", "runs-as-root", "kserve-container", "the server's";
    a_container_can_not_be_made: init_pod(waiting("CreateContainerError", "context deadline exceeded"), json!({})) => "failing", "create-container", "modelcar-init", "slow";
    a_reason_that_is_new: init_pod(waiting("SomethingNewError", "something new"), json!({})) => "failing", "entrypoint", "modelcar-init", "";
    a_reason_of_the_server_that_is_new: server_pod(waiting("SomethingNewError", "something new"), json!({}), 0) => "failing", "create-container", "kserve-container", "";
    no_shell: init_pod(waiting("RunContainerError", "exec: \"sh\": executable file not found in $PATH"), json!({})) => "failing", "no-shell", "modelcar-init", "base with a shell";
    a_shell_that_may_not_be_run: init_pod(back_off(), start_error("exec: \"sh\": permission denied")) => "failing", "no-shell", "modelcar-init", "every user";
    another_processor: init_pod(back_off(), ended("Error", 255, "exec /bin/sh: exec format error")) => "failing", "exec-format", "modelcar-init", "--platform";
    another_processor_at_the_start: init_pod(back_off(), start_error("exec: \"sh\": exec format error: unknown")) => "failing", "exec-format", "modelcar-init", "--platform";
    another_processor_of_the_server: crashes(255, "exec /usr/bin/python3: exec format error") => "failing", "exec-format", "kserve-container", "image of the server";
    no_models: init_pod(back_off(), ended("Error", 1, "NOK ... Prefetched but modelcar is invalid")) => "failing", "no-models", "modelcar-init", "modelcar inspect --lint reg.example";
    no_models_or_an_entrypoint: init_pod(back_off(), ended("Error", 1, "")) => "failing", "no-models", "modelcar-init", "kubectl logs m-0 -n team -c modelcar-init";
    an_entrypoint: init_pod(back_off(), ended("Error", 2, "usage: serve")) => "failing", "entrypoint", "modelcar-init", "modelcar inspect --lint reg.example";
    the_init_container_has_no_memory: init_pod(back_off(), ended("OOMKilled", 137, "")) => "failing", "sidecar-memory", "modelcar-init", "memoryModelcar";
    the_sidecar_ends: sidecar_pod(ended("Completed", 0, "")) => "failing", "sidecar-ended", "modelcar", "entrypoint";
    the_link_is_taken: sidecar_pod(ended("Error", 1, "ln: /mnt/models: File exists")) => "failing", "link", "modelcar", "File exists";
    the_link_is_denied: sidecar_pod(ended("Error", 1, "ln: /mnt/models: Permission denied")) => "failing", "link", "modelcar", "may not write";
    the_sidecar_crashes: sidecar_pod(ended("Error", 9, "")) => "failing", "sidecar-crashes", "modelcar", "modelcar inspect --lint";
    the_runtime_knows_no_image_volumes: native_pod(waiting("CreateContainerError", "failed to generate spec: failed to mkdir \"\": mkdir : no such file or directory"), json!({}))
        => "failing", "native-runtime", "", "containerd 2.2";
    docker_knows_no_image_volumes: native_pod(waiting("CreateContainerError", "invalid mount config for type \"bind\": field Source must not be empty"), json!({}))
        => "failing", "native-runtime", "", "containerd 2.2";
    the_node_mounts_no_sub_path: list(&[native_pod(back_off(), ended("Error", 1, "")), node("containerd://2.1.4")]) => "failing", "native-runtime", "", "containerd 2.2";
    the_node_mounts_sub_paths: list(&[native_pod(back_off(), ended("Error", 1, "")), node("containerd://2.4.2")]) => "failing", "server-crashes", "kserve-container", "log";
    the_node_is_not_known: native_pod(back_off(), ended("Error", 1, "")) => "failing", "server-crashes", "kserve-container", "containerd 2.2";
    the_image_volume_has_no_models: native_pod(waiting("CreateContainerError", "ImageVolumeMountFailed: failed to ensure image subpath \"models\""), json!({}))
        => "failing", "no-models", "kserve-container", "modelcar inspect --lint";
    the_sub_path_is_missing: native_pod(waiting("CreateContainerError", "failed to prepare subPath for volumeMount \"mnt-models\""), json!({}))
        => "failing", "no-models", "kserve-container", "modelcar inspect --lint";
    a_volume_below_the_link: manifest(mounted("tpl", "/mnt/models/chat", json!({"configMap": {"name": "t"}}))) => "failing", "mount-below", "kserve-container", "outside";
    a_volume_over_the_link: manifest(mounted("cache", "/mnt/models", json!({"emptyDir": {}}))) => "failing", "hidden-link", "kserve-container", "elsewhere";
    a_volume_over_the_folder: manifest(mounted("cache", "/mnt/", json!({"emptyDir": {}}))) => "failing", "hidden-link", "kserve-container", "elsewhere";
    a_volume_beside_the_link: manifest(mounted("cache", "/mnt/cache", json!({"emptyDir": {}}))) => "", "", "", "";
    the_local_model_cache: manifest(mounted("kserve-pvc-source", "/mnt/models", json!({"persistentVolumeClaim": {"claimName": "m"}})))
        => "failing", "local-model", "kserve-container", "disable-localmodel";
    a_crash_under_a_hidden_link: pod("m-0", mounted("cache", "/mnt/models", json!({"emptyDir": {}})), server(back_off(), ended("Error", 1, ""), 6))
        => "failing", "hidden-link", "kserve-container", "elsewhere";
    a_volume_below_an_image_volume: pod("m-0", with(native_spec(), "/containers/0/volumeMounts/9", json!({"name": "tpl", "mountPath": "/mnt/models/chat"})),
            native(back_off(), ended("Error", 1, ""), 4)) => "failing", "mount-below", "kserve-container", "outside";
    a_volume_has_no_place: native_pod(back_off(), start_error("error mounting \"/var/x\" to rootfs at \"/mnt/models/chat\": mkdirat /mnt/models/chat: read-only file system"))
        => "failing", "mount-fails", "kserve-container", "outside";
    users_differ: manifest(with(spec(), "/containers/0/securityContext/runAsUser", json!(1000))) => "failing", "users-differ", "kserve-container", "uidModelcar";
    groups_differ: manifest(with(spec(), "/containers/0/securityContext/runAsGroup", json!(1000))) => "failing", "groups-differ", "kserve-container", "runAsGroup";
    selinux_levels_differ: manifest(with(spec(), "/containers/0/securityContext/seLinuxOptions", json!({"level": "s0:c1,c2"}))) => "", "selinux", "kserve-container", "for the pod";
    a_read_only_root_without_tmp: manifest(with(spec(), "/containers/0/securityContext/readOnlyRootFilesystem", json!(true))) => "", "no-tmp", "kserve-container", "/tmp";
    the_address_at_another_container: custom("vllm", json!([{"name": "STORAGE_URI", "value": format!("oci://{}", image())}])) => "failing", "uri-elsewhere", "vllm", "kserve-container";
    no_address: custom("kserve-container", json!([])) => "failing", "no-uri", "kserve-container", "STORAGE_URI";
    the_download_fails: pod("m-0", json!({"initContainers": [{"name": "storage-initializer", "args": [format!("oci://{}", image()), "/mnt/models"],
            "volumeMounts": [{"name": "mnt-models", "mountPath": "/mnt/models"}]}], "containers": [{"name": "kserve-container"}]}),
            json!({"phase": "Pending", "initContainerStatuses": [container("storage-initializer", false, 4, back_off(), ended("Error", 1, "RuntimeError: zstd"))]}))
        => "failing", "download-failed", "storage-initializer", "-c storage-initializer";
    the_status_of_a_dry_run_is_not_judged: pod("m-0", spec(), server(back_off(), ended("Error", 1, ""), 6)), with &["--admission"] => "", "", "", "";
    a_dry_run_without_a_model: pod("m-0", json!({"containers": [{"name": "kserve-container"}]}), json!({"phase": "Pending"})), with &["--admission"]
        => "failing", "not-injected", "", "webhook";
}
