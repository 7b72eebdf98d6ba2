//! As much of a node as is looked at.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A node of the cluster, where the document has it.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) allocatable: BTreeMap<String, Value>,
    /// Name and version of the container runtime: `containerd://2.1.4`.
    pub(super) runtime: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    allocatable: Option<BTreeMap<String, Value>>,
    node_info: Option<Info>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Info {
    container_runtime_version: Option<String>,
}

impl Node {
    /// Reads a node; one that can't be read tells nothing.
    pub(super) fn new(name: &str, object: &Value) -> Self {
        let status: Status = serde_json::from_value(object["status"].clone()).unwrap_or_default();
        let runtime = status.node_info.and_then(|info| info.container_runtime_version);
        Self {
            name: name.to_owned(),
            allocatable: status.allocatable.unwrap_or_default(),
            runtime: runtime.unwrap_or_default(),
        }
    }

    /// Returns whether its runtime is known not to mount a sub-path of an image volume: containerd does since 2.2 (2.1
    /// mounts the whole image and says nothing, containerd#11578), CRI-O since 1.33, cri-dockerd not at all
    /// (cri-dockerd#526).
    pub(super) fn lacks_sub_paths(&self) -> bool {
        let Some((name, version)) = self.runtime.split_once("://") else { return false };
        let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']).map(str::parse::<u32>);
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return false };
        match name {
            "containerd" => (major, minor) < (2, 2),
            "cri-o" => (major, minor) < (1, 33),
            "docker" => true,
            _ => false,
        }
    }
}

/// Returns a quantity as it is written, as a number or as a text.
pub(super) fn quantity(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtimes_that_mount_no_sub_path_are_known() {
        for (runtime, lacks) in [
            ("containerd://1.7.27", true),
            ("containerd://2.1.4", true),
            ("containerd://2.2.0-rc.1", false),
            ("containerd://2.4.2", false),
            ("containerd://v2.2.1", false),
            ("cri-o://1.32.4", true),
            ("cri-o://1.33.0", false),
            ("docker://28.1.1", true),
            ("another://1.0.0", false),
            ("containerd://unknown", false),
            ("", false),
        ] {
            let node = Node { runtime: runtime.to_owned(), ..Node::default() };
            assert_eq!(node.lacks_sub_paths(), lacks, "{runtime}");
        }
    }
}
