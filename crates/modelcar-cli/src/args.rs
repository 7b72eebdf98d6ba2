//! Arguments that several commands share, and the parsers of their values.
//!
//! The doc comments of the arguments are the help texts, which snapshots of `tests/cli` pin. Defaults that depend on
//! the machine are in `commands` and in the libraries, not here.

use std::{ffi::OsString, num::NonZeroU64, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use clap::{
    Args, ValueEnum,
    builder::{OsStringValueParser, TypedValueParser},
};
use modelcar_core::Platform;

/// The form of the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text; for push and build one line to pin, for download the folder
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
    /// One JSON object a line, for programs: https://github.com/modelcar/modelcar/blob/main/docs/json.md
    #[expect(clippy::doc_markdown, reason = "the comment is a help text")]
    Json,
    /// Nothing but warnings and errors
    None,
}

/// Which files of the source go into the image.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files of the model")]
pub(crate) struct SelectArgs {
    /// Take only files that match (can be repeated)
    ///
    /// `*` crosses `/`, as on the Hub; `dir/` means all below it.
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,
    /// Leave out files that match (can be repeated)
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// Of files that hold the same weights, take those that match (can be repeated)
    ///
    /// Chooses a quantization, a precision or a format: `--weights '*Q4_K_M*'`, `--weights '*.fp16.*'`. Files whose
    /// weights no other file holds are packed all the same.
    #[arg(long, value_name = "GLOB", conflicts_with_all = ["include", "all"])]
    pub(crate) weights: Vec<String>,
    /// Take every file, copies of the weights and the state of a training too
    #[arg(long)]
    pub(crate) all: bool,
    /// Make the image although files of the model are missing or broken
    ///
    /// The image's annotations say so; `modelcar render` then asks for the same option.
    #[arg(long)]
    pub(crate) allow_incomplete: bool,
}

/// The base image, platforms and annotations.
#[derive(Debug, Args)]
#[command(next_help_heading = "Image")]
pub(crate) struct ImageArgs {
    /// Base image: a reference, `oci:DIR[:NAME]`, `binary:PATH` or `scratch` [default: busybox, see `modelcar base`]
    ///
    /// KServe's sidecar needs a shell in the image; `scratch` serves only `oci+native://`. Given several times, the first
    /// base that can be used is used, with a warning for each base before it: the digest of the image depends on the base.
    /// The variable `MODELCAR_BASE` names another default.
    #[arg(long, value_name = "BASE", conflicts_with = "base_binary")]
    pub(crate) base: Vec<String>,
    /// Static busybox to make the base of
    #[arg(long, value_name = "PATH")]
    pub(crate) base_binary: Option<PathBuf>,
    /// Make only this platform (can be repeated); default: all that the base has
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Vec<Platform>,
    /// Annotation of the image; overrides one from the model card (can be repeated)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) annotation: Vec<(String, String)>,
}

/// How fast, and how it is shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "Speed and output")]
pub(crate) struct RunArgs {
    /// Layers, or files of a download, in flight [default: two for each core, from 4 to 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: Option<u16>,
    /// Connections to the Hub in all [default: two for each layer or file in flight]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) connections: Option<u16>,
    /// Memory for reading ahead, shared by all connections; each connection uses at least 1 MiB
    #[arg(long, value_name = "SIZE", default_value = "32MiB", value_parser = read_ahead)]
    pub(crate) read_ahead: ByteSize,
    /// How progress is shown on stderr
    #[arg(long, value_enum, default_value_t)]
    pub(crate) progress: ProgressMode,
    /// Format of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// How registries are spoken to.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct RegistryArgs {
    /// Use plain HTTP for registries; registries on loopback addresses get it without this option, unless they speak TLS
    #[arg(long)]
    pub(crate) plain_http: bool,
    /// Trust the certificate authorities in this PEM file too, for registries and the Hub (can be repeated)
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Vec<PathBuf>,
    /// Do not check the certificates of registries: logins and images can be read and changed on the way
    #[arg(long)]
    pub(crate) insecure_skip_tls_verify: bool,
}

/// The login and the certificate for the image's registry. Other registries get to see none of it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct LoginArgs {
    /// Name to log in to the image's registry with; needs --password-stdin
    ///
    /// The variables `MODELCAR_REGISTRY_USERNAME` and `MODELCAR_REGISTRY_PASSWORD` do the same. Without either, logins
    /// come from Docker's and podman's files and their helpers, and for Google's registries from the machine's or the
    /// user's Google account.
    #[arg(long, value_name = "NAME", requires_all = ["password_stdin", "image"])]
    pub(crate) username: Option<String>,
    /// Read the password from stdin
    #[arg(long, requires_all = ["username", "image"])]
    pub(crate) password_stdin: bool,
    /// Show the image's registry the certificate in this PEM file, if the registry asks for one
    ///
    /// The variables `MODELCAR_REGISTRY_CLIENT_CERT` and `MODELCAR_REGISTRY_CLIENT_KEY` do the same. Without either,
    /// certificates come from the folders certs.d of podman and Docker.
    #[arg(long, value_name = "FILE", requires = "image")]
    pub(crate) client_cert: Option<PathBuf>,
    /// PEM file of the certificate's private key [default: the file of --client-cert]
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,
}

/// How layers are uploaded.
#[derive(Debug, Args)]
#[command(next_help_heading = "Upload")]
pub(crate) struct UploadArgs {
    /// Upload in chunks of this size, for a proxy that caps the size of a request: 64MiB, 100MB
    ///
    /// Without this option a layer is sent in one request; if the request is refused as too large, modelcar switches to chunks.
    #[arg(long, value_name = "SIZE", value_parser = chunk_size)]
    pub(crate) chunk_size: Option<NonZeroU64>,
    /// Total time that a push may lose to failures, backoff waits and time-outs together: 90s, 30m, 2h
    #[arg(long, value_name = "TIME", default_value = "2h", value_parser = duration)]
    pub(crate) retry_budget: Duration,
}

/// Where layers are looked for that need not be downloaded and uploaded again.
#[derive(Debug, Args)]
#[command(next_help_heading = "Layers that are reused")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct ReuseArgs {
    /// Look for layers in this image too (can be repeated)
    ///
    /// Another tag, another repository of the same registry, or with --copy an image of another registry.
    #[arg(long, value_name = "IMAGE", requires = "image")]
    pub(crate) reuse_from: Vec<String>,
    /// Copy layers from the images of --reuse-from that are in other registries instead of downloading them
    #[arg(long, requires = "reuse_from")]
    pub(crate) copy: bool,
    /// Download and upload every layer
    #[arg(long, requires = "image", conflicts_with_all = ["reuse_from", "copy", "verify_reuse"])]
    pub(crate) no_reuse: bool,
    /// Read every reused layer from the registry and check it before it is used
    #[arg(long, requires = "image")]
    pub(crate) verify_reuse: bool,
    /// Folder of the local cache of recipes [default: modelcar in the user's cache folder]
    #[arg(long, value_name = "DIR", requires = "image")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Don't read or write the local cache
    #[arg(long, requires = "image", conflicts_with = "cache_dir")]
    pub(crate) no_cache: bool,
    /// Don't write checkpoints into the registry, and don't look for any
    #[arg(long, requires = "image")]
    pub(crate) no_checkpoint: bool,
}

/// A source to plan, or a plan made before.
#[derive(Debug, Args)]
pub(crate) struct PlannedArgs {
    /// Replay a lock file of `plan --output` instead of planning
    ///
    /// The answer of `plan --format json` will do too, unless it is of a directory: it does not pin the files' content.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["include", "exclude", "weights", "all", "allow_incomplete", "base", "base_binary", "platform", "annotation"]
    )]
    pub(crate) plan: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    #[command(flatten)]
    pub(crate) image: ImageArgs,
}

/// Least size of a chunk in bytes. Every chunk costs a round trip to the registry, so smaller chunks make no sense.
const LEAST_CHUNK_BYTES: u64 = 64 << 10;

/// Least memory for reading ahead, in bytes: the least that one connection gets.
const LEAST_READ_AHEAD_BYTES: u64 = 1 << 20;

/// Largest size in bytes that is accepted. A number that does not fit into 64 bits is parsed as the largest number,
/// and so is refused too.
const MOST_BYTES: u64 = 1 << 40;

/// Parses the size of a chunk. The error is a part of clap's message, as are those of the parsers below.
fn chunk_size(text: &str) -> Result<NonZeroU64, String> {
    let bytes = size(text, LEAST_CHUNK_BYTES)?;
    NonZeroU64::new(bytes).ok_or_else(|| "expected a size above 0".to_owned())
}

/// Parses the memory for reading ahead.
fn read_ahead(text: &str) -> Result<ByteSize, String> {
    size(text, LEAST_READ_AHEAD_BYTES).map(ByteSize)
}

/// Parses a size, with or without a unit: `64MiB` has 64 × 2²⁰ bytes, `100MB` has 100 × 10⁶ bytes.
///
/// # Errors
/// When the text is no size, or the size is below `least` or above [`MOST_BYTES`].
fn size(text: &str, least: u64) -> Result<u64, String> {
    let bytes = text.parse::<ByteSize>().map_err(|_| "expected a size such as 64MiB or 100MB".to_owned())?.0;
    if (least..=MOST_BYTES).contains(&bytes) {
        return Ok(bytes);
    }
    let shown = |bytes| ByteSize(bytes).display().iec();
    Err(format!("expected at least {} and at most {}", shown(least), shown(MOST_BYTES)))
}

/// Returns a parser for names. A name that is not UTF-8 is refused, with the name of the argument in the message;
/// clap's own parser of strings names neither.
pub(crate) fn utf8() -> impl TypedValueParser<Value = String> {
    let text = |given: OsString| given.into_string().map_err(|_| "it is not UTF-8");
    OsStringValueParser::new().try_map(text)
}

/// Parses a time: a number and the unit `s`, `m` or `h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time such as 90s, 30m or 2h".to_owned();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).map(Duration::from_secs).ok_or_else(wrong)
}

/// Splits a text at its first `=`. The key must not be empty; the value may be.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_and_times_have_units() {
        use super::{chunk_size, duration, read_ahead};
        let sizes = ["64MiB", "100MB", "65536", "1k", "0", "x", "99999999999999999999GiB"];
        let sizes = sizes.map(|text| chunk_size(text).ok().map(u64::from));
        assert_eq!(sizes, [Some(64 << 20), Some(100_000_000), Some(65536), None, None, None, None]);
        let sizes = ["32MiB", "0", "x", "99999999999999999999GiB"].map(|text| read_ahead(text).map(|size| size.0));
        let bounds = Err("expected at least 1.0 MiB and at most 1.0 TiB".to_owned());
        let words = Err("expected a size such as 64MiB or 100MB".to_owned());
        assert_eq!(sizes, [Ok(32 << 20), bounds.clone(), words, bounds]);
        let times = ["90s", "30m", "2h", "0s", "5", "h", "-1s", "1d"].map(|text| duration(text).ok());
        let seconds = times.map(|time| time.map(|time| time.as_secs()));
        assert_eq!(seconds, [Some(90), Some(1800), Some(7200), Some(0), None, None, None, None]);
    }
}
