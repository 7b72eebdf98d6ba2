//! Memory and disk of a push: a synthetic model from the fake Hub into docker-registry with 4 jobs.
//!
//! Prints wall time, CPU seconds, peak resident size and the bytes that the process wrote to storage.

use std::{
    io,
    process::{Command, Stdio},
};

use modelcar_benches::{DockerRegistry, Reading, modelcar};
use modelcar_testkit::{FakeHub, HubConfig, synthetic_model};

const SHARDS: usize = 4;
const SHARD_BYTES: u64 = 512 << 20;

fn main() -> io::Result<()> {
    let store = tempfile::tempdir()?;
    let registry = DockerRegistry::start(store.path())?;
    let hub = FakeHub::start_blocking(HubConfig::default());
    let tree = synthetic_model(SHARDS, SHARD_BYTES);
    tree.warm_up();
    hub.add_repo("acme/large", "main", tree);

    let image = format!("{}/acme/large:v1", registry.host);
    let mut push = Command::new(modelcar()?);
    push.args(["push", "acme/large", &image, "--base", "scratch", "--jobs", "4", "--progress", "none"]);
    push.env("HF_ENDPOINT", hub.endpoint()).env("HOME", store.path()).stdout(Stdio::null());
    let (reading, seconds) = Reading::during(&mut push)?;
    println!("hub -> docker-registry, {SHARDS} x {} MiB, 4 jobs", SHARD_BYTES >> 20);
    println!("wall                 {seconds:.2} s");
    println!("cpu, modelcar        {:.2} s", reading.cpu_seconds);
    println!("cpu, registry        {:.2} s", registry.cpu_seconds());
    println!("peak resident size   {:.1} MiB (target: under 128)", to_mib(reading.peak_rss_kib));
    println!("written to storage   {} bytes (target: 0)", reading.written_bytes);
    match reading.peak_rss_kib < 128 * 1024 && reading.written_bytes == 0 {
        true => Ok(()),
        false => Err(io::Error::other("a target was missed")),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn to_mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
