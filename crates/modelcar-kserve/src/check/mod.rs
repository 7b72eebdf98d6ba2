//! Says from pods, as `kubectl get -o json` prints them, whether they are Ready; if not, what the cluster says of it; and
//! whether KServe injected the model, how, and what will fail.
//!
//! KServe injects by a webhook on *pods*: for an `InferenceService` only pods show what was done, a Deployment shows
//! only the wish. `storageUris` and `LLMInferenceService` are injected by the controller, so their templates show it.
//!
//! A pod that a cluster tried counts when it has a model, wishes for one or is KServe's; then it must be Ready. A
//! manifest, and what a dry run answers, is judged by what was injected alone.

mod cause;
mod documents;
mod ending;
mod events;
mod evidence;
mod finding;
mod groups;
mod hazards;
mod node;
mod pod;
mod progress;
mod refusals;
mod report;
mod seen;
mod service;
mod status;
#[cfg(test)]
mod tests;
mod tried;
mod used;
mod verdict;
mod wait;
mod words;

use serde_json::Value;

pub use self::{
    cause::{Eviction, PullFault, Refusal},
    documents::CheckError,
    ending::Ending,
    finding::Finding,
    hazards::Expected,
    report::{CheckReport, Mode, PodReport, State, VersionRange},
    wait::Wait,
};
use self::{documents::Documents, seen::Seen};
pub use crate::findings::Severity;

/// Checks every pod and pod template in `json`.
///
/// # Errors
/// When `json` is not what `kubectl get -o json` prints, or holds no pod.
pub fn check(json: &[u8], expected: &Expected) -> Result<CheckReport, CheckError> {
    Ok(report(documents::read(json)?, expected))
}

/// Checks every pod and pod template among `objects`, as a client of Kubernetes has them: whole lists, or single
/// objects. An object without a `kind`, as it comes out of a typed list, is a Pod when it has `spec.containers`.
///
/// # Errors
/// When an object is none of Kubernetes, or none of them holds a pod.
///
/// ```
/// use modelcar_kserve::check::{Expected, check_value};
/// use serde_json::json;
///
/// let pod = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "kserve-container"}]}});
/// let report = check_value(&[pod], &Expected::default())?;
/// assert_eq!((report.pods[0].kind.as_str(), report.is_ok()), ("Pod", false));
/// # Ok::<(), modelcar_kserve::check::CheckError>(())
/// ```
pub fn check_value(objects: &[Value], expected: &Expected) -> Result<CheckReport, CheckError> {
    Ok(report(documents::of(objects)?, expected))
}

fn report(mut documents: Documents, expected: &Expected) -> CheckReport {
    if expected.injection_alone {
        documents.forget_status();
    }
    CheckReport::new(Seen::new(&documents, expected).reports())
}
