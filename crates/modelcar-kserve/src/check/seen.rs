//! What a document holds, each thing beside the others: which pods count, and who says what only one needs to say.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    documents::Documents,
    events::{self, Events},
    evidence::Evidence,
    finding::Finding,
    groups,
    hazards::{self, Around, Expected},
    pod::{Pod, Service},
    progress, refusals,
    report::{Mode, PodReport, VersionRange},
    service::{self, ServiceObject},
    status,
    tried::Tried,
    wait::Wait,
    words,
};
use crate::findings::Severity;

/// A pod or a template, with what it shows of KServe's work.
#[derive(Debug)]
struct One<'a> {
    at: usize,
    pod: &'a Pod,
    evidence: Evidence<'a>,
}

impl One<'_> {
    /// Returns whether it shows a model.
    fn has_model(&self) -> bool {
        matches!(self.evidence.mode, Mode::Modelcar | Mode::Native | Mode::Fetch)
    }

    /// Returns whether it should serve a model, and is no stranger's.
    fn is_of_model(&self) -> bool {
        self.evidence.mode != Mode::None || self.pod.is_of_kserve()
    }

    /// Returns whether it is a pod of a model that is not on its way out.
    fn stays(&self) -> bool {
        let pod = self.pod;
        !pod.is_template && self.is_of_model() && !pod.is_terminating && pod.status.phase != "Succeeded"
    }
}

/// What the pods and templates of one service show together.
#[derive(Debug, Default)]
struct InService<'a> {
    has_model: bool,
    has_pod: bool,
    templates: usize,
    is_stopped: bool,
    /// Parts that a Ready pod plays, and whether it shows the model.
    ready: BTreeSet<(Option<&'a str>, bool)>,
    /// The Ready pods with the parts that they play.
    ready_pods: Vec<(Option<&'a str>, &'a str)>,
    /// The template that says why there are no pods, and its words.
    refusal: Option<(usize, String)>,
    /// The first template whose pods get no sandbox, and whether a pod shows it.
    faulty_template: Option<usize>,
    faulty_pods: usize,
}

/// Everything in a document.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    documents: &'a Documents,
    expected: &'a Expected,
    events: Events<'a>,
    all: Vec<One<'a>>,
    services: BTreeMap<Service<'a>, InService<'a>>,
    /// The services and their parts of which a pod has the digest that is expected.
    current: BTreeSet<(Service<'a>, Option<&'a str>)>,
    /// Whether any pod shows a model, and whether any stays.
    has_model: bool,
    has_pod: bool,
}

impl<'a> Seen<'a> {
    pub(super) fn new(documents: &'a Documents, expected: &'a Expected) -> Self {
        let ones = documents.pods.iter().enumerate().map(|(at, pod)| One { at, pod, evidence: Evidence::new(pod) });
        let mut seen = Self {
            documents,
            events: Events::new(&documents.events),
            all: ones.collect(),
            services: BTreeMap::new(),
            current: BTreeSet::new(),
            expected,
            has_model: false,
            has_pod: false,
        };
        for one in &seen.all {
            let service = seen.services.entry(one.pod.service()).or_default();
            service.add_pod(one);
            let is_current = || !hazards::misses(one.pod, &one.evidence.images(), expected);
            if expected.digest.is_some() && one.stays() && one.has_model() && is_current() {
                seen.current.insert((one.pod.service(), one.pod.component()));
            }
            seen.has_model |= one.has_model();
            seen.has_pod |= one.stays();
        }
        for one in seen.all.iter().filter(|one| one.pod.is_template && one.is_of_model()) {
            let service = seen.services.entry(one.pod.service()).or_default();
            service.add_template(one, &seen.events);
        }
        for object in documents.services.iter().filter(|object| object.is_stopped) {
            seen.services.entry(object.service()).or_default().is_stopped = true;
        }
        seen
    }

    pub(super) fn reports(&self) -> Vec<PodReport> {
        let told = self.all.iter().filter(|one| !self.repeats(one));
        let alone = self.documents.services.iter().filter(|object| self.is_alone(object));
        told.map(|one| self.report(one)).chain(alone.map(Self::report_service)).collect()
    }

    /// Returns whether the document has neither pod nor template of a service, or templates that it has stopped.
    fn is_alone(&self, object: &ServiceObject) -> bool {
        let shown = |service: &InService<'_>| service.has_pod || service.templates > 0 && !object.is_stopped;
        !self.services.get(&object.service()).is_some_and(shown)
    }

    fn report_service(object: &ServiceObject) -> PodReport {
        let findings = object.find();
        let ready = Some(object.is_ready());
        PodReport {
            kind: object.kind.clone(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
            mode: Mode::None,
            state: PodReport::state_of(ready, &findings),
            ready,
            image: None,
            kserve: VersionRange::default(),
            findings,
        }
    }

    fn report(&self, one: &One<'_>) -> PodReport {
        let pod = one.pod;
        let mut findings = Vec::new();
        let leaves = self.leaves(one);
        let counts = leaves.is_none();
        match leaves {
            Some(why) => findings.push(why),
            None => self.find(one, &mut findings),
        }
        words::hide_values(pod, &mut findings);
        findings.sort_by_key(|finding| std::cmp::Reverse((finding.severity(), finding.is_waiting())));
        let ready = pod.ready().filter(|_| counts && one.is_of_model());
        PodReport {
            kind: pod.kind.clone(),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            mode: one.evidence.mode,
            state: PodReport::state_of(ready, &findings),
            ready,
            image: one.evidence.images().first().map(|image| image.reference.to_owned()),
            kserve: one.evidence.versions,
            findings,
        }
    }

    fn find(&self, one: &One<'_>, found: &mut Vec<Finding>) {
        let pod = one.pod;
        if pod.is_template && self.template(one, found) {
            return;
        }
        if groups::refuses_sandbox(pod) && self.tells_of_group(one) {
            groups::find(pod, found);
        }
        let around = Around {
            namespace: self.documents.namespaces.get(&pod.namespace),
            expected: self.expected,
            is_shown: self.is_shown(one),
            is_replaced: self.current.contains(&(pod.service(), pod.component())),
            node: self.documents.nodes.iter().find(|node| node.name == pod.spec.node_name),
        };
        hazards::find(pod, &one.evidence, around, found);
        if pod.is_template || !one.is_of_model() {
            return;
        }
        if pod.is_terminating {
            found.push(Finding::BeingDeleted { is_last: true });
            return once(found);
        }
        let tried = self.tried(one);
        let since = found.len();
        status::find(&tried, found);
        status::symptoms(found);
        if found.iter().any(tells_of_sandbox) {
            found.retain(|finding| !matches!(finding, Finding::Sandbox { .. }));
        }
        if !found.iter().skip(since).any(is_error) && !found.iter().any(is_symptom) {
            progress::find(&tried, found);
            if pod.ready() == Some(false) {
                events::tell(pod, &self.events, found);
            }
        }
        once(found);
    }

    fn tried(&self, one: &'a One<'a>) -> Tried<'a> {
        let service = self.services.get(&one.pod.service());
        let mut ready = service.into_iter().flat_map(|service| &service.ready_pods);
        Tried {
            pod: one.pod,
            evidence: &one.evidence,
            events: self.events.about(one.pod).collect(),
            nodes: &self.documents.nodes,
            used: &self.documents.used,
            sibling: ready
                .find(|(part, name)| *part == one.pod.component() && *name != one.pod.name)
                .map(|(_, name)| *name),
        }
    }

    /// Says why a template has no pods, where that is known. Returns whether nothing else needs to be said of it.
    fn template(&self, one: &One<'_>, found: &mut Vec<Finding>) -> bool {
        let Some(service) = self.services.get(&one.pod.service()).filter(|_| one.is_of_model()) else { return false };
        match &service.refusal {
            Some((at, said)) if *at == one.at => found.push(refusals::find(said)),
            _ if one.pod.replicas == Some(0) && !service.has_pod => found.push(Finding::ScaledToZero),
            _ if one.pod.kind == "Revision" && !service.has_pod => return revision(one.pod, found),
            Some(_) if !service.has_pod => found.push(Finding::TemplateWithoutPod),
            _ if groups::refuses_sandbox(one.pod) && !one.has_model() && !self.is_shown(one) => {
                if self.tells_of_group(one) {
                    groups::find(one.pod, found);
                } else {
                    found.push(Finding::TemplateWithoutPod);
                }
            }
            _ if one.pod.is_unmade && !service.has_pod => found.push(Finding::Waits { what: Wait::NotMade }),
            _ if service.has_pod && one.evidence.mode == Mode::None => found.push(Finding::TemplateOfPod),
            _ => {
                deadline(one.pod, found);
                return false;
            }
        }
        deadline(one.pod, found);
        true
    }

    /// Returns why a pod does not count: it is on its way out, and another one is there.
    fn leaves(&self, one: &One<'_>) -> Option<Finding> {
        let pod = one.pod;
        if pod.is_template || !one.is_of_model() {
            return None;
        }
        if pod.is_terminating {
            return self.has_pod.then_some(Finding::BeingDeleted { is_last: false });
        }
        if pod.status.phase == "Succeeded" {
            return self.has_pod.then_some(Finding::Completed);
        }
        if let Some(newer) = self.newer(pod) {
            return Some(Finding::Superseded { by: newer.name.clone() });
        }
        let service = self.services.get(&pod.service())?;
        let has = |with_model| service.ready.contains(&(pod.component(), with_model));
        let is_replaced = has(true) || !one.has_model() && has(false);
        (pod.status.phase == "Failed" && is_replaced).then_some(Finding::Replaced)
    }

    /// Returns a pod of a newer revision of the same deployment, for a pod that is not Ready: a rollout ends that one,
    /// whatever is wrong with it. One that is Ready serves until then.
    fn newer(&self, pod: &Pod) -> Option<&'a Pod> {
        let revision = |pod: &Pod| self.documents.revisions.get(&(pod.namespace.clone(), pod.replica_set.clone()));
        let own = revision(pod).filter(|_| !pod.is_ready())?;
        let is_newer = |other: &Pod| {
            revision(other).is_some_and(|other| other.deployment == own.deployment && other.number > own.number)
        };
        let mut others = self.all.iter().filter(|one| one.stays() && one.pod.namespace == pod.namespace);
        others.find(|one| is_newer(one.pod)).map(|one| one.pod)
    }

    /// Returns whether another pod of the document shows the model that this one does not.
    ///
    /// Transformers, schedulers and strangers have no model, which is right where another pod has it. A template is
    /// covered by a pod of its own service alone, which shows what became of the wish, good or bad.
    fn is_shown(&self, one: &One<'_>) -> bool {
        match one.evidence.mode {
            Mode::Deferred => {
                let service = self.services.get(&one.pod.service());
                service.is_some_and(|service| service.has_model || service.has_pod)
            }
            _ => self.has_model,
        }
    }

    /// Returns whether this one tells that a group lacks its user: each pod does, else the first template of a service.
    fn tells_of_group(&self, one: &One<'_>) -> bool {
        let service = self.services.get(&one.pod.service());
        !one.pod.is_template
            || service.is_some_and(|service| service.faulty_pods == 0 && service.faulty_template == Some(one.at))
    }

    /// Returns whether it is a service whose fault is told elsewhere: nothing else of it shows.
    fn repeats(&self, one: &One<'_>) -> bool {
        let refused = |service: &InService<'_>| service.refusal.is_some();
        let is_service = one.pod.kind.ends_with("InferenceService");
        let service = self.services.get(&one.pod.service());
        let is_stopped = one.pod.is_template && service.is_some_and(|service| service.is_stopped);
        is_stopped || is_service && (!self.tells_of_group(one) || service.is_some_and(refused))
    }
}

impl<'a> InService<'a> {
    fn add_pod(&mut self, one: &One<'a>) {
        self.has_model |= one.has_model();
        self.has_pod |= one.stays();
        if one.stays() && one.pod.is_ready() {
            self.ready.insert((one.pod.component(), one.has_model()));
            self.ready_pods.push((one.pod.component(), &one.pod.name));
        }
        self.faulty_pods += usize::from(one.stays() && groups::refuses_sandbox(one.pod));
    }

    fn add_template(&mut self, one: &One<'a>, events: &Events<'_>) {
        self.templates += 1;
        if groups::refuses_sandbox(one.pod) {
            self.faulty_template.get_or_insert(one.at);
        }
        if self.refusal.is_none() {
            // Deployment and ReplicaSet say the same: the first one is enough.
            self.refusal = refusals::refusal(one.pod, events, self.has_pod).map(|said| (one.at, said));
        }
    }
}

fn is_error(finding: &Finding) -> bool {
    finding.severity() == Severity::Error
}

fn is_symptom(finding: &Finding) -> bool {
    matches!(finding, Finding::Symptom { .. })
}

/// Returns whether it says why the pod has no sandbox, which nobody else need say again.
fn tells_of_sandbox(finding: &Finding) -> bool {
    matches!(finding, Finding::GroupWithoutUser { .. })
}

/// Says why Knative gave up a revision, or what the revision waits for. Returns whether it says anything.
fn revision(template: &Pod, found: &mut Vec<Finding>) -> bool {
    let Some(ready) = template.condition("Ready").filter(|ready| ready.status != "True") else { return false };
    let said = words::reason_and_message(&ready.reason, &ready.message);
    found.push(if ready.reason == "ProgressDeadlineExceeded" {
        Finding::ProgressDeadline { given_up: true, said }
    } else {
        Finding::ServiceNotReady { given_up: service::is_given_up(&said), said }
    });
    true
}

/// Says that a rollout took too long.
fn deadline(template: &Pod, found: &mut Vec<Finding>) {
    let condition = template.condition("Progressing").filter(|progress| progress.reason == "ProgressDeadlineExceeded");
    found.extend(condition.map(|condition| Finding::ProgressDeadline {
        given_up: false,
        said: words::reason_and_message(&condition.reason, &condition.message),
    }));
}

/// Leaves out what was foreseen where it has happened: a warning beside an error of the same kind.
fn once(found: &mut Vec<Finding>) {
    let errors: Vec<&str> =
        found.iter().filter(|finding| finding.severity() == Severity::Error).map(Finding::code).collect();
    let is_user = errors.iter().any(|code| matches!(*code, "runs-as-root" | "named-user"));
    found.retain(|finding| match finding {
        Finding::InitUser => !is_user,
        finding => is_error(finding) || !errors.contains(&finding.code()),
    });
}
