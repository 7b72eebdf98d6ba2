//! `modelcar doctor`: checks whether a push would work, and says what to do where it would not.
//!
//! The exit status is 0 if the push can work, 1 if it would fail, and 2 if that could not be found out.

use std::fmt::Write;

use clap::Args;
use modelcar_core::{
    ImageRef,
    registry::{Check, CheckCode, RegistrySink, Verdict},
    sink::Sink,
};
use serde::Serialize;

use super::Outcome;
use crate::{
    args::{Format, LoginArgs, RegistryArgs, utf8},
    clients::Clients,
    hint::Failure,
    interrupt::interrupt,
    remedies, resolve, ui,
};

/// What stands at the end of the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  modelcar doctor europe-docker.pkg.dev/p/r/qwen:v1
  modelcar doctor localhost:5000/qwen:v1 --format json";

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Image as a push would name it: `REGISTRY/REPOSITORY[:TAG]`; without a tag it is `latest`
    #[arg(value_parser = utf8())]
    pub(crate) image: String,
    /// Format of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
}

/// Checks. The right to push is tested with an upload session, which is deleted also after an interrupt.
pub(crate) async fn run(args: DoctorArgs) -> Result<Outcome, Failure> {
    let image = resolve::target(&args.image)?;
    let progress = ui::waiting("ask the registry");
    let connection = Clients::open(&args.registry, Some((&args.login, &image)))?;
    let repository = connection.repository(&image, &progress)?;
    let tag = image.tag_or_latest();
    let checks = tokio::select! {
        checks = repository.examine(&tag) => checks,
        () = interrupt() => {
            // The check of the right to push opens an upload session, which `abandon` deletes.
            RegistrySink::new(repository, Vec::new()).abandon().await;
            return Ok(Outcome::Interrupted(String::new()));
        }
    };
    let has = |verdict| checks.iter().any(|check| check.verdict == verdict);
    let answer = match args.format {
        Format::Text => table(&checks),
        Format::Json => {
            let ok = !has(Verdict::No) && !has(Verdict::Unknown);
            let checks = checks.iter().map(CheckAnswer::of).collect();
            super::document(&DoctorAnswer { schema_version: super::SCHEMA_VERSION, ok, image: &image, checks })?
        }
    };
    Ok(if has(Verdict::No) {
        Outcome::No(answer)
    } else if has(Verdict::Unknown) {
        Outcome::Unknown(answer)
    } else {
        Outcome::Answer(answer)
    })
}

/// Returns what to do about a result, or else what is special about this registry.
fn advice(check: &Check) -> Option<&'static str> {
    remedies::of_doctor(check).or(check.note)
}

/// The JSON answer.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct DoctorAnswer<'a> {
    /// 1
    schema_version: u32,
    /// Whether a push can work.
    ok: bool,
    /// The image as given on the command line.
    image: &'a ImageRef,
    /// The checks that were made.
    checks: Vec<CheckAnswer<'a>>,
}

/// One check, as the JSON answer has it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct CheckAnswer<'a> {
    /// `name`, `reach`, `login`, `push`, `tag`, `read` or `limits`.
    name: &'static str,
    code: CheckCode,
    verdict: Verdict,
    /// What was found, for people.
    found: &'a str,
    /// What to do, for people.
    advice: Option<&'static str>,
}

impl<'a> CheckAnswer<'a> {
    /// Adds the advice to a check.
    fn of(check: &'a Check) -> Self {
        let &Check { name, code, verdict, ref found, .. } = check;
        Self { name, code, verdict, found, advice: advice(check) }
    }
}

/// Column at which the texts begin, behind the name of a check and its verdict.
const TEXT: usize = 17;

/// Returns what the checks come to: what the exit status says too.
fn verdict(checks: &[Check]) -> &'static str {
    let has = |verdict| checks.iter().any(|check| check.verdict == verdict);
    if has(Verdict::No) {
        "a push would fail"
    } else if has(Verdict::Unknown) {
        "whether a push would work is unknown"
    } else {
        "a push can work"
    }
}

/// Returns the checks as text, the advice below each of them, and the verdict.
fn table(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::No => "no",
            Verdict::Unknown => "unknown",
        };
        let found = format!("{:<7} {verdict:<8} {}", check.name, check.found);
        let advice = advice(check).map(|advice| format!("{:TEXT$}{advice}", ""));
        for line in [found].into_iter().chain(advice) {
            let _infallible = writeln!(text, "{}", ui::fold(&line, TEXT));
        }
    }
    text + verdict(checks)
}
