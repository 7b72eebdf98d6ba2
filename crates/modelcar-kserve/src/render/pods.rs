//! Parts of pods: environment, resources, arguments; and the daemon set that pulls an image.

use std::collections::BTreeMap;

use super::{
    objects::{
        Container, DaemonSet, DaemonSetSpec, EmptyDir, EnvVar, ImageVolume, LocalObjectReference, Object, ObjectMeta,
        PodSpec, PodTemplate, Resources, Selector, Volume, VolumeMount,
    },
    options::Kind,
    resolved::{Family, MODEL_PATH, Resolved},
    rights,
};
use modelcar_core::facts::{ModelFacts, Task};

/// Variables of every server: nothing is fetched, and a user without an entry in `/etc/passwd` has a home to write to.
///
/// KServe runs the server as the sidecar's user, 1010 unless it is configured otherwise, which no server image knows:
/// without `HOME` caches go to `/`, and `getpass.getuser()` in `PyTorch` fails without `USER`.
const ENVIRONMENT: [(&str, &str); 9] = [
    ("HF_HUB_OFFLINE", "1"),
    ("TRANSFORMERS_OFFLINE", "1"),
    ("HOME", "/tmp"),
    ("USER", "modelcar"),
    ("HF_HOME", "/tmp/huggingface"),
    ("XDG_CACHE_HOME", "/tmp/cache"),
    ("XDG_CONFIG_HOME", "/tmp/config"),
    ("TORCHINDUCTOR_CACHE_DIR", "/tmp/torchinductor"),
    ("TRITON_CACHE_DIR", "/tmp/triton"),
];

/// Returns the environment, with what the user sets in place of what is set by itself.
pub(super) fn environment(resolved: &Resolved<'_>) -> Vec<EnvVar> {
    let own = &resolved.options.env;
    let replaced = |name: &str| own.iter().any(|(own, _)| own == name);
    let fixed = ENVIRONMENT.iter().filter(|(name, _)| !replaced(name)).map(|(name, value)| EnvVar::new(*name, *value));
    fixed.chain(own.iter().map(|(name, value)| EnvVar::new(name, value))).collect()
}

/// Returns equal requests and limits.
pub(super) fn resources(resolved: &Resolved<'_>) -> Resources {
    let mut amounts =
        BTreeMap::from([("cpu".to_owned(), resolved.cpu.clone()), ("memory".to_owned(), resolved.memory.clone())]);
    if resolved.gpus > 0 {
        amounts.insert(resolved.options.gpu_resource.clone(), resolved.gpus.to_string());
    }
    Resources { requests: amounts.clone(), limits: amounts }
}

/// Returns the server's arguments that follow from the model, and the user's after them.
pub(super) fn arguments(resolved: &Resolved<'_>) -> Vec<String> {
    let facts = &resolved.served.facts;
    let mut args = Vec::new();
    match resolved.server.family {
        Family::Vllm => {
            // The runtime names the folder; of two, the last one counts.
            if resolved.has_runtime() && resolved.model_path() != MODEL_PATH {
                args.push(format!("--model={}", resolved.model_path()));
            }
            if let Some(name) = other_name(resolved) {
                args.push(format!("--served-model-name={name}"));
            }
            let spread_by_kserve =
                resolved.options.kind == Kind::LlmInferenceService && resolved.options.version.spreads_llm();
            if resolved.gpus > 1 && !spread_by_kserve {
                args.push(format!("--tensor-parallel-size={}", resolved.gpus));
            }
            if let Some(len) = resolved.options.max_model_len {
                args.push(format!("--max-model-len={len}"));
            }
        }
        Family::HuggingFace => {
            args.extend(task_arguments(facts).into_iter().map(str::to_owned));
            if let Some(name) = other_name(resolved) {
                args.push(format!("--model_name={name}"));
            }
            if let Some(len) = resolved.options.max_model_len {
                args.push(format!("--max_model_len={len}"));
            }
            if resolved.gpus > 1 {
                args.push(format!("--tensor-parallel-size={}", resolved.gpus));
            }
        }
        Family::Other => {}
    }
    args.extend(resolved.options.args.iter().cloned());
    args
}

/// Returns the name in requests where the runtime would give another one: that of the service.
fn other_name<'a>(resolved: &'a Resolved<'_>) -> Option<&'a str> {
    (resolved.has_runtime() && resolved.served_name != resolved.name).then_some(resolved.served_name.as_str())
}

/// Returns what `huggingfaceserver` needs to know of models that do not write text token by token.
///
/// It takes a task only when it does not choose vLLM, which serves some of these models too, in other ways. What a
/// classifier sorts, texts or tokens, its class tells.
fn task_arguments(facts: &ModelFacts) -> Vec<&'static str> {
    let of_tokens = facts.architecture.as_ref().is_some_and(|name| name.ends_with("ForTokenClassification"));
    let task = match facts.task {
        Some(Task::Embedding) => Some("--task=text_embedding"),
        Some(Task::Classification) if of_tokens => None,
        Some(Task::Classification) => Some("--task=sequence_classification"),
        Some(Task::TextToText) => Some("--task=text2text_generation"),
        Some(Task::TextGeneration | Task::ImageTextToText) | None => return Vec::new(),
    };
    std::iter::once("--backend=huggingface").chain(task).collect()
}

pub(super) fn pull_secrets(resolved: &Resolved<'_>) -> Vec<LocalObjectReference> {
    resolved.options.image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect()
}

/// The label of the nodes that pull, unless others are named.
const PREPULL_LABEL: &str = "modelcar.io/prepull";
/// Runs nothing; part of every cluster.
const PAUSE_IMAGE: &str = "registry.k8s.io/pause:3.10";

/// Returns a daemon set whose pods hold the image: the kubelet removes no image that a container uses.
pub(super) fn prepull(resolved: &Resolved<'_>) -> Object {
    let name = format!("prepull-{}", resolved.name);
    let labels = BTreeMap::from([("app.kubernetes.io/name".to_owned(), name.clone())]);
    let amounts = BTreeMap::from([("cpu".to_owned(), "10m".to_owned()), ("memory".to_owned(), "15Mi".to_owned())]);
    let mut holder = Container {
        name: "hold".to_owned(),
        resources: Some(Resources { requests: amounts.clone(), limits: amounts }),
        security_context: Some(rights::of_holder(resolved)),
        ..Container::default()
    };
    let mut volumes = Vec::new();
    let reference = resolved.served.pinned();
    if resolved.is_sidecar() {
        holder.image = Some(reference);
        holder.command = vec!["sleep".to_owned(), "infinity".to_owned()];
    } else {
        holder.image = Some(PAUSE_IMAGE.to_owned());
        holder.volume_mounts =
            vec![VolumeMount { name: "model".to_owned(), mount_path: MODEL_PATH.to_owned(), read_only: Some(true) }];
        let image = Some(ImageVolume { reference, pull_policy: "IfNotPresent" });
        volumes.push(Volume { name: "model".to_owned(), empty_dir: None, image });
    }
    let mut node_selector = resolved.node_selector();
    if node_selector.is_empty() {
        node_selector.insert(PREPULL_LABEL.to_owned(), "true".to_owned());
    }
    let spec = PodSpec {
        service_account_name: resolved.options.service_account.clone(),
        automount_service_account_token: Some(false),
        image_pull_secrets: pull_secrets(resolved),
        node_selector,
        tolerations: resolved.options.tolerations.clone(),
        security_context: None,
        termination_grace_period_seconds: Some(0),
        containers: vec![holder],
        volumes,
    };
    let template = PodTemplate { metadata: ObjectMeta { labels: labels.clone(), ..ObjectMeta::default() }, spec };
    Object::DaemonSet(Box::new(DaemonSet {
        api_version: "apps/v1",
        kind: "DaemonSet",
        metadata: ObjectMeta {
            name: Some(name),
            namespace: resolved.namespace.clone(),
            labels: labels.clone(),
            annotations: BTreeMap::new(),
        },
        spec: DaemonSetSpec { selector: Selector { match_labels: labels }, template },
    }))
}

/// Returns the shared memory that processes of one server talk through.
pub(super) fn shared_memory() -> (Volume, VolumeMount) {
    let name = "dshm".to_owned();
    let volume = Volume { name: name.clone(), empty_dir: Some(EmptyDir { medium: Some("Memory") }), image: None };
    (volume, VolumeMount { name, mount_path: "/dev/shm".to_owned(), read_only: None })
}
