//! What happens to a service that runs: a new digest, a sidecar that dies, a node whose programs restart.

use std::fs;

use serde_json::Value;

use super::{
    Outcome, Scenario,
    kinds::{SERVER, agrees, files, serve},
    models::Models,
};
use crate::{
    program::run,
    registry,
    scene::{Model, Scene, is_ready, pause, restarts, service_label},
    slow,
    wait::{Look, Result, slowly, soon},
};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("rollout", rollout),
        Scenario::new("rollout-one-gpu", rollout_one_gpu),
        Scenario::new("pin-rollout-one-gpu", pin_rollout_one_gpu),
        Scenario::new("sidecar-killed", sidecar_killed),
        Scenario::new("no-gpu-free", |scene, models| {
            let args = ["--name", "model", "--custom-container", SERVER, "--gpus", "1000"];
            scene.apply(&scene.render(&models.tiny, &args)?)?;
            let words = scene.waits_for(&["unschedulable"], "Insufficient nvidia.com/gpu")?;
            Ok(Outcome::Refused { by: "scheduler", why: words })
        }),
        Scenario::new("unknown-digest", unknown_digest),
        Scenario::new("slow-pull", slow_pull),
        Scenario::alone("node-restarted", node_restarted),
    ]
}

/// A new digest with a GPU to spare: the old pod serves until the new one does.
fn rollout(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    let args = ["--custom-container", SERVER];
    serve(scene, &models.tiny, &args)?;
    scene.apply(&scene.render(&models.revised, &[&["--name", "model"], &args[..]].concat())?)?;
    let pod = runs(scene, &models.revised)?;
    agrees(scene, &models.revised)?;
    Ok(Outcome::Ready { files: files(scene, &pod, &models.revised)? })
}

/// A new digest is pinned in the manifest that is there, and rolled out on one GPU by a strategy that ends the old pod first.
fn pin_rollout_one_gpu(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    let args = [
        "--custom-container",
        SERVER,
        "--gpu-resource",
        "intel.com/gpu",
        "--gpus",
        "1",
        "--deployment-strategy",
        "recreate",
    ];
    let file = scene.cluster.state.join("pinned.yaml");
    let before = scene.render(&models.tiny, &[&["--name", "model"], &args[..]].concat())?;
    fs::write(&file, &before)?;
    scene.apply(&before)?;
    runs(scene, &models.tiny)?;
    run(scene.cluster.modelcar().arg("pin").arg(&models.revised.image).arg(&file))?;
    let after = fs::read_to_string(&file)?;
    if after != before.replace(models.tiny.digest(), models.revised.digest()) {
        return Err("pin changed more than the digest".into());
    }
    scene.apply(&after)?;
    let mut stages: Vec<i32> = Vec::new();
    soon("the new digest to be Ready", || {
        let checked = scene.check(&["--expect", models.revised.digest()])?;
        if stages.last() != Some(&checked.status) {
            stages.push(checked.status);
        }
        Ok(if checked.status == 0 { Look::Done(()) } else { Look::NotYet(format!("{stages:?}: {}", checked.first())) })
    })?;
    let pod = runs(scene, &models.revised)?;
    if !stages.contains(&3) {
        return Err(format!("check never waited: {stages:?}").into());
    }
    Ok(Outcome::Ready { files: files(scene, &pod, &models.revised)? })
}

/// A pull that takes a while: `check` in a loop shows each stage, and never a failure.
fn slow_pull(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    slow::start()?;
    let slow =
        Model { image: models.slow.image.replace(registry::OPEN, registry::SLOW), files: models.slow.files.clone() };
    scene.apply(&scene.render(&slow, &["--name", "model", "--custom-container", SERVER])?)?;
    let mut stages: Vec<String> = Vec::new();
    soon("the service to be Ready", || {
        let checked = scene.check(&[])?;
        let stage = match (checked.status, checked.codes().first()) {
            (0, _) => "ready".to_owned(),
            (3, Some(code)) => code.clone(),
            (status, _) => return Err(format!("{stages:?}, then {status}: {}", checked.first()).into()),
        };
        if stages.last() != Some(&stage) {
            stages.push(stage);
        }
        Ok(if checked.status == 0 { Look::Done(()) } else { Look::NotYet(format!("{stages:?}")) })
    })?;
    match stages.iter().position(|stage| stage == "pulling") {
        Some(pulling) if stages[pulling..].iter().any(|stage| stage == "probe") => {
            Ok(Outcome::As(format!("check in a loop says: {}", stages.join(", "))))
        }
        _ => Err(format!("check in a loop says only: {}", stages.join(", ")).into()),
    }
}

/// Waits until the one pod that is not about to go has an image and is Ready.
fn runs(scene: &Scene<'_>, model: &Model) -> Result<Value> {
    slowly("the new digest to serve", || {
        let pods = scene.pods(&service_label("model"))?;
        let new = pods.iter().find(|pod| pod.to_string().contains(&format!("\"{}\"", model.image)));
        Ok(match new {
            Some(pod) if is_ready(pod) && pods.len() == 1 => Look::Done(pod.clone()),
            _ => Look::NotYet(format!("{} pods", pods.len())),
        })
    })
}

/// With one GPU the new pod waits for the old one's, which stays until the new one is Ready: it waits for ever.
fn rollout_one_gpu(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    let args = ["--custom-container", SERVER, "--gpu-resource", "amd.com/gpu", "--gpus", "1"];
    serve(scene, &models.tiny, &args)?;
    scene.apply(&scene.render(&models.revised, &[&["--name", "model"], &args[..]].concat())?)?;
    let why = scene.waits_for(&["unschedulable"], "Insufficient amd.com/gpu")?;
    let old = scene.pods(&service_label("model"))?.into_iter().filter(is_ready).count();
    if old != 1 {
        return Err(format!("{old} pods serve while the new one waits").into());
    }
    // The way out without a strategy: the old pod's ReplicaSet lets its GPU go.
    scene.kubectl(&["scale", "deployment", "model-predictor", "--replicas=0"])?;
    slowly("the old pod to go", || {
        let pods = scene.objects(&["pod"])?["items"].as_array().map_or(0, Vec::len);
        Ok(if pods == 0 { Look::Done(()) } else { Look::NotYet(format!("{pods} pods")) })
    })?;
    scene.kubectl(&["scale", "deployment", "model-predictor", "--replicas=1"])?;
    let pod = runs(scene, &models.revised)?;
    let count = files(scene, &pod, &models.revised)?;
    Ok(Outcome::As(format!("deadlock, check: {why}; Ready once the old pod is scaled down ({count} files equal)")))
}

/// The sidecar comes back with another process, and the server's link is made anew.
fn sidecar_killed(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    let pod = serve(scene, &models.tiny, &["--custom-container", SERVER])?;
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    // With the tools that a modelcar image has. The shell ends with its `sleep`, and takes this command along.
    let kill = "for process in /proc/[0-9]*; do read -r name < $process/comm; [ \"$name\" != sleep ] || kill ${process#/proc/}; done";
    scene.kubectl(&["exec", name, "-c", "modelcar", "--", "sh", "-c", kill]).ok();
    let pod = slowly("the sidecar to come back", || {
        let pods = scene.pods(&service_label("model"))?;
        Ok(match pods.into_iter().find(|pod| restarts(pod, "modelcar") > 0 && is_ready(pod)) {
            Some(pod) => Look::Done(pod),
            None => Look::NotYet("it has not restarted".to_owned()),
        })
    })?;
    agrees(scene, &models.tiny)?;
    Ok(Outcome::Ready { files: files(scene, &pod, &models.tiny)? })
}

/// A digest that the registry does not have.
fn unknown_digest(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    let manifests = scene.render(&models.tiny, &["--name", "model", "--custom-container", SERVER])?;
    let unknown = format!("sha256:{}", "0".repeat(64));
    scene.apply(&manifests.replace(models.tiny.digest(), &unknown))?;
    Ok(Outcome::Refused { by: "kubelet", why: scene.fails_with(&["image-not-found"], "not found")? })
}

/// containerd and the kubelet stop and start again: pods go on, and what they serve stays the same.
fn node_restarted(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    let before = serve(scene, &models.tiny, &["--custom-container", SERVER])?;
    scene.cluster.restart_node()?;
    // The kubelet looks at its pods anew before it tells of them.
    pause(5);
    let after = scene.service("model")?;
    if before["metadata"]["uid"] != after["metadata"]["uid"] {
        return Err("the pod was made anew".into());
    }
    agrees(scene, &models.tiny)?;
    Ok(Outcome::Ready { files: files(scene, &after, &models.tiny)? })
}
