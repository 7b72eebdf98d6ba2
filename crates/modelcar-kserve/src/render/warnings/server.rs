//! Warnings about the server: its image, and whether it can serve such a model.

use modelcar_core::{
    facts::{Library, Task},
    text::one_line,
};

use crate::render::{
    resolved::{Family, HUGGINGFACE_RUNTIME, Resolved, VLLM_RUNTIME, is_gguf, is_onnx},
    warning::{ImageRewrite, Warning},
};

pub(super) fn find(resolved: &Resolved<'_>, found: &mut Vec<Warning>) {
    model(resolved, found);
    particulars(resolved, found);
    image(resolved, found);
    let options = resolved.options;
    if resolved.has_runtime() && resolved.server.family == Family::Other && options.served_name.is_some() {
        found.push(Warning::ServedName);
    }
    if resolved.is_sidecar() && !options.version.keeps_security_context() {
        found.push(Warning::SecurityContext { version: options.version });
    }
}

/// What the server makes of the model.
fn model(resolved: &Resolved<'_>, found: &mut Vec<Warning>) {
    let facts = &resolved.served.facts;
    let family = resolved.server.family;
    match (&facts.architecture, facts.task) {
        (None, _) if facts.format.is_none() => found.push(Warning::NoFacts),
        (_, None) if is_onnx(resolved.served) || family == Family::Other => {}
        (architecture, None) => found.push(Warning::UnknownTask { architecture: architecture.clone() }),
        (_, Some(Task::TextToText)) if family == Family::Vllm => found.push(Warning::EncoderDecoder),
        _ => {}
    }
    match family {
        Family::Vllm if is_gguf(resolved.served) => found.push(gguf(vllm_version(resolved))),
        Family::HuggingFace if is_gguf(resolved.served) => found.push(Warning::GgufOnHuggingFace),
        _ => {}
    }
}

/// The first release of vLLM whose image can't load GGUF.
const WITHOUT_GGUF: (u32, u32) = (0, 24);

fn gguf(version: Option<(u32, u32)>) -> Warning {
    match version {
        Some(version) if version >= WITHOUT_GGUF => Warning::GgufGone,
        version => Warning::GgufOnVllm { is_known: version.is_some() },
    }
}

/// Returns the version of vLLM that a tag of the user's names, such as `v0.24.0`.
fn vllm_version(resolved: &Resolved<'_>) -> Option<(u32, u32)> {
    let options = resolved.options;
    let image = options.custom_container.as_deref().or(options.runtime_image.as_deref());
    let tag_of = |image: &str| {
        let name = image.split('@').next()?;
        name.rsplit('/').next()?.split_once(':').map(|(_, tag)| tag.to_owned())
    };
    let tag = options.runtime_version.clone().or_else(|| image.and_then(tag_of))?;
    let mut parts = tag.strip_prefix('v').unwrap_or(&tag).split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// What a server needs to be told of the model, or can't do with it.
fn particulars(resolved: &Resolved<'_>, found: &mut Vec<Warning>) {
    let (facts, options) = (&resolved.served.facts, resolved.options);
    let is_trusted =
        options.trust_remote_code || options.args.iter().any(|arg| arg.replace('_', "-") == "--trust-remote-code");
    match (facts.remote_code, is_trusted) {
        (Some(true), false) => found.push(Warning::RemoteCode),
        (Some(true), true) => found.push(Warning::TrustedCode),
        _ => {}
    }
    let is_named = options.args.iter().any(|arg| arg.replace('_', "-").starts_with("--chat-template"));
    if facts.chat_template == Some(false) && resolved.runs_vllm() && !is_named {
        found.push(Warning::NoChatTemplate);
    }
    if facts.library == Some(Library::Peft) || facts.adapter_base.is_some() {
        found.push(Warning::Adapter { base: facts.adapter_base.clone() });
    }
    for lora in &options.loras {
        let base = lora.image.facts.adapter_base.as_deref().map(one_line);
        if let Some((base, served)) = base.zip(resolved.served.title.clone()).filter(|(base, served)| base != served) {
            found.push(Warning::AdapterOfOther { name: lora.name.clone(), base, served });
        }
    }
}

/// KServe knows some of its runtimes by name. A named version keeps it from rewriting, and so does a digest.
fn rewrite_of(resolved: &Resolved<'_>) -> ImageRewrite {
    let version = resolved.options.version;
    let resource = resolved.options.gpu_resource.as_str();
    let slice = version.knows_gpu_slices() && resource.starts_with("nvidia.com/mig");
    let gpu = resolved.gpus > 0 && (resource == "nvidia.com/gpu" || slice);
    match resolved.server.runtime.as_deref() {
        Some(HUGGINGFACE_RUNTIME | "kserve-tensorflow-serving" | "kserve-torchserve") if gpu => ImageRewrite::GpuTag,
        Some(VLLM_RUNTIME) if version.has_vllm_runtime() && !gpu => ImageRewrite::CpuRepository,
        _ => ImageRewrite::Nothing,
    }
}

fn image(resolved: &Resolved<'_>, found: &mut Vec<Warning>) {
    let options = resolved.options;
    if !resolved.has_runtime() {
        return;
    }
    let rewrite = rewrite_of(resolved);
    let warning = match (options.runtime_version.as_deref(), options.runtime_image.as_deref()) {
        (Some(tag), _) => version(resolved, rewrite, tag),
        (None, Some(image)) => named(resolved, rewrite, image),
        (None, None) => {
            if resolved.server.family != Family::Other {
                found.push(Warning::RuntimeVersion { rewrite });
            }
            let other_gpu = rewrite == ImageRewrite::CpuRepository && resolved.gpus > 0;
            other_gpu.then(|| Warning::GpusNotCounted { resource: one_line(&options.gpu_resource) })
        }
    };
    found.extend(warning);
}

/// KServe puts the tag in the place of the runtime's and looks no further.
fn version(resolved: &Resolved<'_>, rewrite: ImageRewrite, tag: &str) -> Option<Warning> {
    match rewrite {
        ImageRewrite::GpuTag if !tag.ends_with("-gpu") => Some(Warning::TagWithoutCuda { tag: one_line(tag) }),
        ImageRewrite::CpuRepository => {
            let resource = (resolved.gpus > 0).then(|| one_line(&resolved.options.gpu_resource));
            Some(Warning::VersionForNvidia { resource })
        }
        _ => None,
    }
}

/// An image of the user's is rewritten like the runtime's own, unless it is named by its digest.
fn named(resolved: &Resolved<'_>, rewrite: ImageRewrite, image: &str) -> Option<Warning> {
    let version = resolved.options.version;
    if image.contains("@sha256:") {
        let breaks = rewrite == ImageRewrite::GpuTag && !version.leaves_digests_alone();
        return breaks.then_some(Warning::DigestRewritten { version });
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    let (repository, tag) = last.split_once(':').map(|(_, tag)| (&image[..image.len() - tag.len() - 1], tag))?;
    let becomes = match rewrite {
        ImageRewrite::GpuTag if !tag.ends_with("-gpu") => format!("{image}-gpu"),
        ImageRewrite::CpuRepository if !repository.ends_with("-cpu") => format!("{repository}-cpu:{tag}"),
        _ => return None,
    };
    let leaves_digests = version.leaves_digests_alone();
    Some(Warning::TagRewritten { image: one_line(image), becomes: one_line(&becomes), leaves_digests })
}
