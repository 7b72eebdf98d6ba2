//! `modelcar base`: shows the base image and the places that have it, and copies it into a registry.

use std::{fmt::Write, sync::Arc};

use clap::Args;
use modelcar_core::{
    Digest, ImageRef, Tag,
    base::{BaseImage, BasePlatform, BaseRef, Copied, KnownBase, OpenBase, PlaceFailure, copy_image},
    progress::Progress,
    reader::ImageReader,
    registry::RegistrySink,
    sink::Sink,
};
use modelcar_env::Environment;
use serde::Serialize;

use super::Outcome;
use crate::{
    args::{Format, LoginArgs, ProgressMode, RegistryArgs},
    clients::Clients,
    hint::{self, Failure},
    interrupt::{interrupt, stoppable},
    resolve,
    ui::{self, size},
};

/// What stands at the end of the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  modelcar base
  modelcar base --copy-to registry.internal/mirror/busybox:1.37.0-musl
  modelcar base oci:carry/base --copy-to registry.internal/mirror/busybox";

#[derive(Debug, Args)]
pub(crate) struct BaseArgs {
    /// Base image: a reference, `oci:DIR[:NAME]`, `binary:PATH` or `scratch` [default: busybox, pinned by its digest]
    #[arg(value_name = "BASE")]
    pub(crate) base: Option<String>,
    /// Copy the base to this repository, all platforms and with the same digest: `REGISTRY/REPOSITORY[:TAG]`
    #[arg(id = "image", long = "copy-to", value_name = "IMAGE")]
    pub(crate) copy_to: Option<String>,
    /// How progress is shown on stderr
    #[arg(long, value_enum, default_value_t)]
    pub(crate) progress: ProgressMode,
    /// Format of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
}

/// Shows or copies.
pub(crate) async fn run(args: BaseArgs) -> Result<Outcome, Failure> {
    let named = match &args.base {
        Some(text) => Some(resolve::base(text, "BASE")?),
        None => Environment::base().map(|text| resolve::base(&text, "MODELCAR_BASE")).transpose()?,
    };
    let base = named.unwrap_or_default();
    let target: Option<ImageRef> = args.copy_to.as_deref().map(resolve::target).transpose()?;
    let clients = Clients::open(&args.registry, target.as_ref().map(|image| (&args.login, image)))?;
    let progress = ui::progress();
    let known = KnownBase::busybox();
    let known = target.iter().fold(known, KnownBase::for_target);
    match target {
        Some(target) => copy(&base, &known, &target, &clients, &progress, args.format).await,
        None => stoppable(Box::pin(show(&base, &known, &clients, &progress, args.format))).await,
    }
}

/// Shows the base. The default base is looked for in every place, and shown also where no place has it.
async fn show(
    base: &BaseRef,
    known: &KnownBase,
    clients: &Clients,
    progress: &Arc<dyn Progress>,
    format: Format,
) -> Result<Outcome, Failure> {
    let places =
        if known.is_named_by(base) { known.ask_places(&clients.registries, progress).await } else { Vec::new() };
    let is_there = places.is_empty() || places.iter().any(Option::is_none);
    let open = if is_there { Some(open(base, known, clients, progress).await?) } else { None };
    let (name, image) = open.map_or((base.clone(), None), |open| (open.name, Some(open.base.image)));
    let answer = match format {
        Format::Text => table(&name, image.as_ref(), known, &places),
        Format::Json => {
            let size = |platform: &BasePlatform| platform.layers.iter().map(|layer| layer.size).sum();
            let platforms = image.iter().flat_map(|image| &image.platforms);
            super::document(&BaseAnswer {
                schema_version: super::SCHEMA_VERSION,
                ok: is_there,
                base: &name,
                digest: image.as_ref().map_or(Some(known.digest), |image| image.digest),
                platforms: platforms.map(|base| PlatformAnswer { base, size: size(base) }).collect(),
                places: known.places.iter().zip(&places).map(PlaceAnswer::of).collect(),
            })?
        }
    };
    Ok(if is_there { Outcome::Answer(answer) } else { Outcome::No(answer) })
}

/// Opens the base; a failure names it.
async fn open(
    base: &BaseRef,
    known: &KnownBase,
    clients: &Clients,
    progress: &Arc<dyn Progress>,
) -> Result<OpenBase, Failure> {
    let open = base.open_or_known(Some(known), &clients.registries, progress).await;
    open.map_err(|error| Failure::from(error).during(format!("use base `{base}`")))
}

/// The JSON answer about a base.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct BaseAnswer<'a> {
    /// 1
    schema_version: u32,
    /// Whether a place has the base.
    ok: bool,
    /// The base, pinned where the base is in a registry.
    base: &'a BaseRef,
    /// Digest of the base; `null` for a binary and for `scratch`.
    digest: Option<Digest>,
    /// The platforms of the base; none where no place has the base.
    platforms: Vec<PlatformAnswer<'a>>,
    /// For the default base: the places that were asked.
    places: Vec<PlaceAnswer<'a>>,
}

/// A platform of a base, as the JSON answer has it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct PlatformAnswer<'a> {
    #[serde(flatten)]
    base: &'a BasePlatform,
    /// Sum of the layers' sizes, in bytes.
    size: u64,
}

/// What a place said, as the JSON answer has it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct PlaceAnswer<'a> {
    /// The image in that place.
    place: &'a ImageRef,
    /// Whether the place has the image.
    ok: bool,
    /// Why not, for people.
    reason: Option<String>,
}

impl<'a> PlaceAnswer<'a> {
    /// Tells what a place said.
    fn of((place, failure): (&'a ImageRef, &Option<PlaceFailure>)) -> Self {
        Self { place, ok: failure.is_none(), reason: failure.as_ref().map(PlaceFailure::reason) }
    }
}

/// Returns the base as text.
fn table(name: &BaseRef, image: Option<&BaseImage>, known: &KnownBase, places: &[Option<PlaceFailure>]) -> String {
    let mut text = format!("base    {name}\n");
    if let Some(digest) = image.and_then(|image| image.digest) {
        let _infallible = writeln!(text, "digest  {digest}");
    }
    for platform in image.iter().flat_map(|image| &image.platforms) {
        let bytes = platform.layers.iter().map(|layer| layer.size).sum();
        let _infallible = writeln!(text, "{:<12}  {}", platform.platform.to_string(), size(bytes));
    }
    let first = places.iter().position(Option::is_none);
    for (index, (place, failure)) in known.places.iter().zip(places).enumerate() {
        let said = match failure {
            None if first == Some(index) => "has it, is asked first".to_owned(),
            None => "has it".to_owned(),
            Some(failure) => failure.reason(),
        };
        let _infallible = writeln!(text, "place   {place}: {said}");
    }
    if !places.is_empty() && first.is_none() {
        text.push_str(
            "no place has the base: --base-binary PATH (a static busybox), --base oci:DIR, --base scratch (for \
             oci+native:// alone), or --base with a copy in a registry of yours\n",
        );
    }
    text
}

/// The JSON answer about a copy.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct CopyAnswer<'a> {
    /// 1
    schema_version: u32,
    /// The copy, for --base.
    image: &'a ImageRef,
    /// Digest of the copy, which is that of the original.
    digest: Digest,
    /// The base that was copied.
    from: &'a BaseRef,
    /// Number of manifests below the index.
    manifests: usize,
    /// Number of configs and layers.
    blobs: usize,
    /// Bytes of the blobs that the repository lacked.
    bytes_sent: u64,
}

/// Copies the base into the repository of `target`, and answers with the reference that pins the copy.
async fn copy(
    base: &BaseRef,
    known: &KnownBase,
    target: &ImageRef,
    clients: &Clients,
    progress: &Arc<dyn Progress>,
    format: Format,
) -> Result<Outcome, Failure> {
    let (from, selector) = source(base, known, clients, progress).await?;
    let repository = clients.repository(target, progress)?;
    let tags: Vec<Tag> = target.tag().cloned().into_iter().collect();
    let copied = tokio::select! {
        copied = copy_image(&*from, &selector, &repository, tags, progress) => copied?,
        () = interrupt() => {
            RegistrySink::new(repository, Vec::new()).abandon().await;
            return Ok(Outcome::Interrupted(hint::published(None)));
        }
    };
    let pinned = target.with_digest(&copied.digest);
    Ok(Outcome::Answer(match format {
        Format::Text => pinned.to_string(),
        Format::Json => {
            let Copied { digest, manifests, blobs, bytes_sent, .. } = copied;
            super::document(&CopyAnswer {
                schema_version: super::SCHEMA_VERSION,
                image: &pinned,
                digest,
                from: base,
                manifests,
                blobs,
                bytes_sent,
            })?
        }
    }))
}

/// Returns what the base is read with, and its name there.
async fn source(
    base: &BaseRef,
    known: &KnownBase,
    clients: &Clients,
    progress: &Arc<dyn Progress>,
) -> Result<(Arc<dyn ImageReader>, String), Failure> {
    match open(base, known, clients, progress).await?.base.reader() {
        Some((reader, digest)) => Ok((reader, digest.to_string())),
        None => Err(Failure::say(format!("base `{base}` is no image that could be copied"))
            .hint("name an image in a registry, or a layout: oci:DIR")),
    }
}
