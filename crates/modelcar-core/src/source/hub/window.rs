//! The ordered window: several parts in flight, their bytes handed on in order.
//!
//! A part's task holds one of the shared permits while it transfers and puts what arrives into its own queue, which
//! never makes it wait: a part is small, so its queue is bounded by the part itself. Whoever holds a permit therefore
//! ends without any reader's help, and however few the permits and many the readers, every head part gets its turn
//! (the semaphore is fair). Memory is bounded by the number of parts a reader may have.

use std::{collections::VecDeque, panic::resume_unwind, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::{
    Semaphore,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use tokio_util::task::AbortOnDropHandle;

use super::retry::{Fault, Retry};
use crate::source::{ByteStream, Extent, SourceError, Window};

/// Brings one part.
#[async_trait]
pub(super) trait FetchPart: Send + Sync + 'static {
    /// Pushes the bytes of `part` into `sink`. After an error the rest is asked for again, from where the sink is.
    async fn fetch(&self, part: &Extent, sink: &mut PartSink) -> Result<(), Fault>;

    /// Returns who serves, for errors.
    fn host(&self) -> String;
}

/// Takes the bytes of one part.
#[derive(Debug)]
pub(super) struct PartSink {
    queue: UnboundedSender<Result<Bytes, SourceError>>,
    received: u64,
    left: u64,
}

impl PartSink {
    /// Returns how many bytes of the part are still to come.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Takes a chunk. What is more than the part is left out; returns whether nothing was.
    pub(super) fn push(&mut self, mut chunk: Bytes) -> bool {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX);
        let fits = chunk.len() <= room;
        chunk.truncate(room);
        let len = chunk.len() as u64;
        if len > 0 {
            self.received += len;
            self.left -= len;
            // Without a receiver the reader is gone and this task is about to be.
            let _gone = self.queue.send(Ok(chunk));
        }
        fits
    }
}

/// Reads `extents` in order through `fetcher`. Nothing starts before the first poll; dropping the stream stops it all.
pub(super) fn read<F: FetchPart>(fetcher: Arc<F>, extents: Vec<Extent>, window: &Window, retry: Retry) -> ByteStream {
    let reader = Reader {
        fetcher,
        retry,
        permits: Arc::clone(&window.connections),
        width: window.parts.max(1),
        parts: Parts::new(extents, window.part_bytes),
        flying: VecDeque::new(),
    };
    stream::unfold(reader, |mut reader| async move { reader.next().await.map(|item| (item, reader)) }).boxed()
}

/// Extents cut into parts, lazily: a large model has many thousands.
#[derive(Debug)]
struct Parts {
    extents: std::vec::IntoIter<Extent>,
    current: Option<Extent>,
    part_bytes: u64,
}

impl Parts {
    fn new(extents: Vec<Extent>, part_bytes: u64) -> Self {
        Self { extents: extents.into_iter(), current: None, part_bytes: part_bytes.max(1) }
    }
}

impl Iterator for Parts {
    type Item = Extent;

    fn next(&mut self) -> Option<Extent> {
        let whole = match self.current.take() {
            Some(rest) => rest,
            None => self.extents.find(|extent| extent.len > 0)?,
        };
        let len = whole.len.min(self.part_bytes);
        if len < whole.len {
            let (offset, left) = (whole.offset + len, whole.len - len);
            self.current = Some(Extent { file: Arc::clone(&whole.file), offset, len: left });
        }
        Some(Extent { len, ..whole })
    }
}

/// A part in flight.
struct Flight {
    part: Extent,
    queue: UnboundedReceiver<Result<Bytes, SourceError>>,
    left: u64,
    task: AbortOnDropHandle<()>,
}

struct Reader<F> {
    fetcher: Arc<F>,
    retry: Retry,
    permits: Arc<Semaphore>,
    width: usize,
    parts: Parts,
    flying: VecDeque<Flight>,
}

impl<F: FetchPart> Reader<F> {
    async fn next(&mut self) -> Option<Result<Bytes, SourceError>> {
        loop {
            self.fill();
            let head = self.flying.front_mut()?;
            match head.queue.recv().await {
                Some(Ok(chunk)) => {
                    head.left -= chunk.len() as u64;
                    return Some(Ok(chunk));
                }
                Some(Err(error)) => {
                    self.stop();
                    return Some(Err(error));
                }
                None => {
                    let ended = self.flying.pop_front()?;
                    if ended.left > 0 {
                        self.stop();
                        return Some(Err(self.cut_short(ended).await));
                    }
                }
            }
        }
    }

    fn fill(&mut self) {
        while self.flying.len() < self.width {
            let Some(part) = self.parts.next() else { return };
            let (sender, queue) = unbounded_channel();
            let sink = PartSink { queue: sender, received: 0, left: part.len };
            let job = run_part(Arc::clone(&self.fetcher), part.clone(), Arc::clone(&self.permits), self.retry, sink);
            let task = AbortOnDropHandle::new(tokio::spawn(job));
            self.flying.push_back(Flight { left: part.len, part, queue, task });
        }
    }

    fn stop(&mut self) {
        self.flying.clear();
        self.parts = Parts::new(Vec::new(), 1);
    }

    /// A task that ended without its bytes and without a word: it panicked, or the runtime is going down.
    async fn cut_short(&self, flight: Flight) -> SourceError {
        if let Err(dead) = flight.task.await
            && dead.is_panic()
        {
            resume_unwind(dead.into_panic());
        }
        SourceError::BrokenBody {
            path: flight.part.file.path.clone(),
            host: self.fetcher.host(),
            at: flight.part.offset + flight.part.len - flight.left,
            size: flight.part.file.size,
            source: None,
        }
    }
}

/// Brings one part, again from where it stopped after each failure that may pass.
async fn run_part<F: FetchPart>(
    fetcher: Arc<F>,
    part: Extent,
    permits: Arc<Semaphore>,
    retry: Retry,
    mut sink: PartSink,
) {
    let mut failures = 0;
    loop {
        let Ok(permit) = permits.acquire().await else { return };
        let rest = Extent { file: Arc::clone(&part.file), offset: part.offset + sink.received, len: sink.left };
        let outcome = fetcher.fetch(&rest, &mut sink).await;
        // Others may transfer while this one waits.
        drop(permit);
        let Err(fault) = outcome else { return };
        failures += 1;
        match retry.after(fault, failures) {
            Ok(delay) => tokio::time::sleep(delay).await,
            Err(error) => {
                let _gone = sink.queue.send(Err(error));
                return;
            }
        }
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
