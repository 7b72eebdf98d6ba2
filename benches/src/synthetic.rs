//! Owns pushes of models that no disk holds: the Hub makes the bytes, the registry counts them.

use std::{fmt, io, path::Path, process::Command};

use bytesize::ByteSize;
use serde::Serialize;

use crate::{
    cost::{mib, run},
    model::MODEL,
    rounds::Sample,
    servers::{Server, beside},
    verify::verify,
};

/// Shards of large models on the Hub are about this large.
const SHARD_BYTES: u64 = 5 << 30;
/// Layers in flight.
const JOBS: u64 = 4;

/// A push of a synthetic model into the counting registry.
#[derive(Debug, Clone, Copy)]
pub struct SyntheticPush {
    /// Number of shards.
    pub shards: u64,
    /// Bytes of a shard.
    pub shard_bytes: u64,
    /// Bytes a second that the Hub gives one download.
    pub throttle: Option<u64>,
    /// Connections to the Hub; the default when `None`.
    pub connections: Option<u16>,
}

impl SyntheticPush {
    /// Spreads `bytes` over shards of a size that is usual on the Hub, at least as many as layers in flight.
    pub fn of_size(bytes: u64) -> Self {
        let shards = bytes.div_ceil(SHARD_BYTES).max(JOBS);
        Self { shards, shard_bytes: bytes / shards, throttle: None, connections: None }
    }

    /// Pushes once; what is written goes below `root`.
    ///
    /// # Errors
    /// When a part is missing or the push fails.
    pub fn measure(self, root: &Path) -> io::Result<Measured> {
        let scratch = tempfile::tempdir_in(root)?;
        let mut hub_args = vec!["--synthetic".to_owned(), format!("{MODEL}={}x{}", self.shards, self.shard_bytes)];
        if let Some(throttle) = self.throttle {
            hub_args.extend(["--throttle".to_owned(), throttle.to_string()]);
        }
        let (hub, registry) = (Server::hub(&hub_args)?, Server::counting()?);
        let mut push = Command::new(beside("modelcar")?);
        push.args(["push", MODEL, &format!("{}/{MODEL}:v1", registry.address), "--base", "scratch"]);
        push.args(["--jobs", &JOBS.to_string(), "--progress", "none"]);
        if let Some(connections) = self.connections {
            push.args(["--connections", &connections.to_string()]);
        }
        push.env("HF_ENDPOINT", &hub.address).env("HOME", scratch.path());
        let (hub_before, registry_before) = (hub.cpu_seconds(), registry.cpu_seconds());
        let client = run(&mut push, &scratch.path().join("log"))?;
        let hub_cpu_seconds = hub.cpu_seconds() - hub_before;
        let registry_cpu_seconds = registry.cpu_seconds() - registry_before;
        verify(&registry.address, "v1", self.shards * self.shard_bytes)?;
        Ok(Measured { push: self, sample: Sample { client, registry_cpu_seconds, hub_cpu_seconds } })
    }
}

/// A push and what it cost; displays as a line below [`Measured::HEADS`].
#[derive(Debug, Serialize)]
pub struct Measured {
    #[serde(skip)]
    push: SyntheticPush,
    #[serde(flatten)]
    sample: Sample,
}

impl Measured {
    /// The columns' heads.
    pub const HEADS: &str =
        "            model  ranges    wall s   MiB/s  cpu s/GiB  hub s/GiB  reg s/GiB  rss MiB  wrote MiB";

    /// Returns the wall time in seconds.
    pub fn wall_seconds(&self) -> f64 {
        self.sample.client.wall_seconds
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (push, sample, client) = (&self.push, &self.sample, &self.sample.client);
        let model = format!("{} x {}", push.shards, ByteSize::b(push.shard_bytes));
        let mib = mib(push.shards * push.shard_bytes);
        let a_gib = 1024.0 / mib;
        let ranges = push.connections.map_or_else(|| "default".to_owned(), |ranges| ranges.to_string());
        write!(f, "{model:>17} {ranges:>7} {:>9.2} {:>7.0}", client.wall_seconds, mib / client.wall_seconds)?;
        write!(f, " {:>10.2} {:>10.2}", client.cpu_seconds * a_gib, sample.hub_cpu_seconds * a_gib)?;
        write!(f, " {:>10.2} {:>8.1}", sample.registry_cpu_seconds * a_gib, client.peak_rss_mib)?;
        write!(f, " {:>10.1}", client.written_mib)
    }
}
