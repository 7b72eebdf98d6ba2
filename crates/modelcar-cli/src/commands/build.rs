//! `modelcar build`: the image as a layout directory or an archive.

use modelcar_core::sink::{ArchiveSink, LayoutSink, Sink};
use serde_json::json;

use super::{Ended, Outcome, build_into, build_options, prepare, report};
use crate::{
    args::{BuildArgs, Format},
    connection::Connection,
    hint::Failure,
    names::Output,
    ui,
};

pub(crate) async fn run(args: BuildArgs) -> Result<Outcome, Failure> {
    let output = Output::parse(&args.output)?;
    let progress = ui::progress(args.run.progress);
    let connection = Connection::open(&args.registry, None)?;
    let prepared = prepare(args.source.as_deref(), &args.planned, &connection, &progress).await?.describe(&[]).await?;
    let sink: Box<dyn Sink> = match &output {
        Output::Layout { dir, name } => Box::new(LayoutSink::create(dir, name.clone()).await?),
        Output::Archive { file, name } => Box::new(ArchiveSink::create(file, name.clone()).await?),
    };
    let (built, seconds) = match build_into(&prepared, &*sink, build_options(&args.run, progress)).await? {
        Ended::Built(built, seconds) => (built, seconds),
        Ended::Interrupted(published) => return Ok(Outcome::Interrupted(published)),
    };
    Ok(Outcome::Answer(match args.run.format {
        Format::Text => built.digest.to_string(),
        Format::Json => report(&prepared, &built, seconds, ("output", json!(args.output)))?,
    }))
}
