//! A push: a model becomes an image in a registry, pinned by its digest.
//!
//! [`Push::prepare`] decides everything and moves no weights: it opens and pins source and base, plans, reads what the
//! model is, finds which layers are somewhere already, and tries out what the registry could refuse.
//! [`PreparedPush::run`] does what was decided.

mod contents;
mod error;
mod preflight;
mod prepared;
#[cfg(feature = "workspace-tests")]
#[cfg(test)]
mod tests;

use std::{future::pending, sync::Arc};

pub use self::{
    contents::{Contents, ModelContents, PlannedImage},
    error::PushError,
    prepared::{PreparedPush, Pushed},
};
use crate::{
    ImageRef, Tag,
    error::Result,
    pipeline::BuildOptions,
    registry::{Registries, RegistryOptions, RegistrySink, Repository},
    reuse::{Cache, DecidedPush, Inventory, ReuseOptions},
    sink::Sink,
    source::HubOptions,
};

/// How the Hub and registries are reached.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Connections {
    /// Logins and options for registries.
    pub registries: Registries,
    /// Options for the Hub; `None` when no request may go to the Hub.
    pub hub: Option<HubOptions>,
}

impl Connections {
    /// Reaches the Hub without a token, and registries as `registries` says.
    pub fn new(registries: Registries) -> Self {
        Self { registries, hub: Some(HubOptions::default()) }
    }

    /// Uses `hub` as the options for the Hub; with `None` no request goes to the Hub.
    #[must_use]
    pub fn with_hub(self, hub: Option<HubOptions>) -> Self {
        Self { hub, ..self }
    }
}

/// Where a push looks for layers that need not be sent. Images that have the push's tags now are always looked into.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReusePolicy {
    /// Other images to look into.
    pub images: Vec<ImageRef>,
    /// Copy layers from images of other registries; they are not reused otherwise.
    pub copy: bool,
    /// Write checkpoints into the repository, and look for those of an earlier push.
    pub checkpoints: bool,
    /// The local cache, looked into last.
    pub cache: Option<Cache>,
    /// Read every reused layer from the registry and check it before it is used.
    pub verify: bool,
}

impl Default for ReusePolicy {
    /// No other images, no copies, checkpoints, no local cache, no check.
    fn default() -> Self {
        Self { images: Vec::new(), copy: false, checkpoints: true, cache: None, verify: false }
    }
}

/// A push to make.
#[derive(Debug, Clone)]
pub struct Push {
    contents: Contents,
    image: ImageRef,
    more_tags: Vec<Tag>,
    connections: Connections,
    target: Option<RegistryOptions>,
    reuse: Option<ReusePolicy>,
    options: BuildOptions,
}

impl Push {
    /// Pushes `contents` to `image`, under its tag, `latest` where it names none.
    pub fn new(contents: impl Into<Contents>, image: ImageRef, connections: Connections) -> Self {
        let (reuse, options) = (Some(ReusePolicy::default()), BuildOptions::default());
        Self { contents: contents.into(), image, more_tags: Vec::new(), connections, target: None, reuse, options }
    }

    /// Tags the image with `tags` too.
    #[must_use]
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.more_tags.extend(tags);
        self
    }

    /// Looks for layers as `reuse` says; with `None` every layer is sent, and no checkpoint is written.
    #[must_use]
    pub fn with_reuse(self, reuse: Option<ReusePolicy>) -> Self {
        Self { reuse, ..self }
    }

    /// Speaks to the registry of the image as `options` say; other registries are spoken to as the connections say.
    #[must_use]
    pub fn with_target_options(self, options: RegistryOptions) -> Self {
        Self { target: Some(options), ..self }
    }

    /// Sets what changes speed and nothing else, and who is told what happens.
    #[must_use]
    pub fn with_build_options(self, options: BuildOptions) -> Self {
        Self { options, ..self }
    }

    /// Returns the tags that the image gets, each of them once.
    pub fn tags(&self) -> Vec<Tag> {
        let mut tags = vec![self.image.tag_or_latest()];
        for tag in &self.more_tags {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        tags
    }

    /// Decides what the push does and checks that the registry takes it. No weights are moved.
    ///
    /// # Errors
    /// When source, base or image can't be used, or the registry refuses the push.
    pub async fn prepare(self) -> Result<PreparedPush> {
        self.prepare_until(pending::<()>()).await
    }

    /// As [`prepare`](Self::prepare), or stops when `stop` is ready and clears up in the registry.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), and [`PushError::Stopped`].
    pub async fn prepare_until(self, stop: impl Future + Send) -> Result<PreparedPush> {
        let repository = self.repository()?;
        repository.check_name()?;
        // The right to push is tried out by an upload, which is not left open.
        let sink = Arc::new(RegistrySink::new(repository.clone(), self.tags()));
        tokio::select! {
            prepared = self.ready(repository, Arc::clone(&sink)) => prepared,
            _ = stop => {
                sink.abandon().await;
                Err(PushError::Stopped { published: None }.into())
            }
        }
    }

    /// Decides what the push would do. Nothing is tried out at the registry, so that a login that may read will do.
    ///
    /// # Errors
    /// When source, base or image can't be used.
    pub async fn preview(self) -> Result<PreparedPush> {
        let repository = self.repository()?;
        let sink = Arc::new(RegistrySink::new(repository.clone(), self.tags()));
        self.decide(repository, sink).await
    }

    fn repository(&self) -> Result<Repository> {
        if self.image.digest().is_some() {
            return Err(PushError::DigestAsTarget(self.image.clone()).into());
        }
        let registries = &self.connections.registries;
        let options = self.target.as_ref().unwrap_or(&registries.options).clone();
        let target = Registries::new(Arc::clone(&registries.keychain), options);
        Ok(target.repository(&self.image, &self.options.progress)?)
    }

    async fn ready(self, repository: Repository, sink: Arc<RegistrySink>) -> Result<PreparedPush> {
        let (tags, progress) = (self.tags(), Arc::clone(&self.options.progress));
        let prepared = self.decide(repository.clone(), sink).await?;
        // Where nothing is to be written, nothing is tried out.
        if !prepared.is_published() {
            preflight::preflight(&repository, prepared.image(), &tags, prepared.plan(), &progress).await?;
        }
        Ok(prepared)
    }

    async fn decide(self, repository: Repository, sink: Arc<RegistrySink>) -> Result<PreparedPush> {
        let tags = self.tags();
        let progress = &self.options.progress;
        let (planned, inventory) = tokio::try_join!(
            self.contents.plan(&self.connections, progress),
            gather(self.reuse, &self.connections.registries, &repository, &tags, &self.options),
        )?;
        let stated = inventory.as_ref().map_or(&[][..], Inventory::stated_facts);
        let planned = planned.describe(stated).await?;
        let decided = match inventory {
            Some(inventory) => inventory.decide(planned.plan.clone(), &*planned.source.source, sink).await?,
            None => DecidedPush::without_reuse(planned.plan.clone(), sink),
        };
        Ok(PreparedPush::new(planned, decided, self.image, tags, self.options))
    }
}

/// Reads the images that the policy names.
async fn gather(
    policy: Option<ReusePolicy>,
    registries: &Registries,
    target: &Repository,
    tags: &[Tag],
    options: &BuildOptions,
) -> Result<Option<Inventory>> {
    let Some(policy) = policy else { return Ok(None) };
    let named = policy.images.into_iter().map(|image| {
        let repository = registries.repository(&image, &options.progress)?;
        Ok((image, repository))
    });
    let options = ReuseOptions {
        target: target.clone(),
        tags: tags.to_vec(),
        images: named.collect::<Result<_>>()?,
        copy: policy.copy,
        checkpoints: policy.checkpoints,
        cache: policy.cache,
        verify: policy.verify,
        progress: Arc::clone(&options.progress),
    };
    Ok(Some(Inventory::gather(options).await?))
}
