//! A push that is decided, and its result.

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use super::contents::{PlannedImage, check_whole, finish};
use crate::{
    ImageRef, Tag,
    base::{Base, BaseRef},
    error::Result,
    facts::Flaw,
    pipeline::{BuildOptions, Built},
    plan::{Layer, LockFile, Plan},
    reuse::{DecidedPush, Decision, LayerAction},
    source::OpenSource,
};

/// A push that is decided: what is done with each layer of one plan, in one repository, under one set of tags.
///
/// The decisions can't be had apart from what they are about, and they are used up by the run: with another plan or place
/// they would publish layers of another model, or nothing at all.
///
/// ```compile_fail,E0382
/// # use modelcar_core::{Result, push::PreparedPush};
/// async fn twice(push: PreparedPush) -> Result<()> {
///     push.run().await?;
///     push.run().await?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct PreparedPush {
    /// The plan, and a decision for each of its layers.
    decided: DecidedPush,
    source: OpenSource,
    base: Base,
    base_name: BaseRef,
    image: ImageRef,
    /// All tags that the image gets.
    tags: Vec<Tag>,
    options: BuildOptions,
    flaws: Vec<Flaw>,
    allows_broken: bool,
}

impl PreparedPush {
    pub(super) fn new(
        planned: PlannedImage,
        decided: DecidedPush,
        image: ImageRef,
        tags: Vec<Tag>,
        options: BuildOptions,
    ) -> Self {
        let PlannedImage { source, base, flaws, allows_broken, .. } = planned;
        Self { decided, source, base: base.base, base_name: base.name, image, tags, options, flaws, allows_broken }
    }

    /// Returns the plan. It states the content ids of a directory's files if they had to be compared with those of an
    /// image.
    pub fn plan(&self) -> &Plan {
        self.decided.plan()
    }

    /// Returns what is wrong with the model's files, or looks wrong.
    pub fn flaws(&self) -> &[Flaw] {
        &self.flaws
    }

    /// Refuses a model that no server can load.
    pub(super) fn check_whole(&self) -> Result<()> {
        check_whole(&self.source.name, &self.flaws, self.allows_broken)
    }

    /// Returns a decision for each layer, in the plan's order.
    pub fn decisions(&self) -> &[Decision] {
        self.decided.decisions()
    }

    /// Returns the image that is pushed to, as the caller named it.
    pub fn image(&self) -> &ImageRef {
        &self.image
    }

    /// Returns the tags that the image gets, each of them once.
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// Returns the open source and its pinned name.
    pub fn source(&self) -> &OpenSource {
        &self.source
    }

    /// Returns the name of the base, pinned by a digest where the base has one.
    pub fn base(&self) -> &BaseRef {
        &self.base_name
    }

    /// Returns the lock file that makes this image again. It pins the content of a directory's files if
    /// [`ModelContents::identified`](super::ModelContents::identified) was used.
    pub fn lock(&self) -> LockFile {
        LockFile::new(self.source.name.clone(), self.base_name.clone(), self.plan().clone())
    }

    /// Returns whether the registry has the image already, under every tag. [`run`](Self::run) then writes nothing.
    pub fn is_published(&self) -> bool {
        self.decided.is_published()
    }

    /// Returns the number of bytes of files that [`run`](Self::run) reads from the source.
    pub fn bytes_to_fetch(&self) -> u64 {
        self.sum(&[LayerAction::Upload], Layer::content_bytes)
    }

    /// Returns the number of bytes of weight layers that [`run`](Self::run) uploads. Layers that are copied from
    /// another registry are among them.
    pub fn bytes_to_send(&self) -> u64 {
        self.sum(&[LayerAction::Upload, LayerAction::Copy], |layer| layer.size)
    }

    /// Adds up `bytes` over the layers for which one of `actions` was decided.
    fn sum(&self, actions: &[LayerAction], bytes: fn(&Layer) -> u64) -> u64 {
        let layers = self.plan().layers().iter().zip(self.decisions());
        layers.filter(|(_, decision)| actions.contains(&decision.action)).map(|(layer, _)| bytes(layer)).sum()
    }

    /// Uploads the layers that the registry lacks, publishes the image under its tags, and returns its pinned
    /// reference.
    ///
    /// Dropping the returned future stops the push. Upload sessions that are open then stay in the registry until it
    /// removes them; [`run_until`](Self::run_until) deletes them.
    ///
    /// # Errors
    /// The first error of any layer; the other layers are stopped. [`PushError::PartlyPublished`](super::PushError)
    /// when a tag points to the image already.
    pub async fn run(self) -> Result<Pushed> {
        self.run_until(pending::<()>()).await
    }

    /// As [`run`](Self::run). When `stop` is ready first, the push stops and open upload sessions are deleted.
    ///
    /// Layers that were committed stay in the registry; with checkpoints, the next push reuses them.
    ///
    /// # Errors
    /// As [`run`](Self::run), and [`PushError::Stopped`](super::PushError::Stopped).
    pub async fn run_until(self, stop: impl Future + Send) -> Result<Pushed> {
        self.check_whole()?;
        let begun = Instant::now();
        let (source, sink) = (Arc::clone(&self.source.source), self.decided.sink());
        let running = self.decided.run(source, &self.base, &self.options);
        let built = finish(running, &*sink, stop).await?;
        let image = self.image.with_digest(&built.digest);
        Ok(Pushed { image, tags: self.tags, built, elapsed: begun.elapsed() })
    }
}

/// An image that was pushed to a registry.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pushed {
    /// The reference that pins the image: `registry/repository@sha256:…`, without a tag.
    pub image: ImageRef,
    /// The tags that point to the image.
    pub tags: Vec<Tag>,
    /// The digests of the image, and the bytes that were read and sent.
    pub built: Built,
    /// Duration of the run, without the preparation.
    pub elapsed: Duration,
}
