//! Why the API server refuses a pod.

use super::Words;
use crate::findings::findings;

findings! {
    /// Why the API server refuses the pods of a template, as far as its words tell.
    pub enum Refusal {
        /// The namespace's Pod Security level.
        PodSecurity => "pod-security", "the namespace's Pod Security level refuses the pod";
        /// No security context constraint of OpenShift fits.
        Constraint => "scc", "no security context constraint (SCC) of OpenShift admits the pod";
        /// A quota is used up, or asks for what the pod does not say.
        Quota => "quota", "the namespace's quota (ResourceQuota) leaves no room for the pod";
        /// Outside the bounds for one container or pod.
        LimitRange => "limit-range", "the namespace's LimitRange refuses what the pod requests";
        /// A webhook can't be asked.
        Webhook => "webhook-down", "the API server can't reach a webhook that has to see every pod";
        /// A policy engine refuses it.
        Policy => "policy", "a policy of the cluster refuses the pod";
        /// The cluster does not know image volumes.
        ImageVolumes => "image-volume-gate", "the cluster does not know image volumes";
        /// The cluster does not know sub-paths of image volumes.
        SubPath => "image-volume-sub-path", "the cluster does not allow sub-paths of image volumes";
        /// An account, class or other object that the pod names is missing.
        Missing => "missing-object", "something that the pod names does not exist in the cluster";
        /// The pod is not valid.
        Invalid => "pod-invalid", "the API server calls the pod invalid";
        /// Some other reason.
        Other => "pod-refused", "the API server refuses the pod";
    }
}

/// Returns why the API server refuses a pod, by the words of the controller that tried.
pub(in super::super) fn of_refusal(said: &str) -> Refusal {
    let words = Words::new(said);
    if words.any(&["violates podsecurity"]) {
        Refusal::PodSecurity
    } else if words.any(&["unable to validate against any security context constraint"]) {
        Refusal::Constraint
    } else if words.any(&["exceeded quota", "failed quota"]) {
        Refusal::Quota
    } else if words.any(&[
        "usage per container",
        "usage per pod",
        "limit to request ratio",
        "usage per persistentvolumeclaim",
    ]) {
        Refusal::LimitRange
    } else if words.any(&["failed calling webhook", "failed to call webhook", "failed calling admission webhook"]) {
        Refusal::Webhook
    } else if words.any(&[
        "denied the request",
        "denied request",
        "admission webhook",
        "validatingadmissionpolicy",
        "blocked due to",
    ]) {
        Refusal::Policy
    } else if words.all(&["subpath", "image volume"]) {
        Refusal::SubPath
    } else if words.any(&["must specify a volume type"]) {
        Refusal::ImageVolumes
    } else if words.any(&["not found"]) && !words.any(&["volumemounts"]) {
        Refusal::Missing
    } else if words.any(&["is invalid"]) {
        Refusal::Invalid
    } else {
        Refusal::Other
    }
}
