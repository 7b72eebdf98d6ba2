//! What people render for real models, a test for each kind of surprise.

use super::*;
use modelcar_core::facts::Library;

const GB: u64 = 1_000_000_000;

/// A model with 70 billion parameters, of which each shard is a layer.
fn llama_70b() -> ServedImage {
    let facts = ModelFacts {
        architecture: Some("LlamaForCausalLM".into()),
        parameters: Some(70_553_706_496),
        weight_bytes: Some(141_107_412_992),
        context_length: Some(131_072),
        cache_bytes_per_token: Some(327_680),
        ..qwen().facts
    };
    let bytes = ImageBytes { blobs: 141 * GB, unpacked: 141 * GB };
    ServedImage { facts, bytes, pull: PullTime::of_layers(&[4_700_000_000; 30]), ..qwen() }
}

fn gemma_9b() -> ServedImage {
    let facts = ModelFacts {
        parameters: Some(9_241_705_984),
        weight_bytes: Some(18_483_411_968),
        context_length: Some(8192),
        cache_bytes_per_token: Some(344_064),
        ..qwen().facts
    };
    ServedImage { facts, ..qwen() }
}

fn with(served: &ServedImage, change: impl FnOnce(&mut RenderOptions)) -> (String, Vec<Warning>) {
    let rendered = render(served, &options(change)).unwrap();
    (rendered.to_yaml().unwrap(), rendered.warnings)
}

fn has(warnings: &[Warning], code: &str) -> bool {
    warnings.iter().any(|warning| warning.code() == code)
}

/// The text with single spaces, so that no case depends on how deep a field stands.
fn flat(yaml: &str) -> String {
    yaml.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is said under a code.
fn said(warnings: &[Warning], code: &str) -> String {
    let texts = warnings.iter().filter(|warning| warning.code() == code).map(ToString::to_string);
    texts.collect::<Vec<_>>().join("\n")
}

#[test]
fn r09_a_runtime_that_ignores_the_sub_path_is_named() {
    let (_, warnings) = with(&qwen(), |o| o.delivery = Delivery::Native);
    let text = said(&warnings, "image-volume");
    assert!(text.contains("containerd 2.2 or CRI-O 1.33") && text.contains("2.1 ignores the sub-path"), "{text}");
}

#[test]
fn r03_knative_waits_as_long_as_the_pull_takes() {
    let knative = |o: &mut RenderOptions| (o.mode, o.gpus) = (DeploymentMode::Knative, Some(4));
    let (yaml, warnings) = with(&llama_70b(), knative);
    // 77 minutes on the slow disk, 5 for the server's image and 10 to start.
    assert!(yaml.contains("    serving.knative.dev/progress-deadline: 93m\n"), "{yaml}");
    assert!(!has(&warnings, "progress-deadline"));
    let (small, _) = with(&qwen(), knative);
    assert!(small.contains("    serving.knative.dev/progress-deadline: 16m\n"), "{small}");
    let own = |o: &mut RenderOptions| {
        knative(o);
        o.annotations = [pair("serving.knative.dev/progress-deadline", "3h")].into();
    };
    assert!(with(&qwen(), own).0.contains("    serving.knative.dev/progress-deadline: 3h\n"));
    // KServe's Deployment has ten minutes in any case.
    let (yaml, warnings) = with(&llama_70b(), |o| o.gpus = Some(4));
    assert!(!yaml.contains("serving.knative.dev"), "{yaml}");
    assert!(said(&warnings, "progress-deadline").contains("about 78 min"), "{warnings:?}");
    assert!(!has(&with(&qwen(), |_| ()).1, "progress-deadline"));
}

#[test]
fn r27_memory_is_what_vllm_takes_of_every_gpu() {
    let on = |served: &ServedImage, gpus, gpu_type: &str, change: fn(&mut RenderOptions)| {
        let warnings = with(served, |o| {
            (o.gpus, o.gpu_type) = (Some(gpus), Some(gpu_type.into()));
            change(o);
        });
        said(&warnings.1, "gpu-memory")
    };
    let h100 = "nvidia-h100-80gb";
    // 131.4 of weights, 20 of cache, 2 a GPU.
    let two = on(&llama_70b(), 2, h100, |o| o.max_model_len = Some(65536));
    assert!(two.contains("about 156 GiB") && two.contains("144 GiB of the 160 GiB"), "{two}");
    assert_eq!(on(&llama_70b(), 2, h100, |o| o.max_model_len = Some(8192)), "");
    assert_eq!(on(&llama_70b(), 4, h100, |_| ()), "");
    let told = |o: &mut RenderOptions| {
        (o.max_model_len, o.args) = (Some(65536), vec!["--gpu-memory-utilization=0.98".into()]);
    };
    assert_eq!(on(&llama_70b(), 2, h100, told), "");
    let in_two = |o: &mut RenderOptions| {
        (o.max_model_len, o.args) = (Some(65536), vec!["--gpu_memory_utilization".into(), ".98".into()]);
    };
    assert_eq!(on(&llama_70b(), 2, h100, in_two), "");
    // 17.3 of weights, 2.7 of cache and 2 do not fit into 21.
    assert!(on(&gemma_9b(), 1, "nvidia-l4", |_| ()).contains("21 GiB of the 24 GiB"));
    assert_eq!(on(&gemma_9b(), 1, "nvidia-l4", |o| o.max_model_len = Some(2048)), "");
    // Over several pods.
    let spread = |o: &mut RenderOptions| (o.pipeline_parallel, o.max_model_len) = (2, Some(65536));
    assert_eq!(on(&llama_70b(), 2, h100, spread), "");
}

#[test]
fn a_type_of_gpu_that_is_not_known_is_said() {
    let (_, warnings) = with(&qwen(), |o| o.gpu_type = Some("nvidia-l44".into()));
    let text = said(&warnings, "gpu-type");
    assert!(text.contains("`nvidia-l44`") && text.contains("nvidia-l4, "), "{text}");
    assert!(!has(&with(&qwen(), |o| o.gpu_type = Some("nvidia-l4".into())).1, "gpu-type"));
}

#[test]
fn r13_a_pre_pull_stands_the_taint_of_gpu_nodes() {
    let prepull = |change: fn(&mut RenderOptions)| {
        with(&qwen(), |o| {
            o.kind = Kind::Prepull;
            change(o);
        })
        .0
    };
    let of_gpus = "- key: nvidia.com/gpu operator: Exists effect: NoSchedule";
    let (yaml, both) = (prepull(|_| ()), prepull(|o| o.tolerations = vec!["team=a".parse().unwrap()]));
    assert!(flat(&yaml).contains(of_gpus), "{yaml}");
    assert!(flat(&both).contains(of_gpus) && both.contains("- key: team\n"), "{both}");
    assert!(prepull(|o| o.gpu_resource = "amd.com/gpu".into()).contains("- key: amd.com/gpu\n"));
    assert!(!prepull(|o| o.gpus = Some(0)).contains("tolerations"));
    // One that names the taint itself has its own way.
    let own = prepull(|o| o.tolerations = vec!["nvidia.com/gpu=present:NoSchedule".parse().unwrap()]);
    assert_eq!(own.matches("nvidia.com/gpu").count(), 1, "{own}");
    assert!(yaml.contains("DESIRED is not 0"), "{yaml}");
}

#[test]
fn r26_gguf_is_gone_from_newer_images_of_vllm() {
    let told = |change: fn(&mut RenderOptions)| said(&with(&gguf(), change).1, "gguf");
    let gone = "can't load GGUF from version 0.24 on";
    assert!(told(|o| o.runtime_version = Some("v0.24.0".into())).contains(gone));
    assert!(told(|o| o.runtime_image = Some("r.io/vllm-openai:v1.2".into())).contains(gone));
    assert!(told(|o| o.custom_container = Some("localhost:5000/vllm:0.25-cpu".into())).contains(gone));
    let old = told(|o| o.runtime_version = Some("v0.23.0".into()));
    assert!(old.contains("experimental") && !old.contains("0.24"), "{old}");
    for unknown in [|_: &mut RenderOptions| (), |o: &mut RenderOptions| o.runtime_version = Some("nightly".into())] {
        let text = told(unknown);
        assert!(text.contains("experimental") && text.contains("no such support from version 0.24"), "{text}");
    }
}

#[test]
fn trc_code_of_the_model_is_said_and_never_trusted_by_itself() {
    let mut served = qwen();
    served.facts.remote_code = Some(true);
    let (yaml, warnings) = with(&served, |_| ());
    assert!(has(&warnings, "remote-code") && !yaml.contains("trust-remote-code"), "{yaml}");
    let (yaml, warnings) = with(&served, |o| o.trust_remote_code = true);
    assert!(yaml.contains("- --trust-remote-code\n"), "{yaml}");
    assert!(said(&warnings, "trusted-code").contains("`owner/repository--module`"), "{warnings:?}");
    assert!(has(&with(&served, |o| o.args = vec!["--trust_remote_code".into()]).1, "trusted-code"));
    assert!(
        with(&served, |o| (o.trust_remote_code, o.version) = (true, KserveVersion::FIRST))
            .0
            .contains("--trust_remote_code")
    );
    assert!(!with(&qwen(), |_| ()).0.contains("trust"));
}

#[test]
fn a_rollout_on_one_gpu_has_its_strategies() {
    let of = |strategy| with(&qwen(), |o| o.deployment_strategy = Some(strategy)).0;
    assert!(of(DeploymentStrategy::Recreate).contains("    deploymentStrategy:\n      type: Recreate\n    security"));
    let surge = "      type: RollingUpdate\n      rollingUpdate:\n        maxSurge: 0\n        maxUnavailable: 1\n";
    assert!(of(DeploymentStrategy::NoSurge).contains(surge));
}

#[test]
fn a_server_tells_nobody_that_it_runs() {
    for version in [KserveVersion::FIRST, KserveVersion::default()] {
        let yaml = flat(&with(&qwen(), |o| o.version = version).0);
        assert!(yaml.contains("name: VLLM_NO_USAGE_STATS value: \"1\""), "{yaml}");
        assert!(yaml.contains("name: DO_NOT_TRACK value: \"1\""), "{yaml}");
    }
    let own = flat(&with(&qwen(), |o| o.env = vec![pair("DO_NOT_TRACK", "0")]).0);
    assert!(own.contains("name: DO_NOT_TRACK value: \"0\"") && own.matches("DO_NOT_TRACK").count() == 1, "{own}");
}

#[test]
fn r10_a_scheduler_can_be_left_out() {
    let llm = |no_scheduler| with(&qwen(), |o| (o.kind, o.no_scheduler) = (Kind::LlmInferenceService, no_scheduler)).0;
    assert!(llm(false).contains("    scheduler: {}\n"));
    assert!(!llm(true).contains("scheduler") && llm(true).contains("    route: {}\n"));
}

#[test]
fn r12_a_smoke_test_looks_at_the_injection_first() {
    let smoke = options(|o| (o.kind, o.name) = (Kind::SmokeTest, Some("m".into())));
    let commands = Commands { check: "look -".into(), admission: "ask | it".into(), ..Commands::default() };
    let yaml = render(&qwen(), &smoke).unwrap().with_commands(&commands).to_yaml().unwrap();
    let at = |text: &str| yaml.find(text).unwrap_or_else(|| panic!("no {text} in {yaml}"));
    let order = [at("apply -f"), at("#   ask | it\n"), at("--timeout=16m"), at("| look -"), at("/v1/chat/completions")];
    assert!(order.is_sorted(), "{yaml}");
    assert!(yaml.contains(r#"-d '{"model": "m", "messages": "#), "{yaml}");
    let models = |served: &ServedImage| render(served, &smoke).unwrap().to_yaml().unwrap().contains("/v1/models\n");
    assert!(models(&minilm()) && !models(&qwen()));
}

#[test]
fn r21_a_model_without_a_chat_template_is_said() {
    let mut base = qwen();
    base.facts.chat_template = Some(false);
    assert!(said(&with(&base, |_| ()).1, "no-chat-template").contains("/v1/chat/completions"));
    assert!(!has(&with(&base, |o| o.args = vec!["--chat-template=/x".into()]).1, "no-chat-template"));
    assert!(!has(&with(&qwen(), |_| ()).1, "no-chat-template"));
    assert!(!has(
        &with(&ServedImage { facts: ModelFacts { chat_template: Some(false), ..minilm().facts }, ..qwen() }, |_| ()).1,
        "no-chat-template"
    ));
}

#[test]
fn r24_more_gpus_than_a_node_has() {
    let warned = |gpus, gpu_type: Option<&str>| {
        has(&with(&llama_70b(), |o| (o.gpus, o.gpu_type) = (Some(gpus), gpu_type.map(Into::into))).1, "many-gpus")
    };
    assert!(warned(16, Some("nvidia-h100-80gb")) && warned(9, None) && warned(17, Some("nvidia-tesla-a100")));
    assert!(!warned(8, None) && !warned(16, Some("nvidia-tesla-a100")));
}

#[test]
fn attention_heads_that_the_gpus_do_not_divide() {
    let served = ServedImage { facts: ModelFacts { attention_heads: Some(14), ..qwen().facts }, ..qwen() };
    let warned = |gpus, runtime: Option<&str>| {
        let (_, warnings) = with(&served, |o| (o.gpus, o.runtime) = (Some(gpus), runtime.map(Into::into)));
        warnings.into_iter().find(|warning| warning.code() == "attention-heads")
    };
    let text = warned(4, None).unwrap().to_string();
    assert!(text.contains("14 attention heads") && text.ends_with(": 1, 2, 7, 14"), "{text}");
    assert!([1, 2, 7].iter().all(|gpus| warned(*gpus, None).is_none()));
    // Another server may do without.
    assert!(warned(4, Some("triton")).is_none());
}

#[test]
fn a_model_over_several_pods() {
    let (yaml, _) = with(&llama_70b(), |o| (o.gpus, o.pipeline_parallel) = (Some(8), 2));
    for line in [
        "      runtime: kserve-huggingfaceserver-multinode\n",
        "    serving.kserve.io/autoscalerClass: none\n",
        "    workerSpec:\n      pipelineParallelSize: 2\n      tensorParallelSize: 8\n",
        "      - name: worker-container\n",
    ] {
        assert!(yaml.contains(line), "no {line} in {yaml}");
    }
    // KServe tells the server how it is spread.
    assert!(!yaml.contains("--tensor-parallel-size"), "{yaml}");
    assert!(yaml.contains("runtime on 16 GPUs"), "{yaml}");
}

#[test]
fn r22_a_release_that_was_not_read_is_rendered_with_a_word() {
    let latest = |o: &mut RenderOptions| o.version = KserveVersion::LATEST;
    assert!(said(&with(&qwen(), latest).1, "release").contains("KServe 0.21"));
    assert!(!has(&with(&qwen(), |_| ()).1, "release"));
    let (yaml, warnings) = with(&qwen(), |o| (o.version, o.delivery) = (KserveVersion::LATEST, Delivery::Fetch));
    assert!(yaml.contains(&format!("storageUri: oci+fetch://{}\n", qwen().pinned())), "{yaml}");
    assert!(said(&warnings, "fetch").contains("checks no digest") && !has(&warnings, "pod-security"));
    // What is downloaded lies in the pod.
    assert!(yaml.contains("ephemeral-storage: 11Gi\n"), "{yaml}");
    let refused = render(&qwen(), &options(|o| o.delivery = Delivery::Fetch)).unwrap_err().to_string();
    assert!(refused.contains("came with 0.21"), "{refused}");
}

#[test]
fn autopilot_is_asked_for_disk() {
    let (yaml, _) = with(&qwen(), |_| ());
    assert_eq!(yaml.matches("ephemeral-storage: 10Gi\n").count(), 1, "a request and no limit: {yaml}");
    let (own, _) = with(&qwen(), |o| o.ephemeral_storage = Some("3Gi".into()));
    assert!(own.contains("ephemeral-storage: 3Gi\n"), "{own}");
}

#[test]
fn adapters_are_served_beside_their_model() {
    let two = |o: &mut RenderOptions| o.loras = vec![lora("sql", Some(40)), lora("law", None)];
    let (yaml, warnings) = with(&qwen(), two);
    for line in [
        "      - --enable-lora\n      - --max-lora-rank=64\n      - --lora-modules\n      - sql=/mnt/adapters/sql/adapter\n",
        "      mountPath: /mnt/models\n",
        "      mountPath: /mnt/adapters/law/adapter\n",
    ] {
        assert!(yaml.contains(line), "no {line} in {yaml}");
    }
    assert!(!yaml.contains("storageUri:") && !has(&warnings, "adapter-base"), "{yaml}");
    let mut other = lora("x", None);
    other.image.facts.adapter_base = Some("meta/other".into());
    let (yaml, warnings) = with(&qwen(), |o| o.loras = vec![other]);
    assert!(said(&warnings, "adapter-base").contains("`meta/other`") && !yaml.contains("max-lora-rank"), "{yaml}");
    let mut alone = qwen();
    alone.facts.library = Some(Library::Peft);
    alone.facts.adapter_base = qwen().title;
    assert!(
        said(&with(&alone, |_| ()).1, "adapter").contains("an adapter of `Qwen/Qwen2.5-0.5B-Instruct` and no model")
    );
    let refused = |served: &ServedImage, change: fn(&mut RenderOptions)| {
        render(served, &options(change)).unwrap_err().to_string()
    };
    let other_server = |o: &mut RenderOptions| (o.loras, o.runtime) = (vec![lora("a", None)], Some("mine".into()));
    assert!(refused(&qwen(), other_server).contains("a server that is not vLLM"));
    assert!(refused(&minilm(), |o| o.pipeline_parallel = 2).contains("a server without GPUs"));
    let twice = render(&qwen(), &options(|o| o.loras = vec![lora("a", None), lora("a", None)])).unwrap_err();
    assert_eq!(twice.to_string(), "two adapters and one name do not go together");
}

#[test]
fn labels_annotations_and_load_formats_are_passed_on() {
    let (yaml, _) = with(&qwen(), |o| {
        (o.labels, o.annotations) = ([pair("team", "a")].into(), [pair("x.io/Y", "any text")].into());
        o.load_format = Some("runai_streamer".into());
    });
    assert!(yaml.contains("  labels:\n    team: a\n") && yaml.contains("    x.io/Y: any text\n"), "{yaml}");
    assert!(yaml.contains("- --load-format=runai_streamer\n"), "{yaml}");
}

#[test]
fn a_service_says_how_it_is_paused() {
    let (yaml, _) = with(&qwen(), |o| (o.name, o.namespace) = (Some("m".into()), Some("t".into())));
    assert!(
        yaml.contains("# Pause:  kubectl annotate isvc/m -n t serving.kserve.io/stop=true --overwrite\n"),
        "{yaml}"
    );
    assert!(yaml.contains("# Resume:  kubectl annotate isvc/m -n t serving.kserve.io/stop-\n"), "{yaml}");
    let (llm, _) = with(&qwen(), |o| (o.kind, o.name) = (Kind::LlmInferenceService, Some("m".into())));
    assert!(llm.contains("annotate llmisvc/m serving.kserve.io/stop-\n"), "{llm}");
}

#[test]
fn a_pod_for_the_webhook_has_what_it_acts_on() {
    let pod = |delivery| {
        with(&qwen(), |o| {
            (o.kind, o.name, o.version, o.delivery) =
                (Kind::AdmissionPod, Some("m".into()), KserveVersion::LATEST, delivery);
        })
        .0
    };
    for (delivery, scheme) in
        [(Delivery::Sidecar, "oci"), (Delivery::Native, "oci+native"), (Delivery::Fetch, "oci+fetch")]
    {
        let yaml = pod(delivery);
        let uri =
            format!("    internal.serving.kserve.io/storage-initializer-sourceuri: {scheme}://{}\n", qwen().pinned());
        assert!(yaml.contains(&uri) && yaml.contains("    serving.kserve.io/inferenceservice: m\n"), "{yaml}");
        assert!(yaml.contains("kind: Pod\n") && yaml.contains("- name: kserve-container\n"), "{yaml}");
    }
    let several = render(&qwen(), &options(|o| (o.kind, o.storage_uris) = (Kind::AdmissionPod, true))).unwrap_err();
    assert!(several.to_string().contains("acts on `storageUri` alone"), "{several}");
}

#[test]
fn one_large_layer_is_said() {
    let mut single = qwen();
    single.pull = PullTime::of_layers(&[40 * GB]);
    assert!(said(&with(&single, |_| ()).1, "large-layer").contains("38 GiB"));
    assert!(has(&with(&single, |o| o.kind = Kind::Prepull).1, "large-layer"));
    assert!(!has(&with(&llama_70b(), |_| ()).1, "large-layer"));
}

#[test]
fn what_the_api_server_refuses_is_refused_before() {
    let refused = |change: fn(&mut RenderOptions), said: &str| {
        let error = render(&qwen(), &options(change)).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        assert_eq!(options(change).check().map_err(|error| error.to_string()), Err(error));
    };
    refused(|o| o.cpu = Some("four".into()), "`four` is not an amount of CPU");
    refused(|o| o.memory = Some("16GB".into()), "`16GB` is not an amount of memory");
    refused(|o| o.ephemeral_storage = Some("500m".into()), "is not an amount of disk");
    refused(|o| o.gpu_resource = "gpu".into(), "is not a resource");
    refused(|o| o.gpu_type = Some("a b".into()), "is not a GPU type");
    refused(|o| o.service_account = Some("A".into()), "is not the name of a service account");
    refused(|o| o.image_pull_secrets = vec!["a_b".into()], "is not the name of a secret");
    refused(|o| o.runtime = Some("R".into()), "is not the name of a serving runtime");
    refused(|o| o.served_name = Some("{{.Name}}".into()), "is not a name for requests");
    refused(|o| o.env = vec![pair("1A", "")], "is not the name of a variable");
    refused(|o| o.custom_container = Some("oci://a/b".into()), "is not an image");
    refused(|o| o.runtime_image = Some("A:1".into()), "is not an image");
    refused(|o| o.runtime_version = Some("a/b".into()), "is not a tag");
    refused(|o| o.node_selector = [pair("a", "b c")].into(), "is not a part of a node's label");
    refused(|o| o.tolerations = vec!["a/b/c:NoSchedule".parse().unwrap()], "is not a part of a taint");
    refused(|o| o.labels = [pair("a b", "c")].into(), "is not a part of a label");
    refused(|o| o.annotations = [pair("serving.kserve.io/stop", "true")].into(), "settings of their own");
}

#[test]
fn sequences_are_no_longer_than_the_model() {
    let length = |change: fn(&mut RenderOptions)| {
        render(&qwen(), &options(change)).map(drop).map_err(|error| error.to_string()).err().unwrap_or_default()
    };
    assert!(length(|o| o.max_model_len = Some(32769)).contains("made for sequences of 32768 tokens"));
    assert!(length(|o| o.max_model_len = Some(0)).contains("one token"));
    assert_eq!(length(|o| o.max_model_len = Some(32768)), "");
    let allowed = |o: &mut RenderOptions| {
        (o.max_model_len, o.env) = (Some(65536), vec![pair("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "1")]);
    };
    assert_eq!(length(allowed), "");
    assert_eq!(length(|o| (o.max_model_len, o.args) = (Some(65536), vec!["--hf-overrides={}".into()])), "");
}
