//! The report of a lint.

use modelcar_core::Digest;
use serde::Serialize;

use super::finding::{LintFinding, ServingMode};

/// The result of a lint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LintReport {
    /// Version of this document's form.
    pub schema_version: u32,
    /// Digest of the image.
    pub digest: Digest,
    /// The modes that nothing speaks against.
    pub serves: Vec<ServingMode>,
    /// What concerns the whole image.
    pub findings: Vec<LintFinding>,
    /// What concerns one platform.
    pub platforms: Vec<PlatformLint>,
}

/// What was found for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformLint {
    /// The platform.
    pub platform: String,
    /// Number of layers.
    pub layers: usize,
    /// What is wrong or worth knowing, the worst first.
    pub findings: Vec<LintFinding>,
}
