//! What the options leave open, decided from the model's facts.

use std::collections::BTreeMap;

use super::{
    options::{Delivery, DeploymentMode, Kind, RenderOptions},
    served_image::ServedImage,
};
use modelcar_core::facts::{Task, WeightFormat};

use crate::sizing::GPU_SERVER_BYTES;

const GIB: u64 = 1 << 30;
/// CUDA context, activations and buffers of an inference server.
const RUNTIME_GPU_BYTES: u64 = 2 * GIB;
/// Interpreter and libraries of an inference server.
const RUNTIME_MEMORY_BYTES: u64 = 8 * GIB;
/// Weights pass through memory on their way to a GPU, a part at a time.
const STAGING_BYTES: u64 = 24 * GIB;

/// Runtimes of KServe's releases.
pub(super) const VLLM_RUNTIME: &str = "kserve-vllmserver";
pub(super) const HUGGINGFACE_RUNTIME: &str = "kserve-huggingfaceserver";
/// The one that serves a model from several pods.
pub(super) const MULTI_NODE_RUNTIME: &str = "kserve-huggingfaceserver-multinode";
/// Part of a GPU's memory that vLLM takes unless it is told otherwise, in percent.
const VLLM_PERCENT: u64 = 90;

/// Where KServe makes the model appear.
pub(super) const MODEL_PATH: &str = "/mnt/models";

/// What must not stand in the name of a file that an argument names. KServe fills arguments in as Go templates, which know
/// no escape, and the start script of a server's image may hand its arguments to a shell.
const ACTED_ON: [&str; 12] = ["{{", "}}", "`", "\"", "'", "\\", ";", "|", "&", "<", ">", "\u{fffd}"];

/// Everything that objects are made of, decided.
#[derive(Debug, Clone)]
pub(super) struct Resolved<'a> {
    pub(super) served: &'a ServedImage,
    pub(super) options: &'a RenderOptions,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    /// Whether the namespace is made for the service, and goes with it.
    pub(super) is_scratch: bool,
    pub(super) served_name: String,
    /// `oci://…`, `oci+native://…` or `oci+fetch://…`.
    pub(super) uri: String,
    pub(super) gpus: u32,
    pub(super) cpu: String,
    pub(super) memory: String,
    pub(super) server: Server,
}

/// What answers requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) family: Family,
    pub(super) format: String,
    /// Named runtime; the cluster chooses by format when there is none.
    pub(super) runtime: Option<String>,
}

/// Whose arguments the server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Vllm,
    HuggingFace,
    Other,
}

impl<'a> Resolved<'a> {
    pub(super) fn new(served: &'a ServedImage, options: &'a RenderOptions) -> Self {
        let name = options.name.clone().unwrap_or_else(|| served.kubernetes_name());
        let is_scratch = options.kind == Kind::SmokeTest && options.namespace.is_none();
        let scratch = is_scratch.then(|| format!("smoke-{name}"));
        let generates = served.facts.task.is_none_or(Task::is_generative) && !is_onnx(served);
        let gpus = options.gpus.unwrap_or(u32::from(generates));
        Self {
            namespace: options.namespace.clone().or(scratch),
            is_scratch,
            served_name: options.served_name.clone().unwrap_or_else(|| name.clone()),
            uri: format!("{}://{}", options.delivery.scheme(), served.pinned()),
            gpus,
            cpu: options.cpu.clone().unwrap_or_else(|| 4_u32.saturating_mul(gpus.max(1)).to_string()),
            memory: options.memory.clone().unwrap_or_else(|| memory(served, gpus)),
            server: Server::new(served, options),
            name,
            served,
            options,
        }
    }

    /// Returns whether the sidecar gives the model, and neither a volume nor a download.
    pub(super) fn is_sidecar(&self) -> bool {
        self.options.delivery == Delivery::Sidecar
    }

    /// Returns whether something answers requests, and the objects do not only pull or try the webhook.
    pub(super) fn has_server(&self) -> bool {
        !matches!(self.options.kind, Kind::Prepull | Kind::AdmissionPod)
    }

    /// Returns whether several pods share the model.
    pub(super) fn is_spread(&self) -> bool {
        self.options.pipeline_parallel > 1
    }

    /// Returns the GPUs of all pods that share the model.
    pub(super) fn all_gpus(&self) -> u32 {
        self.gpus.saturating_mul(self.options.pipeline_parallel.max(1))
    }

    /// Returns whether images come from `storageUris`.
    pub(super) fn has_storage_uris(&self) -> bool {
        self.options.storage_uris || !self.options.loras.is_empty()
    }

    /// Returns whether vLLM answers requests, by itself or inside KServe's server.
    pub(super) fn runs_vllm(&self) -> bool {
        match self.server.family {
            Family::Vllm => true,
            Family::HuggingFace => self.served.facts.task.is_none_or(Task::is_generative) && !is_gguf(self.served),
            Family::Other => false,
        }
    }

    /// Returns the part of a GPU's memory that the server takes, in percent: as an argument of the user's says, or as
    /// the server does by itself.
    pub(super) fn gpu_percent(&self) -> u64 {
        if !self.runs_vllm() {
            return 100;
        }
        let args: Vec<String> = self.options.args.iter().map(|arg| arg.replace('_', "-")).collect();
        let told =
            args.iter().enumerate().find_map(|(at, arg)| match arg.strip_prefix("--gpu-memory-utilization")? {
                "" => args.get(at + 1).and_then(|value| percent(value)),
                value => value.strip_prefix('=').and_then(percent),
            });
        told.unwrap_or(VLLM_PERCENT)
    }

    /// Returns whether a runtime of KServe serves the model.
    pub(super) fn has_runtime(&self) -> bool {
        let service = matches!(self.options.kind, Kind::InferenceService | Kind::SmokeTest);
        service && self.options.custom_container.is_none()
    }

    /// Returns two things that do not go together in what was decided.
    pub(super) fn conflict(&self) -> Option<(&'static str, &'static str)> {
        if self.is_spread() && self.gpus == 0 {
            return Some(("several pods for one model", "a server without GPUs"));
        }
        let has_adapters = !self.options.loras.is_empty();
        (has_adapters && self.server.family != Family::Vllm).then_some(("an adapter", "a server that is not vLLM"))
    }

    /// Returns where the server finds the model, as an argument: a folder, or the file of one in GGUF.
    ///
    /// The kubelet replaces `$(NAME)` in arguments by a variable, and `$$` by `$`.
    pub(super) fn model_path(&self) -> String {
        match &self.served.facts.file {
            Some(file) if is_gguf(self.served) => format!("{MODEL_PATH}/{}", file.replace('$', "$$")),
            _ => MODEL_PATH.to_owned(),
        }
    }

    /// Returns the file that an argument names, and what in its name others than the server would act on.
    pub(super) fn hostile_file(&self) -> Option<(&str, &'static str)> {
        let file = self.served.facts.file.as_deref().filter(|_| is_gguf(self.served))?;
        ACTED_ON.into_iter().find(|text| file.contains(text)).map(|text| (file, text))
    }

    /// Returns the bytes of the server's image on a node, where it is one for GPUs.
    pub(super) fn server_bytes(&self) -> u64 {
        if self.gpus > 0 && self.has_server() { GPU_SERVER_BYTES } else { 0 }
    }

    /// Returns the longest sequence that is served.
    pub(super) fn sequence(&self) -> Option<u64> {
        self.options.max_model_len.or(self.served.facts.context_length)
    }

    /// Returns GPU memory in bytes: weights, the attention cache of one longest sequence, and the runtime on every GPU.
    pub(super) fn gpu_memory(&self) -> Option<GpuMemory> {
        let weights = self.served.facts.weight_bytes?;
        let cache = self.served.facts.cache_bytes_per_token.zip(self.sequence());
        let cache = cache.and_then(|(bytes, tokens)| bytes.checked_mul(tokens)).unwrap_or(0);
        let runtime = RUNTIME_GPU_BYTES.saturating_mul(self.all_gpus().max(1).into());
        Some(GpuMemory { weights, cache, runtime })
    }

    /// Returns the labels of the nodes, those for the GPU type included.
    pub(super) fn node_selector(&self) -> BTreeMap<String, String> {
        let mut selector = self.options.node_selector.clone();
        if let Some(gpu) = &self.options.gpu_type {
            selector.insert("cloud.google.com/gke-accelerator".to_owned(), gpu.clone());
        }
        selector
    }

    /// Returns whether pods come from Knative, which takes fewer fields.
    pub(super) fn is_knative(&self) -> bool {
        self.options.mode == DeploymentMode::Knative && self.options.kind != Kind::LlmInferenceService
    }
}

/// Memory of a GPU, by what takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GpuMemory {
    pub(super) weights: u64,
    pub(super) cache: u64,
    pub(super) runtime: u64,
}

impl GpuMemory {
    /// Returns the sum over all GPUs.
    pub(super) fn total(self) -> u64 {
        self.weights.saturating_add(self.cache).saturating_add(self.runtime)
    }
}

impl Server {
    fn new(served: &ServedImage, options: &RenderOptions) -> Self {
        let for_vllm = served.facts.task.is_none_or(Task::suits_vllm);
        let huggingface = (Family::HuggingFace, "huggingface", Some(HUGGINGFACE_RUNTIME));
        let vllm = (Family::Vllm, "vLLM", Some(VLLM_RUNTIME));
        let spread = (Family::HuggingFace, "huggingface", Some(MULTI_NODE_RUNTIME));
        let (family, format, runtime) = match options.runtime.as_deref() {
            Some(MULTI_NODE_RUNTIME) => spread,
            None if options.pipeline_parallel > 1 => spread,
            Some(HUGGINGFACE_RUNTIME) => huggingface,
            Some(VLLM_RUNTIME) => vllm,
            _ if is_onnx(served) => (Family::Other, "onnx", None),
            _ if for_vllm && options.version.has_vllm_runtime() => vllm,
            _ => huggingface,
        };
        // A format of the user's own leaves the runtime to the cluster, a runtime of his own its arguments to him.
        let named = options.model_format.as_deref();
        let foreign = named.is_some_and(|named| !named.eq_ignore_ascii_case(format))
            || options.runtime.as_deref().is_some_and(|named| Some(named) != runtime);
        let has_no_runtime = options.custom_container.is_some() || options.kind == Kind::LlmInferenceService;
        Self {
            family: match (has_no_runtime, foreign) {
                (true, _) => Family::Vllm,
                (false, true) => Family::Other,
                (false, false) => family,
            },
            format: named.unwrap_or(format).to_owned(),
            runtime: options.runtime.clone().or_else(|| runtime.filter(|_| !foreign).map(str::to_owned)),
        }
    }
}

pub(super) fn is_gguf(served: &ServedImage) -> bool {
    served.facts.format == Some(WeightFormat::Gguf)
}

pub(super) fn is_onnx(served: &ServedImage) -> bool {
    served.facts.format == Some(WeightFormat::Onnx)
}

/// Reads a fraction such as `0.85` as percent.
fn percent(fraction: &str) -> Option<u64> {
    match fraction.split_once('.') {
        None | Some(("1", _)) => (fraction.split('.').next() == Some("1")).then_some(100),
        Some(("" | "0", digits)) => {
            let two: String = digits.chars().chain("00".chars()).take(2).collect();
            two.parse().ok().filter(|percent| *percent > 0)
        }
        Some(_) => None,
    }
}

/// With GPUs the weights only pass through; without them they stay, beside the cache and the activations.
fn memory(served: &ServedImage, gpus: u32) -> String {
    let weights = served.facts.weight_bytes.unwrap_or(served.bytes.unpacked);
    let extra = match gpus {
        0 => weights.saturating_add(weights / 4),
        gpus => weights.min(u64::from(gpus).saturating_mul(STAGING_BYTES)),
    };
    format!("{}Gi", RUNTIME_MEMORY_BYTES.saturating_add(extra).div_ceil(GIB))
}
