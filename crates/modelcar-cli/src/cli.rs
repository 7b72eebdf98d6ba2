//! The command line: its commands, and the help above and below them.
//!
//! The doc comments of the commands are help texts. A command whose arguments are large is boxed, so that the enum of
//! commands stays small.

use std::sync::LazyLock;

use clap::{ArgAction, ColorChoice, Parser, Subcommand};

use crate::{
    args::{Format, ProgressMode},
    commands::{base, build, check, completions, doctor, download, inspect, man, pin, plan, push, render},
    variables,
};

/// The examples at the end of the long help.
const EXAMPLES: &str = "\
Examples:
  modelcar plan Qwen/Qwen2.5-0.5B-Instruct
  modelcar push Qwen/Qwen2.5-0.5B-Instruct europe-docker.pkg.dev/p/r/qwen:v1
  modelcar render $IMAGE --gpu-type nvidia-l4 | kubectl apply -f -";

/// Returns what stands at the end of the long help: examples, and the environment variables that are read.
fn after() -> String {
    format!("{EXAMPLES}\n\n{}", variables::help())
}

/// Returns what `--version` prints: the version, and the commit of a binary that `make static` built in a repository.
fn long_version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let version = env!("CARGO_PKG_VERSION");
        match option_env!("MODELCAR_COMMIT") {
            Some(commit) if !commit.is_empty() => format!("{version} (commit {commit})"),
            _ => version.to_owned(),
        }
    });
    &TEXT
}

/// Turn Hugging Face model weights into an OCI image that KServe serves, without Docker and without a disk copy
///
/// Exit status: 0 success, 1 the check ran and found a problem, 2 error, 3 a pod waits (check), 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "modelcar", version, long_version = long_version(), propagate_version = true)]
#[command(help_expected = true, max_term_width = 100)]
#[command(after_long_help = after())]
pub(crate) struct Cli {
    /// Log to stderr: -v steps, decisions and retries, -vv every request too; never a secret
    #[arg(short, long, global = true, help_heading = "Messages", action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Write only the answer to stdout, and only errors, hints and warnings to stderr
    #[arg(short, long, global = true, help_heading = "Messages", conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// When the help and messages have colours; `auto` asks the terminal and `NO_COLOR`
    #[arg(long, global = true, help_heading = "Messages", value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Returns how progress is shown. Commands without the option have little of it.
    pub(crate) fn progress(&self) -> ProgressMode {
        match &self.command {
            Command::Plan(args) => args.progress,
            Command::Push(args) => args.run.progress,
            Command::Build(args) => args.run.progress,
            Command::Download(args) => args.run.progress,
            Command::Base(args) => args.progress,
            _ => ProgressMode::Plain,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show which file goes into which layer, why others stay out, and what a push would do
    ///
    /// Uploads no weights. Of a store, the files that are packed are read once for their SHA-256, which the local cache keeps.
    #[command(after_long_help = plan::EXAMPLES)]
    #[command(override_usage = "modelcar plan [OPTIONS] <SOURCE> [IMAGE]\n       \
                                modelcar plan [OPTIONS] --check <FILE>")]
    Plan(Box<plan::PlanArgs>),
    /// Stream a model into a registry and print the pinned image
    ///
    /// The answer on stdout is one line, `IMAGE@sha256:…`.
    #[command(after_long_help = push::EXAMPLES)]
    #[command(override_usage = "modelcar push [OPTIONS] <SOURCE> <IMAGE>\n       \
                                modelcar push [OPTIONS] --plan <FILE> [SOURCE] <IMAGE>")]
    #[command(allow_missing_positional = true)]
    Push(Box<push::PushArgs>),
    /// Write the image as an OCI image layout or archive
    ///
    /// The answer on stdout is the index's digest.
    #[command(after_long_help = build::EXAMPLES)]
    #[command(override_usage = "modelcar build [OPTIONS] --output <OUTPUT> <SOURCE>\n       \
                                modelcar build [OPTIONS] --output <OUTPUT> --plan <FILE> [SOURCE]")]
    Build(Box<build::BuildArgs>),
    /// Download a model's files into a folder, checked and in parallel
    ///
    /// A download that was stopped or killed goes on when it is run again. The answer on stdout is the folder with the
    /// model's files.
    #[command(after_long_help = download::EXAMPLES)]
    Download(Box<download::DownloadArgs>),
    /// Show an image's platforms, layers and files
    #[command(after_long_help = inspect::EXAMPLES)]
    Inspect(inspect::InspectArgs),
    /// Show the base image and the places that have it, or copy it into a registry of yours
    ///
    /// With --copy-to, the answer on stdout is the reference for --base. Exit status: 0 a place has the base, 1 no place has
    /// the base, 2 error.
    #[command(after_long_help = base::EXAMPLES)]
    Base(base::BaseArgs),
    /// Check that a push to IMAGE can work: name, network, login, rights, tag
    ///
    /// Leaves nothing in the registry. Exit status: 0 the push can work, 1 the push would fail, 2 unknown.
    #[command(after_long_help = doctor::EXAMPLES)]
    Doctor(doctor::DoctorArgs),
    /// Write the KServe manifests that serve an image
    ///
    /// IMAGE is pinned: REGISTRY/REPOSITORY@sha256:…; with --resolve a tag will do.
    #[command(after_long_help = render::EXAMPLES)]
    Render(Box<render::RenderArgs>),
    /// Write the digest of an image into manifests in place
    ///
    /// References to IMAGE's repository get its digest in place of their tag or digest; every other byte of the files stays.
    /// Reads `storageUri`, `storageUris`, `STORAGE_URI`, the model.uri of an `LLMInferenceService`, image volumes, kustomizations and
    /// patches: https://github.com/modelcar/modelcar/blob/main/docs/pin.md
    ///
    /// Asks no registry. Exit status: 0 all references are pinned, 1 with --check one is not, 2 error or no reference to the
    /// repository; nothing is changed then.
    #[expect(clippy::doc_markdown, reason = "the comment is a help text")]
    #[command(after_long_help = pin::EXAMPLES)]
    Pin(pin::PinArgs),
    /// Check pods: are they Ready, why not, and how did KServe inject the model
    ///
    /// Reads the JSON that kubectl prints: pods, deployments, or a list with their events. Exit status: 0 every pod that
    /// should serve the model is Ready and nothing else is wrong, 1 a pod fails or serves another image, 2 nothing could be
    /// checked, 3 a pod waits for something. A manifest, and the answer of a dry run, is judged by the injection alone.
    #[command(after_long_help = check::EXAMPLES)]
    Check(check::CheckArgs),
    /// Print the script by which a shell completes commands, options and values
    #[command(after_long_help = completions::EXAMPLES)]
    Completions(completions::CompletionsArgs),
    /// Write the man pages into a folder
    #[command(hide = true)]
    Man(man::ManArgs),
}

impl Command {
    /// Returns the form of the answer.
    pub(crate) fn format(&self) -> Format {
        match self {
            Self::Plan(args) => args.format,
            Self::Push(args) => args.run.format,
            Self::Build(args) => args.run.format,
            Self::Download(args) => args.run.format,
            Self::Inspect(args) => args.format,
            Self::Base(args) => args.format,
            Self::Doctor(args) => args.format,
            Self::Pin(args) => args.format,
            Self::Check(args) => args.format,
            Self::Render(_) | Self::Completions(_) | Self::Man(_) => Format::Text,
        }
    }
}
