//! A weight layer as a body: tar framing around the source's bytes, hashed and verified while they pass.
//!
//! Nothing is kept: size and order of everything are arithmetic on the plan, so a retry simply opens the body again
//! and the source reads again. Memory is a few buffers, shared between the sink and both hashes.

mod hash;
mod reread;

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use self::hash::{Hashed, LayerHashes};
use crate::{
    ContentId, ModelPath,
    blob::{Blob, OpenBlob, VerifiedBlob},
    digest::ContentHash,
    error::{Error, ErrorKind, ModelcarError, Result},
    layer_format,
    plan::Layer,
    progress::{Event, Progress},
    source::{ByteStream, Extent, ReadBudget, Source, SourceError, SourceFile},
    thread::Running,
};

/// Progress is told at most once for this many bytes of a layer.
const PROGRESS_BYTES: u64 = 1 << 20;

/// Why a layer could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The source failed.
    #[error("make layer {layer} (`{title}`)")]
    Source {
        /// Index of the layer in the plan.
        layer: usize,
        /// What it holds.
        title: String,
        /// The failure.
        source: SourceError,
    },
    /// A file's content is not what the source's listing says.
    #[error("content of `{path}` is wrong: expected `{expected}`, got `{actual}` after {size} bytes")]
    WrongContent {
        /// The file.
        path: ModelPath,
        /// What the listing says.
        expected: ContentId,
        /// What came.
        actual: ContentId,
        /// Size of the file in bytes.
        size: u64,
    },
    /// The source gave fewer or more bytes than it listed.
    #[error("layer {layer} (`{title}`) got {actual} bytes, expected {expected}")]
    WrongSize {
        /// Index of the layer in the plan.
        layer: usize,
        /// What it holds.
        title: String,
        /// Size in the plan.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// The reader let go of the layer before its end.
    #[error("layer {layer} (`{title}`) was not read to its end")]
    Unfinished {
        /// Index of the layer in the plan.
        layer: usize,
        /// What it holds.
        title: String,
    },
}

impl ModelcarError for LayerError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Source { source, .. } => source.kind(),
            Self::WrongContent { .. } | Self::WrongSize { .. } => ErrorKind::Integrity,
            Self::Unfinished { .. } => ErrorKind::Internal,
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Source { source, .. } => source.is_retryable(),
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Source { source, .. } => source.retry_after(),
            _ => None,
        }
    }

    fn was_retried(&self) -> bool {
        matches!(self, Self::Source { .. })
    }
}

/// A layer of a plan, ready to be read from a source.
#[derive(Debug, Clone)]
pub struct LayerBlob {
    index: usize,
    layer: Arc<Layer>,
    mtime: u64,
    source: Arc<dyn Source>,
    budget: ReadBudget,
    progress: Arc<dyn Progress>,
    turn: Turn,
}

/// A place among the layers in flight. The first reading gives it back at its end, so that the next layer's bytes
/// flow while the sink still commits this one's. A second reading is rare and goes without.
type Turn = Arc<Mutex<Option<OwnedSemaphorePermit>>>;

impl LayerBlob {
    /// Joins layer `index` of a plan, whose entries have the time `mtime`, and the source of its files.
    pub fn new(
        index: usize,
        layer: Layer,
        mtime: u64,
        source: Arc<dyn Source>,
        budget: ReadBudget,
        progress: Arc<dyn Progress>,
    ) -> Self {
        Self { index, layer: Arc::new(layer), mtime, source, budget, progress, turn: Turn::default() }
    }

    /// Keeps `turn` until the layer's last byte has been read.
    #[must_use]
    pub(crate) fn holding(self, turn: Option<OwnedSemaphorePermit>) -> Self {
        Self { turn: Arc::new(Mutex::new(turn)), ..self }
    }

    fn source_error(&self, source: SourceError) -> Error {
        LayerError::Source { layer: self.index, title: self.layer.title(), source }.into()
    }

    fn wrong_content(&self, files: &[ContentId]) -> Option<LayerError> {
        self.layer.files.iter().zip(files).find_map(|(file, actual)| match file.content {
            Some(expected) if expected != *actual => {
                Some(LayerError::WrongContent { path: file.path.clone(), expected, actual: *actual, size: file.size })
            }
            _ => None,
        })
    }
}

impl Blob for LayerBlob {
    fn title(&self) -> String {
        format!("layer {} (`{}`)", self.index, self.layer.title())
    }

    fn size(&self) -> u64 {
        self.layer.size
    }

    fn digest(&self) -> Option<crate::Digest> {
        None
    }

    fn open(&self) -> OpenBlob {
        let (hashes, outcome) = LayerHashes::start();
        let (complete, completed) = oneshot::channel();
        let framer = Framer {
            body: self.clone(),
            segments: segments(&self.layer, self.mtime),
            content: self.source.read(extents(&self.layer), &self.budget),
            carried: Bytes::new(),
            hashes,
            complete: Some(complete),
            unreported: 0,
        };
        let bytes = stream::unfold(Some(framer), |framer| async {
            let mut framer = framer?;
            match framer.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(framer))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        OpenBlob { stream: bytes.boxed(), verified: seal(self.clone(), outcome, completed).boxed() }
    }

    fn reread(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        reread::reread(self, range)
    }
}

/// Waits for the hashes and compares: no layer gets a name before this has said yes.
async fn seal(body: LayerBlob, outcome: Running<Hashed>, completed: oneshot::Receiver<()>) -> Result<VerifiedBlob> {
    let (index, title) = (body.index, body.layer.title());
    if completed.await.is_err() {
        return Err(LayerError::Unfinished { layer: index, title }.into());
    }
    let Hashed { digest, size, files } = outcome.await?;
    if size != body.layer.size || files.len() != body.layer.files.len() {
        return Err(LayerError::WrongSize { layer: index, title, expected: body.layer.size, actual: size }.into());
    }
    match body.wrong_content(&files) {
        Some(error) => Err(error.into()),
        None => Ok(VerifiedBlob { digest, size, diff_id: digest, files }),
    }
}

/// A stretch of a layer.
enum Segment {
    /// A header, padding or the trailer.
    Frame(Bytes),
    /// The beginning of a file's content of so many bytes.
    Start(ContentHash, u64),
    /// Content of the current file still to come.
    Content(u64),
    /// Where the source has to end.
    End,
}

fn segments(layer: &Layer, mtime: u64) -> VecDeque<Segment> {
    let mut segments = VecDeque::new();
    for entry in layer_format::entries(&layer.files) {
        segments.push_back(Segment::Frame(layer_format::header(&entry, mtime)));
        if let Some(file) = entry.file {
            segments.push_back(Segment::Start(ContentHash::for_id(file.content), file.size));
            segments.push_back(Segment::Content(file.size));
            segments.push_back(Segment::Frame(layer_format::padding(file.size)));
        }
    }
    // Before the trailer, so that what the source says last keeps the layer from being whole.
    segments.push_back(Segment::End);
    segments.push_back(Segment::Frame(layer_format::trailer()));
    segments
}

/// The content in the order of the tar's members, which is the order of their full names; files of a plan are sorted
/// by path, and the common prefix does not change that order.
fn extents(layer: &Layer) -> Vec<Extent> {
    let extent = |file: &SourceFile| Extent { file: Arc::new(file.clone()), offset: 0, len: file.size };
    layer.files.iter().filter(|file| file.size > 0).map(extent).collect()
}

/// Walks over a layer's segments and hands every byte to the hashes and to the reader.
struct Framer {
    body: LayerBlob,
    segments: VecDeque<Segment>,
    content: ByteStream,
    /// What is left of a chunk that runs into the next file.
    carried: Bytes,
    hashes: LayerHashes,
    complete: Option<oneshot::Sender<()>>,
    unreported: u64,
}

impl Framer {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let bytes = match self.segments.pop_front() {
                Some(Segment::Frame(bytes)) if bytes.is_empty() => continue,
                Some(Segment::Frame(bytes)) => {
                    self.hashes.frame(bytes.clone()).await;
                    bytes
                }
                Some(Segment::Start(hash, size)) => {
                    self.hashes.begin(hash, size).await;
                    continue;
                }
                Some(Segment::Content(0)) => continue,
                Some(Segment::Content(left)) => self.content(left).await?,
                Some(Segment::End) => {
                    self.end().await?;
                    continue;
                }
                None => {
                    self.report(true);
                    drop(self.body.turn.lock().unwrap_or_else(PoisonError::into_inner).take());
                    // The receiver is gone when nobody asks whether the layer is right.
                    let _nobody_asks = self.complete.take().map(|complete| complete.send(()));
                    return Ok(None);
                }
            };
            self.unreported += bytes.len() as u64;
            self.report(false);
            return Ok(Some(bytes));
        }
    }

    /// Returns the next bytes of the current file, at most `left`, and puts back what is still to come.
    async fn content(&mut self, left: u64) -> Result<Bytes> {
        if self.carried.is_empty() {
            self.carried = match self.content.next().await {
                Some(Ok(bytes)) => bytes,
                Some(Err(source)) => return Err(self.body.source_error(source)),
                None => return Err(self.too_short(left)),
            };
        }
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(self.carried.len());
        let bytes = self.carried.split_to(take);
        self.hashes.content(bytes.clone()).await;
        self.segments.push_front(Segment::Content(left - take as u64));
        Ok(bytes)
    }

    /// Lets the source end. It may say so late that a file has changed, and it may give too much.
    async fn end(&mut self) -> Result<()> {
        let mut extra = self.carried.len();
        while extra == 0 {
            match self.content.next().await {
                Some(Ok(bytes)) => extra = bytes.len(),
                Some(Err(source)) => return Err(self.body.source_error(source)),
                None => return Ok(()),
            }
        }
        let expected = self.body.layer.size;
        let (layer, title) = (self.body.index, self.body.layer.title());
        Err(LayerError::WrongSize { layer, title, expected, actual: expected + extra as u64 }.into())
    }

    /// The content ends `left` bytes before the current file does.
    fn too_short(&self, left: u64) -> Error {
        let queued: u64 = self
            .segments
            .iter()
            .map(|segment| match segment {
                Segment::Content(left) => *left,
                Segment::Frame(_) | Segment::Start(..) | Segment::End => 0,
            })
            .sum();
        let expected = self.body.layer.size;
        let (layer, title) = (self.body.index, self.body.layer.title());
        LayerError::WrongSize { layer, title, expected, actual: expected.saturating_sub(left + queued) }.into()
    }

    fn report(&mut self, at_end: bool) {
        if self.unreported >= PROGRESS_BYTES || (at_end && self.unreported > 0) {
            self.body.progress.report(&Event::LayerAdvanced { layer: self.body.index, bytes: self.unreported });
            self.unreported = 0;
        }
    }
}

#[cfg(test)]
mod tests;
