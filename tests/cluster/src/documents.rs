//! Documents of the cluster as fixtures: small, and without the machine's particulars.

use std::{fs, io::Write as _};

use serde_json::{Map, Value, json};

use crate::{cluster::Cluster, wait::Result};

/// Fields of objects that say nothing of what became of a pod, or that are the machine's own.
const LEFT_OUT: [&str; 30] = [
    "addresses",
    "clusterIP",
    "containerID",
    "daemonEndpoints",
    "dnsPolicy",
    "enableServiceLinks",
    "generateName",
    "generation",
    "hostIP",
    "hostIPs",
    "images",
    "managedFields",
    "observedGeneration",
    "ownerReferences",
    "podCIDR",
    "podCIDRs",
    "podIP",
    "podIPs",
    "preemptionPolicy",
    "providerID",
    "schedulerName",
    "selfLink",
    "serviceAccount",
    "source",
    "terminationMessagePath",
    "tolerations",
    "uid",
    "url",
    "volumesAttached",
    "volumesInUse",
];
/// What is kept of a node's own description.
const NODE_INFO: [&str; 2] = ["containerRuntimeVersion", "kubeletVersion"];

/// Writes a scenario's documents and what is right to say of them, where `--documents` asks for it.
pub(crate) fn keep(cluster: &Cluster, name: &str, documents: &str, status: i32, code: &str) -> Result {
    let Some(folder) = &cluster.documents else { return Ok(()) };
    fs::create_dir_all(folder)?;
    let small = smaller(&serde_json::from_str(documents)?);
    fs::write(folder.join(format!("{name}.json")), format!("{}\n", serde_json::to_string(&small)?))?;
    let mut verdicts = fs::File::options().create(true).append(true).open(folder.join("verdicts.txt"))?;
    writeln!(verdicts, "{name} {status} {}", if code.is_empty() { "-" } else { code })?;
    Ok(())
}

/// Returns a list without what says nothing.
fn smaller(list: &Value) -> Value {
    let items = list["items"].as_array().cloned().unwrap_or_default();
    json!({"apiVersion": "v1", "kind": "List", "items": items.into_iter().map(object).collect::<Vec<_>>()})
}

fn object(mut object: Value) -> Value {
    if object["kind"] == "Node" {
        let status = &object["status"];
        let info = NODE_INFO.map(|key| (key.to_owned(), status["nodeInfo"][key].clone()));
        let allocatable = status["allocatable"].as_object().cloned().unwrap_or_default();
        // The machine's own processors and memory are its particulars.
        let own = ["cpu", "memory", "ephemeral-storage"];
        let allocatable: Map<String, Value> =
            allocatable.into_iter().filter(|(key, _)| !own.contains(&key.as_str())).collect();
        let name = object["metadata"]["name"].clone();
        return json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {"allocatable": allocatable, "nodeInfo": Map::from_iter(info)}});
    }
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    without(&mut object);
    object
}

/// Takes out fields that say nothing, and those that hold nothing.
fn without(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                without(value);
                // An empty object may be a kind of volume, and stays.
                !LEFT_OUT.contains(&name.as_str())
                    && !value.is_null()
                    && !matches!(value, Value::Array(items) if items.is_empty())
            });
        }
        Value::Array(items) => {
            // The account's token is mounted into every container.
            items.retain(|item| {
                let name = item["name"].as_str().unwrap_or_default();
                !name.starts_with("kube-api-access-")
            });
            items.iter_mut().for_each(without);
        }
        _ => {}
    }
}
