//! The part of a base image that a plan keeps: data, without a way to read the image.

use serde::{Deserialize, Serialize};

use crate::{Digest, Platform};

/// What a plan keeps of a base image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BaseImage {
    /// `registry/repository[:tag]` of the image. `None` for `scratch`, for a binary, and for a layout whose image has
    /// no reference as its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Digest of the index, or of the manifest of an image without one. `None` for `scratch` and a binary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Platforms that can be built on.
    pub platforms: Vec<BasePlatform>,
}

impl BaseImage {
    /// Returns whether a plan that was made on `planned` can be carried out on this base: the image is the same, and
    /// the platforms of the plan are unchanged.
    pub fn covers(&self, planned: &Self) -> bool {
        // A pinned name has no tag any more, so that names are compared only where there is no digest.
        let same = self.digest == planned.digest && (self.digest.is_some() || self.name == planned.name);
        same && planned.platforms.iter().all(|platform| self.platforms.contains(platform))
    }
}

/// The base image of one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BasePlatform {
    /// The platform.
    pub platform: Platform,
    /// The layers, lowest first.
    pub layers: Vec<BaseLayer>,
}

/// A layer of a base image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BaseLayer {
    /// Media type of the image-spec: an uncompressed tar, gzip or zstd.
    pub media_type: String,
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob, in bytes.
    pub size: u64,
    /// Digest of the uncompressed tar, as the image's config states it.
    pub diff_id: Digest,
}
