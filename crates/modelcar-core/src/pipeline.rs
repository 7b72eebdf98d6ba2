//! The conductor: layers side by side from a source to a sink, then config, manifests and the index, in that order.
//!
//! This is the only module that sees sources, plans, layers, images and sinks together.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::{
    Digest,
    base::{Base, BaseLayer, Platform},
    error::Result,
    image::{self, PlatformImage},
    layer::LayerBody,
    plan::Plan,
    progress::{Event, NoProgress, Progress},
    sink::{Body, BytesBody, Sealed, Sink},
    source::{Source, SourceFile, Window},
};

/// Shorter parts would spend their time on requests.
const PART_BYTES_LEAST: u64 = 1 << 20;
/// Longer parts gain nothing.
const PART_BYTES_MOST: u64 = 16 << 20;

/// Layers that may be under way for each that is in flight: the others wait for the sink to commit them.
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
    /// Bytes of weight layers that were handed to the sink, those that had to be sent more than once included.
    pub bytes_moved: u64,
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
    /// Its files, each with the content that was proven.
    pub files: Vec<SourceFile>,
}

/// Streams the layers of `plan` from `source` into `sink` and publishes the image.
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
    options.progress.report(&Event::Planned { layers: plan.layers().len(), bytes: plan.layer_bytes() });
    let run = Run::new(plan, source, base, sink, options);
    let result = run.all().await;
    if result.is_err() {
        sink.abandon().await;
    }
    result
}

/// One build under way.
struct Run<'a> {
    plan: &'a Plan,
    source: Arc<dyn Source>,
    base: &'a Base,
    sink: &'a dyn Sink,
    jobs: usize,
    turns: Arc<Semaphore>,
    window: Window,
    progress: Arc<Counted>,
}

impl<'a> Run<'a> {
    fn new(
        plan: &'a Plan,
        source: Arc<dyn Source>,
        base: &'a Base,
        sink: &'a dyn Sink,
        options: &BuildOptions,
    ) -> Self {
        let jobs = options.jobs.clamp(1, sink.max_jobs().max(1)).min(plan.layers().len().max(1));
        let connections = options.connections.max(jobs);
        let part_bytes = (options.read_ahead_bytes / connections as u64).clamp(PART_BYTES_LEAST, PART_BYTES_MOST);
        let window = Window::new(connections, part_bytes);
        let progress = Arc::new(Counted { moved: AtomicU64::new(0), next: Arc::clone(&options.progress) });
        Self { plan, source, base, sink, jobs, turns: Arc::new(Semaphore::new(jobs)), window, progress }
    }

    async fn all(&self) -> Result<Built> {
        self.base_layers().await?;
        let sealed = self.weight_layers().await?;
        let images = self.images(&sealed).await?;
        let index = image::index(self.plan, &images)?;
        self.sink.publish(&index).await?;
        self.progress.report(&Event::Published { digest: index.digest });
        Ok(self.built(index.digest, &images, sealed))
    }

    /// Base layers come first: they are small, and a base that can't be read should not cost an upload.
    async fn base_layers(&self) -> Result<()> {
        let mut layers: Vec<&BaseLayer> = Vec::new();
        for layer in self.plan.base().platforms.iter().flat_map(|platform| &platform.layers) {
            if !layers.iter().any(|known| known.digest == layer.digest) {
                layers.push(layer);
            }
        }
        for layer in layers {
            if !self.sink.has_blob(&layer.digest, layer.size).await? {
                let body = self.base.body(layer)?;
                self.sink.write_blob(&*body, &|_reason| ()).await?;
            }
        }
        Ok(())
    }

    /// The largest layers start first, so that none of them is left alone at the end. A sink that takes one layer at a
    /// time gets one at a time; any other may still be committing some while the next are read.
    async fn weight_layers(&self) -> Result<Vec<Sealed>> {
        let mut order: Vec<usize> = (0..self.plan.layers().len()).collect();
        order.sort_by_key(|&index| (std::cmp::Reverse(self.plan.layers()[index].size), index));
        let mut sealed: Vec<(usize, Sealed)> = stream::iter(order)
            .map(|index| async move { self.weight_layer(index).await.map(|sealed| (index, sealed)) })
            .buffer_unordered(if self.sink.max_jobs() > 1 { self.jobs * UNDER_WAY } else { 1 })
            .try_collect()
            .await?;
        sealed.sort_by_key(|(index, _)| *index);
        Ok(sealed.into_iter().map(|(_, sealed)| sealed).collect())
    }

    async fn weight_layer(&self, index: usize) -> Result<Sealed> {
        let layer = &self.plan.layers()[index];
        // Nobody closes the semaphore.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        self.progress.report(&Event::LayerStarted { layer: index, title: layer.title(), size: layer.size });
        let progress: Arc<dyn Progress> = Arc::clone(&self.progress) as _;
        let source = Arc::clone(&self.source);
        let body = LayerBody::new(index, layer.clone(), self.plan.mtime(), source, self.window.clone(), progress);
        let body = body.holding(turn);
        let restarted = |reason| self.progress.report(&Event::LayerRestarted { layer: index, reason });
        let sealed = self.sink.write_blob(&body, &restarted).await?;
        self.progress.report(&Event::LayerDone { layer: index, digest: sealed.digest });
        Ok(sealed)
    }

    async fn images(&self, sealed: &[Sealed]) -> Result<Vec<PlatformImage>> {
        let mut images = Vec::new();
        for target in &self.plan.base().platforms {
            let image = image::platform_image(self.plan, target, sealed)?;
            let config = BytesBody::new(format!("config for {}", target.platform), image.config.clone());
            if !self.sink.has_blob(&Digest::of(&image.config), image.config.len() as u64).await? {
                self.sink.write_blob(&config as &dyn Body, &|_reason| ()).await?;
            }
            self.sink.write_manifest(&image.manifest).await?;
            images.push(image);
        }
        Ok(images)
    }

    fn built(&self, digest: Digest, images: &[PlatformImage], sealed: Vec<Sealed>) -> Built {
        let weights: u64 = sealed.iter().map(|sealed| sealed.size).sum();
        let manifests = images.iter().zip(&self.plan.base().platforms).map(|(image, target)| BuiltManifest {
            platform: image.platform.clone(),
            digest: image.manifest.digest,
            size: weights + image.config.len() as u64 + target.layers.iter().map(|layer| layer.size).sum::<u64>(),
        });
        let layers = self.plan.layers().iter().zip(sealed).map(|(layer, sealed)| BuiltLayer {
            digest: sealed.digest,
            size: sealed.size,
            files: layer
                .files
                .iter()
                .zip(sealed.files)
                .map(|(file, content)| SourceFile { content: Some(content), ..file.clone() })
                .collect(),
        });
        let bytes_moved = self.progress.moved.load(Ordering::Relaxed);
        Built { digest, manifests: manifests.collect(), layers: layers.collect(), bytes_moved }
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
