//! Everything that can be rendered is valid by the schemas of KServe's custom resources.
//!
//! `MODELCAR_KSERVE_DIR` names a folder with KServe's own definitions, by release (`v0.20.0/…_inferenceservices.yaml`),
//! as `tests/kserve_definitions.sh` writes it. For a release that is not there, a trimmed schema of our own serves: it
//! knows the fields that are rendered and no others.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::*;

const RELEASES: [(&str, &str); 5] =
    [("0.16", "v0.16.0"), ("0.17", "v0.17.0"), ("0.18", "v0.18.1"), ("0.19", "v0.19.0"), ("0.20", "v0.20.0")];
const SERVICES: &str = "serving.kserve.io_inferenceservices.yaml";
const LLM_SERVICES: &str = "serving.kserve.io_llminferenceservices.yaml";

/// The folder with the definitions of a release of KServe, where it is.
fn kserve(release: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "tests are told where the definitions are")]
    let dir = env::var_os("MODELCAR_KSERVE_DIR").map(|dir| Path::new(&dir).join(release));
    dir.filter(|dir| dir.join(SERVICES).is_file())
}

fn ours() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/kserve-schema.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Schemas of a release, by kind.
struct Schemas {
    service: Validator,
    llm: Option<Validator>,
}

impl Schemas {
    fn of_kserve(dir: &Path) -> Self {
        let llm = dir.join(LLM_SERVICES);
        let llm = llm.is_file().then(|| version_of(&llm, "v1alpha2")).flatten();
        let service = version_of(&dir.join(SERVICES), "v1beta1").expect("every release has v1beta1");
        Self { service: strict(service), llm: llm.map(strict) }
    }

    fn of_ours() -> Self {
        let schema = |kind: &str| strict(ours()[kind].clone());
        Self { service: schema("InferenceService"), llm: Some(schema("LLMInferenceService")) }
    }

    fn errors(&self, object: &Object) -> Vec<String> {
        let validator = match object {
            Object::InferenceService(_) => Some(&self.service),
            Object::LlmInferenceService(_) => self.llm.as_ref(),
            _ => None,
        };
        // What the YAML means to a reader, not what the structs were.
        let value: Value = serde_saphyr::from_str(&super::super::yaml(object).unwrap()).unwrap();
        let errors = validator.into_iter().flat_map(|validator| validator.iter_errors(&value));
        errors.map(|error| format!("{}: {error}", error.instance_path())).collect()
    }
}

/// Returns the schema of one version of a custom resource, where the definition has that version.
fn version_of(file: &Path, version: &str) -> Option<Value> {
    // The parser's budget is for documents of strangers, and these are long.
    let options = serde_saphyr::options! { budget: None };
    let definition: Value = serde_saphyr::from_str_with_options(&fs::read_to_string(file).unwrap(), options).unwrap();
    let versions = definition["spec"]["versions"].as_array().unwrap();
    let found = versions.iter().find(|found| found["name"] == version)?;
    Some(found["schema"]["openAPIV3Schema"].clone())
}

/// Compiles a schema that refuses fields it does not know: a structural schema lets them pass.
fn strict(mut schema: Value) -> Validator {
    schema["properties"]["metadata"] = json!({"type": "object"});
    forbid_unknown(&mut schema);
    jsonschema::options().with_draft(jsonschema::Draft::Draft4).build(&schema).unwrap()
}

fn forbid_unknown(schema: &mut Value) {
    if schema["x-kubernetes-preserve-unknown-fields"] == json!(true) {
        return;
    }
    let Some(map) = schema.as_object_mut() else { return };
    if map.contains_key("properties") && !map.contains_key("additionalProperties") {
        map.insert("additionalProperties".into(), json!(false));
    }
    for key in ["properties", "patternProperties"] {
        if let Some(children) = map.get_mut(key).and_then(Value::as_object_mut) {
            children.values_mut().for_each(forbid_unknown);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = map.get_mut(key).filter(|child| child.is_object()) {
            forbid_unknown(child);
        }
    }
    // Either of two types: Kubernetes' own extension in place of `type`.
    if map.get("x-kubernetes-int-or-string") == Some(&json!(true)) {
        map.insert("anyOf".into(), json!([{"type": "integer"}, {"type": "string"}]));
    }
}

/// A name and what it does to the options.
type Change = (&'static str, fn(&mut RenderOptions));

/// Every kind with every option that goes with it, for a release.
fn sets(version: KserveVersion) -> Vec<(String, Rendered)> {
    let mut sets = Vec::new();
    let kinds = [Kind::InferenceService, Kind::LlmInferenceService, Kind::SmokeTest, Kind::Prepull, Kind::AdmissionPod];
    let changes: [Change; 30] = [
        ("nothing", |_| ()),
        ("native", |o| o.delivery = Delivery::Native),
        ("storage URIs", |o| o.storage_uris = true),
        ("custom", |o| o.custom_container = Some("i:1".into())),
        ("custom, storage URIs", |o| (o.custom_container, o.storage_uris) = (Some("i:1".into()), true)),
        ("knative", |o| (o.mode, o.min_replicas) = (DeploymentMode::Knative, Some(0))),
        ("knative, custom", |o| (o.mode, o.custom_container) = (DeploymentMode::Knative, Some("i".into()))),
        ("hpa", |o| (o.autoscaler, o.min_replicas, o.max_replicas) = (Some(Autoscaler::Hpa), Some(1), Some(2))),
        ("external", |o| o.autoscaler = Some(Autoscaler::External)),
        ("none", |o| (o.autoscaler, o.min_replicas) = (Some(Autoscaler::None), Some(0))),
        ("runtime", |o| (o.runtime, o.model_format) = (Some("r".into()), Some("f".into()))),
        ("runtime image", |o| o.runtime_image = Some(format!("i@{DIGEST}"))),
        ("runtime version", |o| o.runtime_version = Some("v1".into())),
        ("no GPU", |o| o.gpus = Some(0)),
        ("8 GPUs", |o| (o.gpus, o.gpu_type) = (Some(8), Some("nvidia-l4".into()))),
        ("stopped", |o| o.stop = true),
        ("no user", |o| o.kserve_uid = SidecarUser::None),
        ("no user, native", |o| (o.kserve_uid, o.delivery) = (SidecarUser::None, Delivery::Native)),
        ("root", |o| (o.kserve_uid, o.custom_container) = (SidecarUser::Uid(0), Some("i:1".into()))),
        ("fetch", |o| o.delivery = Delivery::Fetch),
        ("adapters", |o| o.loras = vec![lora("sql", Some(64)), lora("law", None)]),
        ("adapters, native", |o| (o.loras, o.delivery) = (vec![lora("sql", None)], Delivery::Native)),
        ("recreate", |o| o.deployment_strategy = Some(DeploymentStrategy::Recreate)),
        ("no surge", |o| o.deployment_strategy = Some(DeploymentStrategy::NoSurge)),
        ("several pods", |o| (o.pipeline_parallel, o.gpus, o.gpu_type) = (3, Some(8), Some("nvidia-l4".into()))),
        ("no scheduler", |o| o.no_scheduler = true),
        ("load format", |o| o.load_format = Some("runai_streamer".into())),
        ("trusted code", |o| o.trust_remote_code = true),
        ("labels", |o| (o.labels, o.annotations) = ([pair("team", "a")].into(), [pair("x.io/Y", "any text")].into())),
        ("all", |o| *o = RenderOptions { kind: o.kind, ..all_options(o.version) }),
    ];
    for served in [qwen(), minilm(), gguf(), stranger()] {
        for kind in kinds {
            for (name, change) in &changes {
                let wanted = options(|options| {
                    (options.version, options.kind) = (version, kind);
                    change(options);
                    // No server starts for more than the model was made for.
                    options.max_model_len = options.max_model_len.min(served.facts.context_length.or(Some(u64::MAX)));
                });
                match render(&served, &wanted) {
                    Ok(rendered) => sets.push((format!("{:?} {kind:?} {name}", served.title), rendered)),
                    Err(
                        RenderError::Conflict(..)
                        | RenderError::Replicas { .. }
                        | RenderError::Unsupported { .. }
                        | RenderError::LlmGguf,
                    ) => {}
                    Err(error) => panic!("{kind:?} {name}: {error}"),
                }
            }
        }
    }
    sets
}

#[test]
fn every_kind_and_option_is_valid() {
    for (version, folder) in RELEASES {
        let schemas = if let Some(dir) = kserve(folder) {
            println!("KServe {version}: its own definitions, in {}", dir.display());
            Schemas::of_kserve(&dir)
        } else {
            println!("KServe {version}: fixtures/kserve-schema.json, as MODELCAR_KSERVE_DIR has no definitions");
            Schemas::of_ours()
        };
        let sets = sets(version.parse().unwrap());
        assert!(sets.len() > 100, "{version}: {}", sets.len());
        println!("KServe {version}: {} sets", sets.len());
        for (name, rendered) in &sets {
            for object in &rendered.objects {
                assert_eq!(schemas.errors(object), [""; 0], "KServe {version}, {name}");
            }
        }
    }
}

#[test]
fn our_schema_allows_no_more_than_is_rendered() {
    let schemas = Schemas::of_ours();
    for (_, rendered) in sets(KserveVersion::LATEST) {
        for object in &rendered.objects {
            assert_eq!(schemas.errors(object), [""; 0]);
        }
    }
}

#[test]
fn a_field_with_another_name_is_noticed() {
    let mut schemas = vec![Schemas::of_ours()];
    schemas.extend(kserve("v0.20.0").map(|dir| Schemas::of_kserve(&dir)));
    let rendered = render(&qwen(), &RenderOptions::default()).unwrap();
    let good = serde_json::to_value(&rendered.objects[0]).unwrap();
    for schemas in schemas {
        assert!(schemas.service.is_valid(&good));
        for (pointer, key, value) in [
            ("/spec/predictor/model", "storageURI", json!("oci://x")),
            ("/spec/predictor", "replicas", json!(1)),
            ("/spec/predictor", "minReplicas", json!("0")),
            ("/spec/predictor/model", "modelFormat", json!({})),
            ("/spec", "predictors", json!({})),
        ] {
            let mut bad = good.clone();
            bad.pointer_mut(pointer).unwrap()[key] = value;
            assert!(!schemas.service.is_valid(&bad), "{pointer}/{key}");
        }
    }
}
