//! A push: a model becomes an image in a registry, pinned by its digest.
//!
//! [`Push::prepare`] decides everything and uploads no weights. It opens and pins source and base, plans the image,
//! reads the model's facts, finds the layers that a registry has already, and checks whether the registry would refuse
//! the push. [`PreparedPush::run`] then does what was decided.

mod contents;
mod error;
mod preflight;
mod prepared;
#[cfg(feature = "workspace-tests")]
#[cfg(test)]
mod tests;

use std::{future::pending, sync::Arc};

use self::preflight::Preflight;
pub use self::{
    contents::{Contents, ModelContents, PlannedImage},
    error::PushError,
    prepared::{PreparedPush, Pushed},
};
#[cfg(feature = "object-store")]
use crate::source::StoreOptions;
use crate::{
    ImageRef, Tag,
    base::KnownBase,
    error::Result,
    pipeline::BuildOptions,
    registry::{Registries, RegistryOptions, RegistrySink, Repository},
    reuse::{Cache, DecidedPush, Inventory, ReuseOptions},
    sink::Sink,
    source::{HubOptions, Reach},
};

/// How the Hub and registries are reached: credentials, network and options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Connections {
    /// Credentials and options for all registries: those of the image, of the base and of images to reuse layers from.
    pub registries: Registries,
    /// Options for the Hub. `None` when no request may go to the Hub; a model on the Hub is an error then.
    pub hub: Option<HubOptions>,
    /// Options for stores. `None` when no request may go to one; a folder in a store is an error then.
    #[cfg(feature = "object-store")]
    pub stores: Option<StoreOptions>,
    /// The base that is looked for in several places. `None`: the default base, [`KnownBase::busybox`].
    pub known_base: Option<KnownBase>,
}

impl Connections {
    /// Reaches registries as `registries` says, and the Hub and stores with default options and without credentials.
    pub fn new(registries: Registries) -> Self {
        Self {
            registries,
            hub: Some(HubOptions::default()),
            #[cfg(feature = "object-store")]
            stores: Some(StoreOptions::default()),
            known_base: None,
        }
    }

    /// Sets the base that is looked for in several places.
    #[must_use]
    pub fn with_known_base(self, known_base: Option<KnownBase>) -> Self {
        Self { known_base, ..self }
    }

    /// Sets the options for stores. With `None` no request goes to one.
    #[cfg(feature = "object-store")]
    #[must_use]
    pub fn with_stores(self, stores: Option<StoreOptions>) -> Self {
        Self { stores, ..self }
    }

    /// Returns how sources are reached.
    pub fn reach(&self) -> Reach<'_> {
        let reach = Reach::hub(self.hub.as_ref());
        #[cfg(feature = "object-store")]
        let reach = self.stores.iter().fold(reach, Reach::with_stores);
        reach
    }

    /// Sets the options for the Hub. With `None` no request goes to the Hub.
    #[must_use]
    pub fn with_hub(self, hub: Option<HubOptions>) -> Self {
        Self { hub, ..self }
    }
}

/// Where a push looks for layers that need not be uploaded. The images that have the push's tags now are always looked
/// at.
///
/// A layer is reused only if its recipe is the same and the registry confirms that it has the blob.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReusePolicy {
    /// Other images whose layers may be reused.
    pub images: Vec<ImageRef>,
    /// Whether layers are copied from those of `images` that are in other registries. Without it such images are of no
    /// use.
    pub copy: bool,
    /// Whether the push writes checkpoints into the repository, and looks for the checkpoints of an earlier push.
    /// Checkpoints let a push that was killed be resumed. They are deleted when the image is published.
    pub checkpoints: bool,
    /// The cache of earlier pushes on the local disk. It is looked at last. `None`: no cache is read or written.
    pub cache: Option<Cache>,
    /// Whether every reused layer is read from the registry and compared with the plan before it is used.
    pub verify: bool,
}

impl Default for ReusePolicy {
    /// Checkpoints, and nothing else: no other images, no copies, no local cache, no check.
    fn default() -> Self {
        Self { images: Vec::new(), copy: false, checkpoints: true, cache: None, verify: false }
    }
}

/// A push that is described and not begun. No request is sent before [`prepare`](Self::prepare) or
/// [`preview`](Self::preview).
#[derive(Debug, Clone)]
pub struct Push {
    /// The model and the base, or a lock file.
    contents: Contents,
    /// Where the image goes, as the caller named it.
    image: ImageRef,
    /// Tags beside that of `image`.
    more_tags: Vec<Tag>,
    connections: Connections,
    /// Options for the registry of `image`, if they differ from those for other registries.
    target: Option<RegistryOptions>,
    /// Where layers are looked for; `None` when every layer is sent.
    reuse: Option<ReusePolicy>,
    /// Whether the image is read back before the push succeeds.
    reads_back: bool,
    options: BuildOptions,
}

impl Push {
    /// Describes a push of `contents` to `image`. The image gets the tag of `image`, or `latest` if there is none.
    ///
    /// A digest in `image` is an error of [`prepare`](Self::prepare): the push computes the digest.
    pub fn new(contents: impl Into<Contents>, image: ImageRef, connections: Connections) -> Self {
        let (reuse, options) = (Some(ReusePolicy::default()), BuildOptions::default());
        Self {
            contents: contents.into(),
            image,
            more_tags: Vec::new(),
            connections,
            target: None,
            reuse,
            reads_back: true,
            options,
        }
    }

    /// Gives the image these tags too.
    #[must_use]
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.more_tags.extend(tags);
        self
    }

    /// Sets where layers are looked for. With `None` every layer is uploaded, and no checkpoint is written.
    #[must_use]
    pub fn with_reuse(self, reuse: Option<ReusePolicy>) -> Self {
        Self { reuse, ..self }
    }

    /// Sets whether the published image is read back before the push succeeds; it is by default.
    ///
    /// A registry may accept what it does not have: then a pull of the image fails. Turn this off only for a login that
    /// may not read.
    #[must_use]
    pub fn with_read_back(self, reads_back: bool) -> Self {
        Self { reads_back, ..self }
    }

    /// Sets options for the registry of the image. Other registries keep the options of the [`Connections`].
    #[must_use]
    pub fn with_target_options(self, options: RegistryOptions) -> Self {
        Self { target: Some(options), ..self }
    }

    /// Sets how fast the push is and who is told of its progress.
    #[must_use]
    pub fn with_build_options(self, options: BuildOptions) -> Self {
        Self { options, ..self }
    }

    /// Returns the tags that the image gets, each of them once. The tag of the image itself comes first.
    pub fn tags(&self) -> Vec<Tag> {
        let mut tags = vec![self.image.tag_or_latest()];
        for tag in &self.more_tags {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        tags
    }

    /// Decides what the push does, and checks that the registry would accept it. No weights are uploaded.
    ///
    /// To check the right to push, an upload session is opened in the registry and deleted again. Dropping the
    /// returned future may leave that session open; [`prepare_until`](Self::prepare_until) deletes it.
    ///
    /// # Errors
    /// [`PushError::DigestAsTarget`], an error of source, base or plan, or the registry's error when it refuses
    /// credentials, repository name or tag, or does not let the login read.
    pub async fn prepare(self) -> Result<PreparedPush> {
        Box::pin(self.prepare_until(pending::<()>())).await
    }

    /// As [`prepare`](Self::prepare). When `stop` is ready first, the work stops and open upload sessions are deleted.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), and [`PushError::Stopped`].
    pub async fn prepare_until(self, stop: impl Future + Send) -> Result<PreparedPush> {
        let repository = self.repository()?;
        repository.check_name()?;
        // The check of the right to push opens an upload session, which `abandon` deletes.
        let sink = self.sink(&repository);
        tokio::select! {
            prepared = self.ready(repository, Arc::clone(&sink)) => prepared,
            _ = stop => {
                sink.abandon().await;
                Err(PushError::Stopped { published: None }.into())
            }
        }
    }

    /// Decides what the push would do, and changes nothing in the registry. Credentials that may only read are enough.
    ///
    /// The result can be run nevertheless; the registry may then refuse what [`prepare`](Self::prepare) would have
    /// found.
    ///
    /// # Errors
    /// [`PushError::DigestAsTarget`], an error of source, base or plan, or an error of the registry when it is read.
    pub async fn preview(self) -> Result<PreparedPush> {
        let repository = self.repository()?;
        let sink = self.sink(&repository);
        self.decide(repository, sink).await
    }

    /// Returns the sink of the image.
    fn sink(&self, repository: &Repository) -> Arc<RegistrySink> {
        Arc::new(RegistrySink::new(repository.clone(), self.tags()).with_read_back(self.reads_back))
    }

    /// Returns a handle on the repository of the image, with the options for the target.
    fn repository(&self) -> Result<Repository> {
        if self.image.digest().is_some() {
            return Err(PushError::DigestAsTarget(self.image.clone()).into());
        }
        let registries = &self.connections.registries;
        let options = self.target.as_ref().unwrap_or(&registries.options).clone();
        let target = Registries::new(Arc::clone(&registries.keychain), options);
        Ok(target.repository(&self.image, &self.options.progress)?)
    }

    /// Decides, and then checks with the registry. The checks are left out when the image is published already.
    async fn ready(self, repository: Repository, sink: Arc<RegistrySink>) -> Result<PreparedPush> {
        let (tags, reads_back, progress) = (self.tags(), self.reads_back, Arc::clone(&self.options.progress));
        let prepared = self.decide(repository.clone(), sink).await?;
        prepared.check_whole()?;
        // Where nothing is to be written, nothing is tried out.
        if !prepared.is_published() {
            let checks = Preflight { repository: &repository, tags: &tags, reads_back, progress: &progress };
            checks.run(prepared.image(), prepared.plan()).await?;
        }
        Ok(prepared)
    }

    /// Plans the image and reads what registries have, both at the same time, and decides for each layer.
    async fn decide(self, repository: Repository, sink: Arc<RegistrySink>) -> Result<PreparedPush> {
        let tags = self.tags();
        let progress = &self.options.progress;
        let known = self.connections.known_base.clone().unwrap_or_else(KnownBase::busybox).for_target(&self.image);
        let connections = self.connections.clone().with_known_base(Some(known));
        let (planned, inventory) = tokio::try_join!(
            self.contents.plan(&connections, progress),
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

/// Reads the images, checkpoints and the cache that the policy names; `None` without a policy.
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
