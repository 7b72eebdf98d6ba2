//! What may surprise whoever applies the manifests.

mod server;

use serde::Serialize;

use super::{
    choice::{Choice, Family},
    options::{Autoscaler, DeploymentMode, Kind, SidecarUser},
};
use modelcar_core::text::one_line;

/// Something to know before applying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Name of the kind of warning, for programs.
    pub code: &'static str,
    /// What it is, and what to do.
    pub message: String,
}

/// Memory of the GPU types that GKE offers, in GiB, by their node label.
const GPU_GIB: [(&str, u64); 11] = [
    ("nvidia-tesla-t4", 16),
    ("nvidia-tesla-v100", 16),
    ("nvidia-tesla-p100", 16),
    ("nvidia-l4", 24),
    ("nvidia-tesla-a100", 40),
    ("nvidia-a100-80gb", 80),
    ("nvidia-h100-80gb", 80),
    ("nvidia-h100-mega-80gb", 80),
    ("nvidia-rtx-pro-6000", 96),
    ("nvidia-h200-141gb", 141),
    ("nvidia-b200", 180),
];

pub(super) fn find(choice: &Choice<'_>) -> Vec<Warning> {
    let mut found = Vec::new();
    if choice.options.kind != Kind::Prepull {
        replicas(choice, &mut found);
        knative(choice, &mut found);
        left_out(choice, &mut found);
        scratch(choice, &mut found);
        server::find(choice, &mut found);
        memory(choice, &mut found);
        users(choice, &mut found);
    }
    release(choice, &mut found);
    if choice.is_sidecar() {
        sidecar(choice, &mut found);
    } else {
        native(&mut found);
    }
    if !choice.subject.platforms.is_empty() && !choice.subject.platforms.iter().any(|name| name == "linux/amd64") {
        let offered = choice.subject.platforms.join(", ");
        warn(&mut found, "platform", format!("the image has no linux/amd64, only {offered}"));
    }
    found
}

fn warn(found: &mut Vec<Warning>, code: &'static str, message: impl Into<String>) {
    found.push(Warning { code, message: one_line(&message.into()) });
}

/// Who honours a smallest number of replicas of zero.
fn replicas(choice: &Choice<'_>, found: &mut Vec<Warning>) {
    let options = choice.options;
    let zero = options.min_replicas == Some(0);
    match (options.kind, options.mode, options.autoscaler) {
        (Kind::LlmInferenceService, ..) if options.max_replicas.is_some() => warn(
            found,
            "max-replicas",
            "an LLMInferenceService has a fixed number of replicas here: the largest number is not written",
        ),
        (Kind::LlmInferenceService, ..) | (_, DeploymentMode::Knative, _) => {}
        (_, _, None | Some(Autoscaler::Hpa)) if zero => warn(
            found,
            "replicas-clamped",
            "KServe runs one replica though minReplicas is 0: the horizontal pod autoscaler can't scale to zero. Use \
             --mode knative, --autoscaler keda or --autoscaler none",
        ),
        (_, _, Some(Autoscaler::Keda)) if zero => warn(
            found,
            "replicas-keda",
            "KEDA scales up from zero only by a metric that exists without a pod (not CPU or memory): add \
             spec.predictor.autoScaling",
        ),
        (_, _, Some(Autoscaler::None)) if zero => {
            warn(found, "replicas-manual", "nothing scales up from zero: raise minReplicas by hand");
        }
        _ => {}
    }
}

fn knative(choice: &Choice<'_>, found: &mut Vec<Warning>) {
    if !choice.is_knative() {
        return;
    }
    let options = choice.options;
    let mut flags = Vec::new();
    if !choice.node_selector().is_empty() {
        flags.push("kubernetes.podspec-nodeselector");
    }
    if !options.tolerations.is_empty() {
        flags.push("kubernetes.podspec-tolerations");
    }
    if options.storage_uris && choice.is_sidecar() {
        flags.extend(["kubernetes.podspec-init-containers", "kubernetes.podspec-share-process-namespace"]);
    }
    if !flags.is_empty() {
        let message =
            format!("Knative refuses fields of this service unless config-features enables {}", flags.join(", "));
        warn(found, "knative-features", message);
    }
}

/// Options that an `LLMInferenceService` has no field for.
fn left_out(choice: &Choice<'_>, found: &mut Vec<Warning>) {
    let options = choice.options;
    if options.kind != Kind::LlmInferenceService {
        return;
    }
    let given = [
        (options.mode == DeploymentMode::Knative, "--mode knative"),
        (options.autoscaler.is_some(), "--autoscaler"),
        (options.model_format.is_some(), "--model-format"),
        // Beside an image volume the user is that of KServe's template.
        (options.native && options.kserve_uid != SidecarUser::default(), "--kserve-uid"),
    ];
    let given: Vec<&str> = given.into_iter().filter(|(given, _)| *given).map(|(_, name)| name).collect();
    if !given.is_empty() {
        warn(found, "left-out", format!("an LLMInferenceService has nothing for {}: left out", given.join(" and ")));
    }
}

/// A new namespace is empty.
fn scratch(choice: &Choice<'_>, found: &mut Vec<Warning>) {
    let options = choice.options;
    let Some(namespace) = choice.namespace.as_ref().filter(|_| choice.is_scratch) else { return };
    let account = options.service_account.as_ref().map(|name| format!("service account `{name}`"));
    let secrets = options.image_pull_secrets.iter().map(|name| format!("secret `{name}`"));
    let missing: Vec<String> = account.into_iter().chain(secrets).collect();
    if !missing.is_empty() {
        let message = format!(
            "the new namespace {namespace} holds no {}: create them there after the first apply, or name a namespace \
             that has them with --namespace",
            missing.join(" and no ")
        );
        warn(found, "scratch-namespace", message);
    }
}

/// What single patches of a release lack.
fn release(choice: &Choice<'_>, found: &mut Vec<Warning>) {
    let options = choice.options;
    if options.version.serves_images_by_default() || options.kind == Kind::Prepull {
        return;
    }
    warn(
        found,
        "oci-disabled",
        "before KServe 0.15.2 OCI images are switched off: update, or set enableModelcar to true in the ConfigMap \
         inferenceservice-config (key storageInitializer)",
    );
    if options.stop || options.autoscaler == Some(Autoscaler::None) {
        warn(found, "patch-release", "--stop and --autoscaler none need KServe 0.15.1");
    }
}

fn memory(choice: &Choice<'_>, found: &mut Vec<Warning>) {
    let known = |name: &str| GPU_GIB.iter().find(|(known, _)| *known == name).map(|(_, gib)| *gib);
    let Some(gpu) = choice.options.gpu_type.as_deref() else { return };
    let (Some(gib), Some(need)) = (known(gpu), choice.gpu_memory()) else { return };
    let have = gib * u64::from(choice.gpus);
    let need_gib = need.total().div_ceil(1 << 30);
    if need_gib > have {
        warn(
            found,
            "gpu-memory",
            format!(
                "about {need_gib} GiB of GPU memory are needed and {} × {gpu} has {have} GiB: take more GPUs or lower \
                 --max-model-len",
                choice.gpus
            ),
        );
    }
}

/// Who may read the model, where KServe's configuration is not what it comes with.
fn users(choice: &Choice<'_>, found: &mut Vec<Warning>) {
    let options = choice.options;
    match options.kserve_uid {
        SidecarUser::None if choice.is_sidecar() => warn(
            found,
            "no-user",
            "no user is written: the server runs as the user of its image and the sidecar as that of the model's image \
             (of modelcar: user 1010, group 0), unless the namespace sets one, as OpenShift does. User and group of \
             both must be the same, or the server may not read the model",
        ),
        SidecarUser::None if options.kind != Kind::LlmInferenceService => warn(
            found,
            "no-user",
            "no user is written: unless the namespace sets one, as OpenShift does, the server's image must have a \
             numeric user that is not root",
        ),
        SidecarUser::Uid(0) if options.custom_container.is_some() => {
            warn(found, "root", "server and sidecar run as root, because KServe's uidModelcar is 0");
        }
        SidecarUser::Uid(0) => warn(
            found,
            "root",
            "uidModelcar is 0: a server that must not be root or drops its capabilities, as those of KServe's runtimes \
             do, does not start or may not read the model. Set uidModelcar to 1010 in the ConfigMap \
             inferenceservice-config, and leave --kserve-uid out",
        ),
        SidecarUser::Uid(_) | SidecarUser::None => {}
    }
}

fn sidecar(choice: &Choice<'_>, found: &mut Vec<Warning>) {
    if choice.options.kind == Kind::Prepull {
        return;
    }
    let instead = if choice.options.version.has_native() { ", or take --native" } else { "" };
    warn(
        found,
        "pod-security",
        format!(
            "a namespace that enforces the Pod Security level `restricted` refuses KServe's sidecar: use `baseline`\
             {instead}"
        ),
    );
    if choice.options.kind == Kind::LlmInferenceService {
        warn(
            found,
            "real-path",
            "the server has a folder /models of its own: one that resolves /mnt/models to its real path finds that \
             empty folder",
        );
    } else if choice.options.custom_container.is_some() || choice.server.family == Family::Other {
        warn(
            found,
            "real-path",
            "/mnt/models is a link into another container: a server that resolves it to its real path (xgboost, ONNX \
             with external data) does not find the files",
        );
    }
}

fn native(found: &mut Vec<Warning>) {
    warn(
        found,
        "image-volume",
        "image volumes with a sub-path need Kubernetes 1.35, or 1.33 with the feature gate ImageVolume, and containerd \
         2.0 or CRI-O 1.31",
    );
}
