//! The time from `kubectl apply` to Ready, with the image on the node and without it.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    time::Instant,
};

use super::{
    Outcome, Scenario,
    kinds::SERVER,
    models::{Models, SHELL},
};
use crate::{
    scene::{Model, Scene, is_ready, push, service_label},
    wait::{Look, Result, soon},
};

/// The model: files, and bytes of each.
const SHARDS: (usize, u64) = (4, 128 << 20);
const ROUNDS: usize = 3;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![Scenario { on_request: true, ..Scenario::alone("cold-start", cold_start) }]
}

fn cold_start(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    // The server's image is on the node before anything is timed.
    seconds_to_ready(scene, &models.tiny)?;
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let model = fresh_model(scene, round)?;
        cold.push(seconds_to_ready(scene, &model)?);
        warm.push(seconds_to_ready(scene, &model)?);
    }
    let (cold, warm) = (median(cold), median(warm));
    let mib = (SHARDS.0 as u64 * SHARDS.1) >> 20;
    Ok(Outcome::As(format!(
        "{mib} MiB, medians of {ROUNDS}: {cold:.1} s, pulled before {warm:.1} s: {:.2} times",
        cold / warm
    )))
}

/// Makes and pushes a model that no node has.
fn fresh_model(scene: &Scene<'_>, round: usize) -> Result<Model> {
    let folder = scene.cluster.state.join("models/cold");
    fs::create_dir_all(&folder)?;
    fs::copy(scene.cluster.parts.workspace.join("fixtures/tiny-model/config.json"), folder.join("config.json"))?;
    for shard in 0..SHARDS.0 {
        let mut file = File::create(folder.join(format!("weights-{shard}.bin")))?;
        io::copy(&mut File::open("/dev/urandom")?.take(SHARDS.1), &mut file)?;
    }
    let pushed = push(scene.cluster, &folder, &format!("cold-{round}"), &SHELL);
    fs::remove_dir_all(&folder)?;
    pushed
}

/// Applies the manifest of a service, waits until its pod is Ready, and removes both.
fn seconds_to_ready(scene: &Scene<'_>, model: &Model) -> Result<f64> {
    let manifests = scene.render(model, &["--name", "model", "--custom-container", SERVER])?;
    let pods = |wanted: usize| {
        soon(&format!("{wanted} Ready pods"), || {
            let pods = scene.pods(&service_label("model"))?;
            let is_done = pods.len() == wanted && pods.iter().all(is_ready);
            Ok(if is_done { Look::Done(()) } else { Look::NotYet(format!("{} pods", pods.len())) })
        })
    };
    let start = Instant::now();
    scene.apply(&manifests)?;
    pods(1)?;
    let seconds = start.elapsed().as_secs_f64();
    scene.kubectl(&["delete", "isvc", "model"])?;
    pods(0)?;
    Ok(seconds)
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
