//! `modelcar build`: the image as a layout directory or an archive.

use std::{path, sync::Arc};

use modelcar_core::{
    sink::{ArchiveSink, LayoutSink, Sink},
    source::DirSource,
};
use serde_json::json;

use super::{Ended, Outcome, build_options, finish, prepare, report};
use crate::{
    args::{BuildArgs, Format},
    connection::Connection,
    hint::Failure,
    interrupt::interrupt,
    names::Output,
    ui,
};

pub(crate) async fn run(args: BuildArgs) -> Result<Outcome, Failure> {
    let output = Output::parse(&args.output)?;
    let progress = ui::progress(args.run.progress);
    let connection = Connection::open(&args.registry, None)?;
    let ready = async {
        let prepared = prepare(args.source.as_deref(), &args.planned, &connection, &progress).await?;
        if let Some(source) = &prepared.source.dir {
            refuse_inside(&output, source)?;
        }
        prepared.describe(&[]).await
    };
    let prepared = tokio::select! {
        ready = ready => ready?,
        () = interrupt() => return Ok(Outcome::Interrupted(None)),
    };
    let sink: Box<dyn Sink> = match &output {
        Output::Layout { dir, name } => Box::new(LayoutSink::create(dir, name.clone()).await?),
        Output::Archive { file, name } => Box::new(ArchiveSink::create(file, name.clone()).await?),
    };
    let (source, options) = (Arc::clone(&prepared.source.source), build_options(&args.run, progress));
    let building = modelcar_core::build(&prepared.plan, source, &prepared.base.base, &*sink, &options);
    let (built, seconds) = match finish(building, &*sink).await? {
        Ended::Built(built, seconds) => (built, seconds),
        Ended::Interrupted(published) => return Ok(Outcome::Interrupted(published)),
    };
    Ok(Outcome::Answer(match args.run.format {
        Format::Text => built.digest.to_string(),
        Format::Json => report(&prepared, &built, seconds, ("output", json!(args.output)))?,
    }))
}

/// An output inside the source would be a part of the model the next time.
fn refuse_inside(output: &Output, source: &DirSource) -> Result<(), Failure> {
    let (Output::Layout { dir: place, .. } | Output::Archive { file: place, .. }) = output;
    let whole = path::absolute(place).map_err(|error| Failure::new(error, format!("find `{}`", place.display())))?;
    // Only what exists has links to follow.
    let existing = whole.ancestors().find_map(|folder| folder.canonicalize().ok());
    if existing.is_some_and(|folder| folder.starts_with(source.root())) {
        return Err(Failure::say(format!("the output `{}` lies inside the source", place.display())).hint(
            "put it beside the model's folder: inside, it would be packed as a part of the model the next time",
        ));
    }
    Ok(())
}
