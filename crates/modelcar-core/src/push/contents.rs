//! What an image is made of: a model and a base that are planned now, or what a lock file pins.

use std::{collections::BTreeMap, future::pending, sync::Arc};

use super::{Connections, PushError};
use crate::{
    base::{BaseRef, OpenBase},
    error::{Error, Result},
    facts::{Examined, Flaw, StatedFacts, count_with_proof, examine_with_proof},
    image::check_manifests,
    pipeline::{BuildOptions, Built, build},
    plan::{LockFile, Plan, PlanOptions},
    progress::{Event, Phase, Progress},
    sink::Sink,
    source::{OpenSource, SourceFile, SourceRef, Unwanted},
    text,
};

/// What goes into an image: a model and a base, or what a lock file pins.
#[derive(Debug, Clone)]
pub struct Contents(Origin);

/// Which of the two it is.
#[derive(Debug, Clone)]
enum Origin {
    /// A model and a base, to be planned.
    Model(Box<ModelContents>),
    /// A lock file, and the source to read its files from if that is not the lock file's own.
    Lock { lock: Box<LockFile>, source: Option<SourceRef> },
}

/// A model and a base, to be planned.
#[derive(Debug, Clone)]
pub struct ModelContents {
    source: Model,
    /// The first one that can be used is used. None for the default, whose reference is parsed only when the default is
    /// used.
    bases: Vec<BaseRef>,
    options: PlanOptions,
    /// Whether files without a content id are read for the plan.
    identified: bool,
}

/// A source that is still to be opened, or is open.
#[derive(Debug, Clone)]
enum Model {
    Named(SourceRef),
    Open(OpenSource),
}

impl Model {
    async fn open(
        self,
        unwanted: Unwanted,
        connections: &Connections,
        progress: &Arc<dyn Progress>,
    ) -> Result<OpenSource> {
        match self {
            Self::Named(name) => Ok(name.open_without(&unwanted, connections.reach(), progress).await?),
            Self::Open(source) => Ok(source),
        }
    }
}

impl ModelContents {
    /// The model that `source` names, on the default base and with default options.
    pub fn new(source: SourceRef) -> Self {
        Self::of(Model::Named(source))
    }

    /// The model of a source that is open already, on the default base. The source may be an implementation of your
    /// own.
    pub fn from_source(source: OpenSource) -> Self {
        Self::of(Model::Open(source))
    }

    fn of(source: Model) -> Self {
        Self { source, bases: Vec::new(), options: PlanOptions::default(), identified: false }
    }

    /// Puts the model on `base` instead of the default base.
    #[must_use]
    pub fn with_base(self, base: BaseRef) -> Self {
        Self { bases: vec![base], ..self }
    }

    /// Puts the model on `base` where none of the bases that were named before can be used. A warning tells which base
    /// is passed over, because the image's digest depends on the base.
    #[must_use]
    pub fn or_base(mut self, base: BaseRef) -> Self {
        self.bases.push(base);
        self
    }

    /// Sets which files are selected, how they are spread over layers, and the platforms, time and annotations of the
    /// image.
    #[must_use]
    pub fn with_options(self, options: PlanOptions) -> Self {
        Self { options, ..self }
    }

    /// Reads the files of a directory, so that the plan states their content ids. A lock file needs them.
    ///
    /// A directory is read once more when the image is built. A model on the Hub has content ids already and is not
    /// read. The files of a store are read in any case, but for those whose content is known from an earlier time.
    #[must_use]
    pub fn identified(self) -> Self {
        Self { identified: true, ..self }
    }

    /// As [`Contents::plan`].
    ///
    /// # Errors
    /// As [`Contents::plan`].
    pub async fn plan(self, connections: &Connections, progress: &Arc<dyn Progress>) -> Result<PlannedImage> {
        Contents::from(self).plan(connections, progress).await
    }
}

impl From<ModelContents> for Contents {
    fn from(model: ModelContents) -> Self {
        Self(Origin::Model(Box::new(model)))
    }
}

impl Contents {
    /// What a lock file pins: the same files in the same layers on the same base. The image gets the same digest as
    /// before.
    pub fn from_lock(lock: LockFile) -> Self {
        Self(Origin::Lock { lock: Box::new(lock), source: None })
    }

    /// As [`from_lock`](Self::from_lock), with the files read from `source` instead of the lock file's own source. A
    /// mirror or a downloaded copy of the model can be used so.
    pub fn from_lock_and_source(lock: LockFile, source: SourceRef) -> Self {
        Self(Origin::Lock { lock: Box::new(lock), source: Some(source) })
    }

    /// Opens and pins source and base at the same time, and plans the image. No weights are read, except for
    /// [`ModelContents::identified`].
    ///
    /// # Errors
    /// [`PushError::Base`] and the source's error when one of them can't be opened, and [`PushError::Plan`] when the
    /// files make no image. For a lock file [`PushError::LockedNames`], [`PushError::OtherBase`] and
    /// [`PushError::OtherFiles`].
    pub async fn plan(self, connections: &Connections, progress: &Arc<dyn Progress>) -> Result<PlannedImage> {
        match self.0 {
            Origin::Model(model) => {
                let ModelContents { source, mut bases, options, identified } = *model;
                let last = bases.pop().unwrap_or_default();
                let opening = open_first(&bases, &last, connections, progress);
                let (source, base) =
                    tokio::try_join!(source.open(options.selection.unwanted(), connections, progress), opening)?;
                plan_anew(source, base, &options, identified, Arc::clone(progress)).await
            }
            Origin::Lock { lock, source } => {
                let source = Model::Named(source.unwrap_or_else(|| lock.source.clone()));
                let known = connections.known_base.as_ref();
                let opening = async { Ok(lock.base.open_or_known(known, &connections.registries, progress).await?) };
                let (source, base) = tokio::try_join!(source.open(Unwanted::all(), connections, progress), opening)
                    .map_err(|source| PushError::LockedNames { source })?;
                replay(*lock, source, base, Arc::clone(progress)).await
            }
        }
    }
}

/// Opens the first of several bases that can be used; `last` is the one after `before`.
async fn open_first(
    before: &[BaseRef],
    last: &BaseRef,
    connections: &Connections,
    progress: &Arc<dyn Progress>,
) -> Result<OpenBase> {
    for (index, name) in before.iter().enumerate() {
        match open_base(name, connections, progress).await {
            Ok(open) => return Ok(open),
            Err(error) => {
                let next = before.get(index + 1).unwrap_or(last);
                let message = format!("base `{next}` is used in place of `{name}`: {}", text::excerpt(&error.chain()));
                progress.report(&Event::Warning { message });
            }
        }
    }
    open_base(last, connections, progress).await
}

/// Opens the base; an error names it.
async fn open_base(name: &BaseRef, connections: &Connections, progress: &Arc<dyn Progress>) -> Result<OpenBase> {
    let failed = |source| PushError::Base { name: name.clone(), source };
    let known = connections.known_base.as_ref();
    Ok(name.open_or_known(known, &connections.registries, progress).await.map_err(failed)?)
}

/// Lists the files and plans an image of them.
async fn plan_anew(
    mut source: OpenSource,
    base: OpenBase,
    options: &PlanOptions,
    identified: bool,
    progress: Arc<dyn Progress>,
) -> Result<PlannedImage> {
    let listed = source.source.list().await?;
    let failed = |error| PushError::Plan { name: source.name.clone(), source: error };
    let compared = options.selection.compared(&listed).map_err(failed)?;
    let (counts, counted) = count_with_proof(&*source.source, &compared).await?;
    source.source = counted.held_by(source.source);
    let origin = source.source.origin();
    let mut plan = Plan::compared(origin, listed, &counts, &base.base.image, options).map_err(failed)?;
    // Before files are read.
    check_manifests(&plan)?;
    // What comes of a store over a network is compared with what came the first time.
    if identified || matches!(source.name, SourceRef::Store(_)) {
        let unknown = plan.layers().iter().filter(|layer| layer.recipe.is_none());
        let files: Vec<SourceFile> = unknown.flat_map(|layer| layer.files.clone()).collect();
        if !files.is_empty() {
            plan = plan.with_contents(source.source.identify(files).await?);
        }
    }
    let allows_broken = options.allow_incomplete;
    Ok(PlannedImage { source, base, plan, described: false, flaws: Vec::new(), allows_broken, progress })
}

/// Checks that source and base are those of the lock file, and takes the plan from the lock file.
async fn replay(
    lock: LockFile,
    source: OpenSource,
    base: OpenBase,
    progress: Arc<dyn Progress>,
) -> Result<PlannedImage> {
    if !base.base.image.covers(lock.plan.base()) {
        return Err(PushError::OtherBase(lock.base).into());
    }
    let mut wrong = unlike(&lock.plan, &source.source.list().await?).into_iter();
    if let Some(first) = wrong.next() {
        return Err(PushError::OtherFiles { name: source.name, first, others: wrong.len() }.into());
    }
    // The image is the one of the lock file, wherever the bytes come from.
    let source = OpenSource { name: lock.source, ..source };
    // Whoever made the lock file was told of its flaws.
    let (plan, flaws) = (lock.plan, Vec::new());
    Ok(PlannedImage { source, base, plan, described: true, flaws, allows_broken: true, progress })
}

/// Returns what is wrong with the source: a sentence for each file of the plan that is missing or has another size.
/// The contents are compared later, while the layers are read.
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

/// An image that is planned. Its source and base are open and pinned: a moved branch or tag has no effect any more.
#[derive(Debug)]
pub struct PlannedImage {
    pub(super) source: OpenSource,
    pub(super) base: OpenBase,
    pub(super) plan: Plan,
    /// Whether the plan has the model's facts already.
    described: bool,
    pub(super) flaws: Vec<Flaw>,
    pub(super) allows_broken: bool,
    progress: Arc<dyn Progress>,
}

impl PlannedImage {
    /// Returns the plan: which file goes into which layer of which image.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the open source and its pinned name.
    pub fn source(&self) -> &OpenSource {
        &self.source
    }

    /// Returns the name of the base, pinned by a digest where the base has one.
    pub fn base(&self) -> &BaseRef {
        &self.base.name
    }

    /// Returns the lock file that makes this image again.
    pub fn lock(&self) -> LockFile {
        LockFile::new(self.source.name.clone(), self.base.name.clone(), self.plan.clone())
    }

    /// Returns what is wrong with the model's files, or looks wrong; nothing before the image is
    /// [`described`](Self::described).
    pub fn flaws(&self) -> &[Flaw] {
        &self.flaws
    }

    /// Refuses a model that no server can load, unless [`PlanOptions::allow_incomplete`] was set. A build does that too.
    ///
    /// # Errors
    /// [`PushError::BrokenModel`].
    pub fn check(&self) -> Result<()> {
        check_whole(&self.source.name, &self.flaws, self.allows_broken)
    }

    /// Reads the headers of the model's files and adds the model's facts to the plan, as annotations of the image.
    /// KServe manifests are made from these annotations.
    ///
    /// # Errors
    /// The source's error when a file can't be read. An error of the plan when the annotations make a manifest too
    /// large.
    pub async fn described(self) -> Result<Self> {
        self.describe(&[]).await
    }

    /// As [`described`](Self::described). `stated` holds the facts of images that may contain the same files, which
    /// then need not be read.
    pub(super) async fn describe(self, stated: &[StatedFacts]) -> Result<Self> {
        if self.described {
            return Ok(self);
        }
        Phase::ReadHeaders.begin(&*self.progress);
        let packed: Vec<_> = self.plan.layers().iter().flat_map(|layer| &layer.files).collect();
        let (examined, read) = examine_with_proof(&*self.source.source, &packed, stated).await?;
        let Examined { facts, flaws } = examined;
        let plan = self.plan.with_facts(&facts);
        check_manifests(&plan)?;
        let OpenSource { name, source } = self.source;
        let source = OpenSource { name, source: read.held_by(source) };
        Ok(Self { source, plan, described: true, flaws, ..self })
    }

    /// Writes the image into `sink`. Every layer is read from the source.
    ///
    /// # Errors
    /// As [`build`]. [`PushError::BrokenModel`] when no server can load the model. [`PushError::PartlyPublished`] when a
    /// name was set before the failure.
    pub async fn build(&self, sink: &dyn Sink, options: &BuildOptions) -> Result<Built> {
        self.build_until(sink, options, pending::<()>()).await
    }

    /// As [`build`](Self::build). When `stop` is ready first, the build stops and the sink removes what is unfinished.
    ///
    /// # Errors
    /// As [`build`](Self::build), and [`PushError::Stopped`].
    pub async fn build_until(
        &self,
        sink: &dyn Sink,
        options: &BuildOptions,
        stop: impl Future + Send,
    ) -> Result<Built> {
        self.check()?;
        let source = Arc::clone(&self.source.source);
        finish(build(&self.plan, source, &self.base.base, sink, options), sink, stop).await
    }
}

/// Refuses a model that no server can load.
pub(super) fn check_whole(name: &SourceRef, flaws: &[Flaw], allows_broken: bool) -> Result<()> {
    let broken: Vec<Flaw> = flaws.iter().filter(|flaw| flaw.is_broken()).cloned().collect();
    if broken.is_empty() || allows_broken {
        return Ok(());
    }
    Err(PushError::BrokenModel { name: name.clone(), flaws: broken }.into())
}

/// Waits for a build into `sink`, or for `stop`. An error says which names the image has by then.
pub(super) async fn finish(
    building: impl Future<Output = Result<Built>> + Send,
    sink: &dyn Sink,
    stop: impl Future + Send,
) -> Result<Built> {
    let built = tokio::select! {
        built = building => Some(built),
        _ = stop => None,
    };
    match (built, sink.published()) {
        (Some(Ok(built)), _) => Ok(built),
        (Some(Err(error)), None) => Err(error),
        (Some(Err(source)), Some(published)) => Err(Error::from(PushError::PartlyPublished { published, source })),
        (None, _) => {
            sink.abandon().await;
            Err(PushError::Stopped { published: sink.published() }.into())
        }
    }
}
