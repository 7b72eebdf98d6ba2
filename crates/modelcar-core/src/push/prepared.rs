//! A push that is decided, and what comes of it.

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use super::contents::{PlannedImage, finish};
use crate::{
    ImageRef, Tag,
    base::{Base, BaseRef},
    error::Result,
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
    decided: DecidedPush,
    source: OpenSource,
    base: Base,
    base_name: BaseRef,
    image: ImageRef,
    tags: Vec<Tag>,
    options: BuildOptions,
}

impl PreparedPush {
    pub(super) fn new(
        planned: PlannedImage,
        decided: DecidedPush,
        image: ImageRef,
        tags: Vec<Tag>,
        options: BuildOptions,
    ) -> Self {
        let PlannedImage { source, base, .. } = planned;
        Self { decided, source, base: base.base, base_name: base.name, image, tags, options }
    }

    /// Returns the plan. It states the contents of a directory's files where an image may hold them.
    pub fn plan(&self) -> &Plan {
        self.decided.plan()
    }

    /// Returns a decision for each layer of the plan.
    pub fn decisions(&self) -> &[Decision] {
        self.decided.decisions()
    }

    /// Returns the image that is pushed to, as it was named.
    pub fn image(&self) -> &ImageRef {
        &self.image
    }

    /// Returns the tags that the image gets.
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// Returns the source, pinned.
    pub fn source(&self) -> &OpenSource {
        &self.source
    }

    /// Returns the name of the base, pinned where it can be.
    pub fn base(&self) -> &BaseRef {
        &self.base_name
    }

    /// Returns the lock file that makes this image again. It pins the content of a directory's files where
    /// [`ModelContents::identified`](super::ModelContents::identified) was asked for.
    pub fn lock(&self) -> LockFile {
        LockFile::new(self.source.name.clone(), self.base_name.clone(), self.plan().clone())
    }

    /// Returns whether the registry has the image already, under every tag: the run writes nothing then.
    pub fn is_published(&self) -> bool {
        self.decided.is_published()
    }

    /// Returns the bytes of files that are read from the source.
    pub fn bytes_to_fetch(&self) -> u64 {
        self.sum(&[LayerAction::Upload], Layer::content_bytes)
    }

    /// Returns the bytes of weight layers that are sent to the registry.
    pub fn bytes_to_send(&self) -> u64 {
        self.sum(&[LayerAction::Upload, LayerAction::Copy], |layer| layer.size)
    }

    fn sum(&self, actions: &[LayerAction], bytes: fn(&Layer) -> u64) -> u64 {
        let layers = self.plan().layers().iter().zip(self.decisions());
        layers.filter(|(_, decision)| actions.contains(&decision.action)).map(|(layer, _)| bytes(layer)).sum()
    }

    /// Sends what is not there yet, publishes the image under its tags, and returns its pinned reference.
    ///
    /// Dropping the returned future stops the push; sessions that are open in the registry then stay until the registry
    /// removes them. [`run_until`](Self::run_until) closes them.
    ///
    /// # Errors
    /// The first error of any layer; the others are stopped. [`PushError::PartlyPublished`](super::PushError) when a tag
    /// points to the image already.
    pub async fn run(self) -> Result<Pushed> {
        self.run_until(pending::<()>()).await
    }

    /// As [`run`](Self::run), or stops when `stop` is ready and clears up in the registry.
    ///
    /// # Errors
    /// As [`run`](Self::run), and [`PushError::Stopped`](super::PushError::Stopped).
    pub async fn run_until(self, stop: impl Future + Send) -> Result<Pushed> {
        let begun = Instant::now();
        let (source, sink) = (Arc::clone(&self.source.source), self.decided.sink());
        let running = self.decided.run(source, &self.base, &self.options);
        let built = finish(running, &*sink, stop).await?;
        let image = self.image.with_digest(&built.digest);
        Ok(Pushed { image, tags: self.tags, built, elapsed: begun.elapsed() })
    }
}

/// An image that is in a registry.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pushed {
    /// The image, pinned: `registry/repository@sha256:…`.
    pub image: ImageRef,
    /// The tags that point to the image.
    pub tags: Vec<Tag>,
    /// What the image holds, and what was moved for it.
    pub built: Built,
    /// How long the run took.
    pub elapsed: Duration,
}
