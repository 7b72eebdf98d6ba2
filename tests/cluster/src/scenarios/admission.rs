//! Admission alone: the pods that KServe's controller wants are created with `--dry-run=server`, so that its webhook acts
//! and nothing runs. `check` has to see in the answer what the webhook did.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Outcome, Scenario, kinds::SERVER, models::Models};
use crate::{
    kserve,
    scene::Scene,
    wait::{Look, Result, soon},
};

/// Options of `render`, each of which makes another pod.
const SETS: [(&str, &[&str]); 19] = [
    ("default", &[]),
    ("huggingface", &["--runtime", "kserve-huggingfaceserver"]),
    ("no-gpu", &["--gpus", "0", "--runtime", "kserve-huggingfaceserver"]),
    ("four-gpus", &["--gpus", "4"]),
    ("runtime-version", &["--runtime-version", "v0.23.0"]),
    ("custom", &["--custom-container", SERVER]),
    ("custom-uris", &["--custom-container", SERVER, "--storage-uris"]),
    ("uris", &["--storage-uris"]),
    ("selector", &["--node-selector", "pool=models", "--toleration", "spot"]),
    ("secret", &["--image-pull-secret", "registry"]),
    ("account", &["--service-account", "reader"]),
    ("gpu-type", &["--gpu-type", "nvidia-l4", "--gpu-resource", "example.com/gpu"]),
    ("served", &["--served-name", "other", "--max-model-len", "64"]),
    ("args", &["--arg=--seed=1", "--env", "A=b"]),
    ("no-autoscaler", &["--autoscaler", "none", "--min-replicas", "1"]),
    ("external", &["--autoscaler", "external"]),
    ("no-user", &["--kserve-uid", "none"]),
    ("native", &["--native"]),
    ("native-custom", &["--native", "--custom-container", SERVER]),
];

/// What is changed in a pod before it is created, by hand or by mistake.
type Change = fn(&mut Value);

/// Pods that the webhook treats otherwise than its owner would like.
const CHANGED: [(&str, Change, Injected); 5] = [
    ("without-label", |pod| remove(&mut pod["metadata"]["labels"], "serving.kserve.io/inferenceservice"), Injected::No),
    (
        "without-annotation",
        |pod| remove(&mut pod["metadata"]["annotations"], "internal.serving.kserve.io/storage-initializer-sourceuri"),
        Injected::No,
    ),
    (
        "other-user-at-server",
        |pod| pod["spec"]["containers"][0]["securityContext"]["runAsUser"] = json!(2000),
        Injected::Yes,
    ),
    (
        "other-group-at-server",
        |pod| pod["spec"]["containers"][0]["securityContext"]["runAsGroup"] = json!(2000),
        Injected::YesAndFails("groups-differ"),
    ),
    (
        "group-alone",
        |pod| remove(&mut pod["spec"]["securityContext"], "runAsUser"),
        Injected::YesAndFails("group-without-user"),
    ),
];

/// Whether the webhook gives a pod the model, and whether it would run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Injected {
    Yes,
    YesAndFails(&'static str),
    No,
}

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("admission", admission),
        Scenario::new("admission-control-plane", control_plane),
        Scenario::alone("admission-oci-disabled", disabled),
    ]
}

fn remove(fields: &mut Value, name: &str) {
    if let Some(fields) = fields.as_object_mut() {
        fields.remove(name);
    }
}

/// Applies a service that makes no pods here, and returns the pod that its controller wants.
fn wanted_pod(scene: &Scene<'_>, models: &Models, name: &str, args: &[&str]) -> Result<Value> {
    scene.apply(&scene.render(&models.tiny, &[&["--name", name], args].concat())?)?;
    let deployment = format!("{name}-predictor");
    let template = soon(&format!("the Deployment of {name}"), || {
        Ok(match scene.objects(&["deployment", &deployment]) {
            Ok(found) => Look::Done(found["spec"]["template"].clone()),
            Err(error) => Look::NotYet(error.to_string()),
        })
    })?;
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": template["metadata"], "spec": template["spec"]});
    remove(&mut pod["metadata"], "namespace");
    pod["metadata"]["name"] = json!(name);
    Ok(pod)
}

/// Lets the API server admit a pod, webhooks and all, without making it.
fn admit(scene: &Scene<'_>, pod: &Value) -> Result<Value> {
    let namespace = scene.namespace.as_str();
    let create = ["create", "--namespace", namespace, "--dry-run=server", "-f", "-", "-o", "json"];
    Ok(serde_json::from_str(&scene.cluster.kubectl.feed(&create, &pod.to_string())?)?)
}

/// Looks for the model in an admitted pod, without modelcar's help.
fn has_model(pod: &Value) -> bool {
    let holds = |part: &str, key: &str, value: &str| {
        pod["spec"][part].as_array().into_iter().flatten().any(|entry| entry[key] == value)
    };
    let volumes = pod["spec"]["volumes"].as_array();
    let is_image = volumes.into_iter().flatten().any(|volume| volume["image"]["reference"].is_string());
    holds("containers", "name", "modelcar") && holds("initContainers", "name", "modelcar-init") || is_image
}

/// Compares what `check` says of an admitted pod with what is in the pod.
fn compare(scene: &Scene<'_>, name: &str, pod: &Value, expected: Injected) -> Result {
    let admitted = admit(scene, pod)?;
    let checked = scene.check_document(admitted.to_string().as_bytes(), &["--admission"])?;
    let mode = checked.report["pods"][0]["mode"].as_str().unwrap_or_default().to_owned();
    let says = ["modelcar", "native"].contains(&mode.as_str());
    let is_right = match expected {
        Injected::Yes => has_model(&admitted) && says && checked.status == 0,
        Injected::YesAndFails(code) => {
            has_model(&admitted) && says && checked.status == 1 && checked.errors().contains(&code)
        }
        Injected::No => !has_model(&admitted) && !says && checked.status == 1,
    };
    if is_right {
        return Ok(());
    }
    let (model, status, errors) = (has_model(&admitted), checked.status, checked.errors());
    Err(format!("{name}: the pod has the model: {model}; check says {mode}, {status}, {errors:?}").into())
}

fn admission(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    scene.kubectl(&["create", "serviceaccount", "reader"])?;
    // No pod of these services is made: they only show what pods are wanted.
    scene.kubectl(&["create", "quota", "none", "--hard=pods=0"])?;
    let dry = Scene::new(scene.cluster, "admission-dry", None)?;
    dry.kubectl(&["create", "serviceaccount", "reader"])?;
    let mut pods = BTreeMap::new();
    for (name, args) in SETS.iter().filter(|(_, args)| scene.is_at_least(20) || !args.contains(&"--native")) {
        let pod = wanted_pod(scene, models, name, args)?;
        compare(&dry, name, &pod, Injected::Yes)?;
        pods.insert(*name, pod);
    }
    for (name, change, expected) in CHANGED {
        let mut pod = pods.get("custom").ok_or("there is no pod to change")?.clone();
        change(&mut pod);
        // Before 0.18 KServe put its own user in the place of everything that the server had.
        if expected == Injected::YesAndFails("groups-differ") && !scene.is_at_least(18) {
            continue;
        }
        compare(&dry, name, &pod, expected)?;
    }
    dry.leave();
    Ok(Outcome::As(format!("check agrees with the webhook on {} pods", pods.len() + CHANGED.len())))
}

/// KServe's webhook looks away from namespaces with this label.
fn control_plane(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    scene.kubectl(&["create", "quota", "none", "--hard=pods=0"])?;
    let pod = wanted_pod(scene, models, "model", &["--custom-container", SERVER])?;
    let dry = Scene::new(scene.cluster, "admission-control-plane-dry", None)?;
    scene.cluster.kubectl.run(&["label", "namespace", &dry.namespace, "control-plane=yes"])?;
    compare(&dry, "control-plane", &pod, Injected::No)?;
    dry.leave();
    Ok(Outcome::Refused { by: "check", why: "nothing was injected".to_owned() })
}

/// With OCI images switched off KServe tries a download that can't work.
fn disabled(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    scene.kubectl(&["create", "quota", "none", "--hard=pods=0"])?;
    let pod = wanted_pod(scene, models, "model", &["--custom-container", SERVER])?;
    let dry = Scene::new(scene.cluster, "admission-disabled-dry", None)?;
    kserve::set_oci(&scene.cluster.kubectl, &json!({"enableModelcar": false}))?;
    let tried = compare(&dry, "disabled", &pod, Injected::No);
    kserve::set_oci(&scene.cluster.kubectl, &json!({"enableModelcar": true}))?;
    dry.leave();
    tried.map(|()| Outcome::Refused { by: "check", why: "OCI images are switched off".to_owned() })
}
