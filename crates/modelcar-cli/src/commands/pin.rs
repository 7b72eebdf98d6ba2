//! `modelcar pin`: writes the digest of an image into manifests in place.
//!
//! No registry is asked. All files are read and planned before the first one is written.

use std::{borrow::Cow, path::PathBuf};

use clap::Args;
use modelcar_core::{ImageRef, text::one_line};
use modelcar_kserve::pin::{FieldPath, PinTarget, Reference};
use serde::Serialize;
use similar::TextDiff;

use super::{
    Outcome,
    manifests::{self, Manifest},
};
use crate::{
    args::{Format, utf8},
    hint::Failure,
    ui,
};

/// What stands at the end of the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  IMAGE=$(modelcar push Qwen/Qwen2.5-0.5B-Instruct europe-docker.pkg.dev/p/r/qwen:v1)
  modelcar pin $IMAGE service.yaml
  modelcar pin $IMAGE deploy/*.yaml --dry-run
  modelcar pin $IMAGE deploy/*.yaml --check
  modelcar pin $IMAGE values.yaml --path model.image.digest
  modelcar push Qwen/Qwen2.5-0.5B-Instruct europe-docker.pkg.dev/p/r/qwen:v1 --pin service.yaml";

#[derive(Debug, Args)]
pub(crate) struct PinArgs {
    /// Image with its digest, as push prints it: `REGISTRY/REPOSITORY@sha256:…`
    #[arg(value_parser = utf8())]
    pub(crate) image: String,
    /// Manifests in YAML or JSON
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Pin the value at this path too: a reference, a tag or a digest, for example in Helm values (can be repeated)
    ///
    /// Keys with dots between them, as in yq: `model.image.tag`, `models[0].digest`, `models[].uri`, `"a.b".c`. A tag
    /// becomes TAG@sha256:…; a digest, and the value of a key such as `digest`, becomes sha256:….
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Vec<FieldPath>,
    /// Replace references to this repository too by IMAGE (can be repeated)
    #[arg(long, value_name = "REPOSITORY", value_parser = utf8())]
    pub(crate) repository: Vec<String>,
    /// Change nothing: exit with 1 if a reference has a tag or another digest
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) check: bool,
    /// Change nothing: print what would change, as a diff
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Format of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Pins. The exit status is 2 if no file has a reference to the repository, and with `--check` 1 if one is not pinned.
pub(crate) fn run(args: &PinArgs) -> Result<Outcome, Failure> {
    let target = target(args)?;
    let manifests = manifests::plan(&args.files, &target)?;
    if !manifests::has_references(&manifests) {
        return Err(none(&manifests, target.image()));
    }
    for manifest in manifests.iter().filter(|manifest| manifest.pinned.references.is_empty()) {
        ui::warn(&format!("`{}` has no reference to `{}`", manifest.name.display(), name(target.image())));
    }
    let is_pinned = !manifests.iter().any(Manifest::is_changed);
    if !args.check && !args.dry_run {
        manifests::write(&manifests)?;
    }
    let text = match args.format {
        Format::Json => document(&manifests, target.image(), args.check.then_some(is_pinned))?,
        Format::Text if args.dry_run => diffs(&manifests),
        Format::Text => lines(&manifests, args.check),
    };
    Ok(if args.check && !is_pinned { Outcome::No(text) } else { Outcome::Answer(text) })
}

/// Returns what the arguments ask for.
fn target(args: &PinArgs) -> Result<PinTarget, Failure> {
    let mut target = PinTarget::new(&reference(&args.image)?)?;
    for repository in &args.repository {
        target = target.with_repository(reference(repository)?);
    }
    Ok(args.path.iter().cloned().fold(target, PinTarget::with_path))
}

/// Parses a reference with or without `oci://`.
fn reference(text: &str) -> Result<ImageRef, Failure> {
    Ok(text.strip_prefix("oci://").unwrap_or(text).parse()?)
}

/// Returns `registry/repository`.
pub(super) fn name(image: &ImageRef) -> String {
    format!("{}/{}", image.registry(), image.repository())
}

/// Returns the failure of finding no reference.
pub(super) fn none(manifests: &[Manifest], image: &ImageRef) -> Failure {
    let files: Vec<_> = manifests.iter().map(|manifest| format!("`{}`", manifest.name.display())).collect();
    let failure = Failure::say(format!("no reference to `{}` is in {}", name(image), files.join(", ")));
    let failure = failure.hint(concat!(
        docs!("pin.md"),
        " lists the fields that are read; `modelcar pin` takes other places with --path, and references to another \
             repository with --repository"
    ));
    if manifests.iter().any(|manifest| manifest.text.contains("{{")) {
        return failure.hint(crate::hint::VALUES);
    }
    failure
}

/// Returns a line for each reference, or with `is_check` for each that is not pinned.
fn lines(manifests: &[Manifest], is_check: bool) -> String {
    let of = |manifest: &Manifest| {
        let shown = manifest.pinned.references.iter().filter(|reference| !is_check || !reference.is_pinned());
        shown.map(|reference| line(manifest, reference)).collect::<Vec<_>>()
    };
    let lines: Vec<String> = manifests.iter().flat_map(of).collect();
    if !lines.is_empty() {
        return lines.join("\n");
    }
    let references: usize = manifests.iter().map(|manifest| manifest.pinned.references.len()).sum();
    format!("pinned: {} in {}", ui::count(references, "reference"), ui::count(manifests.len(), "file"))
}

/// Returns one line about a reference: `FILE:LINE: PATH: OLD -> NEW`.
pub(super) fn line(manifest: &Manifest, reference: &Reference) -> String {
    let Reference { line, path, old, new, .. } = reference;
    let change = if reference.is_pinned() { format!("{old} is pinned already") } else { format!("{old} -> {new}") };
    one_line(&format!("{}:{line}: {path}: {change}", manifest.name.display()))
}

/// Returns the changes as a unified diff, which `patch -p1` and `git apply` take. Pinned files have none.
fn diffs(manifests: &[Manifest]) -> String {
    let changed: Vec<&Manifest> = manifests.iter().filter(|manifest| manifest.is_changed()).collect();
    if changed.is_empty() {
        return lines(manifests, false);
    }
    let diff = |manifest: &Manifest| {
        let name = manifest.name.to_string_lossy();
        let name = one_line(name.trim_start_matches("./").trim_start_matches('/'));
        let diff = TextDiff::from_lines(&manifest.text, &manifest.pinned.text);
        diff.unified_diff().header(&format!("a/{name}"), &format!("b/{name}")).to_string()
    };
    changed.into_iter().map(diff).collect()
}

/// The JSON answer.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct PinAnswer<'a> {
    /// 1
    schema_version: u32,
    /// Whether all references have the digest; only with --check.
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
    /// The image that references are pinned to.
    image: &'a ImageRef,
    /// The files; a file that is named twice is there once.
    files: Vec<FileAnswer<'a>>,
}

/// A file, as the JSON answer has it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct FileAnswer<'a> {
    /// The file as named on the command line.
    file: Cow<'a, str>,
    /// Whether the file was changed; with --dry-run and --check, whether the file would be changed.
    changed: bool,
    /// The references to the repository.
    references: &'a [Reference],
}

impl<'a> FileAnswer<'a> {
    /// Tells what there is to pin in a manifest.
    fn of(manifest: &'a Manifest) -> Self {
        Self {
            file: manifest.name.to_string_lossy(),
            changed: manifest.is_changed(),
            references: &manifest.pinned.references,
        }
    }
}

/// Returns the answer as JSON.
fn document(manifests: &[Manifest], image: &ImageRef, verdict: Option<bool>) -> Result<String, Failure> {
    super::document(&PinAnswer {
        schema_version: super::SCHEMA_VERSION,
        ok: verdict,
        image,
        files: manifests.iter().map(FileAnswer::of).collect(),
    })
}
