//! When there is something to warn of.

mod server;

use super::{
    options::{Autoscaler, Delivery, DeploymentMode, Kind},
    resolved::{Family, Resolved},
    warning::{UnusedOption, Warning},
};
use crate::{KserveVersion, SidecarUser};
use modelcar_core::text::one_line;

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

pub(super) fn find(resolved: &Resolved<'_>) -> Vec<Warning> {
    let mut found = Vec::new();
    if resolved.has_server() {
        replicas(resolved, &mut found);
        knative(resolved, &mut found);
        left_out(resolved, &mut found);
        scratch(resolved, &mut found);
        server::find(resolved, &mut found);
        gpus(resolved, &mut found);
        users(resolved, &mut found);
    }
    release(resolved, &mut found);
    pull(resolved, &mut found);
    match resolved.options.delivery {
        Delivery::Sidecar => sidecar(resolved, &mut found),
        Delivery::Native => found.push(Warning::ImageVolume),
        Delivery::Fetch => found.push(Warning::Fetch),
    }
    if !resolved.served.platforms.is_empty() && !resolved.served.platforms.iter().any(|name| name == "linux/amd64") {
        found.push(Warning::Platform { offered: resolved.served.platforms.clone() });
    }
    found
}

/// Who honours a smallest number of replicas of zero.
fn replicas(resolved: &Resolved<'_>, found: &mut Vec<Warning>) {
    let options = resolved.options;
    let zero = options.min_replicas == Some(0);
    match (options.kind, options.mode, options.autoscaler) {
        (Kind::LlmInferenceService, ..) if options.max_replicas.is_some() => found.push(Warning::MaxReplicas),
        (Kind::LlmInferenceService, ..) | (_, DeploymentMode::Knative, _) => {}
        (_, _, None | Some(Autoscaler::Hpa)) if zero => found.push(Warning::ReplicasClamped),
        (_, _, Some(Autoscaler::Keda)) if zero => found.push(Warning::ReplicasKeda),
        (_, _, Some(Autoscaler::None)) if zero => found.push(Warning::ReplicasManual),
        _ => {}
    }
}

fn knative(resolved: &Resolved<'_>, found: &mut Vec<Warning>) {
    if !resolved.is_knative() {
        return;
    }
    let options = resolved.options;
    let mut features = Vec::new();
    if !resolved.node_selector().is_empty() {
        features.push("kubernetes.podspec-nodeselector");
    }
    if !options.tolerations.is_empty() {
        features.push("kubernetes.podspec-tolerations");
    }
    if resolved.has_storage_uris() && resolved.is_sidecar() {
        features.extend(["kubernetes.podspec-init-containers", "kubernetes.podspec-share-process-namespace"]);
    }
    if !features.is_empty() {
        found.push(Warning::KnativeFeatures { features });
    }
}

/// Options that an `LLMInferenceService` has no field for.
fn left_out(resolved: &Resolved<'_>, found: &mut Vec<Warning>) {
    let options = resolved.options;
    if options.kind != Kind::LlmInferenceService {
        return;
    }
    let given = [
        (options.mode == DeploymentMode::Knative, UnusedOption::Knative),
        (options.autoscaler.is_some(), UnusedOption::Autoscaler),
        (options.model_format.is_some(), UnusedOption::ModelFormat),
        // Beside an image volume the user is that of KServe's template.
        (options.delivery == Delivery::Native && options.kserve_uid != SidecarUser::default(), UnusedOption::User),
    ];
    let options: Vec<UnusedOption> = given.into_iter().filter(|(given, _)| *given).map(|(_, option)| option).collect();
    if !options.is_empty() {
        found.push(Warning::LeftOut { options });
    }
}

/// A new namespace is empty.
fn scratch(resolved: &Resolved<'_>, found: &mut Vec<Warning>) {
    let options = resolved.options;
    let Some(namespace) = resolved.namespace.as_ref().filter(|_| resolved.is_scratch) else { return };
    let account = options.service_account.as_deref().map(one_line);
    let secrets: Vec<String> = options.image_pull_secrets.iter().map(|name| one_line(name)).collect();
    if account.is_some() || !secrets.is_empty() {
        found.push(Warning::ScratchNamespace { namespace: namespace.clone(), account, secrets });
    }
}

/// What single patches of a release lack.
fn release(resolved: &Resolved<'_>, found: &mut Vec<Warning>) {
    let options = resolved.options;
    if options.version > KserveVersion::LAST_READ {
        found.push(Warning::UnreadRelease { version: options.version });
    }
    if options.version.serves_images_by_default() || !resolved.has_server() {
        return;
    }
    found.push(Warning::OciDisabled);
    let no_autoscaler = options.autoscaler == Some(Autoscaler::None);
    if options.stop || no_autoscaler {
        found.push(Warning::PatchRelease { stop: options.stop, no_autoscaler });
    }
}

/// How long nodes take to pull the image.
fn pull(resolved: &Resolved<'_>, found: &mut Vec<Warning>) {
    const DEPLOYMENT_SECONDS: u64 = 600;
    let pull = resolved.served.pull;
    // Knative's deadline is written; an LLMInferenceService may be a set of another kind.
    let has_deployment = resolved.has_server() && !resolved.is_knative();
    if has_deployment && pull.slow_disk_seconds > DEPLOYMENT_SECONDS {
        found.push(Warning::ProgressDeadline { minutes: pull.slow_disk_seconds.div_ceil(60) });
    }
    if pull.has_large_layer() && resolved.options.kind != Kind::AdmissionPod {
        found.push(Warning::LargeLayer { gib: pull.largest_layer_bytes.div_ceil(1 << 30) });
    }
}

/// Whether the GPUs are enough, and nodes have as many.
fn gpus(resolved: &Resolved<'_>, found: &mut Vec<Warning>) {
    const NODE_GPUS: u32 = 8;
    /// Nodes with this type have up to 16.
    const TYPE_OF_16: &str = "nvidia-tesla-a100";
    let gpu_type = resolved.options.gpu_type.as_deref();
    let most = if gpu_type == Some(TYPE_OF_16) { 2 * NODE_GPUS } else { NODE_GPUS };
    if resolved.gpus > most {
        found.push(Warning::ManyGpus { gpus: resolved.gpus });
    }
    found.extend(heads(resolved));
    let Some(gpu_type) = gpu_type else { return };
    let Some((_, gib)) = GPU_GIB.iter().find(|(known, _)| *known == gpu_type) else {
        let known = GPU_GIB.iter().map(|(known, _)| *known).collect();
        return found.push(Warning::UnknownGpuType { gpu_type: gpu_type.to_owned(), known });
    };
    let Some(need) = resolved.gpu_memory() else { return };
    let gpus = resolved.all_gpus();
    let (need_gib, have_gib) = (need.total().div_ceil(1 << 30), gib * u64::from(gpus));
    let usable_gib = have_gib * resolved.gpu_percent() / 100;
    if need_gib > usable_gib {
        found.push(Warning::GpuMemory { need_gib, usable_gib, have_gib, gpus, gpu_type: gpu_type.to_owned() });
    }
}

/// Whether vLLM can divide the model's attention heads among the GPUs of a pod. vLLM's `ModelConfig` refuses what does not
/// come out even.
fn heads(resolved: &Resolved<'_>) -> Option<Warning> {
    const MOST_GPUS: u32 = 16;
    let heads = resolved.served.facts.attention_heads?;
    let divides = |gpus: u32| gpus > 0 && heads % u64::from(gpus) == 0;
    (resolved.runs_vllm() && resolved.gpus > 1 && !divides(resolved.gpus)).then(|| Warning::AttentionHeads {
        heads,
        gpus: resolved.gpus,
        right: (1..=MOST_GPUS).filter(|gpus| divides(*gpus)).collect(),
    })
}

/// Who may read the model, where KServe's configuration is not what it comes with.
fn users(resolved: &Resolved<'_>, found: &mut Vec<Warning>) {
    let options = resolved.options;
    match options.kserve_uid {
        SidecarUser::None if resolved.is_sidecar() => found.push(Warning::NoUserOfSidecar),
        SidecarUser::None if options.kind != Kind::LlmInferenceService => found.push(Warning::NoUser),
        SidecarUser::Uid(0) if options.custom_container.is_some() => found.push(Warning::RootContainer),
        SidecarUser::Uid(0) => found.push(Warning::Root),
        SidecarUser::Uid(_) | SidecarUser::None => {}
    }
}

fn sidecar(resolved: &Resolved<'_>, found: &mut Vec<Warning>) {
    if resolved.options.kind == Kind::Prepull {
        return;
    }
    found.push(Warning::PodSecurity { has_native: resolved.options.version.has_native() });
    if resolved.options.kind == Kind::LlmInferenceService {
        found.push(Warning::RealPathOfLlm);
    } else if resolved.has_server()
        && (resolved.options.custom_container.is_some() || resolved.server.family == Family::Other)
    {
        found.push(Warning::RealPath);
    }
}
