//! `modelcar plan`: shows what an image would hold, and with an IMAGE also what a push would upload.
//!
//! With `--output` the lock file is written. With `--check` a lock file is compared with its source and base instead.

use std::{fmt::Write, fs, path::PathBuf};

use clap::Args;
use modelcar_core::{
    BuildOptions, ImageRef,
    facts::{Flaw, ModelFacts},
    plan::{LockFile, Plan},
    push::{PreparedPush, Push},
    reuse::{Decision, LayerAction},
    text::one_line,
};
use modelcar_kserve::sizing::{NodeDisk, PullTime};
use serde::Serialize;

use super::{Outcome, lock_check, planned, reuse};
use crate::{
    args::{Format, ImageArgs, LoginArgs, ProgressMode, RegistryArgs, ReuseArgs, SelectArgs, utf8},
    clients::Clients,
    hint::Failure,
    resolve,
    ui::{self, count, size},
};

/// What stands at the end of the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  modelcar plan Qwen/Qwen2.5-0.5B-Instruct --base scratch
  modelcar plan Qwen/Qwen2.5-0.5B-Instruct europe-docker.pkg.dev/p/r/qwen:v1
  modelcar plan ./my-model --output plan.json
  modelcar plan --check plan.json";

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Model: `owner/name[@revision]`, a path (`./dir`), `gs://BUCKET/PREFIX`, `s3://BUCKET/PREFIX` or
    /// `hf-cache://owner/name[@revision]`
    #[arg(required_unless_present = "check", value_parser = utf8())]
    pub(crate) source: Option<String>,
    /// Image that a push would go to: shows for each layer whether it is uploaded
    ///
    /// `REGISTRY/REPOSITORY[:TAG]`; without a tag it is `latest`.
    #[arg(value_parser = utf8())]
    pub(crate) image: Option<String>,
    /// Check a lock file against its source and base: exit status 1 when revision, base or files have changed
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "output", "source", "image", "tag", "include", "exclude", "weights", "all", "allow_incomplete", "base", "base_binary", "platform",
            "annotation", "reuse_from", "copy", "no_reuse", "verify_reuse", "cache_dir", "no_cache", "no_checkpoint",
            "username", "password_stdin",
        ]
    )]
    pub(crate) check: Option<PathBuf>,
    /// Tag that the push would give the image too (can be repeated)
    #[arg(long, value_name = "TAG", requires = "image")]
    pub(crate) tag: Vec<String>,
    /// Write the lock file here, for `push --plan`
    ///
    /// Files of a directory are read once, so that the lock file pins their content; those of a store are read in any case,
    /// unless they were read before.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// How progress is shown on stderr
    #[arg(long, value_enum, default_value_t)]
    pub(crate) progress: ProgressMode,
    /// Format of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) reuse: ReuseArgs,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    #[command(flatten)]
    pub(crate) base: ImageArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
}

/// Plans. No weights are uploaded, and nothing is written to the registry.
pub(crate) async fn run(args: PlanArgs) -> Result<Outcome, Failure> {
    let image = args.image.as_deref().map(|image| resolve::target_behind(args.source.as_deref(), image));
    let image: Option<ImageRef> = image.transpose()?;
    let connection = Clients::open(&args.registry, image.as_ref().map(|image| (&args.login, image)))?;
    if let Some(file) = &args.check {
        return lock_check::run(file, &connection, &ui::progress(), args.format).await;
    }
    let source = args.source.as_deref().ok_or_else(|| Failure::say("no source is named"))?;
    let source = resolve::source(source)?;
    let connections = reuse::with_contents(&args.reuse, connection.connections(&source));
    let progress = ui::progress();
    let mut contents = planned(source, &args.select, &args.base, &progress).await?;
    if args.output.is_some() {
        contents = contents.identified();
    }
    let (lock, flaws, decided) = match image {
        None => {
            let planned = contents.plan(&connections, &progress).await?.described().await?;
            if args.output.is_some() {
                planned.check()?;
            }
            (planned.lock(), planned.flaws().to_vec(), None)
        }
        Some(image) => {
            let push = Push::new(contents, image, connections)
                .with_tags(resolve::tags(&args.tag)?)
                .with_reuse(reuse::policy(&args.reuse)?)
                .with_build_options(BuildOptions { progress, ..BuildOptions::default() });
            let push = push.preview().await?;
            (push.lock(), push.flaws().to_vec(), Some(Decided::new(&push)))
        }
    };
    if let Some(file) = &args.output {
        fs::write(file, lock.to_json())
            .map_err(|error| Failure::of_write(error, format!("write lock file `{}`", file.display())))?;
    }
    super::warn(&flaws, &lock.plan, !args.select.allow_incomplete);
    Ok(Outcome::Answer(match args.format {
        Format::Text => table(&lock, decided.as_ref()),
        Format::Json => document(&lock, &flaws, decided.as_ref())?,
    }))
}

/// What a push to an image would do. As JSON it is a part of the answer.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Decided {
    /// The image that a push would write.
    image: String,
    /// Whether the registry has the image already, under every tag.
    published: bool,
    /// Bytes of files that a push would read from the source.
    #[serde(rename = "fetchBytes")]
    fetch: u64,
    /// Bytes of layers that a push would send to the registry.
    #[serde(rename = "sendBytes")]
    send: u64,
    /// A decision for each layer of the plan.
    #[serde(rename = "layers")]
    decisions: Vec<Decision>,
}

impl Decided {
    fn new(push: &PreparedPush) -> Self {
        Self {
            image: push.image().to_string(),
            decisions: push.decisions().to_vec(),
            published: push.is_published(),
            fetch: push.bytes_to_fetch(),
            send: push.bytes_to_send(),
        }
    }

    /// Returns what is done with a layer, and why.
    fn reason(&self, layer: usize) -> String {
        let Some(decision) = self.decisions.get(layer) else { return String::new() };
        match (&decision.action, &decision.from) {
            (LayerAction::Upload, _) => match decision.renamed.as_slice() {
                [] => "upload".to_owned(),
                [first, ..] => {
                    format!("upload: `{}` was `{}`, and the path is part of the layer", first.to, first.from)
                }
            },
            (way, from) => {
                let way = match way {
                    LayerAction::Mount => "mount",
                    LayerAction::Copy => "copy",
                    _ => "reuse",
                };
                format!("{way} from {}", from.as_deref().unwrap_or_default())
            }
        }
    }
}

/// Version of the JSON answer. Version 1 had the fields of the lock file beside the others.
const SCHEMA_VERSION: u32 = 2;

/// The JSON answer. It contains the lock file.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanAnswer<'a> {
    /// 2; in version 1 the fields of `lock` were at the top level.
    schema_version: u32,
    /// The lock file, as `plan --output` writes it.
    lock: &'a LockFile,
    /// The same as `lock.plan`, where version 1 had it.
    plan: &'a Plan,
    /// Sum of the files' sizes, in bytes.
    content_bytes: u64,
    /// Sum of the layers' sizes, in bytes.
    layer_bytes: u64,
    node_disk: NodeDisk,
    pull_time: PullTime,
    /// What is wrong with the model's files, or looks wrong.
    flaws: Vec<FlawAnswer>,
    /// What a push to IMAGE would do; absent without IMAGE.
    #[serde(skip_serializing_if = "Option::is_none")]
    push: Option<&'a Decided>,
}

/// A flaw of the model, as the JSON answer has it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct FlawAnswer {
    /// The kind of flaw, for programs.
    code: &'static str,
    /// Whether no server can load the model.
    broken: bool,
    /// The flaw, for people.
    message: String,
}

/// Returns the JSON answer.
fn document(lock: &LockFile, flaws: &[Flaw], decided: Option<&Decided>) -> Result<String, Failure> {
    let told = |flaw: &Flaw| FlawAnswer { code: flaw.code(), broken: flaw.is_broken(), message: flaw.to_string() };
    super::document(&PlanAnswer {
        schema_version: SCHEMA_VERSION,
        lock,
        plan: &lock.plan,
        content_bytes: lock.plan.content_bytes(),
        layer_bytes: lock.plan.layer_bytes(),
        node_disk: NodeDisk::of_plan(&lock.plan),
        pull_time: PullTime::of_plan(&lock.plan),
        flaws: flaws.iter().map(told).collect(),
        push: decided,
    })
}

/// Returns the answer as text.
fn table(lock: &LockFile, decided: Option<&Decided>) -> String {
    let plan = &lock.plan;
    let mut text =
        format!("source  {}\nbase    {}\n", one_line(&lock.source.to_string()), one_line(&lock.base.to_string()));
    text.push_str(&ui::facts(&ModelFacts::from_annotations(plan.annotations())));
    text.push('\n');
    let platforms: Vec<_> = plan.base().platforms.iter().map(|base| base.platform.to_string()).collect();
    layers(&mut text, plan, decided);
    let all = format!(
        "{} of weights, {} in {}, for {}",
        count(plan.layers().len(), "layer"),
        size(plan.layer_bytes()),
        count(plan.layers().iter().map(|layer| layer.files.len()).sum::<usize>(), "file"),
        platforms.join(" and ")
    );
    let _infallible = writeln!(text, "\n{}", ui::fold(&all, 0));
    text.push_str(&ui::node_disk(&NodeDisk::of_plan(plan)));
    text.push_str(&ui::pull_time(&PullTime::of_plan(plan)));
    if let Some(decided) = decided {
        let told = if decided.published {
            format!("{} is this image already: nothing to do", decided.image)
        } else {
            let (fetch, send) = (size(decided.fetch), size(decided.send));
            format!("to {}: {fetch} to fetch, {send} to send", decided.image)
        };
        let _infallible = write!(text, "\n{}", ui::fold(&told, 0));
    }
    text
}

/// Column at which the files of the table begin.
const FILES: usize = 19;
/// Most files of a layer that are listed one by one.
const LISTED_FILES: usize = 20;

/// Adds the layers and their files to the text, and then the files that are left out.
fn layers(text: &mut String, plan: &Plan, decided: Option<&Decided>) {
    let _infallible = writeln!(text, "{:>5}  {:>10}  FILES", "LAYER", "SIZE");
    for (index, layer) in plan.layers().iter().enumerate() {
        if let Some(decided) = decided {
            let line = format!("{:>5}  {:>10}  {}", index + 1, size(layer.size), decided.reason(index));
            let _infallible = writeln!(text, "{}", ui::fold(&line, FILES));
        }
        for (line, file) in layer.files.iter().take(LISTED_FILES).enumerate() {
            let (number, bytes) = match line {
                0 if decided.is_none() => ((index + 1).to_string(), size(layer.size)),
                _ => (String::new(), String::new()),
            };
            let line = format!("{number:>5}  {bytes:>10}  {} ({})", one_line(file.path.as_str()), size(file.size));
            let _infallible = writeln!(text, "{}", ui::fold(&line, FILES));
        }
        if let more @ 1.. = layer.files.len().saturating_sub(LISTED_FILES) {
            let _infallible = writeln!(text, "{:>5}  {:>10}  and {more} more", "", "");
        }
    }
    if !plan.left_out().is_empty() {
        let _infallible = writeln!(text, "\nLEFT OUT (see --weights, --include, --exclude, --all)");
    }
    for file in plan.left_out() {
        let line = format!("{:>17}  {}: {}", size(file.size), one_line(file.path.as_str()), file.reason);
        let _infallible = writeln!(text, "{}", ui::fold(&line, FILES));
    }
}
