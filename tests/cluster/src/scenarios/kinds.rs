//! Every kind that `modelcar render` writes, as it is written, until it serves.

use serde_json::Value;

use super::{Outcome, Scenario, models::Models};
use crate::{
    images::{REAL_TAG, WITH_USER},
    program::run,
    scene::{Model, Scene, restarts},
    wait::Result,
};

/// The label of the servers of an `LLMInferenceService`.
pub(super) const LLM_LABEL: &str = "app.kubernetes.io/part-of=llminferenceservice,kserve.io/component=workload";
/// A server image that manifests of custom containers name.
pub(super) const SERVER: &str = "vllm/vllm-openai:v0.23.0";

pub(super) fn scenarios() -> Vec<Scenario> {
    let service = |name: &str, args: &'static [&'static str]| {
        Scenario::new(name, move |scene, models| served(scene, &models.tiny, args))
    };
    vec![
        Scenario::new("readme", readme),
        service("runtime-huggingface", &["--runtime", "kserve-huggingfaceserver"]),
        service("custom-container", &["--custom-container", SERVER]),
        service("storage-uris", &["--storage-uris"]),
        service("custom-storage-uris", &["--custom-container", SERVER, "--storage-uris"]),
        native("native", &[]),
        native("native-custom-container", &["--custom-container", SERVER]),
        native("native-storage-uris", &["--storage-uris"]),
        Scenario::new("native-scratch", |scene, models| {
            if !scene.is_at_least(20) {
                return Ok(not_in_release());
            }
            served(scene, &models.scratch, &["--native"])
        }),
        Scenario::new("gguf", |scene, models| served(scene, &models.gguf, &["--gpus", "1"])),
        Scenario::new("server-with-passwd-entry", |scene, models| {
            served(scene, &models.tiny, &["--custom-container", WITH_USER])
        }),
        Scenario::new("llm", |scene, models| llm_served(scene, &models.tiny, &[])),
        Scenario::new("llm-native", |scene, models| {
            if !scene.is_at_least(20) {
                return Ok(not_in_release());
            }
            llm_served(scene, &models.tiny, &["--native"])
        }),
        Scenario::new("smoke-test", smoke_test),
        Scenario::new("template", template),
        Scenario::new("real-model", real_model),
        Scenario::new("prepull", |scene, models| prepull(scene, &models.revised, &[])),
        Scenario::new("prepull-native", |scene, models| {
            if !scene.is_at_least(20) {
                return Ok(not_in_release());
            }
            prepull(scene, &models.scratch, &["--native"])
        }),
    ]
}

fn native(name: &str, args: &'static [&'static str]) -> Scenario {
    Scenario::new(name, move |scene, models| {
        if !scene.is_at_least(20) {
            return Ok(not_in_release());
        }
        served(scene, &models.tiny, &[args, &["--native"]].concat())
    })
}

/// A thing that came with a later release of KServe is none of this release's scenarios.
pub(super) fn not_in_release() -> Outcome {
    Outcome::As("not part of this release of KServe".to_owned())
}

/// Renders, applies, waits until Ready, and compares every file.
pub(super) fn served(scene: &Scene<'_>, model: &Model, args: &[&str]) -> Result<Outcome> {
    let pod = serve(scene, model, args)?;
    Ok(Outcome::Ready { files: files(scene, &pod, model)? })
}

/// Renders, applies and waits until Ready. `check` has to agree.
pub(super) fn serve(scene: &Scene<'_>, model: &Model, args: &[&str]) -> Result<Value> {
    scene.apply(&scene.render(model, &[&["--name", "model"], args].concat())?)?;
    let pod = scene.service("model")?;
    agrees(scene, model)?;
    Ok(pod)
}

/// Compares every file that the server sees with the source.
pub(super) fn files(scene: &Scene<'_>, pod: &Value, model: &Model) -> Result<usize> {
    Scene::same_files(&scene.seen(pod)?, model)
}

/// `modelcar check` must say of a service that is Ready, with the digest that was pushed, that it is.
pub(super) fn agrees(scene: &Scene<'_>, model: &Model) -> Result {
    let checked = scene.check(&["--expect", model.digest()])?;
    if checked.status != 0 {
        return Err(
            format!("the service is Ready, and check says {:?}: {}", checked.errors(), checked.first_error()).into()
        );
    }
    Ok(())
}

pub(super) fn llm_served(scene: &Scene<'_>, model: &Model, args: &[&str]) -> Result<Outcome> {
    let args = [&["--name", "model", "--kind", "llm-inference-service"], args].concat();
    scene.apply(&scene.render(model, &args)?)?;
    let pods = scene.ready_pods(LLM_LABEL, 1)?;
    agrees(scene, model)?;
    let pod = pods.first().ok_or("no pod")?;
    Ok(Outcome::Ready { files: Scene::same_files(&scene.seen(pod)?, model)? })
}

/// The command of the README, with the image that is there and what the node has.
fn readme(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    // The version of the server that it names is vLLM's, whose runtime came with 0.20.
    if !scene.is_at_least(20) {
        return Ok(not_in_release());
    }
    let text = std::fs::read_to_string(scene.cluster.parts.workspace.join("README.md"))?;
    let block = text.split("<!-- render-command -->").nth(1).and_then(|rest| rest.split("```").nth(1));
    let command = block.and_then(|block| block.strip_prefix("sh\n")).ok_or("README.md has no render command")?;
    let words: Vec<&str> = command.split_whitespace().filter(|word| *word != "\\").collect();
    let image = words.iter().position(|word| word.contains("@sha256:")).ok_or("the command names no image")?;
    let mut render = scene.cluster.modelcar();
    render.args(&words[1..image]).arg(&models.tiny.image).args(&words[image + 1..]).args(crate::scene::SMALL);
    scene.apply(&run(&mut render)?)?;
    let name = words.iter().position(|word| *word == "--name").and_then(|at| words.get(at + 1));
    let pod = scene.service(name.ok_or("the command names no service")?)?;
    agrees(scene, &models.tiny)?;
    Ok(Outcome::Ready { files: files(scene, &pod, &models.tiny)? })
}

/// A namespace of its own, made by the manifests; the commands in their comment are what a user runs.
fn smoke_test(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    let manifests = scene.render(&models.tiny, &["--kind", "smoke-test", "--name", "smoke"])?;
    scene.apply(&manifests)?;
    let inside = Scene { namespace: "smoke-smoke".to_owned(), ..*scene };
    let pod = inside.service("smoke")?;
    agrees(&inside, &models.tiny)?;
    let count = files(&inside, &pod, &models.tiny)?;
    inside.leave();
    Ok(Outcome::Ready { files: count })
}

/// A template of one's own that wraps the manifests.
fn template(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    let file = scene.cluster.state.join("template.yaml");
    std::fs::write(&file, "# of {{ name }}\n{{ yaml }}")?;
    let file = file.display().to_string();
    served(scene, &models.tiny, &["--custom-container", SERVER, "--template", &file])
}

/// A real model behind KServe's own model server: its embeddings are those of the original files.
fn real_model(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    let real = match &models.real {
        Ok(real) => real,
        Err(missing) => return Ok(Outcome::Skipped(missing.clone())),
    };
    let args = ["--name", "minilm", "--runtime-version", REAL_TAG, "--memory", "1Gi", "--cpu", "100m"];
    let mut render = scene.cluster.modelcar();
    let manifests = run(render.arg("render").arg(&real.model.image).args(scene.release()).args(args))?;
    scene.apply(&manifests)?;
    let pod = scene.service("minilm")?;
    agrees(scene, &real.model)?;
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let script = scene.cluster.parts.workspace.join("tests/interop/serve_minilm.py");
    let python = real.python.display().to_string();
    let served = ["exec", name, "-c", "kserve-container", "--", &python, "/serve_minilm.py", "ask", "8080"];
    let served: Value = serde_json::from_str(&scene.kubectl(&served)?)?;
    let local = run(std::process::Command::new(&real.python).arg(script).arg("embed").arg(&real.folder))?;
    if served != serde_json::from_str::<Value>(&local)? {
        return Err("the embeddings of the pod are not those of the original files".into());
    }
    Ok(Outcome::As("Ready, its embeddings equal those of the original files".to_owned()))
}

/// The image is pulled by a daemon set; a service that comes later finds it.
fn prepull(scene: &Scene<'_>, model: &Model, args: &[&str]) -> Result<Outcome> {
    let kind = [&["--name", "model", "--kind", "prepull"], args].concat();
    scene.apply(&scene.render(model, &kind)?)?;
    scene.kubectl(&["rollout", "status", "daemonset/prepull-model", "--timeout=180s"])?;
    let pod = serve(scene, model, &[&["--custom-container", SERVER], args].concat())?;
    let count = files(scene, &pod, model)?;
    found_on_node(scene, model, &pod)?;
    if restarts(&pod, "modelcar") > 0 {
        return Err("the sidecar restarted".into());
    }
    Ok(Outcome::Ready { files: count })
}

/// Fails unless the kubelet says of a pod that it found the model's image on the node, and pulled none.
fn found_on_node(scene: &Scene<'_>, model: &Model, pod: &Value) -> Result {
    let events = scene.objects(&["events"])?;
    let events = events["items"].as_array().into_iter().flatten();
    let own = events.filter(|event| event["involvedObject"]["name"] == pod["metadata"]["name"]);
    let said: Vec<&str> = own.filter_map(|event| event["message"].as_str()).collect();
    let of_model = || said.iter().filter(|said| said.contains(&model.image));
    let found = of_model().any(|said| said.contains("already present on machine"));
    if found && !of_model().any(|said| said.starts_with("Successfully pulled") || said.starts_with("Pulling")) {
        return Ok(());
    }
    Err(format!("the kubelet did not find the image on the node: {said:?}").into())
}
