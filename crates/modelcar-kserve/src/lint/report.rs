//! What a lint finds.

use std::fmt;

use modelcar_core::Digest;
use serde::Serialize;

use crate::findings::Severity;

/// A way in which KServe serves an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServingMode {
    /// Beside the server, with a link into its root (`oci://`).
    Sidecar,
    /// As an image volume (`oci+native://`).
    Native,
    /// Downloaded and unpacked by an init container (`oci+fetch://`).
    Fetch,
}

impl ServingMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Sidecar, Self::Native, Self::Fetch];
}

impl fmt::Display for ServingMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sidecar => "sidecar",
            Self::Native => "native",
            Self::Fetch => "fetch",
        })
    }
}

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

/// Something wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LintFinding {
    /// How bad it is.
    pub severity: Severity,
    /// Name of the kind of finding, for programs.
    pub code: &'static str,
    /// The modes that it concerns; an error makes them fail.
    pub modes: &'static [ServingMode],
    /// What it is.
    pub message: String,
}
