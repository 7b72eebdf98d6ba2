//! `modelcar doctor`: checks whether a push would work, and says what to do where it would not. With a SOURCE the model and
//! the base are looked at too.
//!
//! The exit status is 0 if the push can work, 1 if it would fail, and 2 if that could not be found out.

mod content;
mod row;

use std::fmt::Write;

use clap::Args;
use modelcar_core::{
    ImageRef,
    registry::{RegistrySink, Verdict},
    sink::Sink,
    source::SourceRef,
};
use serde::Serialize;

use self::{content::Wanted, row::Row};
use super::Outcome;
use crate::{
    args::{Format, ImageArgs, LoginArgs, RegistryArgs, SelectArgs, utf8},
    clients::Clients,
    hint::Failure,
    interrupt::interrupt,
    resolve, ui,
};

/// What stands at the end of the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  modelcar doctor europe-docker.pkg.dev/p/r/qwen:v1
  modelcar doctor Qwen/Qwen2.5-0.5B-Instruct europe-docker.pkg.dev/p/r/qwen:v1
  modelcar doctor localhost:5000/qwen:v1 --format json";

#[derive(Debug, Args)]
#[command(override_usage = "modelcar doctor [OPTIONS] [SOURCE] <IMAGE>")]
pub(crate) struct DoctorArgs {
    /// Image as a push would name it: `REGISTRY/REPOSITORY[:TAG]`; without a tag it is `latest`
    ///
    /// Before an IMAGE this is the SOURCE of the push: then the model and the base are looked at too, as far as a push does
    /// before the weights.
    // An optional argument before a required one would bear no option between the two.
    #[arg(id = "image", value_name = "NAME", value_parser = utf8())]
    pub(crate) first: String,
    /// Image, behind a SOURCE
    #[arg(value_name = "IMAGE", value_parser = utf8())]
    pub(crate) second: Option<String>,
    /// Format of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    #[command(flatten)]
    pub(crate) base: ImageArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
}

/// Checks. The right to push is tested with an upload session, which is deleted also after an interrupt.
pub(crate) async fn run(args: DoctorArgs) -> Result<Outcome, Failure> {
    let (source, image) = match &args.second {
        Some(image) => (Some(args.first.as_str()), image),
        None => (None, &args.first),
    };
    let image = target(source, image)?;
    let source = source.map(resolve::source).transpose()?;
    let progress = ui::waiting(if source.is_some() { "ask the registry and the source" } else { "ask the registry" });
    let connection = Clients::open(&args.registry, Some((&args.login, &image)))?;
    let repository = connection.repository(&image, &progress)?;
    let tag = image.tag_or_latest();
    let wanted = source.as_ref().map(|source| Wanted::new(source, &args.select, &args.base)).transpose()?;
    let contents = async {
        match &wanted {
            Some(wanted) => wanted.examine(&image, &connection, &progress).await,
            None => Vec::new(),
        }
    };
    let rows: Vec<Row> = tokio::select! {
        (contents, checks) = async { tokio::join!(contents, repository.examine(&tag)) } => {
            contents.into_iter().chain(checks.into_iter().map(Row::from)).collect()
        }
        () = interrupt() => {
            // The check of the right to push opens an upload session, which `abandon` deletes.
            RegistrySink::new(repository, Vec::new()).abandon().await;
            return Ok(Outcome::Interrupted(String::new()));
        }
    };
    let has = |verdict| rows.iter().any(|row| row.verdict == verdict);
    let answer = match args.format {
        Format::Text => table(&rows),
        Format::Json => {
            let ok = !has(Verdict::No) && !has(Verdict::Unknown);
            let schema_version = super::SCHEMA_VERSION;
            super::document(&DoctorAnswer {
                schema_version,
                ok,
                source: source.as_ref(),
                image: &image,
                checks: &rows,
            })?
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

/// Parses the IMAGE. A pinned name is no place to push to; whoever has one often wants to know whether it can be read.
fn target(source: Option<&str>, image: &str) -> Result<ImageRef, Failure> {
    let pinned = resolve::without_scheme(image).parse::<ImageRef>().is_ok_and(|image| image.digest().is_some());
    resolve::target_behind(source, image).map_err(|failure| {
        if pinned {
            failure.hint(format!("`modelcar inspect {image}` tells whether an image can be read"))
        } else {
            failure
        }
    })
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
    /// The source as given on the command line; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a SourceRef>,
    /// The image as given on the command line.
    image: &'a ImageRef,
    /// The checks that were made.
    checks: &'a [Row],
}

/// Column at which the texts begin, behind the name of a check and its verdict.
const TEXT: usize = 17;

/// Returns what the checks come to: what the exit status says too.
fn verdict(rows: &[Row]) -> &'static str {
    let has = |verdict| rows.iter().any(|row| row.verdict == verdict);
    if has(Verdict::No) {
        "a push would fail"
    } else if has(Verdict::Unknown) {
        "whether a push would work is unknown"
    } else {
        "a push can work"
    }
}

/// Returns the checks as text, the advice below each of them, and the verdict.
fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let verdict = match row.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::No => "no",
            Verdict::Unknown => "unknown",
        };
        let found = format!("{:<7} {verdict:<8} {}", row.name, row.found);
        let advice = row.advice.as_ref().map(|advice| format!("{:TEXT$}{advice}", ""));
        for line in [found].into_iter().chain(advice) {
            let _infallible = writeln!(text, "{}", ui::fold(&line, TEXT));
        }
    }
    text + verdict(rows)
}
