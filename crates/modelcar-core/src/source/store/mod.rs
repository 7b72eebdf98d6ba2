//! A folder in an object store as a source: S3, Google Cloud Storage, or any store of the crate `object_store`.
//!
//! A store states no SHA-256. Each object is read once, and what it holds is kept in a local cache by the version of the
//! object. The version is the condition of every read: what changes in between is an error.

mod bucket;
mod build;
mod connector;
mod contents;
mod failure;
mod first_read;
mod listing;
mod object;
mod options;
mod refusal;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use object_store::{ObjectStore, path::Path};

use self::{
    bucket::{Bucket, Objects},
    listing::ListError,
};
pub use self::{
    contents::Contents,
    failure::{StoreFailure, StoreTrouble},
    options::StoreOptions,
};
use super::{
    ByteStream, Extent, Origin, ReadBudget, Source, SourceError, SourceFile, StoreKind, StoreUrl, card,
    ranged::{self, Fault, Retry},
};
use crate::{
    Digest, ModelPath,
    error::ModelcarError,
    progress::{Phase, Progress},
};

/// The objects below a folder of a store, as they were when it was listed.
///
/// [`list`](Source::list) states the content of the objects that were read before, and
/// [`identify`](Source::identify) reads the others.
#[derive(Debug, Clone)]
pub struct StoreSource {
    bucket: Arc<Bucket>,
    origin: Origin,
    /// What the content of each object is kept by.
    keys: Arc<BTreeMap<ModelPath, Digest>>,
    contents: Option<Contents>,
    /// Connections and memory of a first read.
    first_read: ReadBudget,
    retry: Retry,
    progress: Arc<dyn Progress>,
}

impl StoreSource {
    /// Lists the objects below the folder that `url` names, and reads the licence from its `README.md`.
    ///
    /// # Errors
    /// [`SourceError::Store`], [`SourceError::EmptyStore`], [`SourceError::NoCondition`] and
    /// [`SourceError::HostileListing`].
    pub async fn open(url: &StoreUrl, options: &StoreOptions) -> Result<Self, SourceError> {
        let store = build::build(url, options).map_err(|error| {
            let source = Box::new(StoreFailure::new(error));
            SourceError::Store { act: format!("open `{url}`"), source }
        })?;
        // For a version S3 asks for a right of its own, `s3:GetObjectVersion`, and the entity tag is enough.
        let by_version = url.kind() != StoreKind::S3;
        Self::list(store, &url.to_string(), url.prefix(), &options.place(url), by_version, options).await
    }

    /// As [`open`](Self::open), with the objects of `store` below `prefix`. `name` is what the folder is called in errors
    /// and in the cache of contents: no two folders may have the same one. The settings of `options` are not looked at.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`SourceError::InvalidName`] for a prefix that can't be one.
    pub async fn from_store(
        store: Arc<dyn ObjectStore>,
        name: &str,
        prefix: &str,
        options: &StoreOptions,
    ) -> Result<Self, SourceError> {
        Self::list(store, name, prefix, name, true, options).await
    }

    /// Lists the folder, again as the policy says, and reads its card. `place` is what contents are kept by, and
    /// `by_version` says whether reads name a version.
    async fn list(
        store: Arc<dyn ObjectStore>,
        name: &str,
        prefix: &str,
        place: &str,
        by_version: bool,
        options: &StoreOptions,
    ) -> Result<Self, SourceError> {
        let progress = Arc::clone(&options.progress);
        Phase::List.begin(&*progress);
        let prefix = Path::parse(prefix).map_err(|_| SourceError::InvalidName(prefix.to_owned()))?;
        let retry = Retry::new(options.attempts, options.retry_base, Arc::clone(&progress));
        let mut failures = 0;
        let objects = loop {
            let failure = match listing::list(&*store, &prefix, name, &options.unwanted).await {
                Ok(objects) => break objects,
                Err(ListError::Refused(error)) => return Err(error),
                Err(ListError::Store(failure)) => failure,
            };
            failures += 1;
            let (retryable, wait) = (failure.is_retryable(), failure.retry_after());
            let act = format!("list `{name}`");
            let error = SourceError::Store { act: act.clone(), source: Box::new(failure) };
            let fault = if retryable { Fault::passing(error) } else { Fault::fatal(error) };
            let fault = wait.into_iter().fold(fault, Fault::after);
            tokio::time::sleep(retry.after(&act, fault, failures)?).await;
        };
        tracing::info!(folder = name, objects = objects.len(), "the folder is listed");
        let keys = objects.iter().map(|(path, object)| (path.clone(), object.key(place))).collect();
        let bucket = Bucket { store, name: name.to_owned(), by_version, stall: options.stall_timeout, objects };
        let mut source = Self {
            bucket: Arc::new(bucket),
            origin: Origin::default(),
            keys: Arc::new(keys),
            contents: options.contents.clone(),
            first_read: ReadBudget::for_memory(options.connections, options.read_ahead_bytes),
            retry,
            progress,
        };
        source.origin.license = source.license().await?;
        Ok(source)
    }

    /// Returns the licence that the model card names, if there is one.
    async fn license(&self) -> Result<Option<String>, SourceError> {
        let found = self.files().into_iter().find(|file| file.path.as_str() == card::CARD && file.size > 0);
        let Some(file) = found else { return Ok(None) };
        let len = file.size.min(card::CARD_MAX_BYTES);
        let mut bytes = self.read(vec![Extent { file: Arc::new(file), offset: 0, len }], &ReadBudget::sequential());
        let mut text = Vec::new();
        while let Some(chunk) = bytes.try_next().await? {
            text.extend_from_slice(&chunk);
        }
        Ok(card::license(&String::from_utf8_lossy(&text)))
    }

    /// Returns the files, with the content of those that were read before.
    fn files(&self) -> Vec<SourceFile> {
        let known = |path: &ModelPath| self.contents.as_ref()?.get(self.keys.get(path)?);
        let objects = self.bucket.objects.iter();
        objects
            .map(|(path, object)| SourceFile { path: path.clone(), size: object.size, content: known(path) })
            .collect()
    }
}

#[async_trait]
impl Source for StoreSource {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn list(&self) -> Result<Vec<SourceFile>, SourceError> {
        Ok(self.files())
    }

    async fn identify(&self, mut files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        let unknown: Vec<SourceFile> = files.iter().filter(|file| file.content.is_none()).cloned().collect();
        if unknown.is_empty() {
            return Ok(files);
        }
        let keep = |file: &SourceFile, hash: &str| {
            if let (Some(contents), Some(key)) = (&self.contents, self.keys.get(&file.path)) {
                // A content that is not kept is read anew the next time.
                let _only_slower = contents.put(key, hash);
            }
        };
        let read = first_read::first_read(self, unknown, &self.first_read, &self.progress, keep).await?;
        let mut read = read.into_iter();
        for file in files.iter_mut().filter(|file| file.content.is_none()) {
            file.content = read.next().and_then(|file| file.content);
        }
        let _only_larger = self.contents.as_ref().map(Contents::prune);
        Ok(files)
    }

    fn read(&self, extents: Vec<Extent>, budget: &ReadBudget) -> ByteStream {
        ranged::read(Arc::new(Objects(Arc::clone(&self.bucket))), extents, budget, self.retry.clone())
    }
}

#[cfg(test)]
mod tests;
