//! What the pods of a document request of the nodes that they are on.

use std::collections::BTreeMap;

use super::{
    node,
    pod::{Pod, Resources},
};
use crate::quantity;

/// The sums of requests, by the name of the node and that of the resource.
#[derive(Debug, Default)]
pub(super) struct Used(BTreeMap<String, BTreeMap<String, f64>>);

impl Used {
    /// Counts the pods that are on a node and have not ended.
    pub(super) fn by(pods: &[Pod]) -> Self {
        let mut used = Self::default();
        let has_ended = |pod: &Pod| matches!(pod.status.phase.as_str(), "Succeeded" | "Failed");
        for pod in pods.iter().filter(|pod| !pod.is_template && !pod.spec.node_name.is_empty() && !has_ended(pod)) {
            let node = used.0.entry(pod.spec.node_name.clone()).or_default();
            for container in &pod.spec.containers {
                add(node, &container.resources);
            }
        }
        used
    }

    /// Returns how much of a resource of a node is requested; `None` for nothing.
    pub(super) fn of(&self, node: &str, resource: &str) -> Option<String> {
        let amount = self.0.get(node)?.get(resource).copied().filter(|amount| *amount > 0.0)?;
        Some(quantity::written(resource, amount))
    }
}

/// Adds what a container requests.
fn add(sums: &mut BTreeMap<String, f64>, Resources { requests, limits }: &Resources) {
    // A limit is a request too where there is no other.
    let alone = limits.iter().filter(|(name, _)| !requests.contains_key(*name));
    for (name, wish) in requests.iter().chain(alone) {
        *sums.entry(name.clone()).or_default() += quantity::amount(&node::quantity(wish)).unwrap_or_default();
    }
}
