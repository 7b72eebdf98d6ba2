//! Uploads into a real registry that dies, and through a real proxy that caps the size of a request.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    nginx::Nginx,
    parts::{Part, available, modelcar, run},
    registry::Registry,
};

const PATIENCE: Duration = Duration::from_mins(2);
pub(crate) const MIB: u64 = 1 << 20;

/// A model of one large file in which no two stretches are equal.
pub(crate) fn model(bytes: u64) -> TempDir {
    let dir = TempDir::new().unwrap();
    let mut file = fs::File::create(dir.path().join("model.bin")).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = Vec::with_capacity(1 << 20);
    for _ in 0..bytes / MIB {
        block.clear();
        while block.len() < 1 << 20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block).unwrap();
    }
    dir
}

pub(crate) fn push(model: &Path, image: &str, work: &Path) -> std::process::Command {
    let mut push = modelcar(work);
    push.arg("push").arg(model).arg(image).args(["--base", "scratch", "--jobs", "1", "--format", "json"]);
    push.args(["--progress", "plain"]);
    push
}

/// Distribution 2.8 refuses the place of an upload that broke, for a status request too; from version 3 on it tells a new
/// one. So here a layer starts over, and what is sent again is what of it had been sent.
#[test]
fn a_registry_that_is_killed_three_times_gets_no_more_than_the_layer_in_flight_again() {
    if !available(&[Part::Registry]) {
        return;
    }
    let size = 512 * MIB;
    let (model, work) = (model(size), TempDir::new().unwrap());
    let mut registry = Registry::start();
    let image = format!("{}/team/model:v1", registry.address());
    let mut pushing = push(model.path(), &image, work.path());
    let pushing = pushing.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut held = Vec::new();
    for percent in [15, 40, 65] {
        // Sessions that died stay on the disk: the newest one is the largest that grew since.
        wait_for(|| uploaded(&registry.store()).is_some_and(|bytes| bytes >= size / 100 * percent));
        registry.kill();
        held.push(uploaded(&registry.store()).expect("an upload is under way"));
        registry.start_again();
    }
    let output = pushing.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();

    // A place that is told is what lay on the registry's disk when it died.
    let told =
        stderr.lines().filter_map(|line| line.split_once(" holds ")?.1.split_once(" bytes of layer 1")?.0.parse().ok());
    let told: Vec<u64> = told.collect();
    assert!(told.iter().all(|told| held.contains(told)), "{stderr}");
    let over = stderr.lines().filter(|line| line.contains("starts over")).count();
    assert_eq!(told.len() + over, 3, "{stderr}");
    let layers = answer["layers"].as_array().unwrap();
    let layer_bytes: u64 = layers.iter().map(|layer| layer["size"].as_u64().unwrap()).sum();
    let again = answer["bytesSent"].as_u64().unwrap() - layer_bytes;
    // Besides what it held: what the sockets and the HTTP client held.
    let lost = if told.len() == 3 { 0 } else { held.iter().sum() };
    assert!(again <= lost + 3 * 16 * MIB, "{again} bytes were sent again");
    println!("killed at {held:?} of {layer_bytes} bytes; {again} bytes were sent again, {over} times from the start");

    let clean = format!("{}/team/clean:v1", registry.address());
    let clean: Value = serde_json::from_str(&run(&mut push(model.path(), &clean, work.path()))).unwrap();
    assert_eq!(answer["digest"], clean["digest"]);
    assert_eq!(clean["bytesSent"].as_u64(), Some(layer_bytes));
}

/// A registry that is restarted slowly: more tries fail than a request to a registry that never answered gets.
#[test]
fn a_registry_that_is_away_is_waited_for() {
    if !available(&[Part::Registry]) {
        return;
    }
    let size = 256 * MIB;
    let (model, work) = (model(size), TempDir::new().unwrap());
    let mut registry = Registry::start();
    let image = format!("{}/team/model:v1", registry.address());
    let mut pushing = push(model.path(), &image, work.path());
    let mut pushing = pushing.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(|| uploaded(&registry.store()).is_some_and(|bytes| bytes >= size / 4));
    registry.kill();
    let mut seen = String::new();
    let mut lines = BufReader::new(pushing.stderr.take().unwrap());
    while !seen.contains("try 6 of 10") {
        assert_ne!(lines.read_line(&mut seen).unwrap(), 0, "{seen}");
    }
    registry.start_again();
    lines.read_to_string(&mut seen).unwrap();
    let output = pushing.wait_with_output().unwrap();
    assert!(output.status.success(), "{seen}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["digest"].as_str().unwrap().starts_with("sha256:"));
}

/// Returns the size of the upload that is under way in a registry's store.
pub(crate) fn uploaded(store: &Path) -> Option<u64> {
    let uploads = store.join("docker/registry/v2/repositories/team/model/_uploads");
    let sizes =
        fs::read_dir(uploads).ok()?.filter_map(|upload| Some(upload.ok()?.path().join("data").metadata().ok()?.len()));
    sizes.max()
}

pub(crate) fn wait_for(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "it does not come so far");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_proxy_that_caps_requests_gets_chunks() {
    if !available(&[Part::Registry, Part::Nginx]) {
        return;
    }
    let (model, work) = (model(80 * MIB), TempDir::new().unwrap());
    let registry = Registry::start();
    let direct = format!("{}/team/direct:v1", registry.address());
    let direct: Value = serde_json::from_str(&run(&mut push(model.path(), &direct, work.path()))).unwrap();
    // nginx's default, and a size that two of the client's sizes fit into.
    for cap in ["1m", "8m"] {
        let proxy = Nginx::capped(registry.address(), cap);
        let image = format!("{}/team/capped-{cap}:v1", proxy.address());
        let output = push(model.path(), &image, work.path()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        assert!(stderr.contains("continues in chunks of "), "{stderr}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["digest"], direct["digest"]);
        for line in stderr.lines().filter(|line| line.contains("chunks")) {
            println!("client_max_body_size {cap}: {line}");
        }
        // What came through chunks is what the registry itself gives.
        let name = format!("{}/team/capped-{cap}:v1", registry.address());
        let seen = run(modelcar(work.path()).args(["inspect", &name, "--format", "json"]));
        let seen: Value = serde_json::from_str(&seen).unwrap();
        assert_eq!(seen["digest"], direct["digest"]);
    }
}

/// One proxy has an address of IPv6 and little room for headers; behind the other the registry names itself in
/// `Location`.
#[test]
fn a_proxy_with_small_buffers_or_without_the_hosts_name_gets_the_same_image() {
    if !available(&[Part::Registry, Part::Nginx]) {
        return;
    }
    let (model, work) = (model(2 * MIB), TempDir::new().unwrap());
    let registry = Registry::start();
    let pushed = |image: &str| {
        let home = TempDir::new().unwrap();
        let answer: Value = serde_json::from_str(&run(&mut push(model.path(), image, home.path()))).unwrap();
        assert!(answer["bytesSent"].as_u64().unwrap() >= 2 * MIB, "{answer}");
        (answer["image"].as_str().unwrap().to_owned(), answer["digest"].as_str().unwrap().to_owned())
    };
    let (_, direct) = pushed(&format!("{}/team/direct:v1", registry.address()));
    for (name, proxy) in
        [("small", Nginx::small(registry.address())), ("nameless", Nginx::nameless(registry.address()))]
    {
        let (image, digest) = pushed(&format!("{}/team/{name}:v1", proxy.address()));
        assert_eq!(digest, direct, "{name}");
        let (head, _) = registry.request("GET", &format!("/v2/team/{name}/manifests/{digest}"));
        assert!(head.starts_with("HTTP/1.1 200"), "{name}: {head}");
        run(modelcar(work.path()).args(["inspect", &image]));
    }
}
