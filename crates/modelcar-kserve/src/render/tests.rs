//! Every kind and option against the schemas of KServe, and the YAML to look at.

mod cases;
mod hostile;
mod node_config;
mod rights;
mod schema;
mod server;
mod snapshots;

use super::{objects::Toleration, *};
use crate::{
    KserveVersion,
    sizing::{ImageBytes, PullTime},
};
use modelcar_core::{
    Digest,
    facts::{ModelFacts, Task, WeightFormat},
};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn qwen() -> ServedImage {
    ServedImage {
        image: "europe-docker.pkg.dev/my-project/models/qwen".parse().unwrap(),
        digest: DIGEST.parse().unwrap(),
        title: Some("Qwen/Qwen2.5-0.5B-Instruct".into()),
        version: Some("main".into()),
        revision: Some("7ae557604adf67be50417f59c2c2f167def9a775".into()),
        facts: ModelFacts {
            format: Some(WeightFormat::Safetensors),
            architecture: Some("Qwen2ForCausalLM".into()),
            task: Some(Task::TextGeneration),
            dtype: Some("BF16".into()),
            quantization: None,
            parameters: Some(494_032_768),
            weight_bytes: Some(988_097_824),
            context_length: Some(32768),
            cache_bytes_per_token: Some(12_288),
            chat_template: Some(true),
            file: None,
            ..ModelFacts::default()
        },
        bytes: ImageBytes { blobs: 1_002_000_000, unpacked: 1_004_000_000 },
        pull: PullTime::of_layers(&[12_000_000, 990_000_000]),
        has_base: Some(true),
        platforms: vec!["linux/amd64".into(), "linux/arm64".into()],
    }
}

fn minilm() -> ServedImage {
    let facts = ModelFacts {
        format: Some(WeightFormat::Safetensors),
        architecture: Some("BertModel".into()),
        task: Some(Task::Embedding),
        dtype: Some("F32".into()),
        parameters: Some(22_713_728),
        weight_bytes: Some(90_868_376),
        context_length: Some(512),
        ..ModelFacts::default()
    };
    let bytes = ImageBytes { blobs: 92_000_000, unpacked: 92_000_000 };
    ServedImage { title: Some("sentence-transformers/all-MiniLM-L6-v2".into()), facts, bytes, ..qwen() }
}

fn gguf() -> ServedImage {
    let mut served = qwen();
    served.facts.format = Some(WeightFormat::Gguf);
    served.facts.architecture = Some("qwen2".into());
    served.facts.dtype = Some("Q4_K_M".into());
    served.facts.quantization = Some("Q4_K_M".into());
    served.facts.file = Some("qwen2.5-0.5b-instruct-q4_k_m.gguf".into());
    served
}

fn stranger() -> ServedImage {
    ServedImage {
        title: None,
        version: None,
        revision: None,
        facts: ModelFacts::default(),
        has_base: None,
        platforms: vec!["linux/arm64".into()],
        ..qwen()
    }
}

fn options(change: impl FnOnce(&mut RenderOptions)) -> RenderOptions {
    let mut options = RenderOptions::default();
    change(&mut options);
    options
}

/// Everything that can be set, for a release.
fn all_options(version: KserveVersion) -> RenderOptions {
    options(|options| {
        options.version = version;
        options.name = Some("qwen".into());
        options.namespace = Some("team".into());
        options.autoscaler = Some(Autoscaler::Keda);
        options.min_replicas = Some(0);
        options.max_replicas = Some(3);
        options.gpus = Some(4);
        options.gpu_type = Some("nvidia-l4".into());
        options.cpu = Some("7500m".into());
        options.memory = Some("40Gi".into());
        options.node_selector = [("pool".to_owned(), "on".to_owned())].into();
        options.tolerations = vec!["nvidia.com/gpu:NoSchedule".parse().unwrap(), "team=a".parse().unwrap()];
        options.service_account = Some("puller".into());
        options.image_pull_secrets = vec!["registry".into()];
        options.args = vec!["--enable-prefix-caching".into(), "--dtype=auto".into()];
        options.env = vec![("VLLM_LOGGING_LEVEL".into(), "DEBUG".into()), ("HOME".into(), "/home/me".into())];
        options.max_model_len = Some(8192);
        options.stop = true;
    })
}

fn delivery(native: bool) -> Delivery {
    if native { Delivery::Native } else { Delivery::Sidecar }
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

/// An adapter of the model.
fn lora(name: &str, adapter_rank: Option<u64>) -> Lora {
    let mut image = qwen();
    image.image = "europe-docker.pkg.dev/my-project/adapters/some".parse().unwrap();
    image.facts = ModelFacts { adapter_base: qwen().title, adapter_rank, ..ModelFacts::default() };
    Lora { name: name.to_owned(), image }
}

fn codes(rendered: &Rendered) -> Vec<&'static str> {
    rendered.warnings.iter().map(Warning::code).collect()
}

fn yaml(served: &ServedImage, options: &RenderOptions) -> String {
    render(served, options).unwrap().to_yaml().unwrap()
}

#[test]
fn replicas_of_zero_are_said_to_be_what_they_are() {
    let zero = |mode, autoscaler| {
        let options = options(|options| {
            options.runtime_version = Some("v1".into());
            options.mode = mode;
            options.autoscaler = autoscaler;
            options.min_replicas = Some(0);
        });
        let rendered = render(&qwen(), &options).unwrap();
        assert!(rendered.to_yaml().unwrap().contains("minReplicas: 0\n"));
        codes(&rendered)[..codes(&rendered).len() - 1].to_vec()
    };
    assert_eq!(zero(DeploymentMode::Standard, None), ["replicas-clamped"]);
    assert_eq!(zero(DeploymentMode::Standard, Some(Autoscaler::Hpa)), ["replicas-clamped"]);
    assert_eq!(zero(DeploymentMode::Standard, Some(Autoscaler::Keda)), ["replicas-keda"]);
    assert_eq!(zero(DeploymentMode::Standard, Some(Autoscaler::None)), ["replicas-manual"]);
    assert_eq!(zero(DeploymentMode::Standard, Some(Autoscaler::External)), [""; 0]);
    assert_eq!(zero(DeploymentMode::Knative, None), [""; 0]);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let refused = |served: &ServedImage, change: &dyn Fn(&mut RenderOptions), said: &str| {
        let error = render(served, &options(change)).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    };
    let old = |minor: &str| minor.parse::<KserveVersion>().unwrap();
    refused(&qwen(), &|o| (o.delivery, o.version) = (Delivery::Native, old("0.19")), "came with 0.20");
    refused(&qwen(), &|o| (o.kind, o.version) = (Kind::LlmInferenceService, old("0.16")), "came with 0.17");
    refused(&qwen(), &|o| (o.storage_uris, o.version) = (true, old("0.18")), "came with 0.19");
    refused(&qwen(), &|o| (o.custom_container, o.runtime) = (Some("i".into()), Some("r".into())), "go together");
    refused(&qwen(), &|o| (o.mode, o.autoscaler) = (DeploymentMode::Knative, Some(Autoscaler::Hpa)), "go together");
    refused(&qwen(), &|o| (o.min_replicas, o.max_replicas) = (Some(3), Some(2)), "go together");
    refused(&qwen(), &|o| (o.runtime_image, o.runtime_version) = (Some("i".into()), Some("v".into())), "go together");
    refused(&qwen(), &|o| (o.delivery, o.kserve_uid) = (Delivery::Native, SidecarUser::Uid(0)), "go together");
    refused(&gguf(), &|o| o.kind = Kind::LlmInferenceService, "GGUF");
    for name in ["", "Qwen", "1qwen", "a.b", "a-", "-a", &"a".repeat(54)] {
        refused(&qwen(), &|o| o.name = Some(name.into()), "is not a Kubernetes name");
    }
    for name in ["", "Team", "a.b", "a-", "-a", &"a".repeat(64)] {
        refused(&qwen(), &|o| o.namespace = Some(name.into()), "is not a name for a Kubernetes namespace");
    }
    let longest = options(|o| (o.name, o.namespace) = (Some("a".repeat(53)), Some("1".repeat(63))));
    assert!(render(&qwen(), &longest).is_ok());
    let scratch = ServedImage { has_base: Some(false), ..qwen() };
    refused(&scratch, &|_| (), "no shell");
    let native = options(|options| options.delivery = Delivery::Native);
    assert!(yaml(&scratch, &native).contains("oci+native://"));
}

#[test]
fn warnings_are_those_that_apply() {
    let told =
        |served: &ServedImage, change: &dyn Fn(&mut RenderOptions)| codes(&render(served, &options(change)).unwrap());
    assert_eq!(told(&qwen(), &|_| ()), ["runtime-version", "pod-security"]);
    assert_eq!(told(&qwen(), &|o| o.runtime_version = Some("v0.23.0".into())), ["pod-security"]);
    assert_eq!(
        told(&qwen(), &|o| (o.delivery, o.runtime_image) = (Delivery::Native, Some("i:1".into()))),
        ["image-volume"]
    );
    assert_eq!(told(&gguf(), &|o| o.runtime_version = Some("v1".into())), ["gguf", "pod-security"]);
    assert_eq!(told(&stranger(), &|_| ()), ["no-facts", "runtime-version", "pod-security", "platform"]);
    assert_eq!(told(&qwen(), &|o| o.custom_container = Some("i:1".into())), ["pod-security", "real-path"]);
    assert_eq!(told(&qwen(), &|o| o.kind = Kind::LlmInferenceService), ["pod-security", "real-path"]);
    let knative = |o: &mut RenderOptions| {
        o.mode = DeploymentMode::Knative;
        o.gpu_type = Some("nvidia-l4".into());
        o.runtime_version = Some("v1".into());
    };
    assert_eq!(told(&qwen(), &knative), ["knative-features", "pod-security"]);
    let old = |o: &mut RenderOptions| (o.version, o.runtime_version) = ("0.17".parse().unwrap(), Some("v1-gpu".into()));
    assert_eq!(told(&qwen(), &old), ["security-context", "pod-security"]);
    let mut large = qwen();
    large.facts.weight_bytes = Some(140_000_000_000);
    let on_l4 = |o: &mut RenderOptions| {
        (o.gpus, o.gpu_type, o.runtime_version) = (Some(4), Some("nvidia-l4".into()), Some("v1".into()));
    };
    assert_eq!(told(&large, &on_l4), ["gpu-memory", "pod-security"]);
    assert_eq!(told(&qwen(), &on_l4), ["pod-security"]);
    let first = |o: &mut RenderOptions| {
        (o.version, o.runtime_version, o.stop) = (KserveVersion::FIRST, Some("v1-gpu".into()), true);
    };
    assert_eq!(told(&qwen(), &first), ["security-context", "oci-disabled", "patch-release", "pod-security"]);
    let llm = |o: &mut RenderOptions| {
        (o.kind, o.mode, o.model_format) = (Kind::LlmInferenceService, DeploymentMode::Knative, Some("f".into()));
    };
    assert_eq!(told(&qwen(), &llm), ["left-out", "pod-security", "real-path"]);
    let smoke = |o: &mut RenderOptions| {
        (o.kind, o.runtime_version) = (Kind::SmokeTest, Some("v1".into()));
        (o.service_account, o.image_pull_secrets) = (Some("a".into()), vec!["s".into()]);
    };
    assert_eq!(told(&qwen(), &smoke), ["scratch-namespace", "pod-security"]);
    assert_eq!(told(&qwen(), &|o| (smoke(o), o.namespace = Some("team".into())).0), ["pod-security"]);
}

#[test]
fn names_come_from_titles() {
    for (title, name) in [
        ("Qwen/Qwen2.5-0.5B-Instruct", "qwen2-5-0-5b-instruct"),
        ("a/__X__", "x"),
        ("a/7B", "model-7b"),
        ("a/模型", "model"),
        ("a/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbb", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ] {
        let served = ServedImage { title: Some(title.into()), ..qwen() };
        assert_eq!(served.kubernetes_name(), name);
        assert!(is_name(name));
    }
    assert_eq!(ServedImage { title: None, ..qwen() }.kubernetes_name(), "qwen");
}

#[test]
fn a_smoke_test_removes_what_it_made_and_nothing_else() {
    let of = |namespace: Option<&str>| {
        let options = options(|o| {
            (o.kind, o.name, o.namespace) = (Kind::SmokeTest, Some("m".into()), namespace.map(str::to_owned));
        });
        yaml(&qwen(), &options)
    };
    let own = of(None);
    assert!(own.contains("kind: Namespace\nmetadata:\n  name: smoke-m\n---\n"), "{own}");
    assert!(own.contains("#   kubectl delete namespace smoke-m\n"), "{own}");
    let given = of(Some("team"));
    assert!(!given.contains("kind: Namespace") && !given.contains("delete namespace"), "{given}");
    assert!(given.contains("#   kubectl delete isvc/m -n team\n") && given.contains("  namespace: team\n"), "{given}");
}

#[test]
fn commands_name_the_namespace() {
    let options = options(|o| (o.kind, o.name, o.namespace) = (Kind::Prepull, Some("m".into()), Some("team".into())));
    let text = yaml(&qwen(), &options);
    assert!(text.contains("kubectl rollout status daemonset/prepull-m -n team --timeout=60m\n"), "{text}");
    assert!(text.contains("kubectl delete daemonset/prepull-m -n team\n"), "{text}");
}

#[test]
fn the_disk_counts_a_server_for_gpus() {
    let boot = |change: &dyn Fn(&mut RenderOptions)| yaml(&qwen(), &options(change)).contains("30.0 GiB server");
    assert!(boot(&|_| ()));
    assert!(!boot(&|o| o.gpus = Some(0)));
    assert!(!boot(&|o| o.kind = Kind::Prepull));
    let many = options(|o| o.gpus = Some(u32::MAX));
    assert!(yaml(&qwen(), &many).contains("cpu: \"4294967295\"\n"));
}

#[test]
fn tolerations_are_written_in_short() {
    let parse =
        |text: &str| text.parse::<Toleration>().map(|t| (t.key.unwrap(), t.operator.unwrap(), t.value, t.effect));
    assert_eq!(parse("a"), Ok(("a".into(), "Exists", None, None)));
    assert_eq!(parse("a=b:NoExecute"), Ok(("a".into(), "Equal", Some("b".into()), Some("NoExecute".into()))));
    for bad in ["", ":NoSchedule", "a:Never", "=b"] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_template_has_the_same_values() {
    let rendered = render(&qwen(), &options(|options| options.gpus = Some(2))).unwrap();
    let template = "{{ name }} {{ uri }} {{ model.parameters }} {{ resources.limits['nvidia.com/gpu'] }}\n\
        {% for v in env %}{{ v.name }},{% endfor %} {{ disk.gke.gib }} {{ args|join(' ') }} \
        {{ objects[0].spec.predictor.model.storageUri == uri }}\n{{ yaml }}";
    let filled = rendered.fill(template).unwrap();
    let start = format!(
        "qwen2-5-0-5b-instruct oci://europe-docker.pkg.dev/my-project/models/qwen@{DIGEST} 494032768 2\n\
         HF_HUB_OFFLINE,TRANSFORMERS_OFFLINE,"
    );
    assert!(filled.starts_with(&start), "{filled}");
    assert!(filled.contains(" 70 --tensor-parallel-size=2 True\n"), "{filled}");
    assert!(filled.trim_end().ends_with(rendered.to_yaml().unwrap().trim_end()));
    for bad in ["{{ nmae }}", "{{ model.nothing.at.all }}", "{% for %}", "{{ name"] {
        assert!(matches!(rendered.fill(bad), Err(RenderError::Template(_))), "{bad}");
    }
}

#[test]
fn yaml_means_the_same_to_every_reader() {
    let options = options(|options| {
        let traps = ["on", "012", "1e3", "12:30:45", "2024-01-01", "", "~", "a: b", "#", "no", "- x", "é\n"];
        options.env = traps.iter().enumerate().map(|(at, trap)| (format!("V{at}"), (*trap).to_owned())).collect();
    });
    let rendered = render(&qwen(), &options).unwrap();
    let text = rendered.to_yaml().unwrap();
    let read: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(read, serde_json::to_value(&rendered.objects[0]).unwrap(), "{text}");
}

#[test]
fn a_digest_is_part_of_every_document() {
    let digest: Digest = DIGEST.parse().unwrap();
    for kind in [Kind::InferenceService, Kind::LlmInferenceService, Kind::SmokeTest, Kind::Prepull] {
        for native in [false, true] {
            let text = yaml(&qwen(), &options(|options| (options.kind, options.delivery) = (kind, delivery(native))));
            let pinned = format!("europe-docker.pkg.dev/my-project/models/qwen@{digest}");
            assert!(text.contains(&pinned), "{kind:?}: {text}");
        }
    }
}

#[test]
fn a_caller_says_what_to_do_in_its_own_words() {
    let options = options(|options| options.kind = Kind::SmokeTest);
    let alone = render(&qwen(), &options).unwrap();
    let text = alone.to_yaml().unwrap();
    assert!(text.contains("refuses KServe's sidecar.\n") && !text.contains("-o json"), "{text}");
    let commands = Commands { render: "render it".into(), check: "look -".into(), admission: "ask".into() };
    let remedy = |warning: &Warning| (warning.code() == "pod-security").then(|| "Press\nthe button".to_owned());
    let told = alone.clone().with_remedies(remedy).with_commands(&commands);
    assert_eq!(told, alone.with_commands(&commands).with_remedies(remedy));
    let text = told.to_yaml().unwrap();
    assert!(text.contains(" -o json | look -\n") && text.contains("\n# Rendered with:  render it\n"), "{text}");
    let comment = text.lines().filter_map(|line| line.strip_prefix("# ")).collect::<Vec<_>>().join(" ");
    let comment = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(comment.contains("refuses KServe's sidecar. Press the button."), "{text}");
    #[cfg(feature = "template")]
    assert!(told.fill("{{ warnings | map(attribute='remedy') | join }}").unwrap().contains("the button"));
}
