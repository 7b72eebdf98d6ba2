//! Builds an image: layers side by side from a source to a sink, then configs, manifests and the index, in that order.
//!
//! This is the only module that uses sources, plans, layers, images and sinks together.

mod meter;

#[cfg(feature = "push")]
use std::collections::BTreeMap;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::sync::Semaphore;
use tracing::{Instrument, Span, field::Empty};

use self::meter::{Counted, Metered};
use crate::{
    Digest, Platform,
    base::{Base, BaseLayer},
    blob::{Blob, BytesBlob, VerifiedBlob},
    error::{Error, Result, chain},
    image::{self, PlatformImage},
    layer::LayerBlob,
    plan::Plan,
    progress::{Event, NoProgress, Phase, Progress},
    reuse::{KnownLayers, LayerAction, LayerCandidate, NoneKnown},
    sink::{ManifestBlob, Sink},
    source::{ReadBudget, Source, SourceFile},
};

/// Layers that are under way for each layer that is being read: while one is read, others wait for the sink's commit.
const UNDER_WAY: usize = 3;

/// How fast a build is, and who is told of its progress. No option changes a byte of the image.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Number of layers that are read from the source at the same time. 0 counts as 1. The sink
    /// ([`max_jobs`](Sink::max_jobs)) and the number of layers limit it further.
    pub jobs: usize,
    /// Number of connections to the source, over all layers. 0 counts as 1.
    pub connections: usize,
    /// Memory in bytes for reading ahead, over all connections. Each connection gets an equal part, of 1 MiB at least
    /// and of 16 MiB at most.
    pub read_ahead_bytes: u64,
    /// Receives an event for each step of the build.
    pub progress: Arc<dyn Progress>,
}

impl Default for BuildOptions {
    /// Two layers for each core, from 4 to 8; two connections for each layer; 32 MiB to read ahead; nobody is told.
    ///
    /// A layer keeps less than one core busy, and many servers limit the speed of a single connection.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = (2 * cores).clamp(4, 8);
        Self { jobs, connections: 2 * jobs, read_ahead_bytes: 32 << 20, progress: Arc::new(NoProgress) }
    }
}

/// An image that is published.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Built {
    /// Digest of the index: the digest that pins the image.
    pub digest: Digest,
    /// The manifests that the index lists, one for each platform, in the plan's order.
    pub manifests: Vec<BuiltManifest>,
    /// The weight layers, the lowest first. All platforms share them.
    pub layers: Vec<BuiltLayer>,
    /// Bytes of files that were read from the source. A layer that was copied from another registry does not count.
    pub bytes_fetched: u64,
    /// Bytes of weight layers that were given to the sink. Bytes that were sent again after a failure count again.
    pub bytes_sent: u64,
}

/// The manifest of one platform.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BuiltManifest {
    /// The platform that the manifest is for.
    pub platform: Platform,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Size in bytes of the config, the base layers and the weight layers together: what a node downloads.
    pub size: u64,
}

/// A weight layer of the image.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BuiltLayer {
    /// Digest of the layer.
    pub digest: Digest,
    /// Size of the layer in bytes.
    pub size: u64,
    /// Whether the layer was uploaded, reused, mounted or copied.
    #[serde(rename = "way")]
    pub action: LayerAction,
    /// The image, checkpoint or cache that named the layer, as text for people. `None` for a layer that was uploaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The files of the layer, each with its content id.
    ///
    /// The content ids are verified where this build has read the layer's bytes: uploaded, copied or checked.
    /// Otherwise they are those that are stated where the layer is from.
    pub files: Vec<SourceFile>,
}

/// Streams the layers of `plan` from `source` into `sink` and publishes the image. Every layer is read from the
/// source; [`Push`](crate::push::Push) leaves out layers that the registry has already.
///
/// No name points to the image before everything that the image consists of is verified and stored. After an error,
/// `build` calls [`Sink::abandon`], so that the sink removes what is unfinished.
///
/// Dropping the returned future stops the build. Writes that are under way are cancelled then, but `abandon` is not
/// called: the caller should call it.
///
/// # Errors
/// The first error of any layer, manifest or name. The other layers are stopped.
pub async fn build(
    plan: &Plan,
    source: Arc<dyn Source>,
    base: &Base,
    sink: &dyn Sink,
    options: &BuildOptions,
) -> Result<Built> {
    carry_out(Run::new(plan, &NoneKnown, source, base, sink, options), options).await
}

#[cfg(feature = "push")]
impl crate::reuse::DecidedPush {
    /// Does what was decided. Layers that are in the registry stay where they are, the other layers are streamed from
    /// `source`, and the image is published under the tags that the decision is about.
    ///
    /// `self` is used up: its decisions say nothing of another plan, another repository or a later time.
    ///
    /// # Errors
    /// As [`build`].
    pub(crate) async fn run(self, source: Arc<dyn Source>, base: &Base, options: &BuildOptions) -> Result<Built> {
        let (plan, known, sink) = self.into_parts();
        let known = known.as_ref().map_or(&NoneKnown as &dyn KnownLayers, |known| known);
        let run = Run::new(&plan, known, source, base, &*sink, options);
        carry_out(Run { registry: Some(&*sink), ..run }, options).await
    }
}

/// Builds the image. Calls [`Sink::abandon`] after an error.
async fn carry_out(run: Run<'_>, options: &BuildOptions) -> Result<Built> {
    let plan = run.plan;
    options.progress.report(&Event::Planned { layers: plan.layers().len(), bytes: plan.layer_bytes() });
    let left_out: Vec<_> = plan.left_out().iter().filter(|file| !file.is_git()).collect();
    if !left_out.is_empty() {
        let bytes = left_out.iter().map(|file| file.size).sum();
        options.progress.report(&Event::LeftOut { files: left_out.len(), bytes });
    }
    let span = tracing::info_span!("push", layers = plan.layers().len(), bytes = plan.layer_bytes());
    let result = run.all().instrument(span).await;
    if result.is_err() {
        run.sink.abandon().await;
    }
    result
}

/// A build that is under way.
struct Run<'a> {
    plan: &'a Plan,
    /// The source, with a count of the bytes that it gives.
    source: Arc<Metered>,
    base: &'a Base,
    sink: &'a dyn Sink,
    /// The sink again, if it is a registry: what is published there is read back.
    #[cfg(feature = "push")]
    registry: Option<&'a crate::registry::RegistrySink>,
    /// The layers that need not be sent.
    known: &'a dyn KnownLayers,
    /// Number of layers that are read at the same time.
    jobs: usize,
    /// One permit for each layer that may be read at the same time.
    turns: Arc<Semaphore>,
    /// Connections and memory that the readings of all layers share.
    budget: ReadBudget,
    /// The caller's progress, with a count of the bytes that were sent.
    progress: Arc<Counted>,
    /// Whether the sink has reported a blob, and this run has relied on that without sending the blob.
    believed: AtomicBool,
}

/// A weight layer that is stored in the sink.
struct Done {
    /// Number of the layer in the plan, from 0.
    index: usize,
    verified: VerifiedBlob,
    action: LayerAction,
    /// Where the layer is from, unless it was uploaded.
    from: Option<String>,
    /// Whether this run has read and verified the layer's bytes.
    proven: bool,
}

/// The JSON documents of the image.
struct Documents {
    /// For each platform a config and a manifest, in the plan's order.
    images: Vec<PlatformImage>,
    index: ManifestBlob,
}

impl Done {
    /// Returns whether the layer was in the registry before this run.
    fn is_known(&self) -> bool {
        matches!(self.action, LayerAction::Reuse | LayerAction::Mount)
    }
}

/// Whether the sink is believed when it reports that it has a blob.
///
/// Some registries report a blob that they have lost, and then refuse the manifest that names it. Then the blobs are
/// sent with [`Trust::No`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Blobs that the sink reports are not sent.
    Yes,
    /// All blobs are sent, whatever the sink reports.
    No,
}

impl<'a> Run<'a> {
    /// Derives the number of layers, the size of parts and the budget from `options`, from what the sink takes and
    /// from the plan.
    fn new(
        plan: &'a Plan,
        known: &'a dyn KnownLayers,
        source: Arc<dyn Source>,
        base: &'a Base,
        sink: &'a dyn Sink,
        options: &'a BuildOptions,
    ) -> Self {
        let jobs = options.jobs.clamp(1, sink.max_jobs().max(1)).min(plan.layers().len().max(1));
        let budget = ReadBudget::for_memory(options.connections, options.read_ahead_bytes);
        let progress = Arc::new(Counted { moved: AtomicU64::new(0), next: Arc::clone(&options.progress) });
        let (source, turns) = (Arc::new(Metered::new(source)), Arc::new(Semaphore::new(jobs)));
        Self {
            plan,
            source,
            base,
            sink,
            #[cfg(feature = "push")]
            registry: None,
            known,
            jobs,
            turns,
            budget,
            progress,
            believed: AtomicBool::new(false),
        }
    }

    /// Runs the build: base layers, weight layers, configs and manifests, index; and reads the image back.
    ///
    /// If the image was there already and a manifest of it can't be read, the manifests are put again.
    ///
    /// If the sink refuses a manifest for a blob that it had reported itself, or does not give that blob back, all blobs
    /// that it had reported are sent, and the image is published again, once.
    async fn all(&self) -> Result<Built> {
        image::check_manifests(self.plan)?;
        Phase::Layers.begin(&*self.progress);
        if !self.known.is_published() {
            self.base_layers(Trust::Yes).await?;
        }
        let mut done = self.weight_layers(&(0..self.plan.layers().len()).collect::<Vec<_>>(), Trust::Yes).await?;
        let published = self.known.is_published() && done.iter().all(Done::is_known);
        let mut documents = self.documents(&done)?;
        let mut stored = if published {
            self.read_back(&documents, &done).await
        } else {
            self.publish(&documents, &done, Trust::Yes).await
        };
        // A rule of the registry may have deleted a manifest that the index still lists.
        if let Err(error) = &stored
            && published
            && lacks_manifests(error)
        {
            self.warn(format!("the registry has lost a part of the image; modelcar puts it again: {}", chain(error)));
            stored = self.publish(&documents, &done, Trust::Yes).await;
        }
        match stored {
            Err(error) if self.believed.load(Ordering::Relaxed) && is_missing_blob(&error) => {
                self.warn(format!(
                    "the registry reported blobs that it does not have; modelcar uploads them again: {}",
                    chain(&error)
                ));
                done = self.send_believed(done).await?;
                // A blob that was believed may have been another one than its description said.
                documents = self.documents(&done)?;
                self.publish(&documents, &done, Trust::No).await?;
            }
            outcome => outcome?,
        }
        let Documents { images, index } = documents;
        tracing::info!(digest = %index.digest, already = published, "the image is published");
        self.progress.report(&Event::Published { digest: index.digest });
        let layers: Vec<_> = done.iter().map(|done| (done.verified.digest, done.proven)).collect();
        self.known.published(self.plan, &layers).await;
        Ok(self.built(index.digest, &images, done))
    }

    /// Writes the manifests and the index, sets the names, and reads the image back.
    async fn publish(&self, documents: &Documents, done: &[Done], trust: Trust) -> Result<()> {
        Phase::Publish.begin(&*self.progress);
        self.write_images(&documents.images, trust).await?;
        self.sink.publish(&documents.index).await?;
        self.read_back(documents, done).await
    }

    /// Reads the published image back from a registry, which may have accepted what it does not have.
    #[cfg(feature = "push")]
    async fn read_back(&self, documents: &Documents, done: &[Done]) -> Result<()> {
        let Some(registry) = self.registry else { return Ok(()) };
        Phase::Verify.begin(&*self.progress);
        let base = self.plan.base().platforms.iter().flat_map(|target| &target.layers);
        let base = base.map(|layer| (layer.digest, layer.size));
        let weights = done.iter().map(|done| (done.verified.digest, done.verified.size));
        let layers: BTreeMap<Digest, u64> = base.chain(weights).collect();
        let stored = crate::registry::StoredImage {
            index: documents.index.digest,
            manifests: documents.images.iter().map(|image| image.manifest.digest).collect(),
            configs: documents
                .images
                .iter()
                .map(|image| (Digest::of(&image.config), image.config.len() as u64))
                .collect(),
            layers: layers.into_iter().collect(),
        };
        Ok(registry.read_back(&stored).await?)
    }

    /// Other sinks keep what they accept.
    #[cfg(not(feature = "push"))]
    #[expect(clippy::unused_async, reason = "as the one for registries")]
    async fn read_back(&self, _documents: &Documents, _done: &[Done]) -> Result<()> {
        Ok(())
    }

    /// Sends every blob that the sink had reported, and returns all layers in the plan's order.
    async fn send_believed(&self, mut done: Vec<Done>) -> Result<Vec<Done>> {
        let lost: Vec<usize> = done.iter().filter(|done| done.is_known()).map(|done| done.index).collect();
        self.base_layers(Trust::No).await?;
        let sent = self.weight_layers(&lost, Trust::No).await?;
        done.retain(|done| !done.is_known());
        done.extend(sent);
        done.sort_by_key(|done| done.index);
        Ok(done)
    }

    /// Warns in the log and in the progress.
    fn warn(&self, message: String) {
        tracing::warn!("{message}");
        self.progress.report(&Event::Warning { message });
    }

    /// Asks the sink for a blob, and notes that this run relies on the answer.
    async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool> {
        let has = self.sink.has_blob(digest, size).await?;
        self.believed.fetch_or(has, Ordering::Relaxed);
        Ok(has)
    }

    /// Writes the layers of the base, each digest once. They come before the weight layers: they are small, and a base
    /// that can't be read should fail the build before any weights are uploaded.
    async fn base_layers(&self, trust: Trust) -> Result<()> {
        let mut layers: Vec<&BaseLayer> = Vec::new();
        for layer in self.plan.base().platforms.iter().flat_map(|platform| &platform.layers) {
            if !layers.iter().any(|known| known.digest == layer.digest) {
                layers.push(layer);
            }
        }
        for layer in layers {
            if trust == Trust::No || !self.has_blob(&layer.digest, layer.size).await? {
                let body = self.base.body(layer)?;
                self.sink.write_blob(&*body, &|_reason| ()).await?;
            }
        }
        Ok(())
    }

    /// Brings the layers with the numbers `indices` into the sink and returns them in the plan's order.
    ///
    /// The largest layers start first, so that no large layer is left for the end. A sink that takes one layer at a
    /// time gets one at a time. Any other sink may still be committing some layers while the next layers are read.
    async fn weight_layers(&self, indices: &[usize], trust: Trust) -> Result<Vec<Done>> {
        let mut order = indices.to_vec();
        order.sort_by_key(|&index| (std::cmp::Reverse(self.plan.layers()[index].size), index));
        let mut done: Vec<Done> = stream::iter(order)
            .map(|index| self.weight_layer(index, trust).instrument(self.layer_span(index)))
            .buffer_unordered(if self.sink.max_jobs() > 1 { self.jobs * UNDER_WAY } else { 1 })
            .try_collect()
            .await?;
        done.sort_by_key(|done| done.index);
        Ok(done)
    }

    /// Makes the log's span for a layer.
    fn layer_span(&self, index: usize) -> Span {
        tracing::info_span!("layer", number = index + 1, title = self.plan.layers()[index].title(), digest = Empty)
    }

    /// Brings one layer into the sink: from a place that is known to have it, or else from the source.
    async fn weight_layer(&self, index: usize, trust: Trust) -> Result<Done> {
        let candidates = match trust {
            Trust::Yes => self.known.candidates(index),
            Trust::No => &[],
        };
        for (place, candidate) in candidates.iter().enumerate() {
            // The registry has just reported the blob of the first candidate.
            if let Some(done) = self.known_layer(index, candidate, place == 0).await {
                return Ok(done);
            }
        }
        tracing::info!("the layer is sent");
        let verified = self.write_layer(index, Arc::clone(&self.source) as _).await?;
        Ok(Done { index, verified, action: LayerAction::Upload, from: None, proven: true })
    }

    /// Streams a layer from `source` into the sink and notes that it is done.
    async fn write_layer(&self, index: usize, source: Arc<dyn Source>) -> Result<VerifiedBlob> {
        let layer = &self.plan.layers()[index];
        // Nobody closes the semaphore.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        self.progress.report(&Event::LayerStarted { layer: index, title: layer.title(), size: layer.size });
        let progress: Arc<dyn Progress> = Arc::clone(&self.progress) as _;
        let body = LayerBlob::new(index, layer.clone(), self.plan.mtime(), source, self.budget.clone(), progress);
        let body = body.holding(turn);
        let restarted = |reason| self.progress.report(&Event::LayerRestarted { layer: index, reason });
        let verified = self.sink.write_blob(&body, &restarted).await?;
        let is_kept = self.known.layer_done(layer, self.plan.mtime(), &verified).await;
        Span::current().record("digest", tracing::field::display(&verified.digest));
        tracing::info!(bytes = verified.size, "the layer is in place");
        self.progress.report(&Event::LayerDone { layer: index, digest: verified.digest });
        if is_kept {
            self.progress.report(&Event::LayerKept { layer: index });
        }
        Ok(verified)
    }

    /// Uses a layer that some registry is said to hold. `None` when that fails: the layer is then sent from the
    /// source.
    ///
    /// `seen` says that the registry has just reported the blob, so that there is no need to ask again.
    async fn known_layer(&self, index: usize, candidate: &LayerCandidate, seen: bool) -> Option<Done> {
        let (layer, mtime) = (&self.plan.layers()[index], self.plan.mtime());
        let warn = |reason: String| {
            let title = layer.title();
            self.warn(format!("layer {} (`{title}`) of {} is not used: {reason}", index + 1, candidate.from));
        };
        let from = Some(candidate.from.clone());
        if let Some(source) = self.known.copy_source(candidate, layer, mtime) {
            // Every file is verified on the way, as if it came from the model's source.
            tracing::info!(from = candidate.from, "the layer is copied");
            return match self.write_layer(index, source).await {
                Ok(verified) => Some(Done { index, verified, action: LayerAction::Copy, from, proven: true }),
                Err(error) => {
                    let reason = chain(&error);
                    self.progress.report(&Event::LayerRestarted { layer: index, reason: reason.clone() });
                    warn(reason);
                    None
                }
            };
        }
        let here = (seen && candidate.action() == LayerAction::Reuse)
            || self.sink.mount_or_find(&candidate.blob()).await.unwrap_or(false);
        if !here {
            return None;
        }
        if self.known.verifies() {
            let refused = match self.known.verify(candidate, index, layer, mtime).await {
                Ok(true) => None,
                Ok(false) => Some("its bytes differ from the files that its annotations name".to_owned()),
                Err(error) => Some(format!("it could not be read: {}", chain(&error))),
            };
            if let Some(reason) = refused {
                warn(reason);
                return None;
            }
        }
        self.believed.store(true, Ordering::Relaxed);
        let verified = candidate.verified(layer)?;
        Span::current().record("digest", tracing::field::display(&verified.digest));
        tracing::info!(from = candidate.from, way = ?candidate.action(), "the layer is there already");
        let (title, size) = (layer.title(), layer.size);
        let reused = Event::LayerReused { layer: index, title, size, from: candidate.from.clone() };
        self.progress.report(&reused);
        Some(Done { index, verified, action: candidate.action(), from, proven: self.known.verifies() })
    }

    /// Makes the config and the manifest for each platform, and the index.
    fn documents(&self, done: &[Done]) -> Result<Documents> {
        let verified: Vec<VerifiedBlob> = done.iter().map(|done| done.verified.clone()).collect();
        let images =
            self.plan.base().platforms.iter().map(|target| image::platform_image(self.plan, target, &verified));
        let images = images.collect::<Result<Vec<_>, _>>()?;
        Ok(Documents { index: image::index(self.plan, &images)?, images })
    }

    /// Writes the config and then the manifest of each platform.
    async fn write_images(&self, images: &[PlatformImage], trust: Trust) -> Result<()> {
        for image in images {
            let config = BytesBlob::new(format!("config for {}", image.platform), image.config.clone());
            let (digest, size) = (Digest::of(&image.config), image.config.len() as u64);
            if trust == Trust::No || !self.has_blob(&digest, size).await? {
                self.sink.write_blob(&config as &dyn Blob, &|_reason| ()).await?;
            }
            self.sink.write_manifest(&image.manifest).await?;
        }
        Ok(())
    }

    /// Puts together what is told of the finished image.
    fn built(&self, digest: Digest, images: &[PlatformImage], done: Vec<Done>) -> Built {
        let weights: u64 = done.iter().map(|done| done.verified.size).sum();
        let manifests = images.iter().zip(&self.plan.base().platforms).map(|(image, target)| BuiltManifest {
            platform: image.platform.clone(),
            digest: image.manifest.digest,
            size: weights + image.config.len() as u64 + target.layers.iter().map(|layer| layer.size).sum::<u64>(),
        });
        let layers = self.plan.layers().iter().zip(done).map(|(layer, done)| BuiltLayer {
            digest: done.verified.digest,
            size: done.verified.size,
            action: done.action,
            from: done.from,
            files: layer
                .files
                .iter()
                .zip(done.verified.files)
                .map(|(file, content)| SourceFile { content: Some(content), ..file.clone() })
                .collect(),
        });
        let bytes_sent = self.progress.moved.load(Ordering::Relaxed);
        let bytes_fetched = self.source.read.load(Ordering::Relaxed);
        Built { digest, manifests: manifests.collect(), layers: layers.collect(), bytes_fetched, bytes_sent }
    }
}

/// Returns whether a blob may be missing: the registry refused a manifest that names it, or did not give it back.
///
/// Registries differ in the error code that they give. An error code that certainly means something else does not
/// count, because all blobs are sent again otherwise.
#[cfg(feature = "registry")]
fn is_missing_blob(error: &Error) -> bool {
    use crate::registry::RegistryError;
    let source = match error.downcast_ref() {
        Some(RegistryError::Request { source, .. }) => source,
        Some(RegistryError::NotReadable { blobs, .. }) => return !blobs.is_empty(),
        Some(RegistryError::NamesMissing { .. }) => return true,
        _ => return false,
    };
    let says_so = match source.code.as_deref() {
        None => true,
        Some(code) => ["BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID", "MANIFEST_UNKNOWN"].contains(&code),
    };
    says_so && source.status.is_some_and(|status| matches!(status.as_u16(), 400 | 404 | 422))
}

/// Returns whether the registry has every blob of an image, and lacks a manifest.
#[cfg(feature = "registry")]
fn lacks_manifests(error: &Error) -> bool {
    use crate::registry::RegistryError;
    let lost: Option<&RegistryError> = error.downcast_ref();
    matches!(lost, Some(RegistryError::NotReadable { blobs, manifests, .. }) if blobs.is_empty() && !manifests.is_empty())
}

/// No other sink loses manifests.
#[cfg(not(feature = "registry"))]
fn lacks_manifests(_error: &Error) -> bool {
    false
}

/// No other sink loses blobs.
#[cfg(not(feature = "registry"))]
fn is_missing_blob(_error: &Error) -> bool {
    false
}
