//! Each option of `modelcar render` that changes a pod: the pod has what was asked for, and serves.

use serde_json::Value;

use super::{
    Outcome, Scenario,
    kinds::{LLM_LABEL, SERVER, agrees, files, llm_served, serve},
    models::Models,
};
use crate::{
    program::run,
    registry,
    scene::{Model, Scene, service_label},
    wait::{Look, Result, soon},
};

/// An option, and texts that the pod or what its server saw must hold.
struct Case {
    name: &'static str,
    args: &'static [&'static str],
    holds: &'static [&'static str],
}

/// Options of an `InferenceService`, each alone. With a container of one's own nothing waits half a minute for a probe.
const CASES: [Case; 18] = [
    case("runtime-vllm", &["--runtime", "kserve-vllmserver"], &["\"--model=/mnt/models\""]),
    case("model-format", &["--model-format", "huggingface"], &["huggingfaceserver"]),
    case(
        "runtime-version",
        &["--runtime", "kserve-huggingfaceserver", "--runtime-version", "v0.19.0-gpu"],
        &["kserve/huggingfaceserver:v0.19.0-gpu"],
    ),
    case("no-gpu", &["--gpus", "0", "--runtime", "kserve-huggingfaceserver"], &["kserve/huggingfaceserver:latest\""]),
    case(
        "two-gpus",
        &["--custom-container", SERVER, "--gpus", "2"],
        &["\"nvidia.com/gpu\":\"2\"", "\"--tensor-parallel-size=2\""],
    ),
    case(
        "gpu-type",
        &["--custom-container", SERVER, "--gpu-type", "nvidia-l4"],
        &["\"cloud.google.com/gke-accelerator\":\"nvidia-l4\""],
    ),
    case(
        "gpu-resource",
        &["--custom-container", SERVER, "--gpu-resource", "example.com/gpu"],
        &["\"example.com/gpu\":\"1\""],
    ),
    case("node-selector", &["--custom-container", SERVER, "--node-selector", "pool=models"], &["\"pool\":\"models\""]),
    case(
        "service-account",
        &["--custom-container", SERVER, "--service-account", "reader"],
        &["\"serviceAccountName\":\"reader\""],
    ),
    case("arg", &["--custom-container", SERVER, "--arg=--seed=7"], &["\"--seed=7\""]),
    case("env", &["--custom-container", SERVER, "--env", "MODELCAR_TEST=given"], &["\"extra\":\"given\""]),
    case("max-model-len", &["--custom-container", SERVER, "--max-model-len", "128"], &["\"--max-model-len=128\""]),
    case("served-name", &["--custom-container", SERVER, "--served-name", "other"], &["\"--served-model-name=other\""]),
    case(
        "ephemeral-storage",
        &["--custom-container", SERVER, "--ephemeral-storage", "64Mi"],
        &["\"ephemeral-storage\":\"64Mi\""],
    ),
    case("autoscaler-hpa", &["--custom-container", SERVER, "--autoscaler", "hpa"], &[]),
    case("autoscaler-external", &["--custom-container", SERVER, "--autoscaler", "external"], &[]),
    case("autoscaler-none", &["--custom-container", SERVER, "--autoscaler", "none", "--min-replicas", "1"], &[]),
    case(
        "native-options",
        &["--custom-container", SERVER, "--native", "--gpus", "2", "--env", "MODELCAR_TEST=given"],
        &["\"extra\":\"given\"", "\"subPath\":\"models\""],
    ),
];

const fn case(name: &'static str, args: &'static [&'static str], holds: &'static [&'static str]) -> Case {
    Case { name, args, holds }
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all: Vec<Scenario> = CASES
        .iter()
        .map(|case| {
            let scenario = move |scene: &Scene<'_>, models: &Models| one_option(scene, &models.tiny, case);
            Scenario::new(&format!("option-{}", case.name), scenario)
        })
        .collect();
    all.extend([
        Scenario::new("option-offline-and-home", offline_and_home),
        Scenario::new("option-runtime-image", runtime_image),
        Scenario::new("option-replicas", replicas),
        Scenario::new("option-stop", stop),
        Scenario::new("option-too-much-storage", too_much_storage),
        Scenario::new("llm-options", llm_options),
        Scenario::new("llm-stop", llm_stop),
        Scenario::new("pull-secret", pull_secret),
        Scenario::new("pull-secret-missing", pull_secret_missing),
        Scenario::new("llm-pull-secret", llm_pull_secret),
        Scenario::new("prepull-options", prepull_options),
        Scenario::alone("option-toleration", toleration),
    ]);
    all
}

fn one_option(scene: &Scene<'_>, model: &Model, case: &Case) -> Result<Outcome> {
    if case.args.contains(&"--native") && !scene.is_at_least(20)
        || case.name == "runtime-vllm" && !scene.is_at_least(20)
    {
        return Ok(super::kinds::not_in_release());
    }
    make_account(scene)?;
    let pod = serve(scene, model, case.args)?;
    holds(scene, &pod, case.holds)?;
    Ok(Outcome::Ready { files: files(scene, &pod, model)? })
}

fn make_account(scene: &Scene<'_>) -> Result {
    scene.kubectl(&["create", "serviceaccount", "reader"]).map(drop)
}

/// Fails when neither the pod nor what its server saw holds a text.
fn holds(scene: &Scene<'_>, pod: &Value, texts: &[&str]) -> Result {
    let seen = format!("{pod}{}", scene.seen(pod)?);
    match texts.iter().find(|text| !seen.contains(**text)) {
        None => Ok(()),
        Some(missing) => Err(format!("the pod is Ready without {missing}").into()),
    }
}

/// What is always set reaches the server: it asks no Hub, and it has a home that it may write.
fn offline_and_home(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    let pod = serve(scene, &models.tiny, &["--custom-container", SERVER])?;
    holds(scene, &pod, &["\"offline\":\"1\"", "\"homeWritable\":true", "\"user\":1010", "\"group\":0"])?;
    Ok(Outcome::Ready { files: files(scene, &pod, &models.tiny)? })
}

/// An image by its digest is not rewritten by KServe.
fn runtime_image(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    let name = format!("docker://{}/vllm/vllm-openai:v0.23.0", registry::OPEN);
    let mut inspect = std::process::Command::new("skopeo");
    let digest = run(inspect.args(["inspect", "--tls-verify=false", "--format={{.Digest}}", &name]))?;
    let image = format!("vllm/vllm-openai@{}", digest.trim());
    let pod = serve(scene, &models.tiny, &["--runtime", "kserve-huggingfaceserver", "--runtime-image", &image])?;
    holds(scene, &pod, &[&format!("\"image\":\"{image}\"")])?;
    Ok(Outcome::Ready { files: files(scene, &pod, &models.tiny)? })
}

fn replicas(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    let args = ["--name", "model", "--custom-container", SERVER, "--min-replicas", "2", "--max-replicas", "2"];
    scene.apply(&scene.render(&models.tiny, &args)?)?;
    let pods = scene.ready_pods(&service_label("model"), 2)?;
    agrees(scene, &models.tiny)?;
    let counts: Result<Vec<usize>> = pods.iter().map(|pod| files(scene, pod, &models.tiny)).collect();
    Ok(Outcome::Ready { files: counts?.into_iter().sum() })
}

/// The scheduler counts the disk that a pod asks for.
fn too_much_storage(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    let args = ["--name", "model", "--custom-container", SERVER, "--ephemeral-storage", "900Ti"];
    scene.apply(&scene.render(&models.tiny, &args)?)?;
    Ok(Outcome::As(format!("check: {}", scene.waits_for(&["unschedulable"], "Insufficient ephemeral-storage")?)))
}

/// A stopped service has no pod, and says so.
fn stop(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    scene.apply(&scene.render(&models.tiny, &["--name", "model", "--custom-container", SERVER, "--stop"])?)?;
    stopped(scene, "isvc", "Stopped")?;
    if !scene.pods(&service_label("model"))?.is_empty() {
        return Err("a stopped service has pods".into());
    }
    Ok(Outcome::As("Stopped, without pods".to_owned()))
}

fn llm_stop(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    scene.apply(&scene.render(&models.tiny, &["--name", "model", "--kind", "llm-inference-service", "--stop"])?)?;
    stopped(scene, "llmisvc", "Stopped")?;
    if !scene.pods(LLM_LABEL)?.is_empty() {
        return Err("a stopped service has pods".into());
    }
    Ok(Outcome::As("Stopped, without pods".to_owned()))
}

fn stopped(scene: &Scene<'_>, kind: &str, reason: &str) -> Result {
    soon("the service to be stopped", || {
        let status = scene.objects(&[kind, "model"])?["status"].to_string();
        Ok(if status.contains(reason) { Look::Done(()) } else { Look::NotYet(status) })
    })
}

/// Everything at once that an `LLMInferenceService` takes.
fn llm_options(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    make_account(scene)?;
    let args = [
        "--served-name",
        "other",
        "--gpus",
        "2",
        "--gpu-resource",
        "example.com/gpu",
        "--gpu-type",
        "nvidia-l4",
        "--node-selector",
        "pool=models",
        "--toleration",
        "spot",
        "--service-account",
        "reader",
        "--arg=--seed=7",
        "--env",
        "MODELCAR_TEST=given",
        "--max-model-len",
        "128",
        "--min-replicas",
        "1",
        "--runtime-image",
        SERVER,
    ];
    let outcome = llm_served(scene, &models.tiny, &args)?;
    let pods = scene.pods(LLM_LABEL)?;
    let pod = pods.first().ok_or("no pod")?;
    holds(
        scene,
        pod,
        &[
            "\"other\"",
            "\"example.com/gpu\":\"2\"",
            "\"nvidia-l4\"",
            "\"pool\":\"models\"",
            "\"key\":\"spot\"",
            "\"serviceAccountName\":\"reader\"",
            "--seed=7",
            "\"extra\":\"given\"",
            "--max-model-len=128",
            SERVER,
            "--tensor-parallel-size",
        ],
    )?;
    Ok(outcome)
}

/// The login of the private registry, as the kubelet reads it.
fn make_secret(scene: &Scene<'_>) -> Result {
    let (user, password) =
        (format!("--docker-username={}", registry::USER), format!("--docker-password={}", registry::PASSWORD));
    let server = format!("--docker-server={}", registry::PRIVATE);
    scene.kubectl(&["create", "secret", "docker-registry", "registry", &server, &user, &password]).map(drop)
}

/// Renders for the private registry, which is asked for the image's facts too.
fn render_private(scene: &Scene<'_>, models: &Models, args: &[&str]) -> Result<String> {
    let mut render = scene.cluster.modelcar();
    render.env("MODELCAR_REGISTRY_USERNAME", registry::USER).env("MODELCAR_REGISTRY_PASSWORD", registry::PASSWORD);
    render.arg("render").arg(&models.private.image).args(scene.release()).args(crate::scene::SMALL);
    run(render.args(["--name", "model"]).args(args))
}

fn pull_secret(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    make_secret(scene)?;
    let args = ["--custom-container", SERVER, "--image-pull-secret", "registry"];
    scene.apply(&render_private(scene, models, &args)?)?;
    let pod = scene.service("model")?;
    agrees(scene, &models.private)?;
    Ok(Outcome::Ready { files: files(scene, &pod, &models.private)? })
}

fn llm_pull_secret(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    make_secret(scene)?;
    let args = ["--kind", "llm-inference-service", "--image-pull-secret", "registry"];
    scene.apply(&render_private(scene, models, &args)?)?;
    let pods = scene.ready_pods(LLM_LABEL, 1)?;
    agrees(scene, &models.private)?;
    let seen = scene.seen(pods.first().ok_or("no pod")?)?;
    Ok(Outcome::Ready { files: Scene::same_files(&seen, &models.private)? })
}

/// Everything that a daemon set takes, from the private registry.
fn prepull_options(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    make_account(scene)?;
    make_secret(scene)?;
    let mut render = scene.cluster.modelcar();
    render.env("MODELCAR_REGISTRY_USERNAME", registry::USER).env("MODELCAR_REGISTRY_PASSWORD", registry::PASSWORD);
    render.arg("render").arg(&models.private.image).args(scene.release()).args(["--name", "model"]);
    render.args(["--kind", "prepull", "--image-pull-secret", "registry", "--service-account", "reader"]);
    render.args(["--node-selector", "pool=models", "--toleration", "spot", "--kserve-uid", "none"]);
    scene.apply(&run(&mut render)?)?;
    scene.kubectl(&["rollout", "status", "daemonset/prepull-model", "--timeout=180s"])?;
    let pods = scene.pods("app.kubernetes.io/name=prepull-model")?;
    let pod = pods.first().ok_or("no pod")?.to_string();
    for text in ["\"pool\":\"models\"", "\"key\":\"spot\"", "\"serviceAccountName\":\"reader\""] {
        if !pod.contains(text) {
            return Err(format!("the pod is Ready without {text}").into());
        }
    }
    Ok(Outcome::As("Ready, holds the image".to_owned()))
}

/// Without the secret the kubelet can't pull; `check` has its words.
fn pull_secret_missing(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    scene.apply(&render_private(scene, models, &["--custom-container", SERVER])?)?;
    Ok(Outcome::Refused { by: "kubelet", why: scene.fails_with(&["pull-denied"], "no basic auth credentials")? })
}

/// On a tainted node only the pods that tolerate the taint get a place: a service's and a daemon set's.
fn toleration(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    let kubectl = &scene.cluster.kubectl;
    kubectl.run(&["taint", "node", crate::node::NODE, "spot=yes:NoSchedule"])?;
    let tried = (|| {
        scene.apply(&scene.render(&models.tiny, &["--name", "without", "--custom-container", SERVER])?)?;
        let why = scene.waits_for(&["unschedulable"], "taint")?;
        scene.kubectl(&["delete", "isvc", "without"])?;
        let with = ["--name", "model", "--custom-container", SERVER, "--toleration", "spot=yes:NoSchedule"];
        scene.apply(&scene.render(&models.tiny, &with)?)?;
        let pod = scene.service("model")?;
        prepulls(scene, models, &[], 0)?;
        prepulls(scene, models, &["--toleration", "spot=yes:NoSchedule"], 1)?;
        Ok((files(scene, &pod, &models.tiny)?, why))
    })();
    kubectl.run(&["taint", "node", crate::node::NODE, "spot-"])?;
    tried.map(|(count, why)| Outcome::As(format!("Ready with it ({count} files equal); without it: {why}")))
}

/// Applies a daemon set that pulls the image, and waits until it wants pods on `nodes` nodes, each Ready.
fn prepulls(scene: &Scene<'_>, models: &Models, args: &[&str], nodes: u64) -> Result {
    scene.apply(&scene.render(&models.tiny, &[&["--name", "model", "--kind", "prepull"], args].concat())?)?;
    soon(&format!("the daemon set to run on {nodes} nodes"), || {
        let set = scene.objects(&["daemonset", "prepull-model"])?;
        let (status, generation) = (&set["status"], &set["metadata"]["generation"]);
        let is_read = status["observedGeneration"] == *generation;
        let counts = ["desiredNumberScheduled", "numberReady"].map(|key| status[key].as_u64());
        let is_done = is_read && counts == [Some(nodes); 2];
        Ok(if is_done { Look::Done(()) } else { Look::NotYet(status.to_string()) })
    })
}
