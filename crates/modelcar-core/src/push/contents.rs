//! What an image is made of: a model and a base, planned anew or as a lock file has them.

use std::{collections::BTreeMap, future::pending, sync::Arc};

use super::{Connections, PushError};
use crate::{
    base::{BaseRef, OpenBase},
    error::{Error, Result},
    facts::{ModelFacts, StatedFacts},
    image::check_manifests,
    pipeline::{BuildOptions, Built, build},
    plan::{LockFile, Plan, PlanOptions},
    progress::{Phase, Progress},
    sink::Sink,
    source::{OpenSource, SourceFile, SourceRef},
};

/// What goes into an image.
#[derive(Debug, Clone)]
pub struct Contents {
    from: From,
    identified: bool,
}

#[derive(Debug, Clone)]
enum From {
    Model { source: Model, base: BaseRef, options: Box<PlanOptions> },
    Lock { lock: Box<LockFile>, source: Option<Model> },
}

#[derive(Debug, Clone)]
enum Model {
    Named(SourceRef),
    Open(OpenSource),
}

impl Model {
    async fn open(self, connections: &Connections, progress: &Arc<dyn Progress>) -> Result<OpenSource> {
        match self {
            Self::Named(name) => Ok(name.open(connections.hub.as_ref(), progress).await?),
            Self::Open(source) => Ok(source),
        }
    }
}

impl Contents {
    /// The model that `source` names, on the default base.
    pub fn new(source: SourceRef) -> Self {
        Self::of(Model::Named(source))
    }

    /// The model of a source that is open already, or is your own.
    pub fn from_source(source: OpenSource) -> Self {
        Self::of(Model::Open(source))
    }

    /// What a lock file pins: the same files in the same layers, so that the image gets the same digest.
    pub fn from_lock(lock: LockFile) -> Self {
        Self { from: From::Lock { lock: Box::new(lock), source: None }, identified: false }
    }

    fn of(source: Model) -> Self {
        let from = From::Model { source, base: BaseRef::default(), options: Box::default() };
        Self { from, identified: false }
    }

    /// Reads the lock file's files from `source` instead of the source that the lock file names. Contents that are not
    /// from a lock file have one source alone: it is replaced.
    #[must_use]
    pub fn with_source(mut self, name: SourceRef) -> Self {
        match &mut self.from {
            From::Model { source, .. } => *source = Model::Named(name),
            From::Lock { source, .. } => *source = Some(Model::Named(name)),
        }
        self
    }

    /// Puts the model on `base`. A lock file has its own base.
    #[must_use]
    pub fn with_base(mut self, name: BaseRef) -> Self {
        if let From::Model { base, .. } = &mut self.from {
            *base = name;
        }
        self
    }

    /// Selects and lays out files as `options` say. A lock file has its own layout.
    #[must_use]
    pub fn with_options(mut self, plan: PlanOptions) -> Self {
        if let From::Model { options, .. } = &mut self.from {
            **options = plan;
        }
        self
    }

    /// Reads the files of a directory, so that the plan states their content. A lock file needs it.
    #[must_use]
    pub fn identified(mut self) -> Self {
        self.identified = true;
        self
    }

    /// Opens source and base, pins both, and plans the image. No weights are moved.
    ///
    /// # Errors
    /// When source or base are not there or can't be read, or the files make no image.
    pub async fn plan(self, connections: &Connections, progress: &Arc<dyn Progress>) -> Result<PlannedImage> {
        match self.from {
            From::Model { source, base, options } => {
                let opening = open_base(&base, connections, progress);
                let (source, base) = tokio::try_join!(source.open(connections, progress), opening)?;
                plan_anew(source, base, &options, self.identified, Arc::clone(progress)).await
            }
            From::Lock { lock, source } => {
                let source = source.unwrap_or_else(|| Model::Named(lock.source.clone()));
                let opening = async { Ok(lock.base.open(&connections.registries, progress).await?) };
                let (source, base) = tokio::try_join!(source.open(connections, progress), opening)
                    .map_err(|source| PushError::LockedNames { source })?;
                replay(*lock, source, base, Arc::clone(progress)).await
            }
        }
    }
}

async fn open_base(name: &BaseRef, connections: &Connections, progress: &Arc<dyn Progress>) -> Result<OpenBase> {
    let failed = |source| PushError::Base { name: name.clone(), source };
    Ok(name.open(&connections.registries, progress).await.map_err(failed)?)
}

async fn plan_anew(
    source: OpenSource,
    base: OpenBase,
    options: &PlanOptions,
    identified: bool,
    progress: Arc<dyn Progress>,
) -> Result<PlannedImage> {
    let listed = source.source.list().await?;
    let failed = |error| PushError::Plan { name: source.name.clone(), source: error };
    let mut plan = Plan::new(source.source.origin(), listed, &base.base.image, options).map_err(failed)?;
    // Before the files of a directory are read.
    check_manifests(&plan)?;
    if identified {
        let unknown = plan.layers().iter().filter(|layer| layer.recipe.is_none());
        let files: Vec<SourceFile> = unknown.flat_map(|layer| layer.files.clone()).collect();
        if !files.is_empty() {
            plan = plan.with_contents(source.source.identify(files).await?);
        }
    }
    Ok(PlannedImage { source, base, plan, described: false, progress })
}

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
    Ok(PlannedImage { source, base, plan: lock.plan, described: true, progress })
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

/// An image that is planned: its source and base are open and pinned.
#[derive(Debug)]
pub struct PlannedImage {
    pub(super) source: OpenSource,
    pub(super) base: OpenBase,
    pub(super) plan: Plan,
    /// Whether the plan states the facts of the model already.
    described: bool,
    progress: Arc<dyn Progress>,
}

impl PlannedImage {
    /// Returns the plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the source, pinned.
    pub fn source(&self) -> &OpenSource {
        &self.source
    }

    /// Returns the name of the base, pinned where it can be.
    pub fn base(&self) -> &BaseRef {
        &self.base.name
    }

    /// Returns the lock file that makes this image again.
    pub fn lock(&self) -> LockFile {
        LockFile::new(self.source.name.clone(), self.base.name.clone(), self.plan.clone())
    }

    /// Reads the headers of the model's files and states in the plan what the model is: annotations of the image, which
    /// KServe manifests are made from.
    ///
    /// # Errors
    /// When a file can't be read.
    pub async fn described(self) -> Result<Self> {
        self.describe(&[]).await
    }

    /// As [`described`](Self::described); `stated` are the facts of images that may hold the same files.
    pub(super) async fn describe(self, stated: &[StatedFacts]) -> Result<Self> {
        if self.described {
            return Ok(self);
        }
        Phase::ReadHeaders.begin(&*self.progress);
        let packed: Vec<_> = self.plan.layers().iter().flat_map(|layer| &layer.files).collect();
        let facts = ModelFacts::read(&*self.source.source, &packed, stated).await?;
        let plan = self.plan.with_facts(&facts);
        check_manifests(&plan)?;
        Ok(Self { plan, described: true, ..self })
    }

    /// Writes the image into `sink`.
    ///
    /// # Errors
    /// As [`build`].
    pub async fn build(&self, sink: &dyn Sink, options: &BuildOptions) -> Result<Built> {
        self.build_until(sink, options, pending::<()>()).await
    }

    /// Writes the image into `sink`, or stops when `stop` is ready: the sink then removes what is unfinished.
    ///
    /// # Errors
    /// As [`build`], and [`PushError::Stopped`].
    pub async fn build_until(
        &self,
        sink: &dyn Sink,
        options: &BuildOptions,
        stop: impl Future + Send,
    ) -> Result<Built> {
        let source = Arc::clone(&self.source.source);
        finish(build(&self.plan, source, &self.base.base, sink, options), sink, stop).await
    }
}

/// Waits for a build into `sink` or for `stop`. An error says what has a name by then.
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
