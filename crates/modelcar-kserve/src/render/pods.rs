//! Parts of pods: environment, resources, arguments.

use std::collections::BTreeMap;

use super::{
    objects::{EmptyDir, EnvVar, LocalObjectReference, Resources, Volume, VolumeMount},
    options::{Delivery, Kind, Lora},
    resolved::{Family, MODEL_PATH, Resolved},
};
use modelcar_core::facts::{ModelFacts, Task};

use crate::sizing::PODS_BYTES;

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

/// Variables of servers that are vLLM or hold it: it tells nobody that it is used. Unless told otherwise, it sends the
/// model's architecture and the machine's kind to its makers at every start.
const WITHOUT_STATISTICS: [(&str, &str); 2] = [("VLLM_NO_USAGE_STATS", "1"), ("DO_NOT_TRACK", "1")];

/// Disk that a server writes to: caches and logs. `docs/node-sizing.md` counts with it.
const WRITTEN_BYTES: u64 = PODS_BYTES;

/// Returns the environment, with what the user sets in place of what is set by itself.
pub(super) fn environment(resolved: &Resolved<'_>) -> Vec<EnvVar> {
    let own = &resolved.options.env;
    let replaced = |name: &str| own.iter().any(|(own, _)| own == name);
    let statistics = WITHOUT_STATISTICS.iter().filter(|_| resolved.server.family != Family::Other);
    let fixed = ENVIRONMENT
        .iter()
        .chain(statistics)
        .filter(|(name, _)| !replaced(name))
        .map(|(name, value)| EnvVar::new(*name, *value));
    fixed.chain(own.iter().map(|(name, value)| EnvVar::new(name, value))).collect()
}

/// Returns equal requests and limits; of disk a request alone, because a pod that writes more than a limit is evicted.
pub(super) fn resources(resolved: &Resolved<'_>) -> Resources {
    let mut amounts =
        BTreeMap::from([("cpu".to_owned(), resolved.cpu.clone()), ("memory".to_owned(), resolved.memory.clone())]);
    if resolved.gpus > 0 {
        amounts.insert(resolved.options.gpu_resource.clone(), resolved.gpus.to_string());
    }
    let limits = amounts.clone();
    amounts.insert("ephemeral-storage".to_owned(), disk(resolved));
    Resources { requests: amounts, limits }
}

/// Returns the disk that the pod asks for. A model that KServe downloads lies in the pod too.
fn disk(resolved: &Resolved<'_>) -> String {
    const GIB: u64 = 1 << 30;
    let model = if resolved.options.delivery == Delivery::Fetch { resolved.served.bytes.unpacked } else { 0 };
    let bytes = WRITTEN_BYTES.saturating_add(model);
    resolved.options.ephemeral_storage.clone().unwrap_or_else(|| format!("{}Gi", bytes.div_ceil(GIB)))
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
            args.extend(resolved.options.trust_remote_code.then(|| "--trust-remote-code".to_owned()));
            args.extend(lora_arguments(resolved));
        }
        Family::HuggingFace => {
            args.extend(task_arguments(facts).into_iter().map(str::to_owned));
            if let Some(name) = other_name(resolved) {
                args.push(format!("--model_name={name}"));
            }
            if let Some(len) = resolved.options.max_model_len {
                args.push(format!("--max_model_len={len}"));
            }
            // For several pods KServe tells the server itself.
            if resolved.gpus > 1 && !resolved.is_spread() {
                args.push(format!("--tensor-parallel-size={}", resolved.gpus));
            }
            args.extend(resolved.options.trust_remote_code.then(|| "--trust_remote_code".to_owned()));
        }
        // Whoever brings the server knows whether it takes this.
        Family::Other => args.extend(resolved.options.trust_remote_code.then(|| "--trust-remote-code".to_owned())),
    }
    if let Some(format) = &resolved.options.load_format {
        args.push(format!("--load-format={format}"));
    }
    args.extend(resolved.options.args.iter().cloned());
    args
}

/// Ranks of adapters that vLLM has room for; it makes room for 16 by itself.
const LORA_RANKS: [u64; 6] = [32, 64, 128, 256, 320, 512];

/// Returns the arguments that name the adapters.
fn lora_arguments(resolved: &Resolved<'_>) -> Vec<String> {
    let loras = &resolved.options.loras;
    if loras.is_empty() {
        return Vec::new();
    }
    let mut args = vec!["--enable-lora".to_owned()];
    let rank = loras.iter().filter_map(|lora| lora.image.facts.adapter_rank).max().unwrap_or_default();
    if let Some(room) = LORA_RANKS.iter().find(|room| rank > 16 && **room >= rank) {
        args.push(format!("--max-lora-rank={room}"));
    }
    args.push("--lora-modules".to_owned());
    args.extend(loras.iter().map(|lora| format!("{}={}", lora.name, lora_path(lora))));
    args
}

/// Returns where the server sees an adapter. KServe mounts each image's parent folder, which no two images may share.
pub(super) fn lora_path(lora: &Lora) -> String {
    format!("/mnt/adapters/{}/adapter", lora.name)
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

/// Returns the shared memory that processes of one server talk through.
pub(super) fn shared_memory() -> (Volume, VolumeMount) {
    let name = "dshm".to_owned();
    let volume = Volume { name: name.clone(), empty_dir: Some(EmptyDir { medium: Some("Memory") }), image: None };
    (volume, VolumeMount { name, mount_path: "/dev/shm".to_owned(), read_only: None })
}
