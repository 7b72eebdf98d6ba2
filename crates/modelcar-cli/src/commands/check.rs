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
use modelcar_kserve::check::{self, CheckReport, Expected, State};
use serde_json::{Value, json};

use super::Outcome;
use crate::{args::Format, hint::Failure, remedies, resolve::without_scheme};

/// Largest document that is read, in bytes: enough for thousands of pods.
const DOCUMENT_MAX_BYTES: u64 = 64 << 20;

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
    let json = read(&args.file).map_err(|error| Failure::new(error, format!("read `{}`", args.file)))?;
    let report = check::check(&json, &expected)?;
    let text = match args.format {
        Format::Text => table(&report),
        Format::Json => super::document(with_remedies(&report), json!({"ok": report.is_ok()}))?,
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

/// Returns the report as JSON, with a field `remedy` at each finding that has one.
fn with_remedies(report: &CheckReport) -> serde_json::Result<Value> {
    let mut document = serde_json::to_value(report)?;
    for (pod, told) in report.pods.iter().zip(super::items(&mut document["pods"])) {
        let remedies = pod.findings.iter().map(|finding| remedies::of_check(pod, finding));
        super::add_to_each(&mut told["findings"], "remedy", remedies);
    }
    Ok(document)
}

/// Returns the report as text: each pod with its findings, and what to do about them. The worst pods come first.
fn table(report: &CheckReport) -> String {
    let mut text = String::new();
    let mut pods: Vec<_> = report.pods.iter().collect();
    pods.sort_by_key(|pod| std::cmp::Reverse(pod.state));
    for pod in pods {
        let name = if pod.namespace.is_empty() { pod.name.clone() } else { format!("{}/{}", pod.namespace, pod.name) };
        let _infallible = writeln!(text, "{} {}", one_line(&pod.kind), one_line(&name));
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
            let _infallible = writeln!(text, "  {label}: {message} [{}]", finding.code());
            if let Some(remedy) = remedies::of_check(pod, finding) {
                let _infallible = writeln!(text, "    do: {}", one_line(&remedy));
            }
        }
    }
    let verdict = report.state.map_or_else(|| "ok".to_owned(), |state| state.to_string());
    text + &verdict
}
