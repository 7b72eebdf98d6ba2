//! `modelcar inspect --lint`: checks whether KServe can serve an image.
//!
//! This is a flag of `inspect`, because it takes the same image with the same credentials and reads the same
//! manifests.

use std::fmt::Write;

use clap::{Args, ValueEnum};
use modelcar_core::{Digest, text::one_line};
use modelcar_kserve::{
    Severity, SidecarUser,
    lint::{self, Depth, LintFinding, LintOptions, LintReport, PlatformLint, ServingMode},
};
use serde::Serialize;

use super::{Outcome, place::Place};
use crate::{
    args::Format,
    hint::Failure,
    remedies,
    ui::{self, count},
};

/// A way in which KServe serves an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LintMode {
    /// Beside the server: oci://
    Sidecar,
    /// As an image volume: oci+native://
    Native,
    /// Downloaded: oci+fetch://
    Fetch,
}

/// How an image is checked.
#[derive(Debug, Args)]
pub(crate) struct LintArgs {
    /// Check whether KServe can serve the image, and say why not
    ///
    /// Exit status 1: it can't, in a mode asked for with --mode.
    #[arg(long)]
    pub(crate) lint: bool,
    /// With --lint: a mode that must work (can be repeated)
    #[arg(long, value_enum, value_name = "MODE", requires = "lint", default_value = "sidecar")]
    pub(crate) mode: Vec<LintMode>,
    /// With --lint: read every layer to its end, weights too
    #[arg(long, requires = "lint")]
    pub(crate) all: bool,
    /// With --lint: the user of KServe's sidecars, uidModelcar of its configuration
    ///
    /// `none` if KServe sets no user: the sidecar then runs as the image's user.
    #[arg(long, requires = "lint", value_name = "N|none", default_value_t, allow_hyphen_values = true)]
    pub(crate) kserve_uid: SidecarUser,
}

/// Checks the image. The exit status is 0 if the image can be served in every mode that `--mode` names, and 1
/// otherwise.
pub(super) async fn run(image: &str, args: &LintArgs, format: Format, place: Place) -> Result<Outcome, Failure> {
    let depth = if args.all { Depth::All } else { Depth::Names };
    let options = LintOptions { depth, user: args.kserve_uid };
    let report = match &place {
        Place::Layout { dir, name } => lint::layout(dir, name.as_deref(), options).await,
        Place::Registry { repository, image } => lint::registry(repository, image, options).await,
    };
    let report = match report {
        Ok(report) => report,
        Err(error) => return Err(place.failure(error, image).await),
    };
    let ok = args.mode.iter().all(|mode| report.serves.contains(&serving(*mode)));
    let text = match format {
        Format::Text => table(image, &report),
        Format::Json => document(image, ok, &report)?,
    };
    Ok(if ok { Outcome::Answer(text) } else { Outcome::No(text) })
}

/// Returns the library's name for a mode.
fn serving(mode: LintMode) -> ServingMode {
    match mode {
        LintMode::Sidecar => ServingMode::Sidecar,
        LintMode::Native => ServingMode::Native,
        LintMode::Fetch => ServingMode::Fetch,
    }
}

/// The JSON answer.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct LintAnswer<'a> {
    /// 1
    schema_version: u32,
    /// Whether KServe can serve the image in every mode that --mode names.
    ok: bool,
    /// The image as given on the command line.
    image: &'a str,
    /// Digest of the image.
    digest: Digest,
    /// The modes in which KServe can serve the image.
    serves: &'a [ServingMode],
    /// Findings about the whole image.
    findings: Vec<FindingAnswer<'a>>,
    /// The platforms of the image.
    platforms: Vec<PlatformAnswer<'a>>,
}

/// A platform, as the JSON answer has it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct PlatformAnswer<'a> {
    /// `os/architecture`.
    platform: &'a str,
    /// Number of layers.
    layers: usize,
    /// Findings about this platform, the worst first.
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
    /// The modes that the finding is about.
    modes: &'a [ServingMode],
    /// The finding, for people.
    message: String,
    /// What to do, for people; absent if there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// Returns the report as JSON.
fn document(image: &str, ok: bool, report: &LintReport) -> Result<String, Failure> {
    super::document(&LintAnswer {
        schema_version: super::SCHEMA_VERSION,
        ok,
        image,
        digest: report.digest,
        serves: &report.serves,
        findings: report.findings.iter().map(FindingAnswer::of).collect(),
        platforms: report.platforms.iter().map(PlatformAnswer::of).collect(),
    })
}

impl<'a> PlatformAnswer<'a> {
    /// Adds the remedies to what was found for a platform.
    fn of(found: &'a PlatformLint) -> Self {
        let PlatformLint { platform, layers, findings } = found;
        Self { platform, layers: *layers, findings: findings.iter().map(FindingAnswer::of).collect() }
    }
}

impl<'a> FindingAnswer<'a> {
    /// Adds the remedy to a finding.
    fn of(finding: &'a LintFinding) -> Self {
        Self {
            severity: finding.severity(),
            code: finding.code(),
            modes: finding.modes(),
            message: finding.to_string(),
            remedy: remedies::of_lint(finding),
        }
    }
}

/// Returns the report as text.
fn table(image: &str, report: &LintReport) -> String {
    let mut text = format!("image   {image}\ndigest  {}\n", report.digest);
    for mode in ServingMode::ALL {
        let verdict = if report.serves.contains(&mode) { "can serve" } else { "can't serve" };
        let _infallible = writeln!(text, "{:<8}{verdict}", mode.to_string());
    }
    report.findings.iter().for_each(|finding| line(&mut text, finding));
    for platform in &report.platforms {
        let _infallible = writeln!(text, "{}, {}", one_line(&platform.platform), count(platform.layers, "layer"));
        platform.findings.iter().for_each(|finding| line(&mut text, finding));
    }
    text
}

/// Adds a finding to the text, and what to do about it.
fn line(text: &mut String, finding: &LintFinding) {
    let modes: Vec<String> = finding.modes().iter().map(ToString::to_string).collect();
    let modes = if finding.modes().len() == ServingMode::ALL.len() { "all modes".to_owned() } else { modes.join(", ") };
    let message = one_line(&finding.to_string());
    let found = format!("  {}: {message} [{}; {modes}]", finding.severity(), finding.code());
    let _infallible = writeln!(text, "{}", ui::fold(&found, 4));
    if let Some(remedy) = remedies::of_lint(finding) {
        let _infallible = writeln!(text, "{}", ui::fold(&format!("    do: {remedy}"), 8));
    }
}
