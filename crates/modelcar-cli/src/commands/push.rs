//! `modelcar push`: a model becomes a pinned image in a registry.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use modelcar_core::push::Push;
use serde_json::json;

use super::{Made, Outcome, build_options, contents, reuse};
use crate::{
    args::{Format, PushArgs},
    connection::Connection,
    hint::Failure,
    interrupt::interrupt,
    names, ui,
};

pub(crate) async fn run(args: PushArgs) -> Result<Outcome, Failure> {
    // All names are read first: a mistake in one should cost no request.
    let image = names::target(&args.image)?;
    let tags = names::tags(&args.tag)?;
    let (contents, source) = contents(args.source.as_deref(), &args.planned)?;
    let reuse = reuse::policy(&args.reuse)?;
    let digest_file = args.digest_file.as_deref().map(DigestFile::open).transpose()?;
    let connection = Connection::open(&args.registry, Some((&args.login, &image)))?;
    let push = Push::new(contents, image, connection.connections(&source)?)
        .with_tags(tags)
        .with_reuse(reuse)
        .with_target_options(connection.target_options(&args.upload))
        .with_build_options(build_options(&args.run, ui::progress(args.run.progress)));
    let prepared = match push.prepare_until(interrupt()).await {
        Ok(prepared) => prepared,
        Err(error) => return Outcome::of(error),
    };
    let made = Made::of(&prepared.source().name, prepared.base(), prepared.plan());
    let pushed = match prepared.run_until(interrupt()).await {
        Ok(pushed) => pushed,
        Err(error) => return Outcome::of_run(error),
    };
    if let Some(file) = digest_file {
        file.write(&pushed.built.digest.to_string())?;
    }
    ui::summary(args.run.progress, &made.source.to_string(), &pushed);
    Ok(Outcome::Answer(match args.run.format {
        Format::Text => pushed.image.to_string(),
        Format::Json => made.report(&pushed.built, pushed.elapsed, ("image", json!(pushed.image)))?,
    }))
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
