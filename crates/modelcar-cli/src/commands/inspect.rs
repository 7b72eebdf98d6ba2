//! `modelcar inspect`: shows the platforms, layers and files of an image, and the disk that the image needs on a node.

use std::fmt::Write;

use clap::Args;
use modelcar_core::{
    inspect::{self, Inspection},
    text::one_line,
};
use modelcar_kserve::sizing::{ImageBytes, NodeDisk, PullTime};
use serde::Serialize;

use super::{
    Outcome,
    lint::{self, LintArgs},
    place::Place,
};
use crate::{
    args::{Format, LoginArgs, RegistryArgs, utf8},
    hint::Failure,
    ui::{self, count, size},
};

/// What stands at the end of the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  modelcar inspect europe-docker.pkg.dev/p/r/qwen:v1
  modelcar inspect oci:./image --format json
  modelcar inspect --lint quay.io/somebody/modelcar:1";

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Image: a reference or `oci:DIR[:NAME]`
    #[arg(value_parser = utf8())]
    pub(crate) image: String,
    /// Format of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) lint: LintArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
}

/// Reads manifests and configs, and no layer, unless `--lint` is given.
pub(crate) async fn run(args: InspectArgs) -> Result<Outcome, Failure> {
    let place = Place::parse(&args.image, &args.registry, &args.login)?;
    if args.lint.lint {
        return lint::run(&args.image, &args.lint, args.format, place).await;
    }
    let inspection = match &place {
        Place::Layout { dir, name } => inspect::layout(dir, name.as_deref()).await,
        Place::Registry { repository, image } => inspect::registry(repository, image).await,
    };
    let inspection = match inspection {
        Ok(inspection) => inspection,
        Err(error) => return Err(place.failure(error, &args.image).await),
    };
    Ok(Outcome::Answer(match args.format {
        Format::Text => table(&args.image, &inspection),
        Format::Json => super::document(&InspectAnswer {
            schema_version: super::SCHEMA_VERSION,
            image: &args.image,
            inspection: &inspection,
            node_disk: node_disk(&inspection),
            pull_time: PullTime::of_largest(&inspection),
        })?,
    }))
}

/// The JSON answer.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct InspectAnswer<'a> {
    /// 1
    schema_version: u32,
    /// The image as given on the command line.
    image: &'a str,
    #[serde(flatten)]
    inspection: &'a Inspection,
    /// `null` for an image without manifests.
    node_disk: Option<NodeDisk>,
    /// `null` for an image without manifests.
    pull_time: Option<PullTime>,
}

/// Returns the disk that a node needs for the platform with the most bytes.
fn node_disk(inspection: &Inspection) -> Option<NodeDisk> {
    ImageBytes::of_largest(inspection).map(NodeDisk::new)
}

/// Number of files of a layer that are named.
const NAMED_FILES: usize = 4;

/// Returns the image as text.
fn table(name: &str, inspection: &Inspection) -> String {
    let mut text = format!("image   {name}\ndigest  {}\n", inspection.digest);
    if !inspection.annotations.is_empty() {
        let _infallible = writeln!(text, "\n{}", ui::annotations(&inspection.annotations));
    }
    if let Some(disk) = node_disk(inspection) {
        text.push_str(&ui::node_disk(&disk));
    }
    if let Some(pull) = PullTime::of_largest(inspection) {
        text.push_str(&ui::pull_time(&pull));
    }
    for manifest in &inspection.manifests {
        let total = manifest.layers.iter().map(|layer| layer.size).sum();
        let platform = one_line(&manifest.platform.to_string());
        let line = format!("{platform}  {}  {}", manifest.digest, size(total));
        let _infallible = writeln!(text, "\n{}", ui::fold(&line, 4));
        for layer in &manifest.layers {
            let files = match layer.files.as_slice() {
                [] => layer.media_type.clone(),
                [file] => file.path.to_string(),
                files => {
                    let named: Vec<_> = files.iter().take(NAMED_FILES).map(|file| file.path.as_str()).collect();
                    let more = if files.len() > NAMED_FILES { ", …" } else { "" };
                    format!("{}: {}{more}", count(files.len(), "file"), named.join(", "))
                }
            };
            let line = format!("  {}  {:>10}  {}", layer.digest, size(layer.size), one_line(&files));
            let _infallible = writeln!(text, "{}", ui::fold(&line, 4));
        }
    }
    for missing in &inspection.missing {
        let platform = missing.platform.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
        let _infallible = writeln!(text, "\n{}  {}  is listed and not there", one_line(&platform), missing.digest);
    }
    text
}
