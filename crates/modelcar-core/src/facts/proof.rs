//! Proof of what facts were read from: a file read whole is compared with its listed hash at once, the beginning of a
//! larger file when the file passes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use sha2::Digest as _;

use crate::{
    ContentId, Digest, ModelPath,
    digest::ContentHash,
    source::{ByteStream, Extent, Origin, ReadBudget, Source, SourceError, SourceFile},
};

/// The beginning of a file that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Beginning {
    /// Its bytes, at least one.
    len: u64,
    digest: Digest,
}

/// The longest beginnings of files that were read, by file.
#[derive(Debug, Default)]
pub(crate) struct Beginnings(Mutex<BTreeMap<ModelPath, Beginning>>);

impl Beginnings {
    /// Takes note of the first bytes of `file`. The content of a whole file is compared with the listed one.
    ///
    /// # Errors
    /// [`SourceError::WrongContent`].
    pub(super) fn note(&self, file: &SourceFile, bytes: &[u8]) -> Result<(), SourceError> {
        let len = bytes.len() as u64;
        if len == file.size && file.content.is_some() {
            return check_whole(file, bytes);
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if len > 0 && all.get(&file.path).is_none_or(|known| known.len < len) {
            all.insert(file.path.clone(), Beginning { len, digest: Digest::of(bytes) });
        }
        Ok(())
    }

    /// Returns a source that gives what `source` gives, and an error where a file begins otherwise than it did.
    pub(crate) fn held_by(self, source: Arc<dyn Source>) -> Arc<dyn Source> {
        let known = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        if known.is_empty() { source } else { Arc::new(Proven { source, known: Arc::new(known) }) }
    }
}

fn check_whole(file: &SourceFile, bytes: &[u8]) -> Result<(), SourceError> {
    let Some(expected) = file.content else { return Ok(()) };
    let actual = match ContentHash::for_id(file.content) {
        ContentHash::Sha256 => ContentId::from(Digest::of(bytes)),
        ContentHash::GitSha1 => {
            let mut hasher = ContentHash::git_blob(file.size);
            hasher.update(bytes);
            ContentId::GitSha1(hasher.finalize().into())
        }
    };
    if actual == expected {
        return Ok(());
    }
    Err(SourceError::WrongContent { path: file.path.clone(), expected: Box::new(expected), actual: Box::new(actual) })
}

/// A source whose files must begin as they did when the facts were read.
#[derive(Debug)]
struct Proven {
    source: Arc<dyn Source>,
    known: Arc<BTreeMap<ModelPath, Beginning>>,
}

#[async_trait]
impl Source for Proven {
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
        let parts = parts(&extents, &self.known);
        let bytes = self.source.read(extents, budget);
        if parts.is_empty() {
            return bytes;
        }
        let mut checker = Checker { at: 0, parts, hasher: sha2::Sha256::new() };
        bytes
            .map(move |bytes| {
                let bytes = bytes?;
                checker.take(&bytes)?;
                Ok(bytes)
            })
            .boxed()
    }
}

/// A stretch of a stream that is known.
struct Part {
    /// First byte, counted from the first one of the stream.
    start: u64,
    beginning: Beginning,
    file: ModelPath,
}

/// Returns which stretches of a reading are known: beginnings that it holds whole.
fn parts(extents: &[Extent], known: &BTreeMap<ModelPath, Beginning>) -> VecDeque<Part> {
    let mut start = 0_u64;
    let mut parts = VecDeque::new();
    for extent in extents {
        let beginning = known.get(&extent.file.path).filter(|known| extent.offset == 0 && known.len <= extent.len);
        parts.extend(beginning.map(|known| Part { start, beginning: *known, file: extent.file.path.clone() }));
        start = start.saturating_add(extent.len);
    }
    parts
}

/// Hashes the known stretches of a stream while they pass.
struct Checker {
    /// Bytes that have passed.
    at: u64,
    /// The stretches that have not passed.
    parts: VecDeque<Part>,
    /// The hash of the next stretch, as far as it has passed.
    hasher: sha2::Sha256,
}

impl Checker {
    fn take(&mut self, bytes: &Bytes) -> Result<(), SourceError> {
        let (from, to) = (self.at, self.at.saturating_add(bytes.len() as u64));
        self.at = to;
        while let Some(part) = self.parts.front().filter(|part| part.start < to) {
            let end = part.start.saturating_add(part.beginning.len);
            let inside = |place: u64| usize::try_from(place.clamp(from, to) - from).unwrap_or(usize::MAX);
            self.hasher.update(&bytes[inside(part.start)..inside(end)]);
            if end > to {
                return Ok(());
            }
            let found = Digest::from(<[u8; 32]>::from(self.hasher.finalize_reset()));
            if found != part.beginning.digest {
                let reason = "it does not begin as it did when the model's facts were read".to_owned();
                return Err(SourceError::Changed { path: part.file.as_str().into(), reason });
            }
            self.parts.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;
    use crate::source::MemorySource;

    fn model(first: &'static str, second: &'static str) -> MemorySource {
        MemorySource::new([("a".parse().unwrap(), first), ("b".parse().unwrap(), second)])
    }

    async fn read(source: &dyn Source) -> Result<Vec<u8>, SourceError> {
        let files = source.list().await?;
        let extent = |file: SourceFile| Extent { offset: 0, len: file.size, file: Arc::new(file) };
        let mut stream = source.read(files.into_iter().map(extent).collect(), &ReadBudget::sequential());
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.try_next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn a_file_that_begins_otherwise_than_before_is_an_error() {
        let files = model("first file", "second file").list().await.unwrap();
        for (second, changed) in [("second file", false), ("second fill", false), ("secret file", true)] {
            let beginnings = Beginnings::default();
            beginnings.note(&files[0], b"fir").unwrap();
            beginnings.note(&files[1], b"secon").unwrap();
            beginnings.note(&files[1], b"se").unwrap();
            let source = beginnings.held_by(Arc::new(model("first file", second)));
            match read(&*source).await {
                Ok(bytes) => {
                    assert_eq!((String::from_utf8(bytes).unwrap(), changed), (format!("first file{second}"), false));
                }
                Err(error) => assert!(changed && matches!(error, SourceError::Changed { .. }), "{error}"),
            }
        }
    }

    #[test]
    fn beginnings_are_found_across_chunks() {
        let digest = Digest::of("cdef");
        for cut in 0..=8 {
            let part =
                |start, digest| Part { start, beginning: Beginning { len: 4, digest }, file: "a".parse().unwrap() };
            for (parts, good) in
                [([part(2, digest), part(6, Digest::of("gh12"))], true), ([part(1, digest), part(6, digest)], false)]
            {
                let mut checker = Checker { at: 0, parts: parts.into(), hasher: sha2::Sha256::new() };
                let bytes = Bytes::from_static(b"abcdefgh12");
                let outcome = checker.take(&bytes.slice(..cut)).and_then(|()| checker.take(&bytes.slice(cut..)));
                assert_eq!(outcome.is_ok(), good, "{cut}");
            }
        }
    }

    #[test]
    fn a_whole_file_has_its_listed_content() {
        let mut hasher = ContentHash::git_blob(2);
        hasher.update(b"{}");
        let git = ContentId::GitSha1(hasher.finalize().into());
        for content in [git, ContentId::from(Digest::of("{}"))] {
            let file = SourceFile { path: "config.json".parse().unwrap(), size: 2, content: Some(content) };
            let beginnings = Beginnings::default();
            beginnings.note(&file, b"{}").unwrap();
            let error = beginnings.note(&file, b"[]").unwrap_err();
            assert!(matches!(&error, SourceError::WrongContent { expected, .. } if **expected == content), "{error}");
        }
    }
}
