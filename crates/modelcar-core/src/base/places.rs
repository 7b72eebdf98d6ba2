//! The places that have the layers of a known base: they are asked one after the other, and each only briefly.
//!
//! The layers are pinned by their digests and small, so they are read into memory and checked before a sink takes them.
//! A place that gives wrong bytes is passed over like one that gives none.

use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use tokio::{sync::Mutex, time::timeout};

use super::{BaseError, BaseLayer, KnownBase};
use crate::{
    Digest, ImageError, ImageRef,
    blob::{Blob, OpenBlob, VerifiedBlob, reread_from_start},
    error::chain,
    progress::{Event, Phase, Progress},
    reader::ImageReader,
    registry::{Registries, RegistryError},
    text,
};

/// Longest wait for an answer of one place, and longest time without a byte: another place may answer at once.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// Longest time that one place has for everything that is asked of it.
const PLACE_PATIENCE: Duration = Duration::from_mins(1);

/// Why a place did not give the base.
#[derive(Debug)]
#[non_exhaustive]
pub struct PlaceFailure {
    /// The repository.
    pub place: ImageRef,
    /// Why. `None` when the place did not give everything within a minute.
    pub error: Option<BaseError>,
}

impl fmt::Display for PlaceFailure {
    /// Writes the place and the reason, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}/{}`: {}", self.place.registry(), self.place.repository(), self.reason())
    }
}

impl PlaceFailure {
    /// Returns the reason, without the name of the place, on one line.
    pub fn reason(&self) -> String {
        match &self.error {
            None => format!("it did not give the base in {} s", PLACE_PATIENCE.as_secs()),
            // What was asked of the place is the same for every place, and the place is named already.
            Some(BaseError::Registry(RegistryError::Request { source, .. })) => text::excerpt(&chain(&**source)),
            Some(error) => text::excerpt(&chain(error)),
        }
    }
}

/// Returns `registries` with little patience: one try for each request, and a short wait for the answer.
pub(super) fn impatient(registries: &Registries) -> Registries {
    let mut registries = registries.clone();
    let options = &mut registries.options;
    options.attempts = 1;
    options.answer_timeout = options.answer_timeout.min(ANSWER_PATIENCE);
    options.stall_timeout = options.stall_timeout.min(ANSWER_PATIENCE);
    registries
}

/// Waits for what is asked of `place`, and not for long.
pub(super) async fn ask<T>(
    place: &ImageRef,
    asking: impl Future<Output = Result<T, BaseError>>,
) -> Result<T, PlaceFailure> {
    let error = match timeout(PLACE_PATIENCE, asking).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => Some(error),
        Err(_) => None,
    };
    let failure = PlaceFailure { place: place.clone(), error };
    tracing::info!(%failure, "a place does not give the base");
    Err(failure)
}

/// The places of a base, and the layers that were read from them.
#[derive(Debug)]
pub(super) struct Places {
    known: KnownBase,
    /// With little patience.
    registries: Registries,
    progress: Arc<dyn Progress>,
    /// Layers that were read, whose digests are right. Held while places are asked, so that they are asked once.
    read: Mutex<BTreeMap<Digest, Bytes>>,
}

impl Places {
    /// Asks nothing yet.
    pub(super) fn new(known: KnownBase, registries: &Registries, progress: &Arc<dyn Progress>) -> Self {
        Self { known, registries: impatient(registries), progress: Arc::clone(progress), read: Mutex::default() }
    }

    /// Reads those of `layers` that were not read yet, all of them from one place.
    ///
    /// # Errors
    /// [`BaseError::NoPlace`] when no place gives them.
    pub(super) async fn fetch(&self, layers: &[&BaseLayer]) -> Result<(), BaseError> {
        let mut read = self.read.lock().await;
        let wanted: Vec<&BaseLayer> =
            layers.iter().copied().filter(|layer| !read.contains_key(&layer.digest)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        Phase::Base.begin(&*self.progress);
        let mut tried = Vec::new();
        for place in &self.known.places {
            match ask(place, self.read_from(place, &wanted)).await {
                Ok(layers) => {
                    self.tell(place, &tried);
                    read.extend(layers);
                    return Ok(());
                }
                Err(failure) => tried.push(failure),
            }
        }
        Err(self.known.no_place(tried))
    }

    /// Reads layers from one place. The reader checks their digests.
    async fn read_from(&self, place: &ImageRef, layers: &[&BaseLayer]) -> Result<Vec<(Digest, Bytes)>, BaseError> {
        let repository = self.registries.repository(place, &self.progress)?;
        let mut read = Vec::new();
        for layer in layers {
            let bytes = ImageReader::blob(&repository, &layer.digest, layer.size).await?;
            let found = Digest::of(&bytes);
            if found != layer.digest {
                return Err(ImageError::Corrupt { expected: layer.digest, found }.into());
            }
            read.push((layer.digest, bytes));
        }
        Ok(read)
    }

    /// Warns of the places that were asked in vain before `place` answered.
    fn tell(&self, place: &ImageRef, tried: &[PlaceFailure]) {
        if tried.is_empty() {
            return;
        }
        let failed: Vec<String> = tried.iter().map(ToString::to_string).collect();
        let message = format!(
            "the base came from `{}/{}`, the bytes are the same: {}",
            place.registry(),
            place.repository(),
            failed.join("; ")
        );
        self.progress.report(&Event::Warning { message });
    }

    /// Returns a layer as a blob, which is read from a place when it is opened unless it was read before.
    pub(super) fn body(self: &Arc<Self>, title: String, layer: &BaseLayer) -> Arc<dyn Blob> {
        Arc::new(PlacedBlob { places: Arc::clone(self), title, layer: layer.clone() })
    }

    async fn bytes(&self, layer: &BaseLayer) -> Result<Bytes, BaseError> {
        self.fetch(&[layer]).await?;
        self.read.lock().await.get(&layer.digest).cloned().ok_or(BaseError::ForeignLayer(layer.digest))
    }
}

/// A layer of a base that is in several places.
#[derive(Debug)]
struct PlacedBlob {
    places: Arc<Places>,
    title: String,
    layer: BaseLayer,
}

impl Blob for PlacedBlob {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn size(&self) -> u64 {
        self.layer.size
    }

    fn digest(&self) -> Option<Digest> {
        Some(self.layer.digest)
    }

    /// Gives all bytes as one chunk. Their digest was checked when they were read.
    fn open(&self) -> OpenBlob {
        let (places, layer) = (Arc::clone(&self.places), self.layer.clone());
        let verified =
            VerifiedBlob { digest: layer.digest, size: layer.size, diff_id: layer.diff_id, files: Vec::new() };
        let reading = {
            let (places, layer) = (Arc::clone(&places), layer.clone());
            async move { Ok(places.bytes(&layer).await?) }
        };
        OpenBlob {
            stream: stream::once(reading).boxed(),
            // After the stream, the bytes are there already.
            verified: async move { Ok(places.bytes(&layer).await.map(|_bytes| verified)?) }.boxed(),
        }
    }

    fn reread(&self, range: Range<u64>) -> BoxStream<'static, crate::Result<Bytes>> {
        reread_from_start(self, range)
    }
}
