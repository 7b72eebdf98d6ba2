//! How long a node takes to pull an image. `docs/node-sizing.md` has the model, its figures and their sources.
//!
//! Milliseconds are computed in whole numbers, so that the same image gets the same seconds on every machine.

use std::fmt;

use modelcar_core::{Plan, inspect::Inspection};
use serde::Serialize;

/// From this size on a single layer decides how long the pull takes: one connection and one core work on it.
pub const LARGE_LAYER_BYTES: u64 = 10_000_000_000;

/// Bytes that one connection brings in a millisecond: 150 MB/s.
const CONNECTION: u64 = 150_000;
/// Bytes that the node's link brings in a millisecond: 3 GB/s.
const LINK: u64 = 3_000_000;
/// Bytes that one core unpacks in a millisecond: 0.8 GB/s.
const CORE: u64 = 800_000;
/// What a layer takes beside its bytes.
const LAYER_MS: u64 = 40;
/// Layers that containerd downloads at once as it comes. It unpacks one at a time.
const DEFAULT_DOWNLOADS: usize = 3;
/// Layers that the tuned node unpacks at once; it downloads each in chunks, as fast as its link is.
const TUNED_UNPACKS: usize = 8;
/// Bytes that a slow disk moves in a millisecond: 125 MiB/s, an EBS volume of type gp3 as it comes.
const SLOW_DISK: u64 = 125 * (1 << 20) / 1000;
/// How often the bytes of an image cross the disk, in tenths, until the server has read them: the blob is written and
/// read, the files are written and read. KServe's benchmark measured 4.3 times.
const DISK_PASSES: (u64, u64) = (43, 10);
/// What the image of a server for GPUs moves on the disk: 10 GiB of blobs are written and read, 20 GiB are written.
const SERVER_DISK_BYTES: u64 = 40 << 30;
/// Knative's own deadline, which is for a server that starts.
const START_SECONDS: u64 = 600;

/// Seconds until an image is pulled and unpacked, on three kinds of nodes. They are estimates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PullTime {
    /// containerd as it comes.
    pub default_seconds: u64,
    /// containerd that downloads layers in chunks and unpacks eight at once.
    pub tuned_seconds: u64,
    /// A node with a disk of 125 MiB/s; until the server has read the files.
    pub slow_disk_seconds: u64,
    /// Bytes of the largest layer.
    pub largest_layer_bytes: u64,
}

impl PullTime {
    /// Returns the seconds for layers of these sizes, in the order of the manifest.
    pub fn of_layers(layers: &[u64]) -> Self {
        let bytes = layers.iter().fold(0_u64, |sum, size| sum.saturating_add(*size));
        let moved = u128::from(bytes) * u128::from(DISK_PASSES.0) / u128::from(DISK_PASSES.1 * SLOW_DISK);
        let (default, tuned) = (default_ms(layers), tuned_ms(layers));
        Self {
            default_seconds: default.div_ceil(1000),
            tuned_seconds: tuned.div_ceil(1000),
            slow_disk_seconds: u64::try_from(moved).unwrap_or(u64::MAX).max(default).div_ceil(1000),
            largest_layer_bytes: layers.iter().copied().max().unwrap_or_default(),
        }
    }

    /// Returns the seconds for the largest platform of an image.
    pub fn of_largest(inspection: &Inspection) -> Option<Self> {
        let sizes = inspection.manifests.iter().map(|manifest| manifest.layers.iter().map(|layer| layer.size));
        let largest = sizes.max_by_key(|sizes| sizes.clone().fold(0_u64, u64::saturating_add))?;
        Some(Self::of_layers(&largest.collect::<Vec<_>>()))
    }

    /// Returns the seconds for the image of `plan`, with the largest platform of its base.
    pub fn of_plan(plan: &Plan) -> Self {
        let below = plan.base().platforms.iter().map(|platform| platform.layers.iter().map(|layer| layer.size));
        let below = below.max_by_key(|sizes| sizes.clone().fold(0_u64, u64::saturating_add));
        let layers = below.into_iter().flatten().chain(plan.layers().iter().map(|layer| layer.size));
        Self::of_layers(&layers.collect::<Vec<_>>())
    }

    /// Returns whether one layer decides how long the pull takes.
    pub fn has_large_layer(&self) -> bool {
        self.largest_layer_bytes > LARGE_LAYER_BYTES
    }

    /// Returns the minutes that a pod may take until it is Ready on the slow disk: the pull, that of a server's image for
    /// GPUs, and the start of the server.
    pub fn minutes_to_ready(&self, server_for_gpus: bool) -> u64 {
        let server = if server_for_gpus { SERVER_DISK_BYTES / SLOW_DISK / 1000 } else { 0 };
        self.slow_disk_seconds.saturating_add(server + START_SECONDS).div_ceil(60)
    }
}

impl fmt::Display for PullTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "about {} with containerd's defaults, {} on a tuned node, {} on a disk of 125 MiB/s",
            about(self.default_seconds),
            about(self.tuned_seconds),
            about(self.slow_disk_seconds)
        )
    }
}

/// Formats a time for people: `55 s`, `9 min`.
fn about(seconds: u64) -> String {
    if seconds < 120 { format!("{} s", seconds.max(1)) } else { format!("{} min", seconds.div_ceil(60)) }
}

/// Each download has one connection. A layer is unpacked when it and all before it are there, one after another.
fn default_ms(layers: &[u64]) -> u64 {
    let mut connections = [0_u64; DEFAULT_DOWNLOADS];
    let (mut there, mut unpacked) = (0_u64, 0_u64);
    for size in layers {
        let Some(first) = connections.iter_mut().min() else { break };
        *first = first.saturating_add(size / CONNECTION);
        there = there.max(*first);
        unpacked = unpacked.max(there).saturating_add(unpack_ms(*size));
    }
    unpacked
}

/// All connections work on one layer after another; several layers are unpacked at once.
fn tuned_ms(layers: &[u64]) -> u64 {
    let mut cores = [0_u64; TUNED_UNPACKS];
    let (mut bytes, mut end) = (0_u64, 0_u64);
    for size in layers {
        bytes = bytes.saturating_add(*size);
        let Some(first) = cores.iter_mut().min() else { break };
        *first = (*first).max(bytes / LINK).saturating_add(unpack_ms(*size));
        end = end.max(*first);
    }
    end
}

fn unpack_ms(size: u64) -> u64 {
    (size / CORE).saturating_add(LAYER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    /// The table of `docs/node-sizing.md`.
    #[test]
    fn seconds_are_those_of_the_document() {
        let document = include_str!("../../../../docs/node-sizing.md");
        let all: [(&str, Vec<u64>, [u64; 3]); 5] = [
            ("15 GB, 4 shards", vec![3750 * MB; 4], [55, 10, 493]),
            ("40 GB, one file", vec![40_000 * MB], [317, 64, 1313]),
            ("140 GB, 30 shards", vec![4667 * MB; 30], [329, 53, 4594]),
            ("140 GB, one file", vec![140_000 * MB], [1109, 222, 4593]),
            ("700 GB, 120 layers", [vec![4300 * MB; 77], vec![8600 * MB; 43]].concat(), [1588, 245, 22_995]),
        ];
        for (name, layers, expected) in all {
            let time = PullTime::of_layers(&layers);
            let seconds = [time.default_seconds, time.tuned_seconds, time.slow_disk_seconds];
            assert_eq!(seconds, expected, "{name}");
            let [default, tuned, slow] = expected;
            let row = format!("| {name} | {default} | {tuned} | {slow} |");
            assert!(document.contains(&row), "docs/node-sizing.md lacks the row\n{row}");
        }
    }

    #[test]
    fn no_size_is_too_large_or_too_small() {
        assert_eq!(PullTime::of_layers(&[]), PullTime::default());
        let most = PullTime::of_layers(&[u64::MAX, u64::MAX]);
        assert!(most.slow_disk_seconds >= most.default_seconds && most.has_large_layer());
        assert!(!PullTime::of_layers(&[LARGE_LAYER_BYTES]).has_large_layer());
        assert!(PullTime::of_layers(&[LARGE_LAYER_BYTES + 1]).has_large_layer());
        assert_eq!(PullTime::default().minutes_to_ready(false), 10);
        assert_eq!(PullTime::default().minutes_to_ready(true), 16);
        assert!(most.minutes_to_ready(true) > 1 << 30);
    }
}
