//! What a plan has to know of a base image: data without a way to read the base.

use serde::{Deserialize, Serialize};

use crate::{Digest, Platform};

/// What a plan keeps of a base image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseImage {
    /// Reference of the image, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Digest that the reference was resolved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Platforms that can be built on.
    pub platforms: Vec<BasePlatform>,
}

impl BaseImage {
    /// Returns whether a plan that was made on `planned` can be carried out on this base: same image, and the
    /// platforms of the plan unchanged.
    pub fn covers(&self, planned: &Self) -> bool {
        // A pinned name has lost its tag; the digest says it all.
        let same = self.digest == planned.digest && (self.digest.is_some() || self.name == planned.name);
        same && planned.platforms.iter().all(|platform| self.platforms.contains(platform))
    }
}

/// The base image of one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BasePlatform {
    /// The platform.
    pub platform: Platform,
    /// Its layers, lowest first.
    pub layers: Vec<BaseLayer>,
}

/// A layer of a base image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseLayer {
    /// Media type, always one of the image-spec's.
    pub media_type: String,
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob.
    pub size: u64,
    /// Digest of the tar inside.
    pub diff_id: Digest,
}
