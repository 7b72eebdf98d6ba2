//! Tests of the ranged reader with parts that come from memory.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use async_trait::async_trait;

use super::*;
use crate::ModelcarError;
use crate::progress::NoProgress;
use crate::source::{SourceFile, ranged::RangeStream};

fn retry() -> Retry {
    Retry::new(3, Duration::from_millis(1), Arc::new(NoProgress))
}

/// Serves bytes that tell their own offset, in chunks of 7, with faults where asked.
#[derive(Default)]
struct Memory {
    /// Offset of a part to how often it breaks off after half of what is left.
    breaks: Mutex<BTreeMap<u64, u32>>,
    /// Offset of a part to how often it rests after half of what is left.
    crawls: Mutex<BTreeMap<u64, u32>>,
    crawl: Duration,
    asked: Mutex<Vec<(u64, u64)>>,
    flying: AtomicUsize,
    highest: AtomicUsize,
    hang: bool,
    fatal: bool,
    panic: bool,
}

/// A range that is being read.
struct Counted(Arc<Memory>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.flying.fetch_sub(1, SeqCst);
    }
}

fn byte(at: u64) -> u8 {
    u8::try_from(at % 251).unwrap()
}

/// Takes one off the count of an offset inside the part; returns whether there was one.
fn due(counts: &Mutex<BTreeMap<u64, u32>>, part: &Extent) -> bool {
    let mut counts = counts.lock().unwrap();
    let range = part.offset..part.offset + part.len;
    let due = counts.iter_mut().find(|(at, left)| range.contains(at) && **left > 0);
    due.map(|(_, left)| *left -= 1).is_some()
}

/// Returns the bytes of a range in chunks of 7.
fn chunks(mut range: Range<u64>) -> impl Iterator<Item = Result<Bytes, Fault>> {
    std::iter::from_fn(move || {
        let end = (range.start + 7).min(range.end);
        let chunk: Bytes = (range.start..end).map(byte).collect();
        range.start = end;
        (!chunk.is_empty()).then_some(Ok(chunk))
    })
}

fn broken(part: &Extent) -> SourceError {
    SourceError::BrokenBody { path: part.file.path.clone(), host: "h".into(), at: 0, size: 0, source: None }
}

#[async_trait]
impl RangeStore for Arc<Memory> {
    async fn open(&self, part: &Extent) -> Result<RangeStream, Fault> {
        self.asked.lock().unwrap().push((part.offset, part.len));
        let now = self.flying.fetch_add(1, SeqCst) + 1;
        let counted = Counted(Self::clone(self));
        self.highest.fetch_max(now, SeqCst);
        if self.fatal {
            return Err(Fault::fatal(broken(part)));
        }
        assert!(!self.panic, "asked to");
        if self.hang {
            std::future::pending::<()>().await;
        }
        let (breaks, crawls) = (due(&self.breaks, part), due(&self.crawls, part));
        let (half, end) = (part.offset + part.len / 2, part.offset + part.len);
        // Later parts are quicker, so that order is the doing of the reader.
        tokio::time::sleep(Duration::from_millis(20_u64.saturating_sub(part.offset / 20))).await;
        let crawl = if crawls { self.crawl } else { Duration::ZERO };
        let rest: Vec<_> = if breaks { vec![Err(Fault::passing(broken(part)))] } else { chunks(half..end).collect() };
        let second = stream::once(async move {
            if crawls {
                tokio::time::sleep(crawl).await;
            }
            stream::iter(rest)
        });
        let bytes = stream::iter(chunks(part.offset..half)).chain(second.flatten());
        Ok(bytes.inspect(move |_| _ = &counted).boxed())
    }

    fn name(&self) -> String {
        "h".to_owned()
    }
}

fn read_from(memory: &Arc<Memory>, extents: Vec<Extent>, budget: &ReadBudget, retry: Retry) -> ByteStream {
    read(Arc::new(Arc::clone(memory)), extents, budget, retry)
}

fn extent(offset: u64, len: u64) -> Extent {
    let file = SourceFile { path: "w".parse().unwrap(), size: 10_000, content: None };
    Extent { file: Arc::new(file), offset, len }
}

async fn collect(mut stream: ByteStream) -> Result<Vec<u8>, SourceError> {
    let mut all = Vec::new();
    while let Some(chunk) = stream.next().await {
        all.extend_from_slice(&chunk?);
    }
    Ok(all)
}

#[test]
fn extents_are_cut_into_parts() {
    let cut: Vec<_> = Parts::new(vec![extent(0, 5), extent(5, 25), extent(40, 0), extent(7, 10)], 10)
        .map(|part| (part.offset, part.len))
        .collect();
    assert_eq!(cut, [(0, 5), (5, 10), (15, 10), (25, 5), (7, 10)]);
    assert_eq!(Parts::new(vec![extent(0, 3)], 0).count(), 3);
    assert_eq!(Parts::new(Vec::new(), 10).count(), 0);
}

#[tokio::test]
async fn bytes_come_in_order_and_parts_stay_bounded() {
    let memory = Arc::new(Memory::default());
    let stream = read_from(&memory, vec![extent(0, 333), extent(500, 50)], &ReadBudget::new(4, 20), retry());
    let expected: Vec<u8> = (0..333).chain(500..550).map(byte).collect();
    assert_eq!(collect(stream).await.unwrap(), expected);
    assert!((2..=4).contains(&memory.highest.load(SeqCst)), "{:?}", memory.highest);
}

#[tokio::test]
async fn a_reader_that_is_not_polled_does_not_run_ahead_of_its_window() {
    let memory = Arc::new(Memory::default());
    let mut stream = read_from(&memory, vec![extent(0, 1000)], &ReadBudget::new(3, 10), retry());
    assert!(stream.next().await.is_some());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(memory.asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn three_readers_share_one_permit() {
    let budget = ReadBudget::new(1, 10);
    let memory = Arc::new(Memory::default());
    let mut streams: Vec<_> = (0..3).map(|_| read_from(&memory, vec![extent(400, 200)], &budget, retry())).collect();
    // All have their windows full, and the last one is drained first.
    for stream in &mut streams {
        assert!(stream.next().await.is_some());
    }
    for stream in streams.into_iter().rev() {
        let rest = tokio::time::timeout(Duration::from_secs(20), collect(stream)).await.unwrap().unwrap();
        assert_eq!(rest, (405..600).map(byte).collect::<Vec<_>>());
    }
    assert_eq!(memory.highest.load(SeqCst), 1);
}

#[tokio::test]
async fn dropping_the_stream_cancels_and_frees_the_permits() {
    let budget = ReadBudget::new(2, 10);
    let memory = Arc::new(Memory { hang: true, ..Memory::default() });
    let mut stream = read_from(&memory, vec![extent(0, 100)], &budget, retry());
    assert!(tokio::time::timeout(Duration::from_millis(50), stream.next()).await.is_err());
    assert_eq!(memory.flying.load(SeqCst), 2);
    drop(stream);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(memory.flying.load(SeqCst), 0);
    assert_eq!(budget.permits().available_permits(), 2);
}

#[tokio::test]
async fn a_broken_part_goes_on_from_its_middle() {
    let memory = Arc::new(Memory { breaks: Mutex::new([(110, 1)].into()), ..Memory::default() });
    let stream = read_from(&memory, vec![extent(0, 300)], &ReadBudget::new(3, 100), retry());
    assert_eq!(collect(stream).await.unwrap(), (0..300).map(byte).collect::<Vec<_>>());
    let mut asked = memory.asked.lock().unwrap().clone();
    asked.sort_unstable();
    assert_eq!(asked, [(0, 100), (100, 100), (150, 50), (200, 100)]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_part_is_asked_for_again_from_where_it_is() {
    let memory = Arc::new(Memory { crawls: Mutex::new([(199, 2)].into()), crawl: Duration::MAX, ..Memory::default() });
    let begun = Instant::now();
    let stream = read_from(&memory, vec![extent(0, 400)], &ReadBudget::new(4, 100), retry());
    assert_eq!(collect(stream).await.unwrap(), (0..400).map(byte).collect::<Vec<_>>());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let asked = memory.asked.lock().unwrap().clone();
    assert!(asked.contains(&(100, 100)) && asked.contains(&(150, 50)) && asked.contains(&(175, 25)), "{asked:?}");
    assert_eq!(asked.len(), 6, "{asked:?}");

    // Where everything crawls, asking again would only lose time.
    let all = (49..400).step_by(50).map(|at| (at, 9)).collect();
    let memory = Arc::new(Memory { crawls: Mutex::new(all), crawl: Duration::from_secs(5), ..Memory::default() });
    let stream = read_from(&memory, vec![extent(0, 400)], &ReadBudget::new(4, 50), retry());
    assert_eq!(collect(stream).await.unwrap().len(), 400);
    assert_eq!(memory.asked.lock().unwrap().len(), 8);
}

#[tokio::test]
async fn an_error_ends_the_stream_after_the_attempts() {
    let memory = Arc::new(Memory { breaks: Mutex::new([(19, 9)].into()), ..Memory::default() });
    let mut stream = read_from(&memory, vec![extent(0, 300)], &ReadBudget::new(1, 20), retry());
    let mut good = 0;
    let error = loop {
        match stream.next().await.unwrap() {
            Ok(chunk) => good += chunk.len(),
            Err(error) => break error,
        }
    };
    assert!(error.is_retryable());
    assert_eq!(good, 17, "half of what is left, three times");
    assert!(stream.next().await.is_none());
    assert_eq!(memory.asked.lock().unwrap().len(), 3);

    let memory = Arc::new(Memory { fatal: true, ..Memory::default() });
    assert!(collect(read_from(&memory, vec![extent(0, 5)], &ReadBudget::new(1, 20), retry())).await.is_err());
    assert_eq!(memory.asked.lock().unwrap().len(), 1);
}

/// Ends every answer after so many bytes, as a server may.
struct Short(u64, AtomicUsize);

#[async_trait]
impl RangeStore for Short {
    async fn open(&self, part: &Extent) -> Result<RangeStream, Fault> {
        self.1.fetch_add(1, SeqCst);
        Ok(stream::iter(chunks(part.offset..part.offset + part.len.min(self.0))).boxed())
    }

    fn name(&self) -> String {
        "h".to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_server_leaves_out_is_asked_for_at_once() {
    let begun = Instant::now();
    let short = Arc::new(Short(9, AtomicUsize::new(0)));
    let stream = read(Arc::clone(&short), vec![extent(0, 300)], &ReadBudget::new(2, 150), retry());
    assert_eq!(collect(stream).await.unwrap(), (0..300).map(byte).collect::<Vec<_>>());
    assert_eq!(short.1.load(SeqCst), 2 * 17);
    assert_eq!(begun.elapsed(), Duration::ZERO);

    let empty = Arc::new(Short(0, AtomicUsize::new(0)));
    let error =
        collect(read(Arc::clone(&empty), vec![extent(0, 300)], &ReadBudget::new(1, 300), retry())).await.unwrap_err();
    assert!(matches!(error, SourceError::BrokenBody { at: 0, size: 10_000, .. }), "{error}");
    assert_eq!(empty.1.load(SeqCst), 3);
}

#[tokio::test]
#[should_panic(expected = "asked to")]
async fn a_panic_is_not_swallowed() {
    let memory = Arc::new(Memory { panic: true, ..Memory::default() });
    let _outcome = collect(read_from(&memory, vec![extent(0, 5)], &ReadBudget::new(1, 20), retry())).await;
}

#[test]
fn a_sink_takes_no_more_than_its_part() {
    let (queue, mut received) = unbounded_channel();
    let mut sink = PartSink { queue, received: 0, left: 5 };
    assert!(sink.push(Bytes::from_static(b"abc")));
    assert!(!sink.push(Bytes::from_static(b"defg")));
    assert_eq!(sink.left, 0);
    assert_eq!(received.try_recv().unwrap().unwrap(), "abc");
    assert_eq!(received.try_recv().unwrap().unwrap(), "de");
    assert!(received.try_recv().is_err());
}

/// Gives one byte more than it is asked for.
struct Longer;

#[async_trait]
impl RangeStore for Longer {
    async fn open(&self, part: &Extent) -> Result<RangeStream, Fault> {
        Ok(stream::iter(chunks(part.offset..part.offset + part.len + 1)).boxed())
    }

    fn name(&self) -> String {
        "s3://models".to_owned()
    }
}

#[tokio::test]
async fn a_store_that_gives_more_than_was_asked_for_is_refused() {
    let error =
        collect(read(Arc::new(Longer), vec![extent(0, 50)], &ReadBudget::new(1, 20), retry())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);
    assert_eq!(error.to_string(), "read `w` from `s3://models`");
}

/// Serves files as a whole only, and breaks off where asked.
struct WholeOnly {
    /// Bytes that each answer has before it breaks off.
    breaks_at: Mutex<Vec<u64>>,
    opened: AtomicUsize,
    sent: Arc<AtomicUsize>,
}

#[async_trait]
impl RangeStore for WholeOnly {
    async fn open(&self, part: &Extent) -> Result<RangeStream, Fault> {
        let path = part.file.path.clone();
        if (part.offset, part.len) != (0, part.file.size) {
            return Err(Fault::fatal(SourceError::NoRanges { path, host: "h".into() }));
        }
        self.opened.fetch_add(1, SeqCst);
        let breaks_at = self.breaks_at.lock().unwrap().pop();
        let bytes: Vec<_> = chunks(0..breaks_at.unwrap_or(part.len)).collect();
        let cut = breaks_at.map(|_| Err(Fault::passing(broken(part))));
        let sent = Arc::clone(&self.sent);
        let count = move |chunk: &Result<Bytes, Fault>| {
            sent.fetch_add(chunk.as_ref().map_or(0, Bytes::len), SeqCst);
        };
        Ok(stream::iter(bytes.into_iter().chain(cut)).inspect(count).boxed())
    }

    fn name(&self) -> String {
        "h".to_owned()
    }
}

fn whole_only(breaks_at: &[u64]) -> Arc<WholeOnly> {
    let breaks_at = Mutex::new(breaks_at.iter().rev().copied().collect());
    Arc::new(WholeOnly { breaks_at, opened: AtomicUsize::new(0), sent: Arc::default() })
}

fn whole_file(name: &str, size: u64) -> Arc<SourceFile> {
    Arc::new(SourceFile { path: name.parse().unwrap(), size, content: None })
}

#[tokio::test]
async fn a_store_that_has_files_as_a_whole_only_is_read_once_and_at_the_readers_pace() {
    let store = whole_only(&[]);
    let (file, other) = (whole_file("a", 1000), whole_file("b", 500));
    let extent = |file: &Arc<SourceFile>, offset, len| Extent { file: Arc::clone(file), offset, len };
    let extents = vec![extent(&file, 100, 900), extent(&other, 0, 500)];
    let mut stream = read(Arc::clone(&store), extents, &ReadBudget::new(4, 64), retry());
    let mut got = stream.next().await.unwrap().unwrap().to_vec();
    assert!(store.sent.load(SeqCst) <= 120, "nothing is read ahead");
    while let Some(chunk) = stream.next().await {
        got.extend_from_slice(&chunk.unwrap());
    }
    let expected: Vec<u8> = (100..1000).chain(0..500).map(byte).collect();
    assert!(got == expected);
    assert_eq!((store.opened.load(SeqCst), store.sent.load(SeqCst)), (2, 1500));
}

#[tokio::test]
async fn a_whole_file_that_breaks_off_is_read_again_and_its_known_bytes_are_dropped() {
    let file = whole_file("a", 1000);
    let all = || vec![Extent { file: Arc::clone(&file), offset: 0, len: 1000 }];
    let store = whole_only(&[700, 300]);
    let mut stream = read(Arc::clone(&store), all(), &ReadBudget::new(2, 64), retry());
    let mut got = Vec::new();
    while let Some(chunk) = stream.next().await {
        got.extend_from_slice(&chunk.unwrap());
    }
    assert!(got == (0..1000).map(byte).collect::<Vec<u8>>());
    assert_eq!(store.opened.load(SeqCst), 3);

    let store = whole_only(&[500; 9]);
    let mut stream = read(Arc::clone(&store), all(), &ReadBudget::new(2, 64), retry());
    let mut end = None;
    while let Some(chunk) = stream.next().await {
        end = chunk.err();
    }
    assert!(matches!(end, Some(SourceError::BrokenBody { .. })), "{end:?}");
    assert_eq!(store.opened.load(SeqCst), 3, "three tries without progress");
}
