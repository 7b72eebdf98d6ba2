//! Says from pods, as `kubectl get -o json` prints them, whether KServe injected the model, how, and what will fail.
//!
//! KServe injects by a webhook on *pods*: for an `InferenceService` only pods show what was done, a Deployment shows
//! only the wish. `storageUris` and `LLMInferenceService` are injected by the controller, so their templates show it.

mod documents;
mod evidence;
mod hazards;
mod pod;
mod report;
mod status;
#[cfg(test)]
mod tests;

pub use self::{
    documents::CheckError,
    report::{CheckReport, Finding, Mode, PodReport, Severity, VersionRange},
};
use self::{evidence::Evidence, hazards::Around, pod::Pod};
use crate::Digest;

/// What is expected of the pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Digest of the image.
    pub digest: Option<Digest>,
}

/// Checks every pod and pod template in `json`.
///
/// # Errors
/// When `json` is not what `kubectl get -o json` prints, or holds no pod.
pub fn check(json: &[u8], expected: &Expected) -> Result<CheckReport, CheckError> {
    let documents = documents::read(json)?;
    let seen: Vec<(&Pod, Evidence<'_>)> = documents.pods.iter().map(|pod| (pod, Evidence::new(pod))).collect();
    let pods = seen.iter().map(|(pod, evidence)| {
        let around = Around {
            namespace: documents.namespaces.get(&pod.namespace),
            expected,
            is_shown: seen.iter().any(|(other, shown)| shows(other, shown, pod, evidence)),
        };
        let mut findings = Vec::new();
        hazards::find(pod, evidence, around, &mut findings);
        status::find(pod, evidence, &mut findings);
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        PodReport {
            kind: pod.kind.clone(),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            mode: evidence.mode,
            image: evidence.images().first().map(|image| image.reference.to_owned()),
            kserve: evidence.versions,
            findings,
        }
    });
    Ok(CheckReport { schema_version: 1, pods: pods.collect() })
}

/// Returns whether `other` shows the model that `pod` does not.
///
/// Transformers, schedulers and strangers have no model, which is right where another pod has it. A template is covered
/// by a pod of its own service alone.
fn shows(other: &Pod, shown: &Evidence<'_>, pod: &Pod, evidence: &Evidence<'_>) -> bool {
    let service = |pod: &Pod| pod.labels.get(evidence::SERVICE_LABEL).cloned();
    let same_service = evidence.mode != Mode::Deferred || service(other) == service(pod);
    matches!(shown.mode, Mode::Modelcar | Mode::Native | Mode::Fetch) && same_service
}
