//! A model in memory as a source.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{ByteStream, Extent, Origin, ReadBudget, Source, SourceError, SourceFile};
use crate::{ContentId, ModelPath, digest::Digest};

/// Gives files out of memory, for tests and for models that a program makes by itself.
///
/// ```
/// use modelcar_core::source::{MemorySource, Source};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let source = MemorySource::new([("config.json".parse()?, "{}"), ("model.safetensors".parse()?, "weights")]);
/// assert_eq!(source.list().await?.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemorySource {
    origin: Origin,
    files: Arc<BTreeMap<ModelPath, (ContentId, Bytes)>>,
}

impl MemorySource {
    /// Takes `files` and hashes each of them; the listing states the SHA-256 of every file. The origin is empty.
    pub fn new<B: Into<Bytes>>(files: impl IntoIterator<Item = (ModelPath, B)>) -> Self {
        let file = |(path, bytes): (ModelPath, B)| {
            let bytes = bytes.into();
            (path, (ContentId::from(Digest::of(&bytes)), bytes))
        };
        Self { origin: Origin::default(), files: Arc::new(files.into_iter().map(file).collect()) }
    }

    /// Returns the source with `origin` as the place that the model came from.
    #[must_use]
    pub fn with_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    fn bytes_of(&self, extent: &Extent) -> Result<Bytes, SourceError> {
        let path = || PathBuf::from(extent.file.path.as_str());
        let Some((_, bytes)) = self.files.get(&extent.file.path) else {
            return Err(SourceError::NotListed { path: path() });
        };
        let [start, len] = [extent.offset, extent.len].map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        let end = start.saturating_add(len);
        if end > bytes.len() {
            let reason = format!("bytes {start} to {end} were asked for, it has {}", bytes.len());
            return Err(SourceError::Changed { path: path(), reason });
        }
        Ok(bytes.slice(start..end))
    }
}

#[async_trait]
impl Source for MemorySource {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn list(&self) -> Result<Vec<SourceFile>, SourceError> {
        let file = |(path, (content, bytes)): (&ModelPath, &(ContentId, Bytes))| SourceFile {
            path: path.clone(),
            size: bytes.len() as u64,
            content: Some(*content),
        };
        Ok(self.files.iter().map(file).collect())
    }

    async fn identify(&self, mut files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        for file in files.iter_mut().filter(|file| file.content.is_none()) {
            let known = self.files.get(&file.path).map(|(content, _)| *content);
            let path = || PathBuf::from(file.path.as_str());
            file.content = Some(known.ok_or_else(|| SourceError::NotListed { path: path() })?);
        }
        Ok(files)
    }

    fn read(&self, extents: Vec<Extent>, budget: &ReadBudget) -> ByteStream {
        let part = usize::try_from(budget.part_bytes()).unwrap_or(usize::MAX);
        let mut extents = extents.into_iter();
        let (source, mut left) = (self.clone(), Bytes::new());
        stream::iter(std::iter::from_fn(move || {
            while left.is_empty() {
                match source.bytes_of(&extents.next()?) {
                    Ok(bytes) => left = bytes,
                    Err(error) => {
                        extents = Vec::new().into_iter();
                        return Some(Err(error));
                    }
                }
            }
            Some(Ok(left.split_to(part.min(left.len()))))
        }))
        .boxed()
    }
}
