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

use self::evidence::Evidence;
pub use self::{
    documents::CheckError,
    report::{CheckReport, Finding, Mode, PodReport, Severity, VersionRange},
};
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
    let pods = documents.pods.iter().map(|pod| {
        let namespace = documents.namespaces.get(&pod.namespace);
        let evidence = Evidence::new(pod);
        let mut findings = Vec::new();
        hazards::find(pod, &evidence, namespace, expected, &mut findings);
        status::find(pod, &evidence, &mut findings);
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        PodReport {
            kind: pod.kind.clone(),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            mode: evidence.mode,
            image: evidence.image.clone(),
            kserve: evidence.versions,
            findings,
        }
    });
    Ok(CheckReport { schema_version: 1, pods: pods.collect() })
}
