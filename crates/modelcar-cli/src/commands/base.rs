//! `modelcar base`: shows the base image and the places that have it, and copies it into a registry.

use std::{fmt::Write, sync::Arc};

use clap::Args;
use modelcar_core::{
    ImageRef, Tag,
    base::{BaseImage, BaseRef, KnownBase, OpenBase, PlaceFailure, copy_image},
    progress::Progress,
    reader::ImageReader,
    registry::RegistrySink,
    sink::Sink,
};
use modelcar_env::Environment;
use serde_json::{Value, json};

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
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
    /// How progress is shown on stderr
    #[arg(long, value_enum, default_value_t)]
    pub(crate) progress: ProgressMode,
    /// Format of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
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
            let places: Vec<Value> = known.places.iter().zip(&places).map(place_json).collect();
            let digest = image.as_ref().map_or(Some(known.digest), |image| image.digest);
            let platforms = image.iter().flat_map(|image| &image.platforms);
            let platforms: Vec<Value> = platforms
                .map(|platform| {
                    json!({
                        "platform": platform.platform,
                        "size": platform.layers.iter().map(|layer| layer.size).sum::<u64>(),
                        "layers": platform.layers,
                    })
                })
                .collect();
            let body = json!({"base": name, "digest": digest, "platforms": platforms, "places": places});
            super::document(Ok(body), json!({"ok": is_there}))?
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

/// Returns what a place said, for the JSON answer.
fn place_json((place, failure): (&ImageRef, &Option<PlaceFailure>)) -> Value {
    json!({
        "place": place.to_string(),
        "ok": failure.is_none(),
        "reason": failure.as_ref().map(PlaceFailure::reason),
    })
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
            let body = json!({
                "image": pinned.to_string(),
                "digest": copied.digest,
                "from": base,
                "manifests": copied.manifests,
                "blobs": copied.blobs,
                "bytesSent": copied.bytes_sent,
            });
            super::document(Ok(body), json!({}))?
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
