//! Warnings about the server: its image, and whether it can serve such a model.

use super::{Warning, warn};
use modelcar_core::facts::Task;

use crate::render::choice::{Choice, Family, HUGGINGFACE_RUNTIME, VLLM_RUNTIME, is_gguf, is_onnx};

pub(super) fn find(choice: &Choice<'_>, found: &mut Vec<Warning>) {
    model(choice, found);
    image(choice, found);
    let options = choice.options;
    if choice.has_runtime() && choice.server.family == Family::Other && options.served_name.is_some() {
        warn(
            found,
            "served-name",
            "the arguments of this runtime are not known, so --served-name is left out: name the model with --arg",
        );
    }
    if choice.is_sidecar() && !options.version.keeps_security_context() {
        warn(
            found,
            "security-context",
            format!("KServe {} replaces the server's securityContext by the user alone", options.version),
        );
    }
}

/// What the server makes of the model.
fn model(choice: &Choice<'_>, found: &mut Vec<Warning>) {
    let facts = &choice.subject.facts;
    let family = choice.server.family;
    match (&facts.architecture, facts.task) {
        (None, _) if facts.format.is_none() => warn(
            found,
            "no-facts",
            "the image does not say what model it holds: runtime and resources are defaults, check them",
        ),
        (_, None) if is_onnx(choice.subject) || family == Family::Other => {}
        (architecture, None) => {
            let of = architecture.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            let message = format!(
                "what the model is for is not known{of}: it is served as one that writes text; --model-format, \
                 --runtime, --gpus and --arg say otherwise"
            );
            warn(found, "unknown-task", message);
        }
        (_, Some(Task::TextToText)) if family == Family::Vllm => warn(
            found,
            "encoder-decoder",
            "vLLM does not serve models that rewrite text by an encoder and a decoder, such as T5 and BART: leave \
             --custom-container and --kind out, or use --runtime kserve-huggingfaceserver",
        ),
        _ => {}
    }
    match family {
        Family::Vllm if is_gguf(choice.subject) => warn(
            found,
            "gguf",
            "vLLM's support of GGUF is experimental, and wants the tokenizer of the original model (--tokenizer)",
        ),
        Family::HuggingFace if is_gguf(choice.subject) => warn(
            found,
            "gguf",
            format!(
                "{HUGGINGFACE_RUNTIME} can't load GGUF: name a server that can with --custom-container or --runtime, or \
                 render for KServe 0.20, which brings {VLLM_RUNTIME}"
            ),
        ),
        _ => {}
    }
}

/// What KServe makes of a server's image when no version is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rewrite {
    /// `IMAGE:TAG` becomes `IMAGE:TAG-gpu`.
    GpuTag,
    /// `IMAGE:TAG` becomes `IMAGE-cpu:TAG`.
    CpuRepository,
    Nothing,
}

impl Rewrite {
    /// KServe knows some of its runtimes by name. A named version keeps it from rewriting, and so does a digest.
    fn of(choice: &Choice<'_>) -> Self {
        let version = choice.options.version;
        let resource = choice.options.gpu_resource.as_str();
        let slice = version.knows_gpu_slices() && resource.starts_with("nvidia.com/mig");
        let gpu = choice.gpus > 0 && (resource == "nvidia.com/gpu" || slice);
        match choice.server.runtime.as_deref() {
            Some(HUGGINGFACE_RUNTIME | "kserve-tensorflow-serving" | "kserve-torchserve") if gpu => Self::GpuTag,
            Some(VLLM_RUNTIME) if version.has_vllm_runtime() && !gpu => Self::CpuRepository,
            _ => Self::Nothing,
        }
    }
}

fn image(choice: &Choice<'_>, found: &mut Vec<Warning>) {
    let options = choice.options;
    if !choice.has_runtime() {
        return;
    }
    let rewrite = Rewrite::of(choice);
    let message = match (options.runtime_version.as_deref(), options.runtime_image.as_deref()) {
        (Some(tag), _) => version(choice, rewrite, tag),
        (None, Some(image)) => named(choice, rewrite, image),
        (None, None) => {
            if choice.server.family != Family::Other {
                warn(found, "runtime-version", unpinned(rewrite));
            }
            let other_gpu = rewrite == Rewrite::CpuRepository && choice.gpus > 0;
            other_gpu.then(|| {
                format!(
                    "KServe counts only NVIDIA's GPUs and takes the server's image without any: name the image for `{}` \
                     with --runtime-image IMAGE@sha256:…",
                    options.gpu_resource
                )
            })
        }
    };
    if let Some(message) = message {
        warn(found, "server-image", message);
    }
}

fn unpinned(rewrite: Rewrite) -> String {
    let how = match rewrite {
        Rewrite::GpuTag => "--runtime-version TAG, one that ends in -gpu, or --runtime-image IMAGE@sha256:…",
        Rewrite::CpuRepository => "--runtime-image IMAGE@sha256:…",
        Rewrite::Nothing => "--runtime-version TAG or --runtime-image IMAGE@sha256:…",
    };
    format!("the version of the server is the cluster's: pin it with {how}")
}

/// KServe puts the tag in the place of the runtime's and looks no further.
fn version(choice: &Choice<'_>, rewrite: Rewrite, tag: &str) -> Option<String> {
    match rewrite {
        Rewrite::GpuTag if !tag.ends_with("-gpu") => Some(format!(
            "KServe takes the tag `{tag}` as it is, and with it an image without CUDA: name one that ends in -gpu \
             (--runtime-version {tag}-gpu)"
        )),
        Rewrite::CpuRepository => {
            let what = if choice.gpus > 0 { choice.options.gpu_resource.as_str() } else { "CPUs alone" };
            Some(format!(
                "with --runtime-version KServe keeps the runtime's image for NVIDIA's GPUs: name one for {what} with \
                 --runtime-image IMAGE@sha256:…"
            ))
        }
        _ => None,
    }
}

/// An image of the user's is rewritten like the runtime's own, unless it is named by its digest.
fn named(choice: &Choice<'_>, rewrite: Rewrite, image: &str) -> Option<String> {
    let version = choice.options.version;
    if image.contains("@sha256:") {
        let breaks = rewrite == Rewrite::GpuTag && !version.leaves_digests_alone();
        return breaks.then(|| {
            format!(
                "KServe {version} appends -gpu to a digest too, and the image is not found: name it by a tag that ends \
                 in -gpu"
            )
        });
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    let (repository, tag) = last.split_once(':').map(|(_, tag)| (&image[..image.len() - tag.len() - 1], tag))?;
    let becomes = match rewrite {
        Rewrite::GpuTag if !tag.ends_with("-gpu") => format!("{image}-gpu"),
        Rewrite::CpuRepository if !repository.ends_with("-cpu") => format!("{repository}-cpu:{tag}"),
        _ => return None,
    };
    let remedy = if version.leaves_digests_alone() {
        "name it by its digest"
    } else {
        "name the one that is meant by a tag that ends in -gpu"
    };
    Some(format!("KServe makes `{becomes}` of the image `{image}`: {remedy}"))
}
