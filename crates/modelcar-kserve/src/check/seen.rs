//! What a document holds, each thing beside the others: which pods count, and who says what only one needs to say.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    documents::Documents,
    events::{self, Warnings},
    evidence::Evidence,
    finding::Finding,
    groups,
    hazards::{self, Around, Expected},
    pod::{Pod, Service},
    readiness, refusals,
    report::{Mode, PodReport},
    status, words,
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
    /// Parts that a Ready pod plays, and whether it shows the model.
    ready: BTreeSet<(Option<&'a str>, bool)>,
    /// The template that says why there are no pods, and its words.
    refusal: Option<(usize, String)>,
    /// The first template whose pods get no sandbox, and whether a pod shows it.
    faulty_template: Option<usize>,
    has_faulty_pod: bool,
}

/// Everything in a document.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    documents: &'a Documents,
    warnings: Warnings<'a>,
    all: Vec<One<'a>>,
    services: BTreeMap<Service<'a>, InService<'a>>,
    /// Whether any pod shows a model, and whether any stays.
    has_model: bool,
    has_pod: bool,
}

impl<'a> Seen<'a> {
    pub(super) fn new(documents: &'a Documents) -> Self {
        let ones = documents.pods.iter().enumerate().map(|(at, pod)| One { at, pod, evidence: Evidence::new(pod) });
        let mut seen = Self {
            documents,
            warnings: Warnings::new(&documents.events),
            all: ones.collect(),
            services: BTreeMap::new(),
            has_model: false,
            has_pod: false,
        };
        for one in &seen.all {
            let service = seen.services.entry(one.pod.service()).or_default();
            service.add_pod(one);
            seen.has_model |= one.has_model();
            seen.has_pod |= one.stays();
        }
        for one in seen.all.iter().filter(|one| one.pod.is_template && one.is_of_model()) {
            let service = seen.services.entry(one.pod.service()).or_default();
            service.add_template(one, &seen.warnings);
        }
        seen
    }

    pub(super) fn reports(&self, expected: &Expected) -> Vec<PodReport> {
        let told = self.all.iter().filter(|one| !self.repeats(one));
        told.map(|one| self.report(one, expected)).collect()
    }

    fn report(&self, one: &One<'_>, expected: &Expected) -> PodReport {
        let pod = one.pod;
        let mut findings = Vec::new();
        let leaves = self.leaves(one);
        let counts = leaves.is_none();
        match leaves {
            Some(why) => findings.push(why),
            None => self.find(one, expected, &mut findings),
        }
        words::hide_values(pod, &mut findings);
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity()));
        PodReport {
            kind: pod.kind.clone(),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            mode: one.evidence.mode,
            ready: pod.ready().filter(|_| counts && one.is_of_model()),
            image: one.evidence.images().first().map(|image| image.reference.to_owned()),
            kserve: one.evidence.versions,
            findings,
        }
    }

    fn find(&self, one: &One<'_>, expected: &Expected, found: &mut Vec<Finding>) {
        let pod = one.pod;
        if pod.is_template && self.template(one, found) {
            return;
        }
        if groups::refuses_sandbox(pod) && self.tells_of_group(one) {
            groups::find(pod, found);
        }
        let around =
            Around { namespace: self.documents.namespaces.get(&pod.namespace), expected, is_shown: self.is_shown(one) };
        hazards::find(pod, &one.evidence, around, found);
        if pod.is_template || !one.is_of_model() {
            return;
        }
        let since = found.len();
        status::find(pod, &one.evidence, found);
        readiness::find(pod, since, found);
        if pod.ready() == Some(false) {
            events::tell(pod, &self.warnings, found);
        }
        once(found);
    }

    /// Says why a template has no pods, where that is known. Returns whether nothing else needs to be said of it.
    fn template(&self, one: &One<'_>, found: &mut Vec<Finding>) -> bool {
        let Some(service) = self.services.get(&one.pod.service()).filter(|_| one.is_of_model()) else { return false };
        match &service.refusal {
            Some((at, said)) if *at == one.at => found.push(refusals::find(said)),
            Some(_) if !service.has_pod => found.push(Finding::TemplateWithoutPod),
            _ if groups::refuses_sandbox(one.pod) && !one.has_model() && !self.is_shown(one) => {
                if self.tells_of_group(one) {
                    groups::find(one.pod, found);
                } else {
                    found.push(Finding::TemplateWithoutPod);
                }
            }
            _ if service.has_pod && one.evidence.mode == Mode::None => found.push(Finding::TemplateOfPod),
            _ => return false,
        }
        true
    }

    /// Returns why a pod does not count: it is on its way out, and another one is there.
    fn leaves(&self, one: &One<'_>) -> Option<Finding> {
        let pod = one.pod;
        if pod.is_template || !one.is_of_model() {
            return None;
        }
        if pod.is_terminating {
            return self.has_pod.then_some(Finding::BeingDeleted);
        }
        if pod.status.phase == "Succeeded" {
            return self.has_pod.then_some(Finding::Completed);
        }
        let service = self.services.get(&pod.service())?;
        let has = |with_model| service.ready.contains(&(pod.component(), with_model));
        let is_replaced = has(true) || !one.has_model() && has(false);
        (pod.status.phase == "Failed" && is_replaced).then_some(Finding::Replaced)
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
            || service.is_some_and(|service| !service.has_faulty_pod && service.faulty_template == Some(one.at))
    }

    /// Returns whether it is a service whose fault is told elsewhere: nothing else of it shows.
    fn repeats(&self, one: &One<'_>) -> bool {
        let refused = |service: &InService<'_>| service.refusal.is_some();
        let is_service = one.pod.kind.ends_with("InferenceService");
        is_service && (!self.tells_of_group(one) || self.services.get(&one.pod.service()).is_some_and(refused))
    }
}

impl<'a> InService<'a> {
    fn add_pod(&mut self, one: &One<'a>) {
        self.has_model |= one.has_model();
        self.has_pod |= one.stays();
        if one.stays() && one.pod.is_ready() {
            self.ready.insert((one.pod.component(), one.has_model()));
        }
        self.has_faulty_pod |= one.stays() && groups::refuses_sandbox(one.pod);
    }

    fn add_template(&mut self, one: &One<'a>, warnings: &Warnings<'_>) {
        if groups::refuses_sandbox(one.pod) {
            self.faulty_template.get_or_insert(one.at);
        }
        if self.refusal.is_none() {
            // Deployment and ReplicaSet say the same: the first one is enough.
            self.refusal = refusals::refusal(one.pod, warnings, self.has_pod).map(|said| (one.at, said));
        }
    }
}

/// Leaves out what was foreseen where it has happened: a warning beside an error of the same kind.
fn once(found: &mut Vec<Finding>) {
    let errors: Vec<&str> =
        found.iter().filter(|finding| finding.severity() == Severity::Error).map(Finding::code).collect();
    found.retain(|finding| finding.severity() == Severity::Error || !errors.contains(&finding.code()));
}
