//! `modelcar build`: writes the image as an OCI image layout or an OCI archive, and prints the digest of the index.

use std::{path, sync::Arc, time::Instant};

use clap::Args;
use modelcar_core::{
    layout::{ArchiveSink, LayoutSink},
    sink::Sink,
    source::SourceRef,
};
use serde::Serialize;

use super::{Made, MadeAnswer, Outcome, build_options, contents, with_speed};
use crate::{
    args::{Format, PlannedArgs, RegistryArgs, RunArgs, utf8},
    clients::Clients,
    hint::{self, Failure},
    interrupt::interrupt,
    resolve::Output,
    ui,
};

/// What stands at the end of the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  modelcar build ./my-model --output oci:./image --base scratch
  modelcar build owner/name --output oci-archive:image.tar";

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Model: `owner/name[@revision]`, a path (`./dir`), `gs://BUCKET/PREFIX`, `s3://BUCKET/PREFIX` or
    /// `hf-cache://owner/name[@revision]`
    ///
    /// With --plan it may be left out; else it replaces the one in the lock file.
    #[arg(required_unless_present = "plan", value_parser = utf8())]
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

/// Builds. An interrupt before the sink exists leaves nothing; later, the sink removes what is unfinished.
pub(crate) async fn run(args: BuildArgs) -> Result<Outcome, Failure> {
    let begun = Instant::now();
    let output = Output::parse(&args.output)?;
    let progress = ui::progress();
    let (contents, source) = contents(args.source.as_deref(), &args.planned, &progress).await?;
    let options = build_options(&args.run, Arc::clone(&progress));
    let connections = with_speed(&options, Clients::open(&args.registry, None)?.connections(&source));
    let ready = async {
        let planned = contents.plan(&connections, &progress).await?;
        refuse_inside(&output, &source)?;
        Ok::<_, Failure>(planned.described().await?)
    };
    let planned = tokio::select! {
        ready = ready => ready?,
        () = interrupt() => return Ok(Outcome::Interrupted(hint::published(None))),
    };
    planned.check()?;
    super::warn(planned.flaws(), planned.plan(), false);
    super::tell_platform(planned.base(), planned.plan());
    let sink: Box<dyn Sink> = match &output {
        Output::Layout { dir, name } => Box::new(LayoutSink::create(dir, name.clone()).await?),
        Output::Archive { file, name } => Box::new(ArchiveSink::create(file, name.clone()).await?),
    };
    let built = match planned.build_until(&*sink, &options, interrupt()).await {
        Ok(built) => built,
        Err(error) => return Outcome::of_run(error, None),
    };
    Ok(Outcome::Answer(match args.run.format {
        Format::Text => built.digest.to_string(),
        Format::Json => {
            let made = Made::of(&planned.source().name, planned.base(), planned.plan());
            let made = made.answer(&built, begun.elapsed());
            super::document(&BuildAnswer { output: &args.output, made })?
        }
    }))
}

/// The JSON answer.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct BuildAnswer<'a> {
    /// The value of --output.
    output: &'a str,
    #[serde(flatten)]
    made: MadeAnswer<'a>,
}

/// Refuses an output inside the source directory: the next build would pack the output as a part of the model.
///
/// Links are followed in the part of the output's path that exists.
fn refuse_inside(output: &Output, source: &SourceRef) -> Result<(), Failure> {
    let SourceRef::Dir(source) = source else { return Ok(()) };
    let found = |error| Failure::new(error, format!("find `{}`", source.display()));
    let source = source.canonicalize().map_err(found)?;
    let (Output::Layout { dir: place, .. } | Output::Archive { file: place, .. }) = output;
    let whole = path::absolute(place).map_err(|error| Failure::new(error, format!("find `{}`", place.display())))?;
    // Only what exists has links to follow.
    let existing = whole.ancestors().find_map(|folder| folder.canonicalize().ok());
    if existing.is_some_and(|folder| folder.starts_with(&source)) {
        return Err(Failure::say(format!("the output `{}` lies inside the source", place.display())).hint(
            "put it beside the model's folder: inside, it would be packed as a part of the model the next time",
        ));
    }
    Ok(())
}
