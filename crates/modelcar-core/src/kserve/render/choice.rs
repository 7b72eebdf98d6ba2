//! What the options leave open, decided from the model's facts.

use std::collections::BTreeMap;

use super::{
    options::{DeploymentMode, Kind, RenderOptions},
    subject::Subject,
};
use crate::facts::{Task, WeightFormat};

const GIB: u64 = 1 << 30;
/// CUDA context, activations and buffers of an inference server.
const RUNTIME_GPU_BYTES: u64 = 2 * GIB;
/// Interpreter and libraries of an inference server.
const RUNTIME_MEMORY_BYTES: u64 = 8 * GIB;
/// Weights pass through memory on their way to a GPU, a part at a time.
const STAGING_BYTES: u64 = 24 * GIB;

/// Where KServe makes the model appear.
pub(super) const MODEL_PATH: &str = "/mnt/models";

/// Everything that objects are made of, decided.
#[derive(Debug, Clone)]
pub(super) struct Choice<'a> {
    pub(super) subject: &'a Subject,
    pub(super) options: &'a RenderOptions,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) served_name: String,
    /// `oci://…` or `oci+native://…`.
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

impl<'a> Choice<'a> {
    pub(super) fn new(subject: &'a Subject, options: &'a RenderOptions) -> Self {
        let name = options.name.clone().unwrap_or_else(|| subject.kubernetes_name());
        let scratch = (options.kind == Kind::SmokeTest).then(|| format!("smoke-{name}"));
        let generates = subject.facts.task.is_none_or(Task::is_generative) && !is_onnx(subject);
        let gpus = options.gpus.unwrap_or(u32::from(generates));
        let scheme = if options.native { "oci+native" } else { "oci" };
        Self {
            namespace: options.namespace.clone().or(scratch),
            served_name: options.served_name.clone().unwrap_or_else(|| name.clone()),
            uri: format!("{scheme}://{}", subject.pinned()),
            gpus,
            cpu: options.cpu.clone().unwrap_or_else(|| (4 * gpus.max(1)).to_string()),
            memory: options.memory.clone().unwrap_or_else(|| memory(subject, gpus)),
            server: Server::new(subject, options, generates),
            name,
            subject,
            options,
        }
    }

    /// Returns whether the sidecar gives the model, and not a volume.
    pub(super) fn is_sidecar(&self) -> bool {
        !self.options.native
    }

    /// Returns the longest sequence that is served.
    pub(super) fn sequence(&self) -> Option<u64> {
        self.options.max_model_len.or(self.subject.facts.context_length)
    }

    /// Returns GPU memory in bytes: weights, the attention cache of one longest sequence, and the runtime.
    pub(super) fn gpu_memory(&self) -> Option<GpuMemory> {
        let weights = self.subject.facts.weight_bytes?;
        let cache = self.subject.facts.cache_bytes_per_token.zip(self.sequence());
        let cache = cache.and_then(|(bytes, tokens)| bytes.checked_mul(tokens)).unwrap_or(0);
        Some(GpuMemory { weights, cache, runtime: RUNTIME_GPU_BYTES })
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
    fn new(subject: &Subject, options: &RenderOptions, generates: bool) -> Self {
        let (family, format, runtime) = if is_onnx(subject) {
            (Family::Other, "onnx", None)
        } else if generates && options.version.has_vllm_runtime() {
            (Family::Vllm, "vLLM", Some("kserve-vllmserver"))
        } else {
            (Family::HuggingFace, "huggingface", Some("kserve-huggingfaceserver"))
        };
        // A format of the user's own leaves the runtime to the cluster, a runtime of his own its arguments to him.
        let named = options.model_format.as_deref();
        let foreign = named.is_some_and(|named| !named.eq_ignore_ascii_case(format))
            || options.runtime.as_deref().is_some_and(|named| Some(named) != runtime);
        let vllm = options.custom_container.is_some() || options.kind == Kind::LlmInferenceService;
        Self {
            family: match (vllm, foreign) {
                (true, _) => Family::Vllm,
                (false, true) => Family::Other,
                (false, false) => family,
            },
            format: named.unwrap_or(format).to_owned(),
            runtime: options.runtime.clone().or_else(|| runtime.filter(|_| !foreign).map(str::to_owned)),
        }
    }
}

fn is_onnx(subject: &Subject) -> bool {
    subject.facts.format == Some(WeightFormat::Onnx)
}

/// With GPUs the weights only pass through; without them they stay, beside the cache and the activations.
fn memory(subject: &Subject, gpus: u32) -> String {
    let weights = subject.facts.weight_bytes.unwrap_or(subject.bytes.unpacked);
    let extra = match gpus {
        0 => weights.saturating_add(weights / 4),
        gpus => weights.min(u64::from(gpus) * STAGING_BYTES),
    };
    format!("{}Gi", RUNTIME_MEMORY_BYTES.saturating_add(extra).div_ceil(GIB))
}
