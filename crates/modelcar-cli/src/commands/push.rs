//! `modelcar push`: a model becomes a pinned image in a registry.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use modelcar_core::{
    BuildOptions, ImageRef, Plan, Tag, inspect,
    progress::{Event, Progress},
    registry::{RegistryError, RegistrySink, Repository},
    reuse::{DecidedPush, Knowledge},
    sink::Sink,
    source::SourceFile,
};
use serde_json::json;

use super::{Ended, Outcome, Prepared, build_options, finish, prepare, report, reuse};
use crate::{
    args::{Format, PushArgs},
    connection::Connection,
    hint::Failure,
    interrupt::interrupt,
    names, ui,
};

pub(crate) async fn run(args: PushArgs) -> Result<Outcome, Failure> {
    // The image is read first: a mistake in it should cost no request.
    let image = names::target(&args.image)?;
    let tags = tags(&image, &args.tag)?;
    let digest_file = args.digest_file.as_deref().map(DigestFile::open).transpose()?;
    let progress = ui::progress(args.run.progress);
    let connection = Connection::open(&args.registry, Some((&args.login, &image)))?;
    let repository = connection.push_repository(&image, &args.upload, &progress)?;
    repository.check_name()?;
    let sink = RegistrySink::new(repository.clone(), tags.clone());
    let ready = async {
        let (prepared, knowledge) = tokio::try_join!(
            prepare(args.source.as_deref(), &args.planned, &connection, &progress),
            reuse::gather(&args.reuse, &connection, &repository, &tags, &progress),
        )?;
        let stated = knowledge.as_ref().map_or(&[][..], Knowledge::stated_facts);
        let prepared = prepared.describe(stated).await?;
        let decided = match knowledge {
            Some(knowledge) => Some(knowledge.decide(prepared.plan.clone(), &*prepared.source.source).await?),
            None => None,
        };
        // Where nothing is to be written, nothing is tried out.
        if !decided.as_ref().is_some_and(DecidedPush::is_published) {
            let plan = decided.as_ref().map_or(&prepared.plan, DecidedPush::plan);
            preflight(&repository, &image, &tags, plan, &progress).await?;
        }
        Ok::<_, Failure>((prepared, decided))
    };
    let (prepared, decided) = tokio::select! {
        ready = ready => ready?,
        () = interrupt() => {
            sink.abandon().await;
            return Ok(Outcome::Interrupted(None));
        }
    };
    let ended = transfer(&prepared, decided, &sink, &build_options(&args.run, progress)).await?;
    let (built, seconds) = match ended {
        Ended::Built(built, seconds) => (built, seconds),
        Ended::Interrupted(published) => return Ok(Outcome::Interrupted(published)),
    };
    let pinned = image.with_digest(&built.digest).to_string();
    if let Some(file) = digest_file {
        file.write(&built.digest.to_string())?;
    }
    Ok(Outcome::Answer(match args.run.format {
        Format::Text => pinned,
        Format::Json => report(&prepared, &built, seconds, ("image", json!(pinned)))?,
    }))
}

/// Does what was decided, or without decisions sends every layer.
async fn transfer(
    prepared: &Prepared,
    decided: Option<DecidedPush>,
    sink: &RegistrySink,
    options: &BuildOptions,
) -> Result<Ended, Failure> {
    let (source, base) = (Arc::clone(&prepared.source.source), &prepared.base.base);
    match decided {
        Some(decided) => {
            let sink = decided.sink();
            finish(decided.run(source, base, options), &*sink).await
        }
        None => finish(modelcar_core::build(&prepared.plan, source, base, sink, options), sink).await,
    }
}

/// Finds what would end the push before the first weight byte moves.
async fn preflight(
    repository: &Repository,
    image: &ImageRef,
    tags: &[Tag],
    plan: &Plan,
    progress: &Arc<dyn Progress>,
) -> Result<(), Failure> {
    repository.check_push().await?;
    repository.warn_of_sizes(plan.layers().iter().map(|layer| (layer.title(), layer.size)));
    for tag in tags {
        let Some(taken) = repository.taken_tag(tag).await? else { continue };
        if taken.movable == Some(false) && !is_same_model(repository, &image.with_tag(tag), plan).await? {
            let (repository, tag) = (repository.name(), tag.clone());
            return Err(RegistryError::TagTaken { repository, tag, digest: taken.digest }.into());
        }
        if taken.movable.is_none() {
            let message = format!(
                "tag `{tag}` points to `{}` and is moved at the end; where tags are immutable that may be refused at \
                 the end",
                taken.digest
            );
            progress.report(&Event::Warning { message });
        }
    }
    Ok(())
}

/// Returns whether the image may be the one that `plan` makes: it holds the same files. Then a tag that can't be moved
/// need not be.
async fn is_same_model(repository: &Repository, image: &ImageRef, plan: &Plan) -> Result<bool, Failure> {
    let there = inspect::registry(repository, image).await.map_err(Failure::of_image)?;
    let Some(manifest) = there.manifests.first() else { return Ok(false) };
    let files = |file: &SourceFile| (file.path.to_string(), file.size);
    let mut held: Vec<_> = manifest.layers.iter().flat_map(|layer| layer.files.iter().map(files)).collect();
    let mut planned: Vec<_> = plan.layers().iter().flat_map(|layer| layer.files.iter().map(files)).collect();
    held.sort();
    planned.sort();
    let differs = plan.layers().iter().flat_map(|layer| &layer.files).any(|planned| {
        let held = manifest.layers.iter().flat_map(|layer| &layer.files).find(|held| held.path == planned.path);
        held.and_then(|held| held.content).zip(planned.content).is_some_and(|(held, planned)| held != planned)
    });
    Ok(held == planned && !differs)
}

/// The file of `--digest-file`. It is opened before the push: after hours is too late to learn that it can't be. It is
/// emptied too, so that a push that fails leaves no digest of an earlier one to be deployed.
struct DigestFile<'a>(&'a Path, File);

impl<'a> DigestFile<'a> {
    fn open(path: &'a Path) -> Result<Self, Failure> {
        File::create(path).map(|file| Self(path, file)).map_err(|error| Self::failed(path, error))
    }

    fn write(mut self, digest: &str) -> Result<(), Failure> {
        writeln!(self.1, "{digest}")
            .map_err(|error| Self::failed(self.0, error).hint(format!("the image is there: {digest}")))
    }

    fn failed(path: &Path, error: io::Error) -> Failure {
        Failure::new(error, format!("write the digest to `{}`", path.display()))
    }
}

/// Returns the tags that the image gets: its own and `more`.
pub(super) fn tags(image: &ImageRef, more: &[String]) -> Result<Vec<Tag>, Failure> {
    let mut tags = vec![image.tag_or_latest()];
    for tag in more {
        let tag: Tag = tag.parse()?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    Ok(tags)
}
