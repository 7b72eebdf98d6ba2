//! What does not go together, and what a release or an image can't do.

use super::{
    error::{RenderError, Setting},
    options::{Autoscaler, Delivery, DeploymentMode, Kind, RenderOptions},
    resolved,
    served_image::ServedImage,
    values,
};
use crate::SidecarUser;

/// Refuses what can't work, before anything is rendered.
pub(super) fn check(served: &ServedImage, options: &RenderOptions) -> Result<(), RenderError> {
    release(options)?;
    let conflicts = [of_kinds(options), of_servers(options), of_pods(options), of_many_pods(options)];
    if let Some((one, other)) = conflicts.into_iter().flatten().next() {
        return Err(RenderError::Conflict(one, other));
    }
    if let (Some(least), Some(most)) = (options.min_replicas, options.max_replicas)
        && least > most
    {
        return Err(RenderError::Replicas { least, most });
    }
    adapters(options)?;
    image(served, options)?;
    length(served, options)
}

/// Two things that do not go together.
type Conflict = Option<(&'static str, &'static str)>;

fn first(conflicts: &[(bool, &'static str, &'static str)]) -> Conflict {
    conflicts.iter().find(|(conflict, ..)| *conflict).map(|(_, one, other)| (*one, *other))
}

/// What the release lacks.
fn release(options: &RenderOptions) -> Result<(), RenderError> {
    let version = options.version;
    let llm = options.kind == Kind::LlmInferenceService;
    let native = options.delivery == Delivery::Native;
    let fetch = options.delivery == Delivery::Fetch;
    let lacks = [
        (native && !version.has_native(), "image volumes (`oci+native://`)", "0.20"),
        (fetch && !version.has_fetch(), "downloads of images (`oci+fetch://`)", "0.21"),
        (llm && !version.has_llm_v1alpha2(), "LLMInferenceService v1alpha2", "0.17"),
        (options.storage_uris && !version.has_oci_storage_uris(), "`storageUris` that mount OCI images", "0.19"),
        (!options.loras.is_empty() && !version.has_several_images(), "pods with several OCI images", "0.20"),
        (
            options.pipeline_parallel > 1 && !version.has_images_on_nodes(),
            "OCI images for several pods of one model",
            "0.17",
        ),
    ];
    match lacks.into_iter().find(|(lacks, ..)| *lacks) {
        Some((_, what, since)) => Err(RenderError::Unsupported { version, what, since }),
        None => Ok(()),
    }
}

/// What a kind of object has no place for.
fn of_kinds(options: &RenderOptions) -> Conflict {
    let llm = options.kind == Kind::LlmInferenceService;
    let admission = options.kind == Kind::AdmissionPod;
    let prepull = options.kind == Kind::Prepull;
    let custom = options.custom_container.is_some();
    let loras = !options.loras.is_empty();
    let llms = "an LLMInferenceService";
    // The controller writes `storageUris` into the Deployment; the webhook sees one URI.
    let webhook = "a pod for the webhook, which acts on `storageUri` alone,";
    first(&[
        (custom && llm, "a custom container", llms),
        (options.storage_uris && llm, "`storageUris`", llms),
        (llm && options.runtime.is_some(), llms, "a runtime"),
        (llm && options.runtime_version.is_some(), llms, "a runtime version"),
        (llm && options.deployment_strategy.is_some(), llms, "a deployment strategy"),
        (llm && options.delivery == Delivery::Fetch, llms, "a download by KServe"),
        (llm && loras, llms, "an adapter from an OCI image"),
        (llm && options.pipeline_parallel > 1, llms, "several pods for one model"),
        (!llm && options.no_scheduler, "a scheduler that is left out", "an InferenceService, which has none,"),
        (admission && (options.storage_uris || loras), webhook, "several URIs"),
        (prepull && loras, "a pre-pull, which pulls one image,", "an adapter"),
        (
            prepull && options.delivery == Delivery::Fetch,
            "a pre-pull",
            "a download by KServe, which uses no image of the node,",
        ),
    ])
}

/// What a server and its mode have no place for.
fn of_servers(options: &RenderOptions) -> Conflict {
    let custom = options.custom_container.is_some();
    let knative = options.mode == DeploymentMode::Knative;
    first(&[
        (custom && options.runtime.is_some(), "a custom container", "a runtime"),
        (custom && options.runtime_version.is_some(), "a custom container", "a runtime version"),
        (custom && options.runtime_image.is_some(), "a custom container", "a runtime image"),
        (options.runtime_image.is_some() && options.runtime_version.is_some(), "a runtime image", "a runtime version"),
        (knative && options.autoscaler.is_some(), "Knative", "an autoscaler"),
        (knative && options.deployment_strategy.is_some(), "Knative", "a deployment strategy"),
    ])
}

fn of_pods(options: &RenderOptions) -> Conflict {
    let root = options.kserve_uid == SidecarUser::Uid(0) && options.kind != Kind::Prepull;
    first(&[
        // The kubelet refuses a root that must not be root, which stands in the pod where there is no sidecar.
        (root && options.delivery == Delivery::Native, "an image volume", "the user root"),
        (root && options.delivery == Delivery::Fetch, "a download by KServe", "the user root"),
    ])
}

/// What several pods of one model have no place for.
fn of_many_pods(options: &RenderOptions) -> Conflict {
    if options.pipeline_parallel <= 1 {
        return None;
    }
    let many = "several pods for one model";
    first(&[
        (options.mode == DeploymentMode::Knative, many, "Knative"),
        (options.custom_container.is_some(), many, "a custom container"),
        (options.delivery != Delivery::Sidecar, many, "a model that no sidecar holds"),
        (options.autoscaler.is_some_and(|autoscaler| autoscaler != Autoscaler::None), many, "an autoscaler"),
        (options.storage_uris || !options.loras.is_empty(), many, "`storageUris`"),
        (options.gpus == Some(0), many, "a server without GPUs"),
        (options.runtime.as_deref().is_some_and(|name| name == resolved::VLLM_RUNTIME), many, "this runtime"),
        (options.runtime.as_deref().is_some_and(|name| name == resolved::HUGGINGFACE_RUNTIME), many, "this runtime"),
    ])
}

/// Names of adapters become folders, and no two may be the same.
fn adapters(options: &RenderOptions) -> Result<(), RenderError> {
    for (at, lora) in options.loras.iter().enumerate() {
        if !values::is_label(&lora.name, values::LABEL_MAX) {
            return Err(RenderError::BadValue { setting: Setting::Lora, value: lora.name.clone() });
        }
        if options.loras.iter().take(at).any(|other| other.name == lora.name) {
            return Err(RenderError::Conflict("two adapters", "one name"));
        }
    }
    Ok(())
}

/// What the image can't do.
fn image(served: &ServedImage, options: &RenderOptions) -> Result<(), RenderError> {
    if options.kind == Kind::LlmInferenceService && resolved::is_gguf(served) {
        return Err(RenderError::LlmGguf);
    }
    if served.facts.is_broken() && !options.allow_incomplete {
        let flaws: Vec<&str> = served.facts.flaws.iter().map(String::as_str).collect();
        return Err(RenderError::Incomplete(flaws.join(", ")));
    }
    let mut images = std::iter::once(served).chain(options.loras.iter().map(|lora| &lora.image));
    if options.delivery == Delivery::Sidecar && images.any(|image| image.has_base == Some(false)) {
        return Err(RenderError::NoShell);
    }
    Ok(())
}

/// Longer sequences than the model was made for: vLLM does not start, unless it is told to.
fn length(served: &ServedImage, options: &RenderOptions) -> Result<(), RenderError> {
    const ALLOWED: &str = "VLLM_ALLOW_LONG_MAX_MODEL_LEN";
    let Some(tokens) = options.max_model_len else { return Ok(()) };
    if tokens == 0 {
        return Err(RenderError::NoTokens);
    }
    let is_allowed = options.env.iter().any(|(name, value)| name == ALLOWED && value == "1");
    // Both stretch the positions of the model.
    let is_stretched = options.args.iter().any(|arg| {
        let arg = arg.replace('_', "-");
        ["--rope-scaling", "--hf-overrides"].iter().any(|stretch| arg.starts_with(stretch))
    });
    match served.facts.context_length {
        Some(most) if tokens > most && !is_allowed && !is_stretched => Err(RenderError::TooLong { tokens, most }),
        _ => Ok(()),
    }
}
