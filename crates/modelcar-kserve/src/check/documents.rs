//! Finds pods and pod templates in what `kubectl` prints.

use std::collections::BTreeMap;

use modelcar_core::{ErrorKind, ModelcarError};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    events::Event,
    groups,
    node::Node,
    pod::{Metadata, Pod, SERVICE_LABEL, SOURCE_ANNOTATION, Spec, Status},
    service::ServiceObject,
    used::Used,
};

/// Why nothing can be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// Not JSON.
    #[error("the document is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// JSON, and no object of Kubernetes.
    #[error("the document is not an object of Kubernetes: it has no `kind`")]
    NotAnObject,
    /// An object whose pods are elsewhere, or that has none.
    #[error("a document of kind `{0}` holds no pod")]
    NoPod(String),
    /// An object that does not look like its kind.
    #[error("{kind} `{name}` can't be read")]
    Malformed {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl ModelcarError for CheckError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

/// What is known of a namespace, when the document holds it.
#[derive(Debug, Clone, Default)]
pub(super) struct Namespace {
    pub(super) labels: BTreeMap<String, String>,
}

/// Annotation by which the deployment controller numbers its `ReplicaSet`s.
const REVISION_ANNOTATION: &str = "deployment.kubernetes.io/revision";

/// Where a service describes the pods of one of its parts, and where the model's address stands.
struct Part {
    spec: &'static str,
    uri: &'static str,
}

const SERVICE_PARTS: [Part; 3] = [
    Part { spec: "/spec/predictor", uri: "/spec/predictor/model/storageUri" },
    Part { spec: "/spec/transformer", uri: "" },
    Part { spec: "/spec/explainer", uri: "" },
];
const LLM_PARTS: [Part; 4] = [
    Part { spec: "/spec/template", uri: "/spec/model/uri" },
    Part { spec: "/spec/worker", uri: "/spec/model/uri" },
    Part { spec: "/spec/prefill/template", uri: "/spec/model/uri" },
    Part { spec: "/spec/prefill/worker", uri: "/spec/model/uri" },
];

#[derive(Debug, Default)]
pub(super) struct Documents {
    pub(super) pods: Vec<Pod>,
    pub(super) namespaces: BTreeMap<String, Namespace>,
    pub(super) events: Vec<Event>,
    pub(super) nodes: Vec<Node>,
    pub(super) used: Used,
    pub(super) services: Vec<ServiceObject>,
    /// The revisions of deployments, by namespace and name of the `ReplicaSet`.
    pub(super) revisions: BTreeMap<(String, String), Revision>,
}

/// Which revision of a deployment a `ReplicaSet` is.
#[derive(Debug, Clone)]
pub(super) struct Revision {
    pub(super) deployment: String,
    /// Counts up with each rollout, also with one that goes back to an earlier template.
    pub(super) number: u64,
}

/// A list of Kubernetes whose items are not parsed yet.
#[derive(Deserialize)]
struct List<'a> {
    kind: Option<Value>,
    #[serde(borrow)]
    items: Option<&'a RawValue>,
}

/// Reads what `kubectl` prints. Items are parsed one after another, and only what is looked at is kept: a list of all pods
/// of a cluster would take ten times its size otherwise.
pub(super) fn read(json: &[u8]) -> Result<Documents, CheckError> {
    let top: List<'_> = serde_json::from_slice(json).map_err(of_json)?;
    let kind = top.kind.as_ref().and_then(Value::as_str).ok_or(CheckError::NotAnObject)?;
    let mut documents = Documents::default();
    match top.items.map(RawValue::get).filter(|items| items.starts_with('[')) {
        Some(items) => {
            let items: Vec<&RawValue> = serde_json::from_str(items).map_err(CheckError::NotJson)?;
            for item in items {
                documents.add(&serde_json::from_str(item.get()).map_err(CheckError::NotJson)?, kind)?;
            }
        }
        None => documents.add(&serde_json::from_slice(json).map_err(CheckError::NotJson)?, kind)?,
    }
    documents.with_pods(kind)
}

/// Tells text that is no JSON from JSON that is no object.
fn of_json(error: serde_json::Error) -> CheckError {
    if error.is_data() { CheckError::NotAnObject } else { CheckError::NotJson(error) }
}

/// Reads objects that stand beside each other.
pub(super) fn of(objects: &[Value]) -> Result<Documents, CheckError> {
    let mut documents = Documents::default();
    for object in objects {
        documents.add_all(object, kind_of(object)?)?;
    }
    documents.with_pods(objects.first().map_or(Ok("List"), kind_of)?)
}

/// Returns an object's kind. A client leaves it out of the items of a typed list; only a pod has containers there.
fn kind_of(object: &Value) -> Result<&str, CheckError> {
    let is_pod = || object["spec"]["containers"].is_array();
    object["kind"].as_str().or_else(|| is_pod().then_some("Pod")).ok_or(CheckError::NotAnObject)
}

impl Documents {
    /// Adds an object of `kind`, or the items of a list.
    fn add_all(&mut self, object: &Value, kind: &str) -> Result<(), CheckError> {
        match object["items"].as_array() {
            Some(items) => items.iter().try_for_each(|item| self.add(item, kind)),
            None => self.add(object, kind),
        }
    }

    /// Forgets what the cluster did with pods, as if nobody had tried them.
    pub(super) fn forget_status(&mut self) {
        for pod in &mut self.pods {
            pod.status = Status::default();
            pod.is_stored = false;
        }
        self.services.clear();
    }

    fn with_pods(mut self, kind: &str) -> Result<Self, CheckError> {
        self.used = Used::by(&self.pods);
        if self.pods.is_empty() && self.services.is_empty() {
            Err(CheckError::NoPod(kind.to_owned()))
        } else {
            Ok(self)
        }
    }

    fn add(&mut self, object: &Value, list: &str) -> Result<(), CheckError> {
        // Items of a typed list (`PodList`) carry no kind of their own.
        let kind = object["kind"].as_str().unwrap_or_else(|| list.trim_end_matches("List"));
        let metadata: Metadata = part(object, &object["metadata"], kind)?;
        let template = |path: &[&str]| path.iter().fold(object, |value, key| &value[*key]);
        if kind == "ReplicaSet" {
            self.revision(object, &metadata);
        }
        match kind {
            "Pod" => self.pod(object, object, kind, &metadata, false)?,
            // What a rollout leaves behind: a Deployment keeps the ReplicaSets of earlier revisions, without pods.
            "ReplicaSet" if object["spec"]["replicas"] == 0 && object["metadata"]["ownerReferences"].is_array() => {}
            "Deployment" | "StatefulSet" | "ReplicaSet" | "DaemonSet" | "Job" => {
                self.pod(object, template(&["spec", "template"]), kind, &metadata, true)?;
            }
            "LeaderWorkerSet" => {
                for (role, key) in [("leader", "leaderTemplate"), ("worker", "workerTemplate")] {
                    let part = template(&["spec", "leaderWorkerTemplate", key]);
                    if part.is_object() {
                        self.pod(object, part, &format!("{kind} {role}"), &metadata, true)?;
                    }
                }
            }
            "Service" if object["apiVersion"].as_str().is_some_and(|version| version.contains("knative")) => {
                self.pod(object, template(&["spec", "template"]), "Knative Service", &metadata, true)?;
            }
            "Revision" => self.pod(object, object, kind, &metadata, true)?,
            "Namespace" => {
                self.namespaces.insert(metadata.name, Namespace { labels: metadata.labels });
            }
            // Words that explain; one that can't be read explains nothing.
            "Event" => self.events.extend(serde_json::from_value(object.clone()).ok()),
            "Node" => self.nodes.push(Node::new(&metadata.name, object)),
            "InferenceService" => self.service(object, kind, &metadata, &SERVICE_PARTS)?,
            "LLMInferenceService" => self.service(object, kind, &metadata, &LLM_PARTS)?,
            _ => {}
        }
        Ok(())
    }

    /// Notes which revision of its deployment a `ReplicaSet` is.
    fn revision(&mut self, object: &Value, metadata: &Metadata) {
        let number = metadata.annotations.get(REVISION_ANNOTATION).and_then(|number| number.parse().ok());
        let (Some(number), deployment) = (number, owned_by(object, "Deployment")) else { return };
        let key = (metadata.namespace.clone(), metadata.name.clone());
        self.revisions.insert(key, Revision { deployment, number });
    }

    /// Adds what a service says of itself, and the pods that it wishes for where they can't be made as they are wished
    /// for. Nothing else of them shows in a service: KServe's webhook acts on pods.
    fn service(&mut self, object: &Value, kind: &str, owner: &Metadata, parts: &[Part]) -> Result<(), CheckError> {
        self.services.extend(ServiceObject::new(kind, owner, &object["status"]));
        for Part { spec, uri } in parts {
            let Some(wish) = object.pointer(spec) else { continue };
            let security = Spec { security_context: part(object, &wish["securityContext"], kind)?, ..Spec::default() };
            if !groups::lacks_user(&security) {
                continue;
            }
            let uri = object.pointer(uri).and_then(Value::as_str);
            self.pods.push(Pod {
                kind: kind.to_owned(),
                namespace: owner.namespace.clone(),
                name: owner.name.clone(),
                labels: [(SERVICE_LABEL.to_owned(), owner.name.clone())].into(),
                annotations: uri.map(|uri| (SOURCE_ANNOTATION.to_owned(), uri.to_owned())).into_iter().collect(),
                spec: part(object, wish, kind)?,
                is_template: true,
                ..Pod::default()
            });
        }
        Ok(())
    }

    fn pod(
        &mut self,
        object: &Value,
        pod: &Value,
        kind: &str,
        owner: &Metadata,
        is_template: bool,
    ) -> Result<(), CheckError> {
        let own: Metadata = part(object, &pod["metadata"], kind)?;
        let spec: Spec = part(object, &pod["spec"], kind)?;
        let status: Status = part(object, &object["status"], kind)?;
        self.pods.push(Pod {
            kind: kind.to_owned(),
            namespace: owner.namespace.clone(),
            name: owner.name.clone(),
            labels: own.labels,
            annotations: own.annotations,
            spec,
            status,
            is_template,
            created: owner.creation_timestamp.clone(),
            replicas: object["spec"]["replicas"].as_u64(),
            is_stored: !owner.resource_version.is_empty(),
            replica_set: owned_by(object, "ReplicaSet"),
            is_unmade: !owner.resource_version.is_empty() && is_unmade(object),
            is_terminating: !owner.deletion_timestamp.is_empty(),
        });
        Ok(())
    }
}

/// Returns the name of the owner of that kind; empty where there is none.
fn owned_by(object: &Value, kind: &str) -> String {
    let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let name = owners.filter(|owner| owner["kind"] == kind).find_map(|owner| owner["name"].as_str());
    name.unwrap_or_default().to_owned()
}

/// Returns whether no pod of a template has been made, by the count in the status of the template's object.
fn is_unmade(object: &Value) -> bool {
    let counts = ["Deployment", "ReplicaSet", "StatefulSet"].map(Some).contains(&object["kind"].as_str());
    counts && object["spec"]["replicas"] != 0 && object["status"]["replicas"].as_u64().unwrap_or(0) == 0
}

/// Reads a part of `object`; `null` is an empty part.
fn part<T: serde::de::DeserializeOwned + Default>(object: &Value, part: &Value, kind: &str) -> Result<T, CheckError> {
    if part.is_null() {
        return Ok(T::default());
    }
    serde_json::from_value(part.clone()).map_err(|source| CheckError::Malformed {
        kind: kind.to_owned(),
        name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        source,
    })
}
