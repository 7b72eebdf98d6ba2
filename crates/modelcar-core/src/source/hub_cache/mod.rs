//! The cache of the Hugging Face tools (`HF_HUB_CACHE`) as a source.
//!
//! A model in the cache gives the same image as the model on the Hub. Title, commit and licence are the same, and the
//! names of the blobs in the cache are the hashes that the Hub lists. These hashes are not trusted: the writer of a
//! layer verifies every hash while the bytes pass.

mod find;
mod whole;

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use tokio::task;
use url::Url;

pub use self::find::CachedSnapshot;
use super::{
    ByteStream, DirSource, Extent, ModelId, OpenSource, Origin, ReadBudget, Source, SourceError, SourceFile, SourceRef,
};
use crate::{
    ContentId, ModelPath, files,
    progress::{Event, Progress},
};

/// A cache of the Hugging Face tools: a folder with a folder `models--owner--name` for each model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubCache {
    /// The folder.
    pub folder: PathBuf,
    /// URL of the Hub or of the mirror from which the cache was filled. No request goes to this URL; it is part of
    /// [`Origin::url`].
    pub endpoint: String,
}

impl HubCache {
    /// Returns the cache in `folder`, which was filled from `https://huggingface.co`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), endpoint: "https://huggingface.co".to_owned() }
    }

    /// Returns the snapshot of `model` at its revision, which is `main` if `model` has none. Files may be missing from
    /// the snapshot.
    ///
    /// # Errors
    /// [`SourceError::NotCached`], and [`SourceError::BadEntry`] when the snapshot is behind a link that leaves the
    /// cache.
    pub fn snapshot(&self, model: &ModelId) -> Result<CachedSnapshot, SourceError> {
        find::snapshot(&self.folder, model)
    }

    /// Opens a model in the cache. `name` is a [`SourceRef::Hub`] or a [`SourceRef::HubCache`]. The name of the open
    /// source is of the same variant, with the commit as the revision.
    ///
    /// # Errors
    /// As [`HubCacheSource::open`], and [`SourceError::Unknown`] when `name` is of another variant.
    pub async fn open(&self, name: &SourceRef, progress: &Arc<dyn Progress>) -> Result<OpenSource, SourceError> {
        let (SourceRef::Hub(model) | SourceRef::HubCache(model)) = name else {
            return Err(SourceError::Unknown(name.to_string()));
        };
        let source = HubCacheSource::open(self, model, progress).await?;
        let pinned = model.at(source.commit())?;
        let is_cache = matches!(name, SourceRef::HubCache(_));
        let name = if is_cache { SourceRef::HubCache(pinned) } else { SourceRef::Hub(pinned) };
        Ok(OpenSource::new(name, Arc::new(source)))
    }

    /// Returns the web page of a model, which is the same as [`Origin::url`] of a [`HubSource`](super::HubSource).
    fn page(&self, repository: &str) -> Result<String, SourceError> {
        let bad = |reason| SourceError::BadEndpoint { address: "(not shown)".to_owned(), reason };
        let url = Url::parse(self.endpoint.trim()).map_err(|_| bad("is not a URL"))?;
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if !plain || url.password().is_some() || !matches!(url.scheme(), "http" | "https") {
            return Err(bad("is not one of a Hub: expected an http or https URL without user, query and fragment"));
        }
        Ok(format!("{}/{repository}", url.as_str().trim_end_matches('/')))
    }
}

/// A model in the cache of the Hugging Face tools, pinned to a commit.
#[derive(Debug)]
pub struct HubCacheSource {
    dir: DirSource,
    snapshot: CachedSnapshot,
    /// The model's `blobs` folder, without links.
    blobs: PathBuf,
    origin: Origin,
}

impl HubCacheSource {
    /// Finds the snapshot of `model` at its revision, which is `main` if `model` has none, and lists the snapshot's
    /// files.
    ///
    /// The cache has no list of the model's files, so a missing file can't always be noticed. These are noticed: a
    /// shard that an index or the number in another shard's name demands, `config.json` beside weights at the root, and
    /// weights at all. `progress` receives a warning that other files may be missing.
    ///
    /// # Errors
    /// [`SourceError::NotCached`], [`SourceError::NotWhole`], [`SourceError::Unfinished`] and
    /// [`SourceError::BadEndpoint`]; otherwise as [`DirSource::open`].
    pub async fn open(cache: &HubCache, model: &ModelId, progress: &Arc<dyn Progress>) -> Result<Self, SourceError> {
        let (folder, wanted) = (cache.folder.clone(), model.clone());
        let snapshot = blocking(&cache.folder, move || find::snapshot(&folder, &wanted)).await?;
        let dir = DirSource::open(&snapshot.folder).await?.with_progress(Arc::clone(progress));
        let model_folder = snapshot.model_folder().to_owned();
        let (dir, missing) = blocking(&cache.folder, move || {
            whole::refuse_unfinished(&model_folder.join("blobs"))?;
            let missing = whole::missing(&dir)?;
            Ok((dir, missing))
        })
        .await?;
        let repository = model.repository();
        if !missing.is_empty() {
            let (repo, commit) = (repository.to_owned(), snapshot.commit.clone());
            return Err(SourceError::NotWhole { repo, commit, missing });
        }
        let message = format!(
            "the Hugging Face cache does not say which files `{repository}` has: nothing is known to be missing, but \
             that all files are there is not proven"
        );
        progress.report(&Event::Warning { message });
        tracing::info!(repository, commit = snapshot.commit, "the revision is in the Hugging Face cache");
        let origin = Origin {
            title: Some(repository.to_owned()),
            url: Some(cache.page(repository)?),
            version: Some(model.revision().unwrap_or("main").to_owned()),
            commit: Some(snapshot.commit.clone()),
            license: dir.origin().license.clone(),
        };
        let blobs = snapshot.model_folder().join("blobs");
        Ok(Self { dir, snapshot, blobs, origin })
    }

    /// Returns the commit.
    pub fn commit(&self) -> &str {
        &self.snapshot.commit
    }

    /// Returns the content id in the name of the blob that a file links to. `None` for a file that is not a link to a
    /// blob: on some file systems the cache has copies in place of links.
    fn content(&self, path: &ModelPath) -> Option<ContentId> {
        let place = self.dir.place(path)?;
        let name = place.strip_prefix(&self.blobs).ok()?.to_str()?;
        ContentId::sha256_from_hex(name).or_else(|| ContentId::git_sha1_from_hex(name))
    }
}

#[async_trait]
impl Source for HubCacheSource {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn list(&self) -> Result<Vec<SourceFile>, SourceError> {
        let mut files = self.dir.list().await?;
        for file in &mut files {
            file.content = self.content(&file.path);
        }
        Ok(files)
    }

    async fn identify(&self, mut files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        let unknown = files.iter().filter(|file| file.content.is_none()).cloned().collect();
        let mut identified = self.dir.identify(unknown).await?.into_iter();
        for file in files.iter_mut().filter(|file| file.content.is_none()) {
            file.content = identified.next().and_then(|file| file.content);
        }
        Ok(files)
    }

    fn read(&self, extents: Vec<Extent>, budget: &ReadBudget) -> ByteStream {
        self.dir.read(extents, budget)
    }
}

/// Runs blocking work on a thread for blocking work.
async fn blocking<T: Send + 'static>(
    folder: &Path,
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    task::spawn_blocking(work).await.map_err(|error| SourceError::Io {
        act: "look into",
        path: folder.to_owned(),
        source: io::Error::other(error),
    })?
}

/// Returns the first `max` bytes of a file, or all bytes of a shorter file.
fn read_up_to(place: &Path, max: u64) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    let read = files::open(place).and_then(|file| file.take(max).read_to_end(&mut bytes));
    read.map_err(|source| SourceError::Io { act: "read", path: place.to_owned(), source })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
