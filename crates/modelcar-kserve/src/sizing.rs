//! The disk that a node needs for an image, and the time that the node takes to pull it. `docs/node-sizing.md` has the reasons and worked examples.

mod pull_time;

use modelcar_core::{Plan, inspect::Inspection};
use serde::Serialize;

pub use self::pull_time::{LARGE_LAYER_BYTES, PullTime};

const GIB: u64 = 1 << 30;
/// The operating system, system images and a server's image without CUDA.
pub const SYSTEM_BYTES: u64 = 10 * GIB;
/// What pods write: logs, caches, empty directories.
pub const PODS_BYTES: u64 = 10 * GIB;
/// The image of a server with CUDA as containerd keeps it: 10 GiB of blobs and 20 GiB unpacked. The images of vLLM and
/// of KServe's `huggingfaceserver` for GPUs are of that order; no manifest of ours tells their size.
pub const GPU_SERVER_BYTES: u64 = 30 * GIB;
/// Part of the disk, in percent, from which on the kubelet removes images (`imageGCHighThresholdPercent`).
const IMAGE_GC_PERCENT: u64 = 85;
/// Boot disks are recommended in steps of this many GiB.
const STEP_GIB: u64 = 10;

/// The bytes of an image, as they travel and as they lie on a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ImageBytes {
    /// Bytes of all layer blobs: what the registry keeps and the node downloads.
    pub blobs: u64,
    /// Bytes of the layers when unpacked.
    pub unpacked: u64,
}

impl ImageBytes {
    /// Returns the size of layers given by media type and blob size.
    ///
    /// Plain tar unpacks to its own size. For compressed layers, whose unpacked size no manifest tells, a third is
    /// added: weights in 16-bit floats shrink by a fifth to a quarter.
    pub fn of_layers<'a>(layers: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
        let mut bytes = Self::default();
        for (media_type, size) in layers {
            let plain = media_type.rsplit('.').next() == Some("tar");
            bytes.blobs = bytes.blobs.saturating_add(size);
            bytes.unpacked = bytes.unpacked.saturating_add(if plain { size } else { size.saturating_add(size / 3) });
        }
        bytes
    }

    /// Returns the size of the largest platform.
    pub fn of_largest(inspection: &Inspection) -> Option<Self> {
        let sizes = inspection.manifests.iter().map(|manifest| {
            Self::of_layers(manifest.layers.iter().map(|layer| (layer.media_type.as_str(), layer.size)))
        });
        sizes.max_by_key(|bytes| bytes.blobs)
    }
}

/// Bytes on a node's disk under one configuration of its container runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DiskUse {
    /// While the image is pulled.
    pub peak: u64,
    /// From then on.
    pub rest: u64,
}

/// What an image takes on a node, by container runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct NodeDisk {
    /// The image.
    pub image: ImageBytes,
    /// containerd as it comes: blobs stay beside the unpacked layers.
    pub containerd: DiskUse,
    /// containerd with `discard_unpacked_layers`.
    pub containerd_discard: DiskUse,
    /// CRI-O.
    pub crio: DiskUse,
    /// Boot disk for GKE, whose nodes run containerd as it comes.
    pub gke: BootDisk,
}

/// A boot disk for GKE, with the figures that lead to it. All are in GiB, the unit of `--disk-size`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BootDisk {
    /// Size to ask for.
    pub gib: u64,
    /// What GKE takes of it for system components: half of the disk, 6 GiB and 35 %, or 100 GiB, whatever is least.
    pub reserved_gib: u64,
    /// What the kubelet keeps free by evicting pods: a tenth.
    pub eviction_gib: u64,
    /// What is left for pods to request as `ephemeral-storage`.
    pub allocatable_gib: u64,
}

impl NodeDisk {
    /// Returns what an image of this size takes. The image of a GPU's server comes on top.
    pub fn new(image: ImageBytes) -> Self {
        Self::beside(image, 0)
    }

    /// Returns what the image of `plan` takes on a node, with the largest platform of its base.
    pub fn of_plan(plan: &Plan) -> Self {
        let below = plan.base().platforms.iter().map(|platform| {
            ImageBytes::of_layers(platform.layers.iter().map(|layer| (layer.media_type.as_str(), layer.size)))
        });
        let below = below.max_by_key(|bytes| bytes.blobs).unwrap_or_default();
        Self::new(ImageBytes {
            blobs: plan.layer_bytes().saturating_add(below.blobs),
            unpacked: plan.layer_bytes().saturating_add(below.unpacked),
        })
    }

    /// Returns what an image of this size takes; the boot disk holds `server` bytes of a server's image too.
    pub fn beside(image: ImageBytes, server: u64) -> Self {
        let both = image.blobs.saturating_add(image.unpacked);
        let containerd = DiskUse { peak: both, rest: both };
        let discarded = DiskUse { peak: both, rest: image.unpacked };
        let gke = BootDisk::for_images(containerd.peak.saturating_add(server));
        Self { image, containerd, containerd_discard: discarded, crio: discarded, gke }
    }
}

impl BootDisk {
    /// Returns the smallest disk that holds `image_bytes` of images below the kubelet's threshold for removing them,
    /// and leaves pods the room they write to after GKE's reservations.
    pub fn for_images(image_bytes: u64) -> Self {
        let bytes = image_bytes.saturating_add(SYSTEM_BYTES + PODS_BYTES);
        let needed = (u128::from(bytes) * 100).div_ceil(u128::from(IMAGE_GC_PERCENT) * u128::from(GIB));
        let mut gib = u64::try_from(needed).unwrap_or(u64::MAX / 2).next_multiple_of(STEP_GIB);
        while Self::of_size(gib).allocatable_gib < PODS_BYTES / GIB {
            gib += STEP_GIB;
        }
        Self::of_size(gib)
    }

    /// Returns what GKE makes of a disk of `gib` GiB; parts of a GiB count against the pods.
    pub fn of_size(gib: u64) -> Self {
        let by_share = 6 + (u128::from(gib) * 35).div_ceil(100);
        let reserved = gib.div_ceil(2).min(100).min(u64::try_from(by_share).unwrap_or(100));
        let eviction = gib.div_ceil(10);
        let allocatable = gib.saturating_sub(reserved + eviction);
        Self { gib, reserved_gib: reserved, eviction_gib: eviction, allocatable_gib: allocatable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    /// The table of `docs/node-sizing.md`, worked out by hand there.
    #[test]
    fn sizes_are_those_of_the_document() {
        let document = include_str!("../../../docs/node-sizing.md");
        for (model, gib, reserved, eviction, allocatable) in
            [(1, 30, 15, 3, 12), (15, 60, 27, 6, 27), (140, 340, 100, 34, 206), (700, 1560, 100, 156, 1304)]
        {
            let disk = NodeDisk::new(ImageBytes { blobs: model * GB, unpacked: model * GB });
            assert_eq!(disk.containerd, DiskUse { peak: 2 * model * GB, rest: 2 * model * GB });
            assert_eq!(disk.containerd_discard, DiskUse { peak: 2 * model * GB, rest: model * GB });
            assert_eq!(disk.crio, disk.containerd_discard);
            let expected =
                BootDisk { gib, reserved_gib: reserved, eviction_gib: eviction, allocatable_gib: allocatable };
            assert_eq!(disk.gke, expected, "{model} GB");
            let row = format!(
                "| {model} GB | {peak} GB | {peak} GB | {model} GB | **{gib} GiB** | {reserved} | {eviction} | \
                 {allocatable} |",
                peak = 2 * model
            );
            assert!(document.contains(&row), "docs/node-sizing.md lacks the row\n{row}");
        }
        for (model, gib, reserved, eviction, allocatable) in
            [(1, 70, 31, 7, 32), (15, 100, 41, 10, 49), (140, 370, 100, 37, 233), (700, 1600, 100, 160, 1340)]
        {
            let image = ImageBytes { blobs: model * GB, unpacked: model * GB };
            let expected =
                BootDisk { gib, reserved_gib: reserved, eviction_gib: eviction, allocatable_gib: allocatable };
            assert_eq!(NodeDisk::beside(image, GPU_SERVER_BYTES).gke, expected, "{model} GB");
            let row = format!("| {model} GB | **{gib} GiB** | {reserved} | {eviction} | {allocatable} |");
            assert!(document.contains(&row), "docs/node-sizing.md lacks the row\n{row}");
        }
    }

    #[test]
    fn a_disk_is_never_too_small_and_never_a_step_too_large() {
        for image in [0, 1, GIB, 13 * GIB, 333 * GIB, 5000 * GIB] {
            let disk = BootDisk::for_images(image);
            let fits = |gib: u64| {
                u128::from(gib) * u128::from(GIB) * 85 >= u128::from(image + SYSTEM_BYTES + PODS_BYTES) * 100
                    && BootDisk::of_size(gib).allocatable_gib >= 10
            };
            assert!(fits(disk.gib) && !fits(disk.gib - STEP_GIB), "{image}: {disk:?}");
        }
    }

    #[test]
    fn compressed_layers_unpack_to_more() {
        let tar = "application/vnd.oci.image.layer.v1.tar";
        let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
        assert_eq!(ImageBytes::of_layers([(tar, 30), (gzip, 3)]), ImageBytes { blobs: 33, unpacked: 34 });
        assert_eq!(NodeDisk::new(ImageBytes { blobs: u64::MAX, unpacked: 1 }).crio.peak, u64::MAX);
    }
}
