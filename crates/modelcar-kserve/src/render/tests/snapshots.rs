//! The YAML, to be read by people. A change is looked at, then taken with `cargo insta accept`.

use super::*;

macro_rules! snapshot {
    ($name:literal, $served:expr, $options:expr) => {
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, yaml(&$served, &$options));
        });
    };
}

#[test]
fn inference_services() {
    let pinned = |change: &dyn Fn(&mut RenderOptions)| {
        options(|options| {
            options.runtime_version = Some("v0.23.0".into());
            change(options);
        })
    };
    snapshot!("vllm", qwen(), pinned(&|_| ()));
    snapshot!(
        "vllm-scale-to-zero",
        qwen(),
        pinned(&|o| {
            (o.mode, o.min_replicas, o.gpus) = (DeploymentMode::Knative, Some(0), Some(1));
        })
    );
    snapshot!("vllm-native", qwen(), pinned(&|o| o.delivery = Delivery::Native));
    snapshot!("vllm-storage-uris", qwen(), pinned(&|o| o.storage_uris = true));
    snapshot!("all-options", qwen(), all_options(KserveVersion::default()));
    snapshot!("embedding", minilm(), pinned(&|_| ()));
    snapshot!("gguf", gguf(), pinned(&|_| ()));
    snapshot!("no-user", qwen(), pinned(&|o| o.kserve_uid = SidecarUser::None));
    let fetch = pinned(&|o| (o.delivery, o.version) = (Delivery::Fetch, KserveVersion::LATEST));
    snapshot!("fetch", qwen(), fetch);
    snapshot!("adapters", qwen(), pinned(&|o| o.loras = vec![lora("sql", Some(64)), lora("law", None)]));
    let spread = |o: &mut RenderOptions| (o.gpus, o.pipeline_parallel) = (Some(8), 2);
    snapshot!("several-pods", qwen(), options(spread));
    snapshot!("unknown-model", stranger(), options(|_| ()));
    snapshot!("kserve-0.15", qwen(), options(|o| o.version = KserveVersion::FIRST));
}

#[test]
fn custom_containers() {
    let custom = |change: &dyn Fn(&mut RenderOptions)| {
        options(|options| {
            options.custom_container = Some("vllm/vllm-openai:v0.23.0".into());
            change(options);
        })
    };
    snapshot!("custom-container", qwen(), custom(&|_| ()));
    snapshot!("custom-container-knative", qwen(), custom(&|o| o.mode = DeploymentMode::Knative));
    snapshot!("custom-container-storage-uris", qwen(), custom(&|o| o.storage_uris = true));
}

#[test]
fn other_kinds() {
    let of = |kind, native| options(|options| (options.kind, options.delivery) = (kind, delivery(native)));
    snapshot!("llm-inference-service", qwen(), of(Kind::LlmInferenceService, false));
    let eight = options(|options| (options.kind, options.gpus) = (Kind::LlmInferenceService, Some(8)));
    snapshot!("llm-inference-service-8-gpus", qwen(), eight);
    snapshot!("smoke-test", qwen(), of(Kind::SmokeTest, false));
    snapshot!("prepull", qwen(), of(Kind::Prepull, false));
    snapshot!("prepull-native", qwen(), of(Kind::Prepull, true));
    snapshot!("admission-pod", qwen(), of(Kind::AdmissionPod, false));
    snapshot!("admission-pod-native", qwen(), of(Kind::AdmissionPod, true));
}
