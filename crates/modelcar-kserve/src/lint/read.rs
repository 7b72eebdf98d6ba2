//! Reads an image for the rules: manifests, configs, and the names in layers.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::Arc,
};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::Value;
use tokio::{sync::mpsc, task};

use super::tree::{LayerNames, Room};
use modelcar_core::{
    Digest, Result,
    facts::ModelFacts,
    reader::{Configs, Descriptor, Extent, ImageReader, Missing, TreeImage, read_image},
};

/// Layers up to this size are read whole.
const SMALL_LAYER_BYTES: u64 = 64 << 20;
/// What is read of larger ones: the first names.
const FIRST_BYTES: u64 = 64 << 10;
/// Longest archive that is read from a small layer; a short one can unpack to anything.
const UNPACKED_MAX_BYTES: u64 = 4 << 30;
const CHANNEL_CHUNKS: usize = 4;

/// How much of an image is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Depth {
    /// Small layers whole, the first names of large ones.
    #[default]
    Names,
    /// Every layer to its end; one that has not its digest is an error.
    All,
}

/// An image.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) digest: Digest,
    pub(super) is_index: bool,
    pub(super) platforms: Vec<Platform>,
    /// What the index lists and is not there.
    pub(super) missing: Vec<Missing>,
    /// What the image says of its model.
    pub(super) facts: ModelFacts,
}

/// The image of one platform.
#[derive(Debug)]
pub(super) struct Platform {
    /// `os/architecture`, with the variant where there is one.
    pub(super) name: String,
    pub(super) is_artifact: bool,
    pub(super) config_type: String,
    pub(super) config: RunConfig,
    pub(super) layers: Vec<Layer>,
}

/// How a container of the image runs.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RunConfig {
    pub(super) user: Option<String>,
    pub(super) entrypoint: Option<Vec<String>>,
    pub(super) env: Option<Vec<String>>,
    pub(super) volumes: Option<BTreeMap<String, Value>>,
}

/// A layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// The names in it; `None` where the compression can't be read.
    pub(super) names: Option<Arc<LayerNames>>,
}

/// Reads the image that `reader` has under `selector`.
pub(super) async fn image(reader: &dyn ImageReader, selector: &str, depth: Depth) -> Result<Image> {
    let tree = read_image(reader, selector, Extent { every_platform: true, configs: Configs::All }).await?;
    let mut reading = Reading { reader, depth, known: BTreeMap::new(), room: Room::default() };
    let mut platforms = Vec::new();
    for found in tree.images {
        platforms.push(reading.platform(found).await?);
    }
    let facts = ModelFacts::from_annotations(&tree.annotations);
    Ok(Image { digest: tree.digest, is_index: tree.is_index, platforms, missing: tree.missing, facts })
}

struct Reading<'a> {
    reader: &'a dyn ImageReader,
    depth: Depth,
    /// Platforms share layers.
    known: BTreeMap<Digest, Option<Arc<LayerNames>>>,
    /// What the names may still take.
    room: Room,
}

impl Reading<'_> {
    async fn platform(&mut self, found: TreeImage) -> Result<Platform> {
        let is_artifact = found.manifest.is_artifact();
        let mut layers = Vec::new();
        for layer in found.manifest.layers {
            let names = match self.known.get(&layer.digest) {
                Some(names) => names.clone(),
                None => self.names(&layer).await?,
            };
            self.known.insert(layer.digest, names.clone());
            layers.push(Layer { media_type: layer.media_type, digest: layer.digest, size: layer.size, names });
        }
        let config: Value = found.config.and_then(|config| serde_json::from_slice(&config).ok()).unwrap_or_default();
        let config = serde_json::from_value(config["config"].clone()).unwrap_or_default();
        let (name, config_type) = (found.platform.to_string(), found.manifest.config.media_type);
        Ok(Platform { name, is_artifact, config_type, config, layers })
    }

    /// Reads the names in a layer; `None` when it is compressed in a way that is not read here.
    async fn names(&mut self, layer: &Descriptor) -> Result<Option<Arc<LayerNames>>> {
        let compressed = match layer.media_type.as_str() {
            kind if kind.ends_with("tar") => false,
            kind if kind.ends_with("gzip") => true,
            _ => return Ok(None),
        };
        let most = match self.depth {
            Depth::All => u64::MAX,
            Depth::Names if layer.size <= SMALL_LAYER_BYTES => UNPACKED_MAX_BYTES,
            Depth::Names => FIRST_BYTES,
        };
        let title = format!("layer `{}`", layer.digest);
        let open = self.reader.body(title, layer.digest, layer.size).open();
        let (sender, receiver) = mpsc::channel::<Bytes>(CHANNEL_CHUNKS);
        let room = self.room;
        let parser = task::spawn_blocking(move || {
            let chunks = Chunks { receiver, current: Bytes::new() };
            if compressed {
                LayerNames::read(MultiGzDecoder::new(chunks).take(most), room)
            } else {
                LayerNames::read(chunks.take(most), room)
            }
        });
        let whole = self.depth == Depth::All;
        let (mut stream, mut is_read) = (open.stream, true);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            // At its end the parser has enough of it.
            is_read = is_read && sender.send(chunk).await.is_ok();
            if !is_read && !whole {
                break;
            }
        }
        drop(stream);
        drop(sender);
        if whole {
            open.verified.await?;
        }
        let (names, room) = parser.await?;
        self.room = room;
        Ok(Some(Arc::new(names)))
    }
}

/// Chunks from a channel as a reader.
struct Chunks {
    receiver: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.current = chunk,
                None => return Ok(0),
            }
        }
        let len = self.current.len().min(buffer.len());
        buffer[..len].copy_from_slice(&self.current.split_to(len));
        Ok(len)
    }
}
