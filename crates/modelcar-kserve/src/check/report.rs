//! The report of a check.

use std::fmt;

use serde::Serialize;

use super::finding::Finding;
use crate::findings::Severity;

/// What became of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The pod is Ready, and nothing is wrong.
    Ready,
    /// The pod is on its way, and waits for something.
    Waiting,
    /// Something is wrong, which somebody has to mend.
    Failing,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Failing => "failing",
        })
    }
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// Version of this document's form.
    pub schema_version: u32,
    /// State of the worst pod; `None` where no pod was tried and nothing is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// One report for each pod or pod template, and for each service without any.
    pub pods: Vec<PodReport>,
}

impl CheckReport {
    pub(super) fn new(pods: Vec<PodReport>) -> Self {
        Self { schema_version: 1, state: pods.iter().filter_map(|pod| pod.state).max(), pods }
    }

    /// Returns whether nothing is wrong and nothing is waited for.
    pub fn is_ok(&self) -> bool {
        matches!(self.state, None | Some(State::Ready))
    }
}

/// What was found in one pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodReport {
    /// Kind of the object that holds it.
    pub kind: String,
    /// Namespace; empty when the object does not say.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// How the model gets to the server.
    pub mode: Mode,
    /// What became of the pod. `None` where nobody tried it and nothing is wrong (a template, a manifest, a dry run), and
    /// for a pod that does not count: it is on its way out, or has nothing to do with the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Whether the pod is Ready; `None` where nobody tried it, and for a pod that does not count.
    pub ready: Option<bool>,
    /// The image with the model, as the pod names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Releases of KServe that inject like this.
    pub kserve: VersionRange,
    /// What is wrong or worth knowing, the worst first.
    pub findings: Vec<Finding>,
}

impl PodReport {
    /// Returns the state that findings and readiness make.
    pub(super) fn state_of(ready: Option<bool>, findings: &[Finding]) -> Option<State> {
        if findings.iter().any(|finding| finding.severity() == Severity::Error) {
            return Some(State::Failing);
        }
        if ready == Some(false) || findings.iter().any(Finding::is_waiting) {
            return Some(State::Waiting);
        }
        ready.map(|_| State::Ready)
    }
}

/// How a model gets to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Through a sidecar.
    Modelcar,
    /// As an image volume.
    Native,
    /// Downloaded by an init container.
    Fetch,
    /// Not at all: OCI is switched off, the download that is tried instead fails.
    Disabled,
    /// Not at all: the pod asks for an `oci://` model, and KServe injected nothing.
    Missed,
    /// Not yet: this is a template, the webhook acts on its pods.
    Deferred,
    /// The pod refers to no OCI model.
    None,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Modelcar => "modelcar",
            Self::Native => "native",
            Self::Fetch => "fetch",
            Self::Disabled => "disabled",
            Self::Missed => "missed",
            Self::Deferred => "deferred",
            Self::None => "none",
        })
    }
}

/// A range of minor releases of KServe, both ends included; open where nothing is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct VersionRange {
    /// First release, as the number after `0.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// Last release, as the number after `0.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

impl VersionRange {
    pub(super) fn at_least(&mut self, minor: u32) {
        self.min = Some(self.min.unwrap_or(minor).max(minor));
    }

    pub(super) fn at_most(&mut self, minor: u32) {
        self.max = Some(self.max.unwrap_or(minor).min(minor));
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (Some(min), Some(max)) if min == max => write!(f, "0.{min}"),
            (Some(min), Some(max)) => write!(f, "0.{min} to 0.{max}"),
            (Some(min), None) => write!(f, "0.{min} or later"),
            (None, Some(max)) => write!(f, "0.{max} or earlier"),
            (None, None) => f.write_str("unknown"),
        }
    }
}
