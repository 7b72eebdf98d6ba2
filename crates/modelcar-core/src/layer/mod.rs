//! A weight layer as a blob: the tar headers around the bytes of the source, hashed and verified while they pass.
//!
//! Nothing is kept on disk or as a whole in memory. The size and the order of all bytes follow from the plan, so that
//! a retry opens the layer again and reads from the source again. Memory holds a few buffers, which the sink and the
//! hashes share.

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

/// Progress is reported after at least this many bytes of a layer, and at its end.
const PROGRESS_BYTES: u64 = 1 << 20;

/// Why a layer could not be made.
///
/// The kind of `WrongContent` and `WrongSize` is [`ErrorKind::Integrity`]; neither is retried. A layer that fails with
/// any of these errors is not committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The source failed. The kind is that of the source's error, and the source has retried already.
    #[error("make layer {} (`{title}`)", layer + 1)]
    Source {
        /// Number of the layer in the plan, from 0. Texts count layers from 1.
        layer: usize,
        /// The files that the layer holds, as the plan words it.
        title: String,
        /// The error of the source.
        source: SourceError,
    },
    /// The content of a file does not have the content id that the source's listing states.
    #[error("content of `{path}` is wrong: expected `{expected}`, got `{actual}` after {size} bytes")]
    WrongContent {
        /// Path of the file in the model.
        path: ModelPath,
        /// The content id in the listing.
        expected: ContentId,
        /// The content id of the bytes that came.
        actual: ContentId,
        /// Size of the file in bytes.
        size: u64,
    },
    /// The source gave fewer or more bytes than it had listed.
    #[error("layer {} (`{title}`) got {actual} bytes, expected {expected}", layer + 1)]
    WrongSize {
        /// Number of the layer in the plan, from 0. Texts count layers from 1.
        layer: usize,
        /// The files that the layer holds, as the plan words it.
        title: String,
        /// Size of the layer in the plan, in bytes, headers included.
        expected: u64,
        /// Size in bytes that the layer would have with the bytes that came. A source that gives too much is read no
        /// further than its first surplus chunk.
        actual: u64,
    },
    /// The reader dropped the stream of bytes before its end, so that nothing is known of the layer.
    #[error("layer {} (`{title}`) was not read to its end", layer + 1)]
    Unfinished {
        /// Number of the layer in the plan, from 0. Texts count layers from 1.
        layer: usize,
        /// The files that the layer holds, as the plan words it.
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

    /// A source retries by itself, so opening the layer again at once would gain nothing.
    fn was_retried(&self) -> bool {
        matches!(self, Self::Source { .. })
    }
}

/// A layer of a plan, ready to be read from a source. Cloning it copies no bytes.
#[derive(Debug, Clone)]
pub struct LayerBlob {
    /// Number of the layer in the plan, from 0, for messages and progress.
    index: usize,
    layer: Arc<Layer>,
    /// Time of every member of the tar, in seconds since 1970.
    mtime: u64,
    source: Arc<dyn Source>,
    /// Connections and memory that the readings of all layers share.
    budget: ReadBudget,
    /// Receives an event for the bytes that pass.
    progress: Arc<dyn Progress>,
    /// The permit to be one of the layers that are read at the same time.
    turn: Turn,
}

/// The permit to be one of the layers that are read at the same time.
///
/// The first reading of a layer gives the permit back when its last byte has passed. So the next layer is read while
/// the sink still commits this one. A second reading of the same layer is rare and does without a permit.
type Turn = Arc<Mutex<Option<OwnedSemaphorePermit>>>;

impl LayerBlob {
    /// Makes the layer number `index` of a plan, with the files read from `source`.
    ///
    /// `mtime` is the time of every member of the tar, in seconds since 1970. `budget` is shared by all layers of a
    /// build. `progress` receives [`Event::LayerAdvanced`] and, for bytes that are read again, [`Event::LayerResent`].
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

    /// Keeps the permit `turn` until the first reading of the layer is at its end, or until the layer is dropped.
    #[must_use]
    pub(crate) fn holding(self, turn: Option<OwnedSemaphorePermit>) -> Self {
        Self { turn: Arc::new(Mutex::new(turn)), ..self }
    }

    fn source_error(&self, source: SourceError) -> Error {
        LayerError::Source { layer: self.index, title: self.layer.title(), source }.into()
    }

    /// Lets the source look at the files that are empty and so are never read: one that has grown since it was listed,
    /// or is gone, is an error of the source.
    async fn check_empty(&self) -> Result<()> {
        let unread = |file: &SourceFile| SourceFile { content: None, ..file.clone() };
        let empty: Vec<_> = self.layer.files.iter().filter(|file| file.size == 0).map(unread).collect();
        if !empty.is_empty() {
            self.source.identify(empty).await.map_err(|error| self.source_error(error))?;
        }
        Ok(())
    }

    /// Compares the content ids of the bytes that came with those of the listing, and returns the first difference. A
    /// file that has no content id in the listing can't be wrong.
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
        format!("layer {} (`{}`)", self.index + 1, self.layer.title())
    }

    fn size(&self) -> u64 {
        self.layer.size
    }

    /// Returns `None`: the digest is known only once the source has given all bytes.
    fn digest(&self) -> Option<crate::Digest> {
        None
    }

    /// Starts to read from the source and starts a thread for the hashes.
    ///
    /// The stream ends with the first error of the source, or with [`LayerError::WrongSize`]. `verified` is an error
    /// when a file has the wrong content or the stream was dropped early. To cancel the reading, drop both.
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

/// Waits for the hashes and compares them with the plan. No sink commits a layer before this has returned `Ok`.
///
/// `completed` resolves when the last byte has passed. It is an error when the stream was dropped before.
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

/// A part of a layer, in the order in which the parts are given.
enum Segment {
    /// A header, padding or the trailer. Empty for a file that needs no padding.
    Frame(Bytes),
    /// The content of a file begins here: its hash, and its size in bytes.
    Start(ContentHash, u64),
    /// Number of bytes of the current file that are still to come.
    Content(u64),
    /// The source must give no more bytes here.
    End,
}

/// Returns the parts of a layer. [`Segment::End`] comes before the trailer: when the source reports an error at its
/// very end, the sink has not received all bytes of the layer, and can't commit it.
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

/// Returns the contents that the layer needs, in the order of the tar's members.
///
/// The members are sorted by full name and the files of a plan by path. Both orders are the same, because all full
/// names begin with the same prefix. An empty file has no content to read.
fn extents(layer: &Layer) -> Vec<Extent> {
    let extent = |file: &SourceFile| Extent { file: Arc::new(file.clone()), offset: 0, len: file.size };
    layer.files.iter().filter(|file| file.size > 0).map(extent).collect()
}

/// Walks over the segments of a layer and gives every byte to the hashes and to the reader of the stream.
struct Framer {
    body: LayerBlob,
    /// Segments that are still to come.
    segments: VecDeque<Segment>,
    /// The source's bytes: the contents of all files one after the other.
    content: ByteStream,
    /// The rest of a chunk of the source. Chunks may run over the end of a file.
    carried: Bytes,
    hashes: LayerHashes,
    /// Tells [`seal`] that all bytes have passed. Dropped unused when the stream is dropped.
    complete: Option<oneshot::Sender<()>>,
    /// Bytes that have passed since the last progress event.
    unreported: u64,
}

impl Framer {
    /// Returns the next bytes of the layer, or `None` after the last.
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

    /// Returns the next bytes of the current file, at most `left`, and puts the rest of the file back as a segment.
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

    /// Checks that the source ends here. The source may report now that a file has changed, and it may give too many
    /// bytes.
    async fn end(&mut self) -> Result<()> {
        let mut extra = self.carried.len();
        while extra == 0 {
            match self.content.next().await {
                Some(Ok(bytes)) => extra = bytes.len(),
                Some(Err(source)) => return Err(self.body.source_error(source)),
                None => return self.body.check_empty().await,
            }
        }
        let expected = self.body.layer.size;
        let (layer, title) = (self.body.index, self.body.layer.title());
        Err(LayerError::WrongSize { layer, title, expected, actual: expected + extra as u64 }.into())
    }

    /// Returns the error for a source that ends `left` bytes before the current file does. The files after it are
    /// missing too.
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

    /// Reports the bytes that have passed, if they are enough for an event or if the layer is at its end.
    fn report(&mut self, at_end: bool) {
        if self.unreported >= PROGRESS_BYTES || (at_end && self.unreported > 0) {
            self.body.progress.report(&Event::LayerAdvanced { layer: self.body.index, bytes: self.unreported });
            self.unreported = 0;
        }
    }
}

#[cfg(test)]
mod tests;
