//! The conductor: layers side by side from a source to a sink, then config, manifests and the index, in that order.
//!
//! This is the only module that sees sources, plans, layers, images and sinks together.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::sync::Semaphore;
use tracing::{Instrument, Span, field::Empty};

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
    sink::Sink,
    source::{ByteStream, Extent, Origin, ReadBudget, Source, SourceError, SourceFile},
};

/// Shorter parts would spend their time on requests.
const PART_BYTES_LEAST: u64 = 1 << 20;
/// Longer parts gain nothing.
const PART_BYTES_MOST: u64 = 16 << 20;

/// Layers being read or committed, for each layer being read.
const UNDER_WAY: usize = 3;

/// What changes speed and nothing else.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Layers in flight.
    pub jobs: usize,
    /// Connections to the source, over all layers.
    pub connections: usize,
    /// Bytes that the source may read ahead, over all layers.
    pub read_ahead_bytes: u64,
    /// Who is told what happens.
    pub progress: Arc<dyn Progress>,
}

impl Default for BuildOptions {
    /// Two layers for each core, from 4 to 8; two connections a layer; 32 MiB; nobody.
    ///
    /// A layer keeps less than one core busy, and servers give a single connection a part of the line only.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = (2 * cores).clamp(4, 8);
        Self { jobs, connections: 2 * jobs, read_ahead_bytes: 32 << 20, progress: Arc::new(NoProgress) }
    }
}

/// A finished image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Built {
    /// Digest of the index.
    pub digest: Digest,
    /// The manifests below the index.
    pub manifests: Vec<BuiltManifest>,
    /// The weight layers, bottom first.
    pub layers: Vec<BuiltLayer>,
    /// Bytes of files that came from the source.
    pub bytes_fetched: u64,
    /// Bytes of weight layers that were handed to the sink, those that had to be sent more than once included.
    pub bytes_sent: u64,
}

/// One platform's manifest.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuiltManifest {
    /// The platform.
    pub platform: Platform,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Bytes of all its blobs: what a node downloads.
    pub size: u64,
}

/// A weight layer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuiltLayer {
    /// Digest of the layer.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
    /// How the layer came to be there.
    #[serde(rename = "way")]
    pub action: LayerAction,
    /// Where it is from, unless it was uploaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its files, each with its content: proven where the layer was uploaded, checked or copied, as the image says
    /// that it is from where it was reused.
    pub files: Vec<SourceFile>,
}

/// Streams the layers of `plan` from `source` into `sink` and publishes the image. Every layer is read from the source;
/// [`Push`](crate::push::Push) leaves out those that are somewhere already.
///
/// Nothing gets a name before everything is proven and in place. After an error the sink is told to remove what is
/// unfinished; so it is when the returned future is dropped, as far as the sink can do that by itself.
///
/// # Errors
/// The first error of any layer; the others are stopped.
pub async fn build(
    plan: &Plan,
    source: Arc<dyn Source>,
    base: &Base,
    sink: &dyn Sink,
    options: &BuildOptions,
) -> Result<Built> {
    carry_out(plan, &NoneKnown, source, base, sink, options).await
}

#[cfg(feature = "push")]
impl crate::reuse::DecidedPush {
    /// Does what was decided: layers that are in the registry stay where they are, the others are streamed from
    /// `source`, and the image is published under the tags that were decided for.
    ///
    /// The decisions are used up: they say nothing of another plan, another repository or a later time.
    ///
    /// # Errors
    /// As [`build`].
    pub(crate) async fn run(self, source: Arc<dyn Source>, base: &Base, options: &BuildOptions) -> Result<Built> {
        let (plan, known, sink) = self.into_parts();
        match known {
            Some(known) => carry_out(&plan, &known, source, base, &*sink, options).await,
            None => carry_out(&plan, &NoneKnown, source, base, &*sink, options).await,
        }
    }
}

async fn carry_out(
    plan: &Plan,
    known: &dyn KnownLayers,
    source: Arc<dyn Source>,
    base: &Base,
    sink: &dyn Sink,
    options: &BuildOptions,
) -> Result<Built> {
    options.progress.report(&Event::Planned { layers: plan.layers().len(), bytes: plan.layer_bytes() });
    let left_out: Vec<_> = plan.left_out().iter().filter(|file| !file.is_git()).collect();
    if !left_out.is_empty() {
        let bytes = left_out.iter().map(|file| file.size).sum();
        options.progress.report(&Event::LeftOut { files: left_out.len(), bytes });
    }
    let run = Run::new(plan, known, source, base, sink, options);
    let span = tracing::info_span!("push", layers = plan.layers().len(), bytes = plan.layer_bytes());
    let result = run.all().instrument(span).await;
    if result.is_err() {
        sink.abandon().await;
    }
    result
}

/// One build under way.
struct Run<'a> {
    plan: &'a Plan,
    source: Arc<Metered>,
    base: &'a Base,
    sink: &'a dyn Sink,
    known: &'a dyn KnownLayers,
    jobs: usize,
    turns: Arc<Semaphore>,
    budget: ReadBudget,
    progress: Arc<Counted>,
    /// Whether the sink was believed to have a blob that this run has not sent.
    believed: AtomicBool,
}

/// A weight layer that is in place.
struct Done {
    index: usize,
    verified: VerifiedBlob,
    action: LayerAction,
    from: Option<String>,
    /// Whether this run has seen the layer's bytes.
    proven: bool,
}

/// Whether the sink is believed when it says that it has a blob.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Yes,
    No,
}

impl<'a> Run<'a> {
    fn new(
        plan: &'a Plan,
        known: &'a dyn KnownLayers,
        source: Arc<dyn Source>,
        base: &'a Base,
        sink: &'a dyn Sink,
        options: &'a BuildOptions,
    ) -> Self {
        let jobs = options.jobs.clamp(1, sink.max_jobs().max(1)).min(plan.layers().len().max(1));
        let connections = options.connections.max(1);
        let part_bytes = (options.read_ahead_bytes / connections as u64).clamp(PART_BYTES_LEAST, PART_BYTES_MOST);
        let budget = ReadBudget::new(connections, part_bytes);
        let progress = Arc::new(Counted { moved: AtomicU64::new(0), next: Arc::clone(&options.progress) });
        let (source, turns) = (Arc::new(Metered::new(source)), Arc::new(Semaphore::new(jobs)));
        Self { plan, source, base, sink, known, jobs, turns, budget, progress, believed: AtomicBool::new(false) }
    }

    async fn all(&self) -> Result<Built> {
        image::check_manifests(self.plan)?;
        Phase::Layers.begin(&*self.progress);
        if !self.known.is_published() {
            self.base_layers(Trust::Yes).await?;
        }
        let mut done = self.weight_layers(&(0..self.plan.layers().len()).collect::<Vec<_>>(), Trust::Yes).await?;
        let is_known = |done: &Done| matches!(done.action, LayerAction::Reuse | LayerAction::Mount);
        let published = self.known.is_published() && done.iter().all(is_known);
        let mut images = self.images(&done)?;
        Phase::Publish.begin(&*self.progress);
        if !published {
            match self.write_images(&images, Trust::Yes).await {
                Err(error) if self.believed.load(Ordering::Relaxed) && is_missing_blob(&error) => {
                    self.warn(format!(
                        "the registry reported blobs that it does not have; modelcar uploads them again: {}",
                        chain(&error)
                    ));
                    let lost: Vec<usize> = done.iter().filter(|done| is_known(done)).map(|done| done.index).collect();
                    self.base_layers(Trust::No).await?;
                    let sent = self.weight_layers(&lost, Trust::No).await?;
                    done.retain(|done| !is_known(done));
                    done.extend(sent);
                    done.sort_by_key(|done| done.index);
                    images = self.images(&done)?;
                    self.write_images(&images, Trust::No).await?;
                }
                outcome => outcome?,
            }
        }
        let index = image::index(self.plan, &images)?;
        if !published {
            self.sink.publish(&index).await?;
        }
        tracing::info!(digest = %index.digest, already = published, "the image is published");
        self.progress.report(&Event::Published { digest: index.digest });
        let layers: Vec<_> = done.iter().map(|done| (done.verified.digest, done.proven)).collect();
        self.known.published(self.plan, &layers).await;
        Ok(self.built(index.digest, &images, done))
    }

    fn warn(&self, message: String) {
        tracing::warn!("{message}");
        self.progress.report(&Event::Warning { message });
    }

    async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool> {
        let has = self.sink.has_blob(digest, size).await?;
        self.believed.fetch_or(has, Ordering::Relaxed);
        Ok(has)
    }

    /// Base layers come first: they are small, and a base that can't be read should not cost an upload.
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

    /// The largest layers start first, so that none of them is left alone at the end. A sink that takes one layer at a
    /// time gets one at a time; any other may still be committing some while the next are read.
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

    fn layer_span(&self, index: usize) -> Span {
        tracing::info_span!("layer", index, title = self.plan.layers()[index].title(), digest = Empty)
    }

    async fn weight_layer(&self, index: usize, trust: Trust) -> Result<Done> {
        let candidates = match trust {
            Trust::Yes => self.known.candidates(index),
            Trust::No => &[],
        };
        for (place, candidate) in candidates.iter().enumerate() {
            // The first one has just been seen.
            if let Some(done) = self.known_layer(index, candidate, place == 0).await {
                return Ok(done);
            }
        }
        tracing::info!("the layer is sent");
        let verified = self.write_layer(index, Arc::clone(&self.source) as _).await?;
        Ok(Done { index, verified, action: LayerAction::Upload, from: None, proven: true })
    }

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
        self.known.layer_done(layer, self.plan.mtime(), &verified).await;
        Span::current().record("digest", tracing::field::display(&verified.digest));
        tracing::info!(bytes = verified.size, "the layer is in place");
        self.progress.report(&Event::LayerDone { layer: index, digest: verified.digest });
        Ok(verified)
    }

    /// Uses a layer that a registry is said to hold. `None` when that fails: the layer is then sent from the source.
    async fn known_layer(&self, index: usize, candidate: &LayerCandidate, seen: bool) -> Option<Done> {
        let (layer, mtime) = (&self.plan.layers()[index], self.plan.mtime());
        let warn = |reason: String| {
            let title = layer.title();
            self.warn(format!("layer {index} (`{title}`) of {} is not used: {reason}", candidate.from));
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

    fn images(&self, done: &[Done]) -> Result<Vec<PlatformImage>> {
        let verified: Vec<VerifiedBlob> = done.iter().map(|done| done.verified.clone()).collect();
        let images =
            self.plan.base().platforms.iter().map(|target| image::platform_image(self.plan, target, &verified));
        Ok(images.collect::<Result<_, _>>()?)
    }

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

/// Returns whether the rejection of a manifest may mean that a referenced blob is missing. Registries differ in the
/// error's code; codes that certainly mean something else are left out, because every blob is sent again otherwise.
#[cfg(feature = "registry")]
fn is_missing_blob(error: &Error) -> bool {
    let Some(crate::registry::RegistryError::Request { source, .. }) = error.downcast_ref() else { return false };
    let says_so = match source.code.as_deref() {
        None => true,
        Some(code) => ["BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID", "MANIFEST_UNKNOWN"].contains(&code),
    };
    says_so && source.status.is_some_and(|status| matches!(status.as_u16(), 400 | 404 | 422))
}

/// No other sink loses blobs.
#[cfg(not(feature = "registry"))]
fn is_missing_blob(_error: &Error) -> bool {
    false
}

/// Counts the bytes that a source gives.
#[derive(Debug)]
struct Metered {
    source: Arc<dyn Source>,
    read: Arc<AtomicU64>,
}

impl Metered {
    fn new(source: Arc<dyn Source>) -> Self {
        Self { source, read: Arc::default() }
    }
}

#[async_trait]
impl Source for Metered {
    fn origin(&self) -> &Origin {
        self.source.origin()
    }

    async fn list(&self) -> Result<Vec<SourceFile>, SourceError> {
        self.source.list().await
    }

    async fn identify(&self, files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        self.source.identify(files).await
    }

    fn read(&self, extents: Vec<Extent>, budget: &ReadBudget) -> ByteStream {
        let read = Arc::clone(&self.read);
        let count = move |bytes: &Bytes| {
            read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        };
        self.source.read(extents, budget).inspect_ok(count).boxed()
    }
}

/// Counts the bytes on their way to the watcher.
#[derive(Debug)]
struct Counted {
    moved: AtomicU64,
    next: Arc<dyn Progress>,
}

impl Progress for Counted {
    fn report(&self, event: &Event) {
        if let Event::LayerAdvanced { bytes, .. } | Event::LayerResent { bytes, .. } = event {
            self.moved.fetch_add(*bytes, Ordering::Relaxed);
        }
        self.next.report(event);
    }
}
