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
            RenderError::Conflict(..) => "leave one of them out",
            _ => "this is a defect of modelcar, please report it",
        };
        Self { error: error.into(), act: None, hints: vec![hint.to_owned()] }
    }
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
