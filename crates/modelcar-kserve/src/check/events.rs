//! What the cluster said of an object while it tried: the events of the same document.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    finding::Finding,
    pod::{ContainerStatus, Pod},
    words,
};

/// Most events that are told of one object.
const MOST: usize = 3;
/// Said of every pod of a node alike, or a second time: a container's own state says that it waits to start again.
const NO_CAUSE: [&str; 3] = ["MissingClusterDNS", "DNSConfigForming", "BackOff"];

/// As much of an event as is looked at, of `v1` and of `events.k8s.io/v1`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Event {
    #[serde(alias = "regarding")]
    involved_object: Involved,
    #[serde(rename = "type")]
    kind: Option<String>,
    reason: Option<String>,
    #[serde(alias = "note")]
    message: Option<String>,
    #[serde(alias = "deprecatedCount")]
    count: Option<u64>,
    #[serde(alias = "reportingController")]
    reporting_component: Option<String>,
    #[serde(alias = "deprecatedFirstTimestamp")]
    first_timestamp: Option<String>,
    #[serde(alias = "deprecatedLastTimestamp")]
    last_timestamp: Option<String>,
    #[serde(rename = "eventTime")]
    observed: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Involved {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    #[serde(rename = "fieldPath")]
    field: Option<String>,
}

impl Event {
    pub(super) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or_default()
    }

    pub(super) fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    /// Returns whether it may be about a container of its pod: its field (`spec.containers{NAME}`) names no other one.
    pub(super) fn is_of(&self, container: &str) -> bool {
        self.involved_object.field.as_ref().is_none_or(|field| field.ends_with(&format!("{{{container}}}")))
    }

    /// Returns the container that its field names (`spec.containers{NAME}`).
    fn container(&self) -> Option<&str> {
        self.involved_object.field.as_deref()?.split_once('{')?.1.strip_suffix('}')
    }

    /// Returns whether it tells of something that failed before and has worked since: the pod has its sandbox, or the
    /// container ran. An event stays in the list for an hour.
    fn is_over(&self, pod: &Pod) -> bool {
        match self.reason() {
            "FailedScheduling"
            | "FailedMount"
            | "FailedAttachVolume"
            | "FailedMapVolume"
            | "FailedCreatePodSandBox" => pod.has_sandbox(),
            "Failed" | "InspectFailed" | "ErrImageNeverPull" => {
                let mut statuses = pod.status.containers();
                let status = self.container().and_then(|name| statuses.find(|status| status.name == name));
                self.message().contains("pull") && status.is_some_and(ContainerStatus::has_run)
            }
            _ => false,
        }
    }

    /// Returns when it was seen first, as the cluster writes times; empty where nobody says.
    pub(super) fn since(&self) -> &str {
        self.first_timestamp.as_deref().or(self.observed.as_deref()).unwrap_or_default()
    }

    fn last(&self) -> &str {
        self.last_timestamp.as_deref().or(self.observed.as_deref()).unwrap_or_default()
    }

    fn is_warning(&self) -> bool {
        self.kind.as_deref() == Some("Warning")
    }
}

/// The events of a document, by the object that they are about.
#[derive(Debug, Default)]
pub(super) struct Events<'a> {
    of: BTreeMap<(&'a str, &'a str, &'a str), Vec<&'a Event>>,
}

impl<'a> Events<'a> {
    pub(super) fn new(events: &'a [Event]) -> Self {
        let mut of: BTreeMap<_, Vec<&Event>> = BTreeMap::new();
        let text = |part: &'a Option<String>| part.as_deref().unwrap_or_default();
        for event in events {
            let object = &event.involved_object;
            of.entry((text(&object.kind), text(&object.namespace), text(&object.name))).or_default().push(event);
        }
        // A list is sorted by names; those without a time keep their order.
        for events in of.values_mut() {
            events.sort_by_key(|event| event.last());
        }
        Self { of }
    }

    /// Returns those about a pod, or about the object that holds a template, the latest first.
    pub(super) fn about(&self, pod: &Pod) -> impl Iterator<Item = &'a Event> {
        // A part of an object (`LeaderWorkerSet leader`) has the object's events.
        let kind = pod.kind.split(' ').next().unwrap_or_default();
        // An object without a namespace is one of a document that names none.
        let places = [pod.namespace.as_str(), ""].into_iter().take(if pod.namespace.is_empty() { 1 } else { 2 });
        let found: Vec<&Event> =
            places.filter_map(|place| self.of.get(&(kind, place, pod.name.as_str()))).flatten().copied().collect();
        found.into_iter().rev()
    }
}

/// Tells what the cluster warned of, the latest of each reason, as far as the findings do not have these words already.
pub(super) fn tell(pod: &Pod, events: &Events<'_>, found: &mut Vec<Finding>) {
    let mut told: Vec<&str> = NO_CAUSE.to_vec();
    // The scheduler's condition has the words of its event.
    told.extend(pod.condition("PodScheduled").map(|_| "FailedScheduling"));
    let quiet = told.len();
    for event in events.about(pod).filter(|event| event.is_warning()) {
        let said = words::cut(event.message());
        let is_told = told.contains(&event.reason()) || found.iter().any(|finding| finding.to_string().contains(&said));
        if is_told || repeats_state(&said) || event.is_over(pod) {
            continue;
        }
        told.push(event.reason());
        let actor = event.reporting_component.as_deref().filter(|actor| !actor.is_empty()).unwrap_or("an event");
        found.push(Finding::Event {
            actor: words::cut(actor),
            reason: words::cut(event.reason()),
            count: event.count.unwrap_or(1),
            said,
        });
        if told.len() == quiet + MOST {
            break;
        }
    }
}

/// Returns whether it is nothing but the reason that stands in a container's state (`Error: ErrImagePull`).
fn repeats_state(message: &str) -> bool {
    message.is_empty() || message.strip_prefix("Error: ").is_some_and(|reason| !reason.contains(' '))
}
