//! Which server serves, with which arguments, and what KServe makes of its image.

use super::*;

fn t5() -> ServedImage {
    let mut served = qwen();
    served.facts.architecture = Some("T5ForConditionalGeneration".into());
    served.facts.task = Some(Task::TextToText);
    served
}

fn classifier(architecture: &str) -> ServedImage {
    let mut served = minilm();
    served.facts.architecture = Some(architecture.into());
    served.facts.task = Some(Task::Classification);
    served
}

fn version(minor: u32) -> KserveVersion {
    format!("0.{minor}").parse().unwrap()
}

/// The arguments of the server.
fn args(served: &ServedImage, change: &dyn Fn(&mut RenderOptions)) -> Vec<String> {
    let rendered = render(served, &options(|options| (options.name = Some("m".into()), change(options)).1)).unwrap();
    let object = serde_json::to_value(&rendered.objects[0]).unwrap();
    let places =
        ["/spec/predictor/model/args", "/spec/predictor/containers/0/args", "/spec/template/containers/0/args"];
    let found = places.iter().find_map(|place| object.pointer(place)).cloned().unwrap_or_default();
    serde_json::from_value::<Option<Vec<String>>>(found).unwrap().unwrap_or_default()
}

/// Warnings of the server's image and of nothing else.
fn told(served: &ServedImage, change: &dyn Fn(&mut RenderOptions)) -> Option<String> {
    let rendered = render(served, &options(change)).unwrap();
    rendered.warnings.into_iter().find(|warning| warning.code() == "server-image").map(|warning| warning.to_string())
}

#[test]
fn models_that_vllm_is_not_for_keep_away_from_it() {
    assert_eq!(args(&minilm(), &|_| ()), ["--backend=huggingface", "--task=text_embedding"]);
    let sorts = classifier("BertForSequenceClassification");
    assert_eq!(args(&sorts, &|_| ()), ["--backend=huggingface", "--task=sequence_classification"]);
    assert_eq!(args(&classifier("BertForTokenClassification"), &|_| ()), ["--backend=huggingface"]);
    for minor in [15, 20] {
        let arguments = args(&t5(), &|o| o.version = version(minor));
        assert_eq!(arguments, ["--backend=huggingface", "--task=text2text_generation"]);
    }
    // Text that is written token by token is vLLM's in either runtime.
    assert_eq!(args(&qwen(), &|o| o.version = version(19)), [""; 0]);
    let on_vllm = render(&t5(), &options(|o| o.custom_container = Some("i:1".into()))).unwrap();
    assert!(codes(&on_vllm).contains(&"encoder-decoder"));
}

#[test]
fn a_runtime_of_kserve_gets_its_format_and_arguments() {
    let of = |runtime: &str, more: &[&str]| {
        let options = options(|o| {
            (o.runtime, o.max_model_len) = (Some(runtime.into()), Some(9));
            o.args = more.iter().map(|&arg| arg.into()).collect();
        });
        let object = serde_json::to_value(&render(&qwen(), &options).unwrap().objects[0]).unwrap();
        let model = &object["spec"]["predictor"]["model"];
        (model["modelFormat"]["name"].as_str().unwrap().to_owned(), model["args"].clone())
    };
    let json = |args: &[&str]| serde_json::json!(args);
    assert_eq!(of("kserve-huggingfaceserver", &[]), ("huggingface".to_owned(), json(&["--max_model_len=9"])));
    assert_eq!(of("kserve-vllmserver", &[]), ("vLLM".to_owned(), json(&["--max-model-len=9"])));
    assert_eq!(of("mine", &["--x"]), ("vLLM".to_owned(), json(&["--x"])));
}

#[test]
fn a_model_of_unknown_purpose_is_said_to_be_one() {
    let mut served = qwen();
    (served.facts.architecture, served.facts.task) = (Some("FooModel".into()), None);
    let unknown =
        |served: &ServedImage| codes(&render(served, &RenderOptions::default()).unwrap()).contains(&"unknown-task");
    assert!(unknown(&served));
    served.facts.architecture = None;
    assert!(unknown(&served));
    served.facts.format = Some(WeightFormat::Onnx);
    assert!(!unknown(&served) && !unknown(&qwen()) && !unknown(&stranger()));
}

#[test]
fn the_name_in_requests_reaches_the_server() {
    let named = |o: &mut RenderOptions| o.served_name = Some("chat".into());
    assert_eq!(args(&qwen(), &named), ["--served-model-name=chat"]);
    assert_eq!(args(&qwen(), &|o| (named(o), o.version = version(19)).0), ["--model_name=chat"]);
    assert_eq!(args(&qwen(), &|o| o.served_name = Some("m".into())), [""; 0]);
    let custom = args(&qwen(), &|o| (named(o), o.custom_container = Some("i:1".into())).0);
    assert_eq!(custom, ["--model=/mnt/models", "--served-model-name=chat", "--port=8080"]);
    let llm = args(&qwen(), &|o| (named(o), o.kind = Kind::LlmInferenceService).0);
    assert_eq!(llm, [""; 0]);
    let foreign = options(|o| (named(o), o.runtime = Some("mine".into())).0);
    assert!(codes(&render(&qwen(), &foreign).unwrap()).contains(&"served-name"));
}

#[test]
fn gguf_is_named_once() {
    let file = "--model=/mnt/models/qwen2.5-0.5b-instruct-q4_k_m.gguf";
    assert_eq!(args(&gguf(), &|_| ()), [file]);
    let custom = args(&gguf(), &|o| o.custom_container = Some("i:1".into()));
    assert_eq!(custom, [file, "--served-model-name=m", "--port=8080"]);
    let old = render(&gguf(), &options(|o| o.version = version(19))).unwrap();
    let warning = old.warnings.iter().find(|warning| warning.code() == "gguf").unwrap().to_string();
    assert!(warning.contains("can't load GGUF"), "{warning}");
}

#[test]
fn an_llm_is_spread_by_whoever_can() {
    let llm = |minor: u32, more: &[&str]| {
        args(&qwen(), &|o| {
            (o.kind, o.version, o.gpus) = (Kind::LlmInferenceService, version(minor), Some(8));
            o.args = more.iter().map(|&arg| arg.into()).collect();
        })
    };
    for minor in [17, 18, 19] {
        assert_eq!(llm(minor, &[]), ["--tensor-parallel-size=8"], "0.{minor}");
    }
    assert_eq!(llm(20, &[]), [""; 0]);
    assert_eq!(llm(20, &["--tensor-parallel-size=4"]), ["--tensor-parallel-size=4"]);
}

#[test]
fn what_kserve_makes_of_an_image_is_told() {
    let told = |change: &dyn Fn(&mut RenderOptions)| told(&qwen(), change);
    let says = |message: Option<String>, part: &str| {
        let message = message.unwrap_or_else(|| panic!("nothing is said of {part}"));
        assert!(message.contains(part), "{message}");
    };
    let tag = |o: &mut RenderOptions, tag: &str| o.runtime_version = Some(tag.into());
    let image = |o: &mut RenderOptions, image: &str| o.runtime_image = Some(image.into());
    let digest = format!("r.io:5000/s@{DIGEST}");

    // huggingfaceserver with a GPU.
    says(told(&|o| (tag(o, "v0.19.0"), o.version = version(19)).0), "the tag `v0.19.0` as it is");
    assert_eq!(told(&|o| (tag(o, "v0.19.0-gpu"), o.version = version(19)).0), None);
    assert_eq!(told(&|o| (tag(o, "v0.19.0"), o.version = version(19), o.gpus = Some(0)).0), None);
    says(told(&|o| (image(o, "r.io:5000/s:v1"), o.version = version(19)).0), "`r.io:5000/s:v1-gpu`");
    assert_eq!(told(&|o| (image(o, "r.io:5000/s:v1-gpu"), o.version = version(19)).0), None);
    assert_eq!(told(&|o| (image(o, "r.io:5000/s"), o.version = version(19)).0), None);
    assert_eq!(told(&|o| (image(o, &digest), o.version = version(16)).0), None);
    says(told(&|o| (image(o, &digest), o.version = version(15)).0), "to a digest too");
    assert_eq!(told(&|o| o.version = version(19)), None);
    let slice = |o: &mut RenderOptions, minor| {
        (o.gpu_resource, o.version) = ("nvidia.com/mig-1g.10gb".into(), version(minor));
    };
    says(told(&|o| (tag(o, "v1"), slice(o, 16)).0), "the tag `v1` as it is");
    assert_eq!(told(&|o| (tag(o, "v1"), slice(o, 15)).0), None);

    // vLLM's own image, from 0.20 on.
    assert_eq!(told(&|o| tag(o, "v0.23.0")), None);
    assert_eq!(told(&|o| image(o, "r.io/s:v1")), None);
    says(told(&|o| (tag(o, "v0.23.0"), o.gpus = Some(0)).0), "CPUs alone");
    says(told(&|o| (image(o, "r.io/s:v1"), o.gpus = Some(0)).0), "`r.io/s-cpu:v1`");
    assert_eq!(told(&|o| (image(o, "r.io/s-cpu:v1"), o.gpus = Some(0)).0), None);
    assert_eq!(told(&|o| (image(o, &digest), o.gpus = Some(0)).0), None);
    assert_eq!(told(&|o| o.gpus = Some(0)), None);
    let amd = |o: &mut RenderOptions| o.gpu_resource = "amd.com/gpu".into();
    says(told(&amd), "`amd.com/gpu`");
    says(told(&|o| (tag(o, "v0.23.0"), amd(o)).0), "amd.com/gpu");
    assert_eq!(told(&|o| (image(o, &digest), amd(o)).0), None);

    // Images that KServe takes as they are.
    assert_eq!(told(&|o| (o.custom_container = Some("i:1".into()), amd(o)).0), None);
    assert_eq!(told(&|o| (o.kind = Kind::LlmInferenceService, amd(o)).0), None);
    assert_eq!(told(&|o| (tag(o, "v1"), o.runtime = Some("mine".into())).0), None);
}

#[test]
fn who_names_no_version_is_told_what_kserve_makes_of_the_image() {
    let rewrite = |change: &dyn Fn(&mut RenderOptions)| {
        let found = render(&qwen(), &options(change)).unwrap().warnings.into_iter();
        let mut found = found.filter_map(|warning| match warning {
            Warning::RuntimeVersion { rewrite } => Some(rewrite),
            _ => None,
        });
        found.next().unwrap()
    };
    assert_eq!(rewrite(&|o| o.version = version(19)), ImageRewrite::GpuTag);
    assert_eq!(rewrite(&|_| ()), ImageRewrite::Nothing);
    assert_eq!(rewrite(&|o| o.gpus = Some(0)), ImageRewrite::CpuRepository);
}
