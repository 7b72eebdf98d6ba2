//! The ranged reader: several parts of a file in flight, their bytes handed on in order.
//!
//! A part's task holds one of the shared permits while it transfers and puts what arrives into its own queue, which
//! never makes it wait: a part is small, so its queue is bounded by the part itself. Whoever holds a permit therefore
//! ends without any reader's help, and however few the permits and many the readers, every head part gets its turn
//! (the semaphore is fair). Memory is bounded by the number of parts a reader may have.
//!
//! A store may be unable to give parts of a file. Such a file is read in one go ([`Whole`]), at the pace of whoever reads.
//!
//! A connection may turn out slow, and then the reader waits for its part while the others are done. Such a part is
//! asked for again, from where it is, over another connection.

use std::{
    collections::VecDeque,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::{
    sync::{
        Notify, Semaphore,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    time::{Instant, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    RangeStore,
    retry::{Fault, PROGRESS_BYTES, Retry},
    whole::Whole,
};
use crate::{
    error::{ErrorKind, OtherError},
    source::{ByteStream, Extent, ReadBudget, ReaderShare, SourceError},
};

/// A part that is waited for longer than so many times the usual is asked for again.
const SLOW_FACTOR: u32 = 4;
/// No part is called slow before this time.
const SLOW_LEAST: Duration = Duration::from_secs(1);
/// How often a part is asked for again for being slow.
const SLOW_TRIES: u32 = 2;
/// How often the reader looks whether the part that it waits for is slow.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Takes the bytes of one part.
#[derive(Debug)]
struct PartSink {
    queue: UnboundedSender<Result<Bytes, SourceError>>,
    received: u64,
    left: u64,
}

impl PartSink {
    /// Takes a chunk. What is more than the part is left out; returns whether nothing was.
    fn push(&mut self, mut chunk: Bytes) -> bool {
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

/// Reads `extents` of `store` in order, with as many parts in flight as `budget` lets this reader have.
///
/// Nothing starts before the first poll, which needs a tokio runtime; dropping the stream stops it all. A part that fails
/// in a way that may pass is asked for again as `retry` says, from the byte where it broke off. The first error for good
/// ends the stream.
pub fn read<F: RangeStore>(store: Arc<F>, extents: Vec<Extent>, budget: &ReadBudget, retry: Retry) -> ByteStream {
    let reader = Reader {
        store,
        retry,
        share: Some(budget.join()),
        budget: budget.clone(),
        parts: Parts::new(extents, budget.part_bytes()),
        flying: VecDeque::new(),
        whole: None,
        usual: Arc::default(),
    };
    stream::unfold(reader, |mut reader| async move { reader.next().await.map(|item| (item, reader)) }).boxed()
}

/// Extents cut into parts, lazily: a large model has many thousands.
#[derive(Debug)]
struct Parts {
    extents: VecDeque<Extent>,
    current: Option<Extent>,
    part_bytes: u64,
}

impl Parts {
    fn new(extents: Vec<Extent>, part_bytes: u64) -> Self {
        Self { extents: extents.into(), current: None, part_bytes: part_bytes.max(1) }
    }

    /// Returns the next part uncut: what is left of its extent.
    fn next_whole(&mut self) -> Option<Extent> {
        if let Some(rest) = self.current.take() {
            return Some(rest);
        }
        std::iter::from_fn(|| self.extents.pop_front()).find(|extent| extent.len > 0)
    }

    /// Takes back parts that were not read, which come next again; neighbours become one.
    fn give_back(&mut self, parts: impl DoubleEndedIterator<Item = Extent>) {
        if let Some(rest) = self.current.take() {
            self.extents.push_front(rest);
        }
        for part in parts.rev() {
            match self.extents.front_mut() {
                Some(next) if Arc::ptr_eq(&next.file, &part.file) && part.offset + part.len == next.offset => {
                    *next = Extent { len: part.len + next.len, ..part };
                }
                _ => self.extents.push_front(part),
            }
        }
    }
}

impl Iterator for Parts {
    type Item = Extent;

    fn next(&mut self) -> Option<Extent> {
        let whole = self.next_whole()?;
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
    again: Arc<Notify>,
    slow_tries: u32,
    /// When the reader began to wait for it, or when it was last asked for again.
    awaited: Option<Instant>,
    task: AbortOnDropHandle<()>,
}

struct Reader<F> {
    store: Arc<F>,
    retry: Retry,
    budget: ReadBudget,
    /// Held while there are parts to ask for; afterwards the share is for the others.
    share: Option<ReaderShare>,
    parts: Parts,
    flying: VecDeque<Flight>,
    /// A file that is read in one go, before all other parts.
    whole: Option<Whole>,
    usual: Arc<Usual>,
}

impl<F: RangeStore> Reader<F> {
    async fn next(&mut self) -> Option<Result<Bytes, SourceError>> {
        loop {
            if let Some(whole) = &mut self.whole {
                match whole.next(&*self.store, &self.retry).await {
                    Some(Ok(chunk)) => return Some(Ok(chunk)),
                    Some(Err(error)) => {
                        self.stop();
                        return Some(Err(error));
                    }
                    None => self.whole = None,
                }
            }
            self.fill();
            self.hurry();
            let head = self.flying.front_mut()?;
            let Ok(received) = timeout(LOOK_EVERY, head.queue.recv()).await else { continue };
            match received {
                Some(Ok(chunk)) => {
                    head.left -= chunk.len() as u64;
                    return Some(Ok(chunk));
                }
                Some(Err(SourceError::NoRanges { path, host })) => {
                    tracing::info!(%path, host, "the store gives no parts of the file: it is read in one go");
                    self.read_whole();
                }
                Some(Err(error)) => {
                    self.stop();
                    return Some(Err(error));
                }
                None => {
                    let ended = self.flying.pop_front()?;
                    if ended.left > 0 {
                        self.stop();
                        return Some(Err(cut_short(self.store.name(), ended).await));
                    }
                }
            }
        }
    }

    fn fill(&mut self) {
        while self.share.as_ref().is_some_and(|share| self.flying.len() < share.parts()) {
            match self.parts.next() {
                Some(part) => self.launch(part),
                None => self.share = None,
            }
        }
    }

    fn launch(&mut self, part: Extent) {
        let (sender, queue) = unbounded_channel();
        let again = Arc::<Notify>::default();
        let job = Job {
            store: Arc::clone(&self.store),
            part: part.clone(),
            permits: Arc::clone(self.budget.permits()),
            retry: self.retry.clone(),
            again: Arc::clone(&again),
            usual: Arc::clone(&self.usual),
        };
        let sink = PartSink { queue: sender, received: 0, left: part.len };
        let task = AbortOnDropHandle::new(tokio::spawn(job.run(sink)));
        self.flying.push_back(Flight { left: part.len, part, queue, again, slow_tries: 0, awaited: None, task });
    }

    /// Has the first part asked for again when all others are there and it takes unusually long.
    fn hurry(&mut self) {
        let Some(usual) = self.usual.get() else { return };
        let (head, others) = self.flying.make_contiguous().split_first_mut().unzip();
        let (Some(head), Some(others)) = (head, others) else { return };
        let since = *head.awaited.get_or_insert_with(Instant::now);
        let waits_for_head = !others.is_empty() && others.iter().all(|flight| flight.task.is_finished());
        let slow = since.elapsed() > SLOW_LEAST.max(usual * SLOW_FACTOR);
        if waits_for_head && slow && head.slow_tries < SLOW_TRIES && !head.task.is_finished() {
            head.slow_tries += 1;
            head.awaited = Some(Instant::now());
            head.again.notify_one();
        }
    }

    /// Reads what is left of the first part's file in one go.
    fn read_whole(&mut self) {
        let flying = std::mem::take(&mut self.flying).into_iter();
        let left = flying.map(|flight| {
            let Flight { part, left, .. } = flight;
            Extent { offset: part.offset + part.len - left, len: left, ..part }
        });
        self.parts.give_back(left);
        self.share.get_or_insert_with(|| self.budget.join());
        self.whole = self.parts.next_whole().map(Whole::new);
    }

    fn stop(&mut self) {
        self.whole = None;
        self.flying.clear();
        self.parts = Parts::new(Vec::new(), 1);
    }
}

/// A task that ended without its bytes and without a word: it panicked, or the runtime is going down.
async fn cut_short(host: String, flight: Flight) -> SourceError {
    if let Err(dead) = flight.task.await
        && dead.is_panic()
    {
        resume_unwind(dead.into_panic());
    }
    SourceError::BrokenBody {
        path: flight.part.file.path.clone(),
        host,
        at: flight.part.offset + flight.part.len - flight.left,
        size: flight.part.file.size,
        source: None,
    }
}

/// Brings one part, again from where it stopped after each failure that may pass.
struct Job<F> {
    store: Arc<F>,
    part: Extent,
    permits: Arc<Semaphore>,
    retry: Retry,
    /// Tells that this part is slow.
    again: Arc<Notify>,
    usual: Arc<Usual>,
}

impl<F: RangeStore> Job<F> {
    async fn run(self, mut sink: PartSink) {
        let mut failures = 0;
        loop {
            let Ok(permit) = self.permits.acquire().await else { return };
            let (begun, before) = (Instant::now(), sink.received);
            let outcome = tokio::select! {
                outcome = self.rest(&mut sink) => outcome,
                () = self.again.notified() => {
                    tracing::info!(path = %self.part.file.path, at = self.part.offset, "a slow part is asked for again");
                    continue;
                }
            };
            // Others may transfer while this one waits.
            drop(permit);
            let Err(fault) = outcome else {
                self.usual.learn(begun.elapsed());
                return;
            };
            if sink.received - before >= PROGRESS_BYTES {
                failures = 0;
            }
            failures += 1;
            let what = format!("read `{}`", self.part.file.path);
            match self.retry.after(&what, fault, failures) {
                Ok(delay) => sleep(delay).await,
                Err(error) => {
                    let _gone = sink.queue.send(Err(error));
                    return;
                }
            }
        }
    }

    /// Fetches what is still to come. A server may send less than it was asked for (RFC 9110, 15.3.7): then it is asked
    /// on at once, as long as it sends anything at all.
    async fn rest(&self, sink: &mut PartSink) -> Result<(), Fault> {
        let part = &self.part;
        loop {
            let (at, left) = (part.offset + sink.received, sink.left);
            let rest = Extent { file: Arc::clone(&part.file), offset: at, len: left };
            let mut bytes = self.store.open(&rest).await?;
            self.retry.reached();
            while let Some(chunk) = bytes.next().await {
                if !sink.push(chunk?) {
                    let act = format!("read `{}` from `{}`", part.file.path, self.store.name());
                    let why = "more bytes came than were asked for";
                    return Err(Fault::fatal(OtherError::new(act, ErrorKind::Integrity, why)));
                }
            }
            if sink.left == 0 {
                return Ok(());
            }
            if sink.left == left {
                let (path, size) = (part.file.path.clone(), part.file.size);
                let host = self.store.name();
                return Err(Fault::passing(SourceError::BrokenBody { path, host, at, size, source: None }));
            }
        }
    }
}

/// How long a part usually takes, as a running mean in microseconds; 0 before the first.
#[derive(Debug, Default)]
struct Usual(AtomicU64);

impl Usual {
    fn get(&self) -> Option<Duration> {
        let micros = self.0.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    fn learn(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let mean = |known: u64| Some(if known == 0 { took } else { known - known / 4 + took / 4 });
        let _always_set = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, mean);
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
