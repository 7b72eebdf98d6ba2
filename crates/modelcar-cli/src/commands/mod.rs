//! The commands. Each turns its arguments into calls of the libraries and returns the answer.
//!
//! A module has the arguments of its command, whose doc comments are the help texts, and a function `run`. The answer
//! is text for people, or one JSON document (`docs/json.md`).

pub(crate) mod base;
pub(crate) mod build;
mod cached;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod download;
pub(crate) mod inspect;
pub(crate) mod lint;
mod lock;
pub(crate) mod lock_check;
pub(crate) mod man;
mod manifests;
pub(crate) mod pin;
mod place;
pub(crate) mod plan;
pub(crate) mod push;
pub(crate) mod render;
pub(crate) mod reuse;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use modelcar_core::{
    BuildOptions, Built,
    base::BaseRef,
    facts::Flaw,
    plan::{Layering, Plan, PlanOptions, Selection},
    progress::Progress,
    push::{Connections, Contents, ModelContents},
    source::SourceRef,
    text::one_line,
};
use modelcar_env::Environment;
use serde::Serialize;

use crate::{
    args::{ImageArgs, PlannedArgs, RunArgs, SelectArgs},
    hint::Failure,
    outcome::Outcome,
    resolve, ui,
};

/// Returns what a push or build is made of, and the source that is read for it.
///
/// With a lock file, `source` replaces the source that the lock file names.
async fn contents(
    source: Option<&str>,
    args: &PlannedArgs,
    progress: &Arc<dyn Progress>,
) -> Result<(Contents, SourceRef), Failure> {
    let source = source.map(resolve::source).transpose()?;
    if let Some(file) = &args.plan {
        let lock = lock::read(file)?;
        let read = source.clone().unwrap_or_else(|| lock.source.clone());
        let contents = match (cached::folder(&read)?, source) {
            (Some(folder), _) => Contents::from_lock_and_source(lock, SourceRef::Dir(folder)),
            (None, Some(source)) => Contents::from_lock_and_source(lock, source),
            (None, None) => Contents::from_lock(lock),
        };
        return Ok((contents, read));
    }
    let source = source.ok_or_else(|| Failure::say("no source is named"))?;
    Ok((planned(source.clone(), &args.select, &args.image, progress).await?.into(), source))
}

/// Returns what an image of `source` is made of, with the files and the base that the flags choose.
async fn planned(
    source: SourceRef,
    select: &SelectArgs,
    image: &ImageArgs,
    progress: &Arc<dyn Progress>,
) -> Result<ModelContents, Failure> {
    let options = plan_options(select, image)?;
    let contents = match cached::open(&source, progress).await? {
        Some(open) => ModelContents::from_source(open),
        None => ModelContents::new(source),
    };
    let contents = resolve::bases(image)?.into_iter().fold(contents, ModelContents::or_base);
    Ok(contents.with_options(options))
}

/// Returns the options of the plan. The time of all entries is `SOURCE_DATE_EPOCH`, or 0.
///
/// # Errors
/// When `SOURCE_DATE_EPOCH` is not a number.
fn plan_options(select: &SelectArgs, image: &ImageArgs) -> Result<PlanOptions, Failure> {
    let mtime = Environment::source_date_epoch()?.unwrap_or(0);
    Ok(PlanOptions {
        selection: Selection {
            include: select.include.clone(),
            exclude: select.exclude.clone(),
            all: select.all,
            weights: select.weights.clone(),
        },
        layering: Layering::default(),
        mtime,
        platforms: image.platform.clone(),
        annotations: image.annotation.iter().cloned().collect::<BTreeMap<_, _>>(),
        allow_incomplete: select.allow_incomplete,
    })
}

/// Tells on stderr what looks wrong with a model, and what of the plan is wrong for the user's ends. `is_refused` says that
/// a push or build would refuse a broken model.
fn warn(flaws: &[Flaw], plan: &Plan, is_refused: bool) {
    for flaw in flaws {
        let refused = is_refused && flaw.is_broken();
        let what = if refused { "; push and build refuse this model without --allow-incomplete" } else { "" };
        ui::warn(&format!("{flaw}{what}"));
    }
    for file in plan.private_files() {
        ui::warn(&format!(
            "`{0}` usually holds a password, a token or a private key, and whoever pulls the image can read the file: \
             --exclude '{0}' leaves the file out",
            file.path
        ));
    }
    if let Some(file) = plan.left_out().iter().find(|file| file.is_signature()) {
        ui::warn(&format!(
            "`{}` stays out: the signature covers all files, and some of them stay out. --all packs them with the signature",
            file.path
        ));
    }
}

/// Tells on stderr that a base of one file makes an image for one platform: other bases have several.
fn tell_platform(base: &BaseRef, plan: &Plan) {
    if let (BaseRef::Binary(path), [only]) = (base, plan.base().platforms.as_slice()) {
        let platform = &only.platform;
        ui::note(&format!("the image is for {platform} alone, as `{}` is", one_line(&path.display().to_string())));
    }
}

/// Version of every JSON answer but that of `plan`. A field that is removed or changes its meaning increases it.
const SCHEMA_VERSION: u32 = 1;

/// Returns a JSON answer, on one line and with its fields in the order of their names.
fn document(answer: &impl Serialize) -> Result<String, Failure> {
    let document = serde_json::to_value(answer);
    document.map(|document| document.to_string()).map_err(|error| Failure::new(error, "write the answer as JSON"))
}

/// Returns seconds with three decimals.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Returns how fast a push or build is. Without a flag, there are two connections for each layer in flight.
fn build_options(run: &RunArgs, progress: Arc<dyn Progress>) -> BuildOptions {
    let default = BuildOptions::default();
    let jobs = run.jobs.map_or(default.jobs, usize::from);
    let connections = run.connections.map_or(2 * jobs, usize::from);
    BuildOptions { jobs, connections, read_ahead_bytes: run.read_ahead.as_u64(), progress }
}

/// Returns the connections with the first read of a store as fast as the run.
fn with_speed(options: &BuildOptions, connections: Connections) -> Connections {
    let Some(mut stores) = connections.stores.clone() else { return connections };
    (stores.connections, stores.read_ahead_bytes) = (options.connections, options.read_ahead_bytes);
    connections.with_stores(Some(stores))
}

/// What an image was made of, for the JSON answers of `push` and `build`. It is noted before the run uses the plan up.
struct Made {
    /// The pinned name of the source: for a model on the Hub with its commit.
    source: SourceRef,
    /// The name of the base, pinned by a digest where the base has one.
    base: BaseRef,
    /// Bytes of all files in the image.
    content_bytes: u64,
}

impl Made {
    /// Notes the pinned names of source and base, and the size of the files.
    fn of(source: &SourceRef, base: &BaseRef, plan: &Plan) -> Self {
        Self { source: source.clone(), base: base.clone(), content_bytes: plan.content_bytes() }
    }

    /// Returns the part of the answer that `push` and `build` share.
    fn answer<'a>(&'a self, built: &'a Built, elapsed: Duration) -> MadeAnswer<'a> {
        MadeAnswer {
            schema_version: SCHEMA_VERSION,
            source: &self.source,
            base: &self.base,
            built,
            content_bytes: self.content_bytes,
            seconds: seconds(elapsed),
        }
    }
}

/// What the JSON answers of `push` and `build` share.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct MadeAnswer<'a> {
    /// 1
    schema_version: u32,
    /// The source, pinned: for a model on the Hub with its commit.
    source: &'a SourceRef,
    /// The base, pinned by a digest where the base has one.
    base: &'a BaseRef,
    #[serde(flatten)]
    built: &'a Built,
    /// Sum of the files' sizes, in bytes.
    content_bytes: u64,
    /// Duration of the whole command, planning and hashing included.
    seconds: f64,
}
