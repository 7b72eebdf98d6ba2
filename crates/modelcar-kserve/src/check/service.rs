//! What a service says of itself, which counts where the document has no pod of it.

use serde_json::Value;

use super::{
    finding::Finding,
    pod::{Condition, Metadata, Service},
    words,
};

/// Annotation with which a user stops a service (KServe 0.15 and later).
const STOP_ANNOTATION: &str = "serving.kserve.io/stop";

/// A service with a status.
#[derive(Debug, Clone)]
pub(super) struct ServiceObject {
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) is_stopped: bool,
    conditions: Vec<Condition>,
    /// What KServe says of the model's failure: `status.modelStatus.lastFailureInfo`.
    failure: String,
}

impl ServiceObject {
    /// Reads a service; nothing for a manifest, which no cluster has, and for a status that can't be read.
    pub(super) fn new(kind: &str, metadata: &Metadata, status: &Value) -> Option<Self> {
        let is_stored = !metadata.resource_version.is_empty();
        let conditions: Vec<Condition> = match &status["conditions"] {
            Value::Null if is_stored => Vec::new(),
            conditions => serde_json::from_value(conditions.clone()).ok()?,
        };
        let stop = metadata.annotations.get(STOP_ANNOTATION).is_some_and(|stop| stop == "true");
        let info = &status["modelStatus"]["lastFailureInfo"];
        let text = |key: &str| info[key].as_str().unwrap_or_default();
        let mut service = Self {
            kind: kind.to_owned(),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            is_stopped: stop,
            conditions,
            failure: words::reason_and_message(text("reason"), text("message")),
        };
        let stopped = service.condition("Stopped").is_some_and(|stopped| stopped.status == "True");
        let says_so = service.condition("Ready").is_some_and(|ready| ready.reason == "Stopped");
        service.is_stopped |= stopped || says_so;
        Some(service)
    }

    pub(super) fn service(&self) -> Service<'_> {
        Service::new(&self.namespace, &self.name)
    }

    fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// Returns whether it says that it is Ready.
    pub(super) fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|ready| ready.status == "True")
    }

    /// Says what its conditions show.
    pub(super) fn find(&self) -> Vec<Finding> {
        if self.is_stopped {
            return vec![Finding::Stopped];
        }
        if self.is_ready() {
            return vec![Finding::ServiceReady];
        }
        let mut found = Vec::new();
        if !self.failure.is_empty() {
            found.push(Finding::ModelFailed { said: self.failure.clone() });
        }
        let mut told: Vec<String> = Vec::new();
        let open =
            self.conditions.iter().filter(|condition| condition.status == "False" && condition.kind != "Stopped");
        for condition in open {
            let said = words::reason_and_message(&condition.reason, &condition.message);
            if !said.is_empty() && !told.contains(&said) {
                told.push(said);
            }
        }
        if self.conditions.is_empty() {
            told.push("KServe's controller has not looked at the service yet".to_owned());
        }
        let said = told.join(". ");
        found.push(Finding::ServiceNotReady { given_up: is_given_up(&said), said });
        found
    }
}

/// Returns whether a service was given up, by the words of its conditions: Knative tries a revision until its deadline.
pub(super) fn is_given_up(said: &str) -> bool {
    ["RevisionFailed", "ProgressDeadlineExceeded", "ContainerMissing", "ExitCode"]
        .iter()
        .any(|word| said.contains(word))
}
