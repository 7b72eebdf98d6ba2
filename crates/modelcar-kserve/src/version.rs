//! What each release of KServe can do.

use std::{fmt, str::FromStr};

use modelcar_core::{ErrorKind, ModelcarError};

/// A minor release of KServe that manifests are rendered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KserveVersion(u32);

/// A text is no release that is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a KServe version between {first} and {last}", first = KserveVersion::FIRST, last = KserveVersion::LATEST)]
pub struct InvalidVersion(String);

impl ModelcarError for InvalidVersion {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

impl KserveVersion {
    /// The first one that is rendered for.
    pub const FIRST: Self = Self(15);
    /// The last one.
    pub const LATEST: Self = Self(21);
    /// The last one whose source was read. Of later ones only the packages for Python were.
    pub const LAST_READ: Self = Self(20);

    /// Returns every version that is rendered for, oldest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (Self::FIRST.0..=Self::LATEST.0).map(Self)
    }

    /// Returns whether `Standard` and `Knative` are the names of the deployment modes (0.16). Before, they were
    /// `RawDeployment` and `Serverless`, which the webhook of 0.17 and later rewrites.
    pub(crate) fn has_new_mode_names(self) -> bool {
        self.0 >= 16
    }

    /// Returns whether `LLMInferenceService` exists as `v1alpha2` (0.17).
    pub(crate) fn has_llm_v1alpha2(self) -> bool {
        self.0 >= 17
    }

    /// Returns whether `storageUris` mounts an OCI image (0.19). From 0.16 on the field exists and does nothing.
    pub(crate) fn has_oci_storage_uris(self) -> bool {
        self.0 >= 19
    }

    /// Returns whether there are image volumes (`oci+native://`, 0.20).
    pub(crate) fn has_native(self) -> bool {
        self.0 >= 20
    }

    /// Returns whether KServe downloads images itself (`oci+fetch://`, 0.21).
    pub(crate) fn has_fetch(self) -> bool {
        self.0 >= 21
    }

    /// Returns whether a pod may have several OCI images (0.20). Before, the second was dropped.
    pub(crate) fn has_several_images(self) -> bool {
        self.0 >= 20
    }

    /// Returns whether the pods of one model on several nodes get an OCI image (0.17).
    pub(crate) fn has_images_on_nodes(self) -> bool {
        self.0 >= 17
    }

    /// Returns whether the runtime `kserve-vllmserver` is part of the release (0.20).
    pub(crate) fn has_vllm_runtime(self) -> bool {
        self.0 >= 20
    }

    /// Returns whether all its patches serve OCI images as they come (0.16): before 0.15.2 they are switched off.
    pub(crate) fn serves_images_by_default(self) -> bool {
        self.0 >= 16
    }

    /// Returns whether an image that is named by its digest stays as it is (0.16). Before, `-gpu` was appended to it.
    pub(crate) fn leaves_digests_alone(self) -> bool {
        self.0 >= 16
    }

    /// Returns whether slices of a GPU (`nvidia.com/mig-…`) count as GPUs (0.16).
    pub(crate) fn knows_gpu_slices(self) -> bool {
        self.0 >= 16
    }

    /// Returns whether the template of an `LLMInferenceService` passes `parallelism.tensor` on to vLLM (0.20). Before,
    /// only that of several nodes did.
    pub(crate) fn spreads_llm(self) -> bool {
        self.0 >= 20
    }

    /// Returns whether the server keeps its own security context (0.18). Before, it was replaced by the user alone.
    pub(crate) fn keeps_security_context(self) -> bool {
        self.0 >= 18
    }
}

impl Default for KserveVersion {
    fn default() -> Self {
        Self::LAST_READ
    }
}

impl fmt::Display for KserveVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0.{}", self.0)
    }
}

impl FromStr for KserveVersion {
    type Err = InvalidVersion;

    /// Reads `0.20`, `v0.20` or `v0.20.1`.
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let mut parts = text.trim_start_matches('v').split('.');
        let invalid = || InvalidVersion(text.to_owned());
        let (Some("0"), Some(minor), _, None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(invalid());
        };
        Self::all().find(|version| version.0.to_string() == minor).ok_or_else(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_written_in_several_ways() {
        for (text, expected) in [("0.20", 20), ("v0.20", 20), ("v0.15.2", 15), ("0.18.1", 18), ("0.21", 21)] {
            assert_eq!(text.parse(), Ok(KserveVersion(expected)), "{text}");
        }
        for bad in ["", "20", "0.14", "0.22", "1.20", "v0.20.1.1", "0.x"] {
            assert!(bad.parse::<KserveVersion>().is_err(), "{bad}");
        }
    }
}
