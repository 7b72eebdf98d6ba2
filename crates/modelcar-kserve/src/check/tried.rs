//! A pod that a cluster tried, with what the document says beside it.

use super::{
    events::Event,
    evidence::Evidence,
    node::{self, Node},
    pod::{Container, Pod},
    used::Used,
};
use crate::quantity;

/// Most nodes whose resources are told.
const MOST_NODES: usize = 3;

/// A pod that a cluster tried, with what is known of it.
#[derive(Debug)]
pub(super) struct Tried<'a> {
    pub(super) pod: &'a Pod,
    pub(super) evidence: &'a Evidence<'a>,
    /// The events about it, the latest first.
    pub(super) events: Vec<&'a Event>,
    pub(super) nodes: &'a [Node],
    pub(super) used: &'a Used,
    /// A Ready pod of the same service and part.
    pub(super) sibling: Option<&'a str>,
}

impl<'a> Tried<'a> {
    /// Returns a container of the specification.
    pub(super) fn container(&self, name: &str) -> Option<&'a Container> {
        let spec = &self.pod.spec;
        spec.init_containers.iter().chain(&spec.containers).find(|container| container.name == name)
    }

    /// Returns the image of a container, as the pod names it.
    pub(super) fn image(&self, name: &str) -> &'a str {
        self.container(name).map_or("", |container| &container.image)
    }

    /// Returns whether an image is a model's.
    pub(super) fn is_model(&self, image: &str) -> bool {
        self.evidence.images().iter().any(|model| model.reference == image)
    }

    /// Returns whether a container is KServe's: a sidecar or its init container.
    pub(super) fn is_sidecar(name: &str) -> bool {
        name.starts_with("modelcar")
    }

    /// Returns the images that have to be there before a container starts: its volumes' and its own.
    pub(super) fn images_before(&self, container: &'a Container) -> Vec<&'a str> {
        let mounted = |volume: &&super::evidence::ModelVolume<'a>| container.mount(&volume.volume.name).is_some();
        let volumes = self.evidence.volumes.iter().filter(mounted).map(|volume| volume.reference);
        volumes.chain([container.image.as_str()]).collect()
    }

    /// Returns the latest event with one of these reasons.
    pub(super) fn event(&self, reasons: &[&str]) -> Option<&'a Event> {
        self.events.iter().copied().find(|event| reasons.contains(&event.reason()))
    }

    /// Returns the latest of two kinds of events about an image: that its pull began, or that it is there.
    pub(super) fn pull_event(&self, image: &str) -> Option<&'a Event> {
        let is_of = |event: &&&Event| {
            matches!(event.reason(), "Pulling" | "Pulled") && event.message().contains(&format!("\"{image}\""))
        };
        self.events.iter().find(is_of).copied()
    }

    /// Returns the node that the pod is on, where the document has it.
    pub(super) fn node(&self) -> Option<&'a Node> {
        self.nodes.iter().find(|node| node.name == self.pod.spec.node_name)
    }

    /// Says what the pod requests of the resources that a scheduler finds too little of, beside what nodes have.
    pub(super) fn asks(&self, said: &str) -> String {
        let mut told: Vec<String> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for rest in said.split("Insufficient ").skip(1) {
            let name = rest.split([' ', ',']).next().unwrap_or_default().trim_end_matches('.');
            if name.is_empty() || seen.contains(&name) {
                continue;
            }
            seen.push(name);
            let Some(wish) = request(self.pod, name) else { continue };
            told.push(format!(". The pod requests {name}: {}", wish.text));
            // Every node has these. A document in which a node lacks them was shortened, and tells nothing about the node.
            let is_on_every_node = matches!(name, "cpu" | "memory" | "ephemeral-storage");
            let have = |node: &Node| {
                let none = (!is_on_every_node).then(|| "0".to_owned());
                node.allocatable.get(name).map(node::quantity).or(none)
            };
            let tell = |node: &Node| {
                let used = self
                    .used
                    .of(&node.name, name)
                    .map(|used| format!(", of which its pods in the document request {used}"));
                Some(format!("`{}` has {}{}", node.name, have(node)?, used.unwrap_or_default()))
            };
            let nodes: Vec<String> = self.nodes.iter().take(MOST_NODES).filter_map(tell).collect();
            if nodes.is_empty() {
                continue;
            }
            told.push(format!("; of the nodes {}", nodes.join(", ")));
            let mut amounts =
                self.nodes.iter().map(|node| have(node).map(|text| quantity::amount(&text).unwrap_or(0.0)));
            if wish.amount.is_some_and(|wish| amounts.all(|has| has.is_some_and(|has| has < wish))) {
                told.push(". No node of the document has so much, even when the node is empty".to_owned());
            }
        }
        told.concat()
    }
}

/// Returns what the containers request of a resource: the sum of whole numbers, else each one by its container.
fn request(pod: &Pod, name: &str) -> Option<Request> {
    let of = |container: &Container| {
        let resources = &container.resources;
        let wish = resources.requests.get(name).or_else(|| resources.limits.get(name)).map(node::quantity)?;
        Some((container.name.clone(), wish))
    };
    let wishes: Vec<(String, String)> = pod.spec.containers.iter().filter_map(of).collect();
    let numbers: Option<Vec<u64>> = wishes.iter().map(|(_, wish)| wish.parse().ok()).collect();
    let text = match (numbers, wishes.as_slice()) {
        (_, []) => return None,
        (Some(numbers), _) => numbers.iter().sum::<u64>().to_string(),
        (None, [(_, wish)]) => wish.clone(),
        (None, _) => wishes.iter().map(|(name, wish)| format!("`{name}` {wish}")).collect::<Vec<_>>().join(" + "),
    };
    Some(Request { text, amount: wishes.iter().map(|(_, wish)| quantity::amount(wish)).sum() })
}

/// What the containers of a pod request of a resource.
struct Request {
    text: String,
    /// The sum, where every amount can be read. A pod with init containers or overhead may need more.
    amount: Option<f64>,
}
