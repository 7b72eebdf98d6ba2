//! Checkpoints and mounts at a real registry.

use std::{
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use modelcar_testkit::{FakeHub, HubConfig, synthetic_model};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    parts::{Part, available, modelcar, run},
    registry::{Program, Registry, Settings},
};

const SHARD: u64 = 64 << 20;
const PATIENCE: Duration = Duration::from_mins(1);

fn push(hub: &FakeHub, home: &Path, image: &str, more: &[&str]) -> Command {
    let mut push = modelcar(home);
    push.env("HF_ENDPOINT", hub.endpoint()).args([
        "push",
        "acme/model",
        image,
        "--base",
        "scratch",
        "--format",
        "json",
    ]);
    push.args(["--jobs", "1"]).args(more);
    push
}

pub(crate) fn ways(answer: &str) -> Vec<String> {
    let answer: Value = serde_json::from_str(answer).unwrap();
    let layers = answer["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["way"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_real_registry_keeps_checkpoints_until_the_image_is_there() {
    keeps_checkpoints(Program::Debian);
}

#[test]
fn distribution_3_keeps_checkpoints_until_the_image_is_there() {
    keeps_checkpoints(Program::Distribution);
}

/// It keeps the tag of a manifest that is deleted by its digest.
#[test]
fn go_containerregistry_keeps_checkpoints_until_the_image_is_there() {
    keeps_checkpoints(Program::GoContainerregistry);
}

fn keeps_checkpoints(program: Program) {
    if !available(&[program.part()]) {
        return;
    }
    let hub = FakeHub::start_blocking(HubConfig::default());
    hub.add_repo("acme/model", "main", synthetic_model(4, SHARD));
    let registry = Registry::start_program(program);
    let [first, second, third] = [(); 3].map(|()| TempDir::new().unwrap());
    let image = format!("{}/team/model:v1", registry.address());
    let mut killed = push(&hub, first.path(), &image, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    // The first tag is that of a trial, which goes away at once.
    let checkpoints = || -> Vec<String> {
        registry.tags("team/model").into_iter().filter(|tag| tag != "modelcar-part-trial").collect()
    };
    while checkpoints().is_empty() {
        assert!(begun.elapsed() < PATIENCE, "no checkpoint is written");
        thread::sleep(Duration::from_millis(2));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let left = checkpoints();
    assert!(left.iter().all(|tag| tag.starts_with("modelcar-part-")), "{left:?}");
    let again = run(&mut push(&hub, second.path(), &image, &[]));
    let done = ways(&again).iter().filter(|way| *way == "reuse").count();
    assert!(done >= left.len(), "{} checkpoints, {:?}", left.len(), ways(&again));
    assert_eq!(registry.tags("team/model"), ["v1"], "checkpoints go away");
    let other = format!("{}/other/model:v1", registry.address());
    let mounted = run(&mut push(&hub, third.path(), &other, &["--reuse-from", &image]));
    // Where the blobs of all repositories are kept together, they are there already.
    let way = if program == Program::GoContainerregistry { "reuse" } else { "mount" };
    assert!(ways(&mounted).iter().all(|found| found == way), "{mounted}");
    println!(
        "{} checkpoints after the kill, then {:?}; another repository {:?}",
        left.len(),
        ways(&again),
        ways(&mounted)
    );
}

#[test]
fn a_real_registry_without_deletes_gets_no_checkpoint() {
    if !available(&[Part::Registry]) {
        return;
    }
    let hub = FakeHub::start_blocking(HubConfig::default());
    hub.add_repo("acme/model", "main", synthetic_model(2, SHARD));
    let registry = Registry::start_as(&Settings { deletes: false, ..Settings::DEFAULT });
    let home = TempDir::new().unwrap();
    let output = push(&hub, home.path(), &format!("{}/team/model:v1", registry.address()), &[]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.contains("it does not allow manifests to be deleted (405)"), "{stderr}");
    assert_eq!(registry.tags("team/model"), ["v1"]);
}
