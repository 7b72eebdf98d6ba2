//! `modelcar download`: a model's files in a folder.

use std::{path::PathBuf, sync::Arc, time::Instant};

use clap::{Args, ValueEnum};
use modelcar_core::{
    download::{DownloadLayout, DownloadOptions, Downloaded, download},
    progress::Progress,
    source::{OpenSource, Reach, SourceRef},
};
use modelcar_env::Environment;
use serde::Serialize;

use super::{Outcome, build_options, cached};
use crate::{
    args::{Format, RunArgs, utf8},
    hint::Failure,
    interrupt::interrupt,
    resolve, ui,
};

/// What stands at the end of the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  modelcar download Qwen/Qwen2.5-0.5B-Instruct ./qwen
  modelcar download Qwen/Qwen2.5-0.5B-Instruct ~/.cache/huggingface/hub --layout hf-cache
  modelcar download owner/name ./weights --include '*.safetensors'";

/// How the files lie in DIR.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// As they lie in the model
    #[default]
    Flat,
    /// As the Hugging Face tools keep them: they load it with `HF_HUB_CACHE=DIR`
    HfCache,
}

#[derive(Debug, Args)]
pub(crate) struct DownloadArgs {
    /// Model: `owner/name[@revision]`, a path (`./dir`), `gs://BUCKET/PREFIX`, `s3://BUCKET/PREFIX` or
    /// `hf-cache://owner/name[@revision]`
    #[arg(value_parser = utf8())]
    pub(crate) source: String,
    /// Folder for the files; it is made if it is not there
    pub(crate) dir: PathBuf,
    /// How the files lie in DIR
    #[arg(long, value_enum, default_value_t)]
    pub(crate) layout: Layout,
    /// Take only files that match (can be repeated)
    ///
    /// `*` crosses `/`, as on the Hub; `dir/` means all below it. Without this option every file is taken.
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,
    /// Leave out files that match (can be repeated)
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// Trust the certificate authorities in this PEM file too (can be repeated)
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

pub(crate) async fn run(args: DownloadArgs) -> Result<Outcome, Failure> {
    tokio::select! {
        outcome = bring(&args) => outcome,
        // What has arrived is kept: the same command goes on from there.
        () = interrupt() => Ok(Outcome::Interrupted("what was downloaded is kept: run the same command again to go on".to_owned())),
    }
}

async fn bring(args: &DownloadArgs) -> Result<Outcome, Failure> {
    let (progress, begun) = (ui::progress(), Instant::now());
    let name = resolve::source(&args.source)?;
    let source = open(&name, &args.ca_file, &progress).await?;
    let layout = match args.layout {
        Layout::Flat => DownloadLayout::Flat,
        Layout::HfCache => DownloadLayout::HubCache,
    };
    let options = DownloadOptions { include: args.include.clone(), exclude: args.exclude.clone(), layout };
    let done = download(&source, &args.dir, &options, &build_options(&args.run, progress)).await?;
    Ok(Outcome::Answer(match args.run.format {
        Format::Text => done.folder.display().to_string(),
        Format::Json => super::document(&DownloadAnswer {
            schema_version: super::SCHEMA_VERSION,
            source: &source.name,
            content_bytes: done.files.iter().map(|file| file.size).sum(),
            done: &done,
            seconds: super::seconds(begun.elapsed()),
        })?,
    }))
}

/// The JSON answer.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct DownloadAnswer<'a> {
    /// 1
    schema_version: u32,
    /// The name that leads to the source, pinned.
    source: &'a SourceRef,
    #[serde(flatten)]
    done: &'a Downloaded,
    /// Sum of the files' sizes, in bytes.
    content_bytes: u64,
    /// Duration of the whole command.
    seconds: f64,
}

/// Opens the source, on the Hub, in the cache or in a store.
async fn open(name: &SourceRef, authorities: &[PathBuf], progress: &Arc<dyn Progress>) -> Result<OpenSource, Failure> {
    if let Some(open) = cached::open(name, progress).await? {
        return Ok(open);
    }
    let mut environment = Environment::read()?;
    for file in authorities {
        environment = environment.with_authorities(file, "--ca-file")?;
    }
    let hub = if matches!(name, SourceRef::Hub(_)) { environment.hub() } else { None };
    let stores = matches!(name, SourceRef::Store(_)).then(|| environment.stores());
    let reach = stores.iter().fold(Reach::hub(hub.as_ref()), Reach::with_stores);
    Ok(name.open(reach, progress).await?)
}
