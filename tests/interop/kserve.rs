//! What KServe puts into pods, release by release: the literal commands, and the pods that hold them.

use serde_json::{Value, json};

/// A release, with the commands it injects. Kubernetes turns `$$` in them into `$`.
pub(crate) struct Release {
    pub(crate) minor: u32,
    pub(crate) init: Option<&'static str>,
    pub(crate) sidecar: &'static str,
}

const LINK: &str = "ln -s /proc/$$$$/root/models /mnt/models && sleep infinity";
const FORCED_LINK: &str = "ln -sf /proc/$$$$/root/models /mnt/models && sleep infinity";
/// For another path than the default one, from 0.18 on.
pub(crate) const OTHER_PATH_LINK: &str =
    "mkdir -p /mnt/adapters && ln -sf /proc/$$$$/root/models /mnt/adapters/a && sleep infinity";
const PREFETCH: &str = "echo 'Pre-fetching modelcar IMAGE: ' && [ -d /models ] && [ \"$$(ls -A /models)\" ] && echo \
    'OK ... Prefetched and valid (/models exists)' || (echo 'NOK ... Prefetched but modelcar is invalid (/models does \
    not exist or is empty)' && exit 1)";

/// Every release with modelcars, 0.12 to 0.20.
pub(crate) fn releases() -> Vec<Release> {
    (12..=20)
        .map(|minor| Release {
            minor,
            init: (minor >= 14).then_some(PREFETCH),
            sidecar: if minor >= 15 { FORCED_LINK } else { LINK },
        })
        .collect()
}

/// What the kubelet makes of a command.
pub(crate) fn expanded(command: &str) -> String {
    command.replace("$$", "$")
}

/// The pod that a release makes for an image; `server` is the server's security context.
pub(crate) fn pod(release: &Release, image: &str, server: &Value) -> Value {
    let mount = json!([{"name": "kserve-provision-location", "mountPath": "/mnt"}]);
    let args = |command: &str| json!(["sh", "-c", command.replace("IMAGE", image)]);
    let init = release.init.map(|init| json!({"name": "modelcar-init", "image": image, "args": args(init)}));
    json!({"apiVersion": "v1", "kind": "Pod",
      "metadata": {"name": "minilm-predictor-0", "labels": {"serving.kserve.io/inferenceservice": "minilm"},
        "annotations": {"internal.serving.kserve.io/storage-initializer-sourceuri": format!("oci://{image}")}},
      "spec": {"shareProcessNamespace": true,
        "volumes": [{"name": "kserve-provision-location", "emptyDir": {}}],
        "initContainers": init.into_iter().collect::<Vec<_>>(),
        "containers": [
          {"name": "kserve-container", "env": [{"name": "MODEL_INIT_MODE", "value": "async"}], "volumeMounts": mount,
           "securityContext": server},
          {"name": "modelcar", "image": image, "args": args(release.sidecar), "volumeMounts": mount,
           "securityContext": {"runAsUser": 1010}}]}})
}
