//! The checks of the rules of sources.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use sha2::Digest as _;
use tokio::time::{Instant, sleep};

use super::{Rule, Violation};
use crate::{
    ContentId, Digest, ModelPath,
    digest::ContentHash,
    error::chain,
    source::{ByteStream, Extent, ReadBudget, Source, SourceFile},
};

/// A small size of parts in bytes, so that a range of a few kilobytes consists of several parts.
const SMALL_PART: u64 = 1000;
/// Bytes of each file that are read when several streams are open.
const SIDE_BY_SIDE: u64 = 256 << 10;
/// Size of parts in bytes when several streams are open.
const SIDE_BY_SIDE_PART: u64 = 64 << 10;
/// Size of parts in bytes as a build has it.
const LARGE_PART: u64 = 1 << 20;
/// How long a source may take to notice that a stream was dropped.
const NOTICE: Duration = Duration::from_secs(15);

/// Checks whether the sources that `make` returns keep the contract of [`Source`]. Each must give a model with exactly
/// the files of `expected`.
///
/// `make` is called once for each check. The checks find more faults if the files have many sizes, an empty file and
/// one of several MiB among them. Every file is read several times.
///
/// # Errors
/// The first rule that is broken, or whose check takes longer than 30 seconds.
pub async fn source<M, F, S>(make: M, expected: &BTreeMap<ModelPath, Bytes>) -> Result<(), Violation>
where
    M: Fn() -> F + Send + Sync,
    F: Future<Output = S> + Send,
    S: Source,
{
    let open = async |rule: Rule| Checked::open(rule, make().await, expected).await;
    Rule::Listing.ends(async { open(Rule::Listing).await?.listing() }).await?;
    Rule::StableListing.ends(async { open(Rule::StableListing).await?.stable_listing().await }).await?;
    Rule::ContentIds.ends(async { open(Rule::ContentIds).await?.content_ids() }).await?;
    Rule::Identify.ends(async { open(Rule::Identify).await?.identify().await }).await?;
    Rule::WholeFiles.ends(async { open(Rule::WholeFiles).await?.whole_files().await }).await?;
    Rule::ExtentOrder.ends(async { open(Rule::ExtentOrder).await?.extent_order().await }).await?;
    Rule::Ranges.ends(async { open(Rule::Ranges).await?.ranges().await }).await?;
    Rule::RepeatedReads.ends(async { open(Rule::RepeatedReads).await?.repeated_reads().await }).await?;
    Rule::ParallelReads.ends(async { open(Rule::ParallelReads).await?.parallel_reads().await }).await?;
    Rule::CancelledReads.ends(async { open(Rule::CancelledReads).await?.cancelled_reads().await }).await?;
    Rule::UnlistedFile.ends(async { open(Rule::UnlistedFile).await?.unlisted_file().await }).await?;
    Rule::BoundedChunks.ends(async { open(Rule::BoundedChunks).await?.bounded_chunks().await }).await
}

/// A source, and the rule that is checked on it.
struct Checked<'a, S> {
    rule: Rule,
    source: S,
    expected: &'a BTreeMap<ModelPath, Bytes>,
    /// The files that the source lists, sorted by path.
    files: Vec<Arc<SourceFile>>,
}

impl<'a, S: Source> Checked<'a, S> {
    /// Lists the files of a new source.
    async fn open(rule: Rule, source: S, expected: &'a BTreeMap<ModelPath, Bytes>) -> Result<Self, Violation> {
        let files = list(rule, &source).await?.into_iter().map(Arc::new).collect();
        Ok(Self { rule, source, expected, files })
    }

    /// Compares paths and sizes with what is expected.
    fn listing(&self) -> Result<(), Violation> {
        let expected: Vec<_> = self.expected.iter().map(|(path, bytes)| (path, bytes.len() as u64)).collect();
        let listed: Vec<_> = self.files.iter().map(|file| (&file.path, file.size)).collect();
        self.rule.holds(listed == expected, || format!("{expected:?} were expected, it lists {listed:?}"))
    }

    /// Lists the files a second time.
    async fn stable_listing(&self) -> Result<(), Violation> {
        let again = list(self.rule, &self.source).await?;
        let is_same = again.iter().eq(self.files.iter().map(|file| &**file));
        self.rule.holds(is_same, || format!("it listed {:?}, then {again:?}", self.files))
    }

    /// Checks every content id in the listing.
    fn content_ids(&self) -> Result<(), Violation> {
        self.files.iter().try_for_each(|file| self.content_is_true(file))
    }

    /// Checks the content id of one file, if it has one, by hashing the expected bytes.
    fn content_is_true(&self, file: &SourceFile) -> Result<(), Violation> {
        let (Some(stated), Some(bytes)) = (file.content, self.expected.get(&file.path)) else { return Ok(()) };
        let actual = match stated {
            ContentId::Sha256(_) => Digest::of(bytes).into(),
            ContentId::GitSha1(_) => {
                let mut hasher = ContentHash::git_blob(bytes.len() as u64);
                hasher.update(bytes);
                ContentId::GitSha1(hasher.finalize().into())
            }
        };
        self.rule.holds(stated == actual, || format!("`{}` has `{actual}`, it says `{stated}`", file.path))
    }

    /// Asks for content ids of the listed files, of the same files without their content ids, and of no files.
    async fn identify(&self) -> Result<(), Violation> {
        let listed: Vec<SourceFile> = self.files.iter().map(|file| (**file).clone()).collect();
        for file in self.identified(&listed).await? {
            self.content_is_true(&file)?;
            let path = &file.path;
            self.rule.holds(file.content.is_some(), || format!("`{path}` has no content id"))?;
        }
        // A source that states all content ids need not know a file without one; what the source says must be true.
        let bare: Vec<SourceFile> = listed.into_iter().map(|file| SourceFile { content: None, ..file }).collect();
        self.identified(&bare).await?.iter().try_for_each(|file| self.content_is_true(file))?;
        self.identified(&[]).await.map(drop)
    }

    /// Calls `identify` and checks that the same files come back, and that content ids which were there are kept.
    async fn identified(&self, files: &[SourceFile]) -> Result<Vec<SourceFile>, Violation> {
        let found = self.source.identify(files.to_vec()).await.map_err(self.rule.failed("files are not identified"))?;
        let is_same = found.len() == files.len()
            && found.iter().zip(files).all(|(found, file)| {
                found.path == file.path
                    && found.size == file.size
                    && file.content.is_none_or(|content| found.content == Some(content))
            });
        self.rule.holds(is_same, || format!("{files:?} became {found:?}"))?;
        Ok(found)
    }

    /// Reads each file as a whole, and then no file at all.
    async fn whole_files(&self) -> Result<(), Violation> {
        let budget = ReadBudget::new(4, SIDE_BY_SIDE);
        for extent in self.whole(u64::MAX) {
            self.read(vec![extent], &budget).await?;
        }
        self.read(Vec::new(), &budget).await
    }

    /// Reads the beginnings of all files in one stream, and then their halves in reverse order.
    async fn extent_order(&self) -> Result<(), Violation> {
        let budget = ReadBudget::new(3, SIDE_BY_SIDE_PART);
        self.read(self.whole(SIDE_BY_SIDE), &budget).await?;
        let mut halves = Vec::new();
        for Extent { file, offset, len } in self.whole(SIDE_BY_SIDE).into_iter().rev() {
            let half = len / 2;
            halves.push(Extent { file: Arc::clone(&file), offset: offset + half, len: len - half });
            halves.extend((half > 0).then_some(Extent { file, offset, len: half }));
        }
        self.read(halves, &budget).await
    }

    /// Reads ranges that begin and end at, before and behind the borders of parts.
    async fn ranges(&self) -> Result<(), Violation> {
        let budget = ReadBudget::new(3, SMALL_PART);
        for file in &self.files {
            for offset in [0, 1, SMALL_PART - 1, SMALL_PART, file.size / 2, file.size.saturating_sub(1)] {
                for len in [1, 2, SMALL_PART - 1, SMALL_PART, SMALL_PART + 1, 7 * SMALL_PART / 2] {
                    if offset + len <= file.size {
                        self.read(vec![Extent { file: Arc::clone(file), offset, len }], &budget).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the same files again while an older stream is open, and once more after it is dropped.
    async fn repeated_reads(&self) -> Result<(), Violation> {
        let budget = ReadBudget::new(2, SIDE_BY_SIDE_PART);
        let extents = self.whole(SIDE_BY_SIDE);
        let mut held = self.source.read(extents.clone(), &budget);
        // Whatever comes is looked at by the other rules.
        drop(held.next().await);
        for _again in 0..2 {
            self.read(extents.clone(), &budget).await?;
        }
        drop(held);
        self.read(extents, &budget).await
    }

    /// Reads with more streams than connections: one stream after the other in reverse order, and all at the same
    /// time.
    async fn parallel_reads(&self) -> Result<(), Violation> {
        let extents = self.whole(SIDE_BY_SIDE);
        let expected = self.bytes(&extents)?;
        for connections in [1, 2] {
            let budget = ReadBudget::new(connections, SIDE_BY_SIDE_PART);
            let mut streams: Vec<_> = (0..4)
                .map(|_| Compared::new(self.rule, self.source.read(extents.clone(), &budget), &expected))
                .collect();
            // All readers have begun when the last one is drained.
            for stream in &mut streams {
                stream.next().await?;
            }
            for mut stream in streams.into_iter().rev() {
                stream.drain().await?;
            }
        }
        let budget = ReadBudget::new(2, SIDE_BY_SIDE_PART);
        join_all((0..4).map(|_| self.read(extents.clone(), &budget))).await.into_iter().collect()
    }

    /// Drops streams after some chunks, and checks that connections and budget are free afterwards.
    async fn cancelled_reads(&self) -> Result<(), Violation> {
        let connections = 2;
        let budget = ReadBudget::new(connections, SIDE_BY_SIDE_PART);
        let extents = self.whole(SIDE_BY_SIDE);
        for chunks in 0..3 {
            let mut stream = self.source.read(extents.clone(), &budget);
            for _chunk in 0..chunks {
                drop(stream.next().await);
            }
        }
        let (begun, is_free) = (Instant::now(), || budget.permits().available_permits() == connections);
        while !is_free() && begun.elapsed() < NOTICE {
            sleep(Duration::from_millis(10)).await;
        }
        self.rule.holds(is_free(), || {
            format!("{} of {connections} connections are free afterwards", budget.permits().available_permits())
        })?;
        let share = budget.join().parts();
        self.rule
            .holds(share == connections, || format!("the budget is still shared: a new reader has {share} parts"))?;
        self.read(extents, &budget).await
    }

    /// Reads a file that the source does not have.
    async fn unlisted_file(&self) -> Result<(), Violation> {
        let path: ModelPath = "not/listed.bin".parse().map_err(self.rule.failed("no path"))?;
        let name = path.to_string();
        self.rule.holds(!self.expected.contains_key(&path), || format!("`{name}` is there"))?;
        let extent = Extent { file: Arc::new(SourceFile { path, size: 10, content: None }), offset: 0, len: 10 };
        let mut stream = self.source.read(vec![extent], &ReadBudget::new(2, SIDE_BY_SIDE_PART));
        loop {
            match stream.next().await {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => return Err(self.rule.broken(format!("{} bytes came", bytes.len()))),
                None => return Err(self.rule.broken("the stream ended without an error")),
                Some(Err(error)) => {
                    let told = chain(&error);
                    self.rule.holds(told.contains(&name), || format!("the error does not name `{name}`: {told}"))?;
                    break;
                }
            }
        }
        let after = stream.next().await;
        self.rule.holds(after.is_none(), || format!("after the error came {after:?}"))
    }

    /// Reads all files and looks at the size of each chunk.
    async fn bounded_chunks(&self) -> Result<(), Violation> {
        let budget = ReadBudget::new(2, LARGE_PART);
        let mut stream = self.source.read(self.whole(u64::MAX), &budget);
        while let Some(chunk) = stream.next().await {
            let len = chunk.map_err(self.rule.failed("a read fails"))?.len() as u64;
            self.rule.holds(len <= LARGE_PART, || format!("a chunk has {len} bytes, a part has {LARGE_PART}"))?;
            let free = budget.permits().available_permits();
            self.rule.holds(free <= 2, || format!("{free} connections are free of 2"))?;
        }
        Ok(())
    }

    /// Returns the beginning of each file that is not empty, of at most `most` bytes.
    fn whole(&self, most: u64) -> Vec<Extent> {
        let some = self.files.iter().filter(|file| file.size > 0);
        some.map(|file| Extent { file: Arc::clone(file), offset: 0, len: file.size.min(most) }).collect()
    }

    /// Returns the bytes that `extents` must give.
    fn bytes(&self, extents: &[Extent]) -> Result<Vec<u8>, Violation> {
        let mut all = Vec::new();
        for Extent { file, offset, len } in extents {
            let [start, end] = [*offset, offset + len].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
            let bytes = self.expected.get(&file.path).and_then(|bytes| bytes.get(start..end));
            all.extend_from_slice(bytes.ok_or_else(|| self.rule.broken(format!("`{}` is unexpected", file.path)))?);
        }
        Ok(all)
    }

    /// Reads `extents` and compares every byte.
    async fn read(&self, extents: Vec<Extent>, budget: &ReadBudget) -> Result<(), Violation> {
        let expected = self.bytes(&extents)?;
        Compared::new(self.rule, self.source.read(extents, budget), &expected).drain().await
    }
}

/// Lists the files of a source, sorted by path.
async fn list(rule: Rule, source: &impl Source) -> Result<Vec<SourceFile>, Violation> {
    let mut files = source.list().await.map_err(rule.failed("the listing fails"))?;
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

/// A stream, and the bytes that it must give.
struct Compared<'a> {
    rule: Rule,
    stream: ByteStream,
    /// The bytes that are still to come.
    left: &'a [u8],
    /// Number of bytes that came.
    at: usize,
}

impl<'a> Compared<'a> {
    fn new(rule: Rule, stream: ByteStream, expected: &'a [u8]) -> Self {
        Self { rule, stream, left: expected, at: 0 }
    }

    /// Compares the next chunk. Returns whether there was one.
    async fn next(&mut self) -> Result<bool, Violation> {
        let Some(chunk) = self.stream.next().await else { return Ok(false) };
        let chunk = chunk.map_err(self.rule.failed("a read fails"))?;
        let Some(rest) = self.left.strip_prefix(&chunk[..]) else {
            let (at, len, left) = (self.at, chunk.len(), self.left.len());
            return Err(self.rule.broken(format!("{len} bytes at {at} of a read are wrong, {left} were to come")));
        };
        self.at += chunk.len();
        self.left = rest;
        Ok(true)
    }

    /// Compares the rest of the stream, which must end where the expected bytes end.
    async fn drain(&mut self) -> Result<(), Violation> {
        while self.next().await? {}
        self.rule.holds(self.left.is_empty(), || format!("a read ends {} bytes too early", self.left.len()))
    }
}
