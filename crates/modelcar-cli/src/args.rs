//! What can be typed. The doc comments are the help texts.

mod render;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use modelcar_core::base::Platform;

pub(crate) use self::render::RenderArgs;

/// Turn Hugging Face model weights into an OCI image that KServe serves, without Docker and without a disk copy
///
/// Exit status: 0 done, 1 checked and the answer is no, 2 could not, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "modelcar", version, propagate_version = true, help_expected = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show which file goes into which layer, and why others stay out
    ///
    /// Moves no weights. Examples:
    ///   modelcar plan Qwen/Qwen2.5-0.5B-Instruct --base scratch
    ///   modelcar plan ./my-model --output plan.json
    #[command(verbatim_doc_comment)]
    Plan(Box<PlanArgs>),
    /// Stream a model into a registry and print the pinned image
    ///
    /// The answer on stdout is one line, `IMAGE@sha256:…`. Examples:
    ///   modelcar push Qwen/Qwen2.5-0.5B-Instruct europe-docker.pkg.dev/p/r/qwen:v1
    ///   modelcar push ./my-model localhost:5000/my-model:v1 --base scratch
    #[command(verbatim_doc_comment)]
    Push(Box<PushArgs>),
    /// Write the image as an OCI image layout or archive
    ///
    /// The answer on stdout is the index's digest. Examples:
    ///   modelcar build ./my-model --output oci:./image --base scratch
    ///   modelcar build owner/name --output oci-archive:image.tar
    #[command(verbatim_doc_comment)]
    Build(Box<BuildArgs>),
    /// Show an image's platforms, layers and files
    ///
    /// Examples:
    ///   modelcar inspect europe-docker.pkg.dev/p/r/qwen:v1
    ///   modelcar inspect oci:./image --format json
    ///   modelcar inspect --lint quay.io/somebody/modelcar:1
    #[command(verbatim_doc_comment)]
    Inspect(InspectArgs),
    /// Write the KServe manifests that serve an image
    ///
    /// IMAGE is pinned: REGISTRY/REPOSITORY@sha256:…; with --resolve a tag will do. Examples:
    ///   modelcar render $IMAGE --gpu-type nvidia-l4 | kubectl apply -f -
    ///   modelcar render $IMAGE --kind smoke-test --runtime-version v0.23.0
    ///   modelcar render $IMAGE --custom-container vllm/vllm-openai:v0.23.0 --native
    #[command(verbatim_doc_comment)]
    Render(Box<RenderArgs>),
    /// Say from pods whether KServe injected the model, how, and what will fail
    ///
    /// Reads what kubectl prints: pods, deployments, or a list. Exit status 1: something fails.
    /// Examples:
    ///   kubectl get pod -l serving.kserve.io/inferenceservice=qwen -o json | modelcar check -
    ///   modelcar check pod.json --expect sha256:… --format json
    #[command(verbatim_doc_comment)]
    Check(CheckArgs),
}

/// The form of the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people, or one line to pin
    #[default]
    Text,
    /// One JSON document
    Json,
}

/// How progress is shown on stderr.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// Bars on a terminal, lines otherwise
    #[default]
    Auto,
    /// Lines
    Plain,
    /// Nothing
    None,
}

/// Which files of the source go into the image.
#[derive(Debug, Args)]
pub(crate) struct SelectArgs {
    /// Take only files that match (can be repeated)
    ///
    /// `*` crosses `/`, as on the Hub; `dir/` means all below it.
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,
    /// Leave out files that match (can be repeated)
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// Take every file, copies of the weights in other formats too
    #[arg(long)]
    pub(crate) all: bool,
}

/// What lies below the weights, and what is written on the image.
#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    /// Image below the weights: a reference, `oci:DIR[:NAME]` or `scratch`
    ///
    /// KServe's sidecar needs a shell in the image; `scratch` serves only `oci+native://`.
    #[arg(long, value_name = "BASE", default_value = DEFAULT_BASE, conflicts_with = "base_binary")]
    pub(crate) base: String,
    /// Static busybox to make the base of
    #[arg(long, value_name = "PATH")]
    pub(crate) base_binary: Option<PathBuf>,
    /// Make only this platform (can be repeated); default: all that the base has
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Vec<Platform>,
    /// Annotation of the image, over those from the model card (can be repeated)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) annotation: Vec<(String, String)>,
}

/// A small image with a shell, from a mirror that asks for no login.
pub(crate) const DEFAULT_BASE: &str = "public.ecr.aws/docker/library/busybox:1.37.0-musl";

/// How fast, and how it is shown.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Layers in flight
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
    /// Connections to the Hub over all layers
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) connections: u16,
    /// Progress on stderr
    #[arg(long, value_enum, default_value_t)]
    pub(crate) progress: ProgressMode,
    /// Form of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// How registries are spoken to.
#[derive(Debug, Args)]
pub(crate) struct RegistryArgs {
    /// Speak plain HTTP to registries that are not on this machine
    #[arg(long)]
    pub(crate) plain_http: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Model: `owner/name[@revision]`, `hf://owner/name[@revision]` or a path (`./dir`)
    pub(crate) source: String,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    #[command(flatten)]
    pub(crate) image: ImageArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Write the lock file here, for `push --plan`
    ///
    /// Files of a directory are read once, so that the lock file pins their content.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Form of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// A source to plan, or a plan made before.
#[derive(Debug, Args)]
pub(crate) struct PlannedArgs {
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    #[command(flatten)]
    pub(crate) image: ImageArgs,
    /// Replay a lock file of `plan --output` instead of planning
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["include", "exclude", "all", "base", "base_binary", "platform", "annotation"]
    )]
    pub(crate) plan: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// SOURCE and IMAGE, or IMAGE alone with --plan
    ///
    /// SOURCE is `owner/name[@revision]`, `hf://owner/name[@revision]` or a path (`./dir`); IMAGE is
    /// `REGISTRY/REPOSITORY:TAG`. With --plan a SOURCE replaces the one in the lock file.
    #[arg(value_names = ["SOURCE", "IMAGE"], num_args = 1..=2, required = true)]
    pub(crate) names: Vec<String>,
    /// Tag the image with this name too (can be repeated)
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    #[command(flatten)]
    pub(crate) planned: PlannedArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Model: `owner/name[@revision]`, `hf://owner/name[@revision]` or a path; left out with --plan
    #[arg(required_unless_present = "plan")]
    pub(crate) source: Option<String>,
    /// Where the image goes: `oci:DIR[:NAME]` or `oci-archive:FILE[:NAME]`
    #[arg(long, value_name = "OUTPUT")]
    pub(crate) output: String,
    #[command(flatten)]
    pub(crate) planned: PlannedArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Image: a reference or `oci:DIR[:NAME]`
    pub(crate) image: String,
    /// Say instead whether KServe can serve the image, and why not
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
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Form of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

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

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// File with JSON of kubectl, or `-` for stdin
    pub(crate) file: String,
    /// Digest that the pods should run, or an image that names it
    #[arg(long, value_name = "DIGEST")]
    pub(crate) expect: Option<String>,
    /// Form of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
