//! `modelcar push`: makes an image of a model in a registry, and prints the reference that pins the image.
//!
//! The push is prepared first, which uploads no weights, and then run. An interrupt stops either step and removes open
//! upload sessions.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use clap::Args;
use modelcar_core::{Digest, ImageRef, progress::Progress, push::Push};
use modelcar_kserve::pin::PinTarget;
use serde::Serialize;

use super::{
    Made, MadeAnswer, Outcome, build_options, contents,
    manifests::{self, Manifest},
    pin, reuse, with_speed,
};
use crate::{
    args::{Format, LoginArgs, PlannedArgs, RegistryArgs, ReuseArgs, RunArgs, UploadArgs, utf8},
    clients::Clients,
    hint::Failure,
    interrupt::interrupt,
    resolve,
    ui::{self, Kept},
};

/// What stands at the end of the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  modelcar push Qwen/Qwen2.5-0.5B-Instruct europe-docker.pkg.dev/p/r/qwen:v1
  modelcar push ./my-model localhost:5000/my-model:v1 --base scratch
  modelcar push --plan plan.json localhost:5000/my-model:v1";

#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// Model: `owner/name[@revision]`, a path (`./dir`), `gs://BUCKET/PREFIX`, `s3://BUCKET/PREFIX` or
    /// `hf-cache://owner/name[@revision]`
    ///
    /// With --plan it may be left out; else it replaces the one in the lock file.
    #[arg(required_unless_present = "plan", value_parser = utf8())]
    pub(crate) source: Option<String>,
    /// Where the image goes: `REGISTRY/REPOSITORY[:TAG]`; without a tag it is `latest`
    #[arg(required = true, value_parser = utf8())]
    pub(crate) image: String,
    /// Write the index's digest into this file too, once the image is there
    ///
    /// The file is emptied when the push begins, so that one that fails leaves no digest of an earlier one.
    #[arg(long, value_name = "FILE")]
    pub(crate) digest_file: Option<PathBuf>,
    /// Write the digest into the references to IMAGE in this manifest, once the image is there (can be repeated)
    ///
    /// As `modelcar pin` does. The push is refused at once if the manifest has no such reference or can't be written.
    #[arg(long, value_name = "FILE")]
    pub(crate) pin: Vec<PathBuf>,
    /// Don't read the image back before the answer, for a login that may not read
    ///
    /// A registry may accept what it does not have. Without the check a push of such an image succeeds, and a pull fails.
    #[arg(long)]
    pub(crate) no_verify_push: bool,
    /// Tag the image with this name too (can be repeated)
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    #[command(flatten)]
    pub(crate) planned: PlannedArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
    #[command(flatten)]
    pub(crate) upload: UploadArgs,
    #[command(flatten)]
    pub(crate) reuse: ReuseArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// Pushes. All names are parsed before the first request, so that a typing mistake costs no time.
pub(crate) async fn run(args: PushArgs) -> Result<Outcome, Failure> {
    let begun = Instant::now();
    // The file comes first: whatever fails after it leaves no digest of an earlier push.
    let digest_file = args.digest_file.as_deref().map(|path| DigestFile::open(path, &args.pin)).transpose()?;
    // All names are read before the first request: a mistake in one should cost none.
    let image = resolve::target_behind(args.source.as_deref(), &args.image)?;
    let tags = resolve::tags(&args.tag)?;
    check_pins(&args.pin, &image)?;
    let kept = Kept::before(ui::progress());
    let progress: Arc<dyn Progress> = Arc::clone(&kept) as _;
    let (contents, source) = contents(args.source.as_deref(), &args.planned, &progress).await?;
    let reuse = reuse::policy(&args.reuse)?;
    let connection = Clients::open(&args.registry, Some((&args.login, &image)))?;
    let options = build_options(&args.run, progress);
    let connections = with_speed(&options, reuse::with_contents(&args.reuse, connection.connections(&source)));
    let push = Push::new(contents, image, connections)
        .with_tags(tags)
        .with_reuse(reuse)
        .with_read_back(!args.no_verify_push)
        .with_target_options(connection.target_options(&args.upload))
        .with_build_options(options);
    let prepared = match Box::pin(push.prepare_until(interrupt())).await {
        Ok(prepared) => prepared,
        Err(error) => return Outcome::of(error),
    };
    super::warn(prepared.flaws(), prepared.plan(), false);
    super::tell_platform(prepared.base(), prepared.plan());
    let made = Made::of(&prepared.source().name, prepared.base(), prepared.plan());
    let changed = !prepared.is_published();
    let pushed = match prepared.run_until(interrupt()).await {
        Ok(pushed) => pushed,
        Err(error) => return Outcome::of_run(error, kept.told()),
    };
    if let Some(file) = digest_file {
        file.write(&pushed.built.digest.to_string())?;
    }
    ui::summary(&made.source.to_string(), &pushed, begun.elapsed());
    let answer = match args.run.format {
        Format::Text => pushed.image.to_string(),
        Format::Json => {
            let made = made.answer(&pushed.built, begun.elapsed());
            super::document(&PushAnswer { image: &pushed.image, changed, made })?
        }
    };
    Ok(match write_pins(&args.pin, &pushed.image) {
        Ok(()) => Outcome::Answer(answer),
        Err(failure) => Outcome::Late(answer, failure),
    })
}

/// The JSON answer.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct PushAnswer<'a> {
    /// The pinned image.
    image: &'a ImageRef,
    /// Whether the push wrote an image or moved a tag; `false` if every tag pointed to this image before.
    changed: bool,
    #[serde(flatten)]
    made: MadeAnswer<'a>,
}

/// Checks that each manifest of `--pin` names the repository and can be written. The digest is not known yet: any will do
/// for the check.
fn check_pins(files: &[PathBuf], image: &ImageRef) -> Result<(), Failure> {
    let planned = manifests::plan(files, &PinTarget::new(&image.with_digest(&Digest::of("")))?)?;
    each_has_references(&planned, image)?;
    manifests::check_writable(&planned)
}

/// Checks that each manifest has a reference to the repository of `image`.
fn each_has_references(manifests: &[Manifest], image: &ImageRef) -> Result<(), Failure> {
    match manifests.chunks(1).find(|manifest| !manifests::has_references(manifest)) {
        Some(without) => Err(pin::none(without, image)),
        None => Ok(()),
    }
}

/// Writes the digest into the manifests of `--pin`, as they are now. The image is published by then, and a failure says
/// so.
fn write_pins(files: &[PathBuf], image: &ImageRef) -> Result<(), Failure> {
    let write = || {
        let planned = manifests::plan(files, &PinTarget::new(image)?)?;
        each_has_references(&planned, image)?;
        manifests::write(&planned)?;
        Ok(planned)
    };
    let planned = write().map_err(|failure: Failure| {
        let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        failure.hint(format!("the image is pushed; pin it: `modelcar pin {image} {}`", names.join(" ")))
    })?;
    for manifest in &planned {
        manifest.pinned.references.iter().for_each(|reference| ui::note(&pin::line(manifest, reference)));
    }
    Ok(())
}

/// The file of `--digest-file`.
///
/// The file is opened before the push, because after hours of uploading it is too late to learn that it can't be
/// written. The file is emptied at once, so that a failed push leaves no digest of an earlier push that somebody may
/// deploy.
struct DigestFile<'a>(&'a Path, File);

impl<'a> DigestFile<'a> {
    /// Opens and empties the file, which must be none of `manifests`.
    fn open(path: &'a Path, manifests: &[PathBuf]) -> Result<Self, Failure> {
        let inode = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
        let held = inode(path);
        if held.is_some() && manifests.iter().any(|manifest| inode(manifest) == held) {
            return Err(Failure::say(format!(
                "--digest-file and --pin name the same file, `{}`: the digest would replace the manifest",
                path.display()
            ))
            .hint("name another file with --digest-file"));
        }
        File::create(path).map(|file| Self(path, file)).map_err(|error| Self::failed(path, error))
    }

    /// Writes the digest and a line end. The image is published by then, and a failure says so.
    fn write(mut self, digest: &str) -> Result<(), Failure> {
        writeln!(self.1, "{digest}")
            .map_err(|error| Self::failed(self.0, error).hint(format!("the image is there: {digest}")))
    }

    /// Returns the failure to write the file at `path`.
    fn failed(path: &Path, error: io::Error) -> Failure {
        Failure::of_write(error, format!("write the digest to `{}`", path.display()))
    }
}
