//! The commands: each turns its arguments into library calls and returns the answer.

pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod doctor;
pub(crate) mod inspect;
mod lint;
mod moved;
pub(crate) mod plan;
pub(crate) mod push;
pub(crate) mod render;
pub(crate) mod reuse;

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Instant};

use modelcar_core::{
    BuildOptions, Built,
    facts::{ModelFacts, StatedFacts},
    plan::{Layering, LockFile, Plan, PlanOptions, Selection},
    progress::Progress,
    sink::{Published, Sink},
    source::SourceFile,
};
use serde_json::{Value, json};

use crate::{
    args::{ImageArgs, PlannedArgs, RunArgs, SelectArgs},
    connection::Connection,
    env,
    hint::Failure,
    interrupt::interrupt,
    names::{self, OpenBase, OpenSource, SourceName},
    outcome::Outcome,
    ui,
};

/// Everything that a build needs but its sink.
pub(crate) struct Prepared {
    pub(crate) source: OpenSource,
    pub(crate) base: OpenBase,
    pub(crate) plan: Plan,
    /// Whether the plan states the facts of the model already.
    described: bool,
}

impl Prepared {
    /// Adds the facts of the model to the plan; `stated` are those of images that may hold the same files.
    async fn describe(self, stated: &[StatedFacts]) -> Result<Self, Failure> {
        if self.described {
            return Ok(self);
        }
        let packed: Vec<_> = self.plan.layers().iter().flat_map(|layer| &layer.files).collect();
        let facts = ModelFacts::read(&*self.source.source, &packed, stated).await?;
        let plan = self.plan.with_facts(&facts);
        modelcar_core::check_manifests(&plan)?;
        Ok(Self { plan, described: true, ..self })
    }
}

/// Opens source and base and plans, or replays the lock file.
async fn prepare(
    source: Option<&str>,
    args: &PlannedArgs,
    connection: &Connection,
    progress: &Arc<dyn Progress>,
) -> Result<Prepared, Failure> {
    if let Some(file) = &args.plan {
        return replay(file, source, connection, progress).await;
    }
    let source = source.ok_or_else(|| Failure::say("no source is named"))?;
    plan_source(source, &args.select, &args.image, connection, progress, false).await
}

/// Plans `source`; with `identify` a directory's files are read, so that the plan pins their content.
async fn plan_source(
    source: &str,
    select: &SelectArgs,
    image: &ImageArgs,
    connection: &Connection,
    progress: &Arc<dyn Progress>,
    identify: bool,
) -> Result<Prepared, Failure> {
    let options = plan_options(select, image)?;
    let name = SourceName::parse(source)?;
    let (source, base) =
        tokio::try_join!(name.open(&connection.hub, progress), names::open_base(image, connection, progress))?;
    let listed = source.source.list().await?;
    let origin = source.source.origin();
    let mut plan = Plan::new(origin, listed, &base.base.image, &options)
        .map_err(|error| Failure::from(error).during(format!("plan `{}`", source.pinned)))?;
    // Before a directory is read for its contents.
    modelcar_core::check_manifests(&plan)?;
    if let (true, Some(dir)) = (identify, &source.dir) {
        let files = plan.layers().iter().flat_map(|layer| layer.files.clone()).collect();
        plan = plan.with_contents(dir.identify(files).await?);
    }
    Ok(Prepared { source, base, plan, described: false })
}

fn plan_options(select: &SelectArgs, image: &ImageArgs) -> Result<PlanOptions, Failure> {
    let mtime = env::source_date_epoch().map_err(Failure::say)?.unwrap_or(0);
    Ok(PlanOptions {
        selection: Selection { include: select.include.clone(), exclude: select.exclude.clone(), all: select.all },
        layering: Layering::default(),
        mtime,
        platforms: image.platform.clone(),
        annotations: image.annotation.iter().cloned().collect::<BTreeMap<_, _>>(),
    })
}

/// Opens what a lock file names and checks that the base is still the same.
async fn replay(
    file: &Path,
    source: Option<&str>,
    connection: &Connection,
    progress: &Arc<dyn Progress>,
) -> Result<Prepared, Failure> {
    let lock = read_lock(file)?;
    let name = source.map_or_else(|| SourceName::parse(&scheme(&lock)), SourceName::parse)?;
    let (source, base) = tokio::try_join!(
        name.open(&connection.hub, progress),
        names::open_base_named(&lock.base, connection, progress)
    )
    .map_err(|failure| failure.hint("the lock file pins what is not there any more, or can't be reached now"))?;
    if !base.base.image.covers(lock.plan.base()) {
        return Err(Failure::say(format!("base `{}` is not the one that the lock file was made with", lock.base))
            .hint("write the lock file again with `modelcar plan SOURCE --output`"));
    }
    let wrong = unlike(&lock.plan, &source.source.list().await?);
    if let Some(first) = wrong.first() {
        let more = match wrong.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        return Err(Failure::say(format!("`{}` is not what the lock file pins: {first}{more}", source.pinned)).hint(
            "a lock file is replayed with the files that it names; `modelcar plan --check FILE` tells what has moved",
        ));
    }
    Ok(Prepared { source, base, plan: lock.plan, described: true })
}

/// Tells which files of the plan are not listed as they are in it: that should end a build before anything is read.
fn unlike(plan: &Plan, listed: &[SourceFile]) -> Vec<String> {
    let listed: BTreeMap<_, _> = listed.iter().map(|file| (&file.path, file)).collect();
    let wrong = |file: &SourceFile| match listed.get(&file.path) {
        None => Some(format!("file `{}` is not there", file.path)),
        Some(found) if found.size != file.size => {
            Some(format!("file `{}` has {} bytes, {} are pinned", file.path, found.size, file.size))
        }
        Some(_) => None,
    };
    plan.layers().iter().flat_map(|layer| &layer.files).filter_map(wrong).collect()
}

fn read_lock(file: &Path) -> Result<LockFile, Failure> {
    let json = fs::read(file).map_err(|error| Failure::new(error, format!("read lock file `{}`", file.display())))?;
    let act = || format!("use lock file `{}`", file.display());
    let (json, is_answer) = without_extras(json);
    let lock = LockFile::parse(&json).map_err(|error| Failure::from(error).during(act()))?;
    let mut files = lock.plan.layers().iter().flat_map(|layer| &layer.files);
    match files.find(|file| file.content.is_none()) {
        Some(file) if is_answer => Err(Failure::new(format!("it does not pin the content of `{}`", file.path), act())
            .hint(
                "files of a directory are read for a lock file alone: write it with `modelcar plan SOURCE --output`",
            )),
        _ => Ok(lock),
    }
}

/// What `plan --format json` says beside the lock file.
const PLAN_EXTRAS: [&str; 4] = ["contentBytes", "layerBytes", "nodeDisk", "push"];

/// Takes off what the answer of `plan --format json` has beside the lock file; tells whether it was one.
fn without_extras(json: Vec<u8>) -> (Vec<u8>, bool) {
    let Ok(Value::Object(mut document)) = serde_json::from_slice(&json) else { return (json, false) };
    let found = PLAN_EXTRAS.iter().filter(|extra| document.remove(**extra).is_some()).count();
    match found {
        0 => (json, false),
        _ => (Value::Object(document).to_string().into_bytes(), true),
    }
}

/// Returns a JSON answer: `body`, and what all answers have.
fn document(body: serde_json::Result<Value>, more: Value) -> Result<String, Failure> {
    let failed = |error| Failure::new(error, "write the answer as JSON");
    let mut document = body.map_err(failed)?;
    document["schemaVersion"] = json!(1);
    if let (Some(document), Value::Object(more)) = (document.as_object_mut(), more) {
        document.extend(more);
    }
    Ok(document.to_string())
}

/// A model in a lock file is a model, whatever lies in the current directory.
fn scheme(lock: &LockFile) -> String {
    match lock.plan.origin().commit {
        Some(_) => format!("hf://{}", lock.source),
        None => lock.source.clone(),
    }
}

fn build_options(run: &RunArgs, progress: Arc<dyn Progress>) -> BuildOptions {
    let default = BuildOptions::default();
    let jobs = run.jobs.map_or(default.jobs, usize::from);
    let connections = run.connections.map_or(2 * jobs, usize::from);
    BuildOptions { jobs, connections, read_ahead_bytes: run.read_ahead.as_u64(), progress }
}

/// How a build ended.
enum Ended {
    /// With an image, after so many seconds.
    Built(Built, f64),
    /// By an interrupt; what had a name by then.
    Interrupted(Option<Published>),
}

/// Waits for a build into `sink`; an interrupt stops the build and removes what is unfinished. Names are set one after the
/// other: what ends a build between them leaves the first ones, and that is said.
async fn finish(
    building: impl Future<Output = modelcar_core::Result<Built>>,
    sink: &dyn Sink,
) -> Result<Ended, Failure> {
    let start = Instant::now();
    let built = tokio::select! {
        built = building => Some(built),
        () = interrupt() => None,
    };
    match built {
        Some(Ok(built)) => Ok(Ended::Built(built, start.elapsed().as_secs_f64())),
        Some(Err(error)) => Err(Failure::from(error).hint(ui::published(sink.published().as_ref()))),
        None => {
            sink.abandon().await;
            Ok(Ended::Interrupted(sink.published()))
        }
    }
}

/// The JSON answer of `push` and `build`.
fn report(prepared: &Prepared, built: &Built, seconds: f64, name: (&str, Value)) -> Result<String, Failure> {
    let mut more = json!({
        "source": prepared.source.pinned,
        "base": prepared.base.pinned,
        "contentBytes": prepared.plan.content_bytes(),
        "seconds": (seconds * 1000.0).round() / 1000.0,
    });
    more[name.0] = name.1;
    document(serde_json::to_value(built), more)
}
