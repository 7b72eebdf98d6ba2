//! `modelcar check`: shows what KServe made of pods, and what is wrong with them.
//!
//! The input is the JSON that `kubectl` prints. No cluster and no registry is asked.

use std::{
    fmt::Write,
    fs,
    io::{self, Read},
};

use clap::Args;
use modelcar_core::{Digest, ImageRef, files, text::one_line};
use modelcar_kserve::{
    Severity,
    check::{self, CheckReport, Expected, Finding, Mode, PodReport, State, VersionRange},
};
use serde::Serialize;

use super::Outcome;
use crate::{args::Format, hint::Failure, remedies, resolve::without_scheme, ui};

/// Largest document that is read, in bytes: enough for thousands of pods.
const DOCUMENT_MAX_BYTES: u64 = 64 << 20;

/// Largest number of pods that the last line names.
const NAMED_MAX: usize = 5;

/// What to do where there is no file of that name: no cluster is asked, so the name of a pod or service is none.
const NO_FILE: &str = "the argument is a file with what kubectl prints, or `-` for stdin: \
                       kubectl get pod NAME -o json | modelcar check -";

/// What stands at the end of the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  kubectl get isvc,deploy,rs,pod,events,nodes -o json | modelcar check -
  kubectl get pod -l serving.kserve.io/inferenceservice=qwen -o json | modelcar check -
  modelcar check pod.json --expect sha256:… --format json
  kubectl create --dry-run=server -o json -f pod.yaml | modelcar check --admission -

The exit status is 0 for pods that are Ready, 1 for pods that fail, and 3 for pods that wait for something. The worst pod
decides. A manifest that no cluster has tried is judged by what is wrong in it: 0 or 1. Nothing that can be checked is 2.";

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// File with JSON of kubectl, or `-` for stdin
    pub(crate) file: String,
    /// Digest that the pods should run, or an image that names it
    #[arg(long, value_name = "DIGEST")]
    pub(crate) expect: Option<String>,
    /// Judge only what KServe's webhook injected, as the answer of a dry run shows it
    #[arg(long)]
    pub(crate) admission: bool,
    /// Format of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Checks. The exit status is 0 if nothing is wrong, 3 if something is waited for, and 1 otherwise.
pub(crate) fn run(args: &CheckArgs) -> Result<Outcome, Failure> {
    let digest = args.expect.as_deref().map(digest).transpose()?;
    let expected = Expected { digest, injection_alone: args.admission };
    let json = read(&args.file).map_err(|error| Failure::of_read(error, format!("read `{}`", args.file), NO_FILE))?;
    if json.trim_ascii().is_empty() {
        return Err(Failure::say("the document is empty")
            .hint("the command that should print it printed nothing: read what it says on stderr"));
    }
    let report = check::check(&json, &expected)?;
    let text = match args.format {
        Format::Text => table(&report),
        Format::Json => super::document(&CheckAnswer::of(&report))?,
    };
    Ok(match report.state {
        None | Some(State::Ready) => Outcome::Answer(text),
        Some(State::Waiting) => Outcome::Waiting(text),
        Some(State::Failing) => Outcome::No(text),
    })
}

/// Parses a digest, alone or at the end of a reference, with or without `oci://`.
fn digest(text: &str) -> Result<Digest, Failure> {
    if let Ok(digest) = text.parse() {
        return Ok(digest);
    }
    let image: ImageRef = without_scheme(text).parse()?;
    let digest = image.digest().copied();
    digest.ok_or_else(|| Failure::say(format!("`{text}` names no digest")).hint("write sha256:… or IMAGE@sha256:…"))
}

/// Reads the file, or stdin for `-`.
fn read(file: &str) -> io::Result<Vec<u8>> {
    let input: Box<dyn Read> = if file == "-" { Box::new(io::stdin()) } else { Box::new(fs::File::open(file)?) };
    files::bounded(input, DOCUMENT_MAX_BYTES)
}

/// The JSON answer.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct CheckAnswer<'a> {
    /// 1
    schema_version: u32,
    /// Whether nothing fails and nothing is waited for.
    ok: bool,
    /// State of the worst pod; absent if no pod was tried and nothing is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    /// The pods, the objects with pod templates, and the services without pods.
    pods: Vec<PodAnswer<'a>>,
}

/// A pod, or an object with a pod template, as the JSON answer has it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct PodAnswer<'a> {
    /// Kind of the object.
    kind: &'a str,
    /// Namespace of the object; empty if the document does not say.
    namespace: &'a str,
    /// Name of the object.
    name: &'a str,
    /// How the server gets the model.
    mode: Mode,
    /// State of this pod; absent if no pod was tried and nothing is wrong, and for a pod that does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    /// Whether the pod is Ready; `null` for a template, a pod that never ran, and a pod that does not count.
    ready: Option<bool>,
    /// The image with the model, as written in the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
    /// Releases of KServe that inject like this.
    kserve: VersionRange,
    /// What is wrong or worth knowing, the worst first.
    findings: Vec<FindingAnswer<'a>>,
}

/// A finding, as the JSON answer has it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct FindingAnswer<'a> {
    severity: Severity,
    /// The kind of finding, for programs.
    code: &'static str,
    /// The container that the finding is about; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
    /// The finding, for people.
    message: String,
    /// What to do, for people; absent if there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl<'a> CheckAnswer<'a> {
    /// Adds the remedies to a report.
    fn of(report: &'a CheckReport) -> Self {
        Self {
            schema_version: super::SCHEMA_VERSION,
            ok: report.is_ok(),
            state: report.state,
            pods: report.pods.iter().map(PodAnswer::of).collect(),
        }
    }
}

impl<'a> PodAnswer<'a> {
    /// Adds the remedies to the report of a pod.
    fn of(pod: &'a PodReport) -> Self {
        let finding = |finding: &'a Finding| FindingAnswer {
            severity: finding.severity(),
            code: finding.code(),
            container: finding.container(),
            message: finding.to_string(),
            remedy: remedies::of_check(pod, finding),
        };
        Self {
            kind: &pod.kind,
            namespace: &pod.namespace,
            name: &pod.name,
            mode: pod.mode,
            state: pod.state,
            ready: pod.ready,
            image: pod.image.as_deref(),
            kserve: pod.kserve,
            findings: pod.findings.iter().map(finding).collect(),
        }
    }
}

/// Returns the report as text: each pod with its findings, and what to do about them. The worst pods come first.
fn table(report: &CheckReport) -> String {
    let mut text = String::new();
    let mut pods: Vec<_> = report.pods.iter().collect();
    pods.sort_by_key(|pod| std::cmp::Reverse(pod.state));
    // Beside its pods, a template about which there is nothing else to say is only more to read.
    let says_more = |pod: &PodReport| pod.findings.iter().any(|finding| !matches!(finding, Finding::TemplateOfPod));
    pods.retain(|pod| report.state.is_none() || pod.state.is_some() || says_more(pod));
    for pod in pods {
        let _infallible = writeln!(text, "{} {}", one_line(&pod.kind), one_line(&name(pod)));
        if let Some(state) = pod.state {
            let _infallible = writeln!(text, "  state   {state}");
        }
        let _infallible = writeln!(text, "  mode    {}", pod.mode);
        let _infallible = writeln!(text, "  kserve  {}", pod.kserve);
        if let Some(image) = &pod.image {
            let _infallible = writeln!(text, "  image   {}", one_line(image));
        }
        for finding in &pod.findings {
            let message = one_line(&finding.to_string());
            let label = if finding.is_waiting() { "waits".to_owned() } else { finding.severity().to_string() };
            let found = format!("  {label}: {message} [{}]", finding.code());
            let _infallible = writeln!(text, "{}", ui::fold(&found, 4));
            if let Some(remedy) = remedies::of_check(pod, finding) {
                let _infallible = writeln!(text, "{}", ui::fold(&format!("    do: {}", one_line(&remedy)), 8));
            }
        }
    }
    text + &verdict(report)
}

/// Returns the state of the worst pod. Among several pods, those that fail and those that wait are named, each with its
/// first cause.
fn verdict(report: &CheckReport) -> String {
    let Some(state) = report.state else { return "ok".to_owned() };
    if state == State::Ready || report.pods.len() == 1 {
        return state.to_string();
    }
    let told = [State::Failing, State::Waiting].map(|state| in_state(report, state));
    ui::fold(&told.into_iter().flatten().collect::<Vec<_>>().join("; "), 2)
}

/// Returns a state and the pods in that state; `None` if there are none.
fn in_state(report: &CheckReport, state: State) -> Option<String> {
    let there: Vec<_> = report.pods.iter().filter(|pod| pod.state == Some(state)).collect();
    if there.is_empty() {
        return None;
    }
    let named = there.iter().take(NAMED_MAX).map(|pod| {
        let mut findings = pod.findings.iter();
        let cause = findings.find(|finding| state == State::Failing || finding.is_waiting());
        let code = cause.map(|finding| format!(" [{}]", finding.code())).unwrap_or_default();
        one_line(&name(pod)) + &code
    });
    let mut named: Vec<_> = named.collect();
    named.extend(there.get(NAMED_MAX..).filter(|more| !more.is_empty()).map(|more| format!("and {} more", more.len())));
    Some(format!("{state}: {}", named.join(", ")))
}

/// Returns `NAMESPACE/NAME`, or the name alone where the document names no namespace.
fn name(pod: &PodReport) -> String {
    if pod.namespace.is_empty() { pod.name.clone() } else { format!("{}/{}", pod.namespace, pod.name) }
}
