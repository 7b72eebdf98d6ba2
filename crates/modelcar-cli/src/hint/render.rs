//! What the user can do when `render` refuses something.

use modelcar_kserve::render::{RenderError, Setting};

use super::Failure;

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        let hint = match &error {
            RenderError::Unsupported { .. } => "name another --kserve-version, or leave the option out",
            RenderError::NoShell => {
                "push it again with a base that has a shell (leave --base out), or serve it as an image volume with \
                 --native"
            }
            RenderError::Incomplete(_) => "push the whole model, or render all the same with --allow-incomplete",
            RenderError::BadName(_) => "choose another one with --name",
            RenderError::BadNamespace(_) => "choose another one with --namespace",
            RenderError::UnsafeFile { .. } => "rename the file in the model, and push the model again",
            RenderError::BadValue { setting, .. } => {
                let hint = format!("correct {}", flag(*setting));
                return Self { error: error.into(), act: None, hints: vec![hint] };
            }
            RenderError::TooLong { .. } => {
                "lower --max-model-len, or let vLLM take it with --env VLLM_ALLOW_LONG_MAX_MODEL_LEN=1"
            }
            RenderError::NoTokens => "raise --max-model-len",
            RenderError::LlmGguf => "render an InferenceService (leave --kind out)",
            RenderError::Template(_) => concat!(docs!("kserve.md"), " lists the values that a template can use"),
            RenderError::Conflict(one, other) => {
                let flags: Vec<&str> = [*one, *other].into_iter().filter_map(conflicting).collect();
                let hint = match flags.as_slice() {
                    [] => "leave one of them out".to_owned(),
                    flags => format!("leave {} out, or change it", flags.join(" or ")),
                };
                return Self { error: error.into(), act: None, hints: vec![hint] };
            }
            RenderError::Replicas { .. } => "raise --max-replicas, or lower --min-replicas",
            _ => "this is a defect of modelcar, please report it",
        };
        Self { error: error.into(), act: None, hints: vec![hint.to_owned()] }
    }
}

/// Returns the option of the command line that asks for one of two things that do not go together.
fn conflicting(what: &str) -> Option<&'static str> {
    Some(match what.trim_end_matches(',') {
        "a custom container" => "--custom-container",
        "`storageUris`" => "--storage-uris",
        "an LLMInferenceService" => "--kind llm-inference-service",
        "a runtime" | "this runtime" => "--runtime",
        "a runtime version" => "--runtime-version",
        "a runtime image" => "--runtime-image",
        "a deployment strategy" => "--deployment-strategy",
        "a download by KServe" => "--fetch",
        "an image volume" => "--native",
        "the user root" => "--kserve-uid",
        "an adapter" | "an adapter from an OCI image" => "--lora",
        "several pods for one model" => "--pipeline-parallel",
        "a scheduler that is left out" => "--no-scheduler",
        "Knative" => "--mode knative",
        "an autoscaler" => "--autoscaler",
        "a server without GPUs" => "--gpus",
        "a pre-pull" | "a pre-pull, which pulls one image" => "--kind prepull",
        _ => return None,
    })
}

/// Returns the option of the command line that sets a value.
fn flag(setting: Setting) -> &'static str {
    match setting {
        Setting::Cpu => "--cpu",
        Setting::Memory => "--memory",
        Setting::EphemeralStorage => "--ephemeral-storage",
        Setting::GpuResource => "--gpu-resource",
        Setting::GpuType => "--gpu-type",
        Setting::ServiceAccount => "--service-account",
        Setting::PullSecret => "--image-pull-secret",
        Setting::Runtime => "--runtime",
        Setting::ModelFormat => "--model-format",
        Setting::ServedName => "--served-name",
        Setting::LoadFormat => "--load-format",
        Setting::Variable => "--env",
        Setting::CustomContainer => "--custom-container",
        Setting::RuntimeImage => "--runtime-image",
        Setting::RuntimeVersion => "--runtime-version",
        Setting::NodeSelector => "--node-selector",
        Setting::Toleration => "--toleration",
        Setting::Label => "--label",
        Setting::Annotation => "--annotation",
        Setting::Lora => "the name in --lora",
        _ => "the option",
    }
}
