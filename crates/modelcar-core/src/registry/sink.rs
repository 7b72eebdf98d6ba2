//! A repository as a sink.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::{repository::Repository, request::Access};
use crate::{
    Digest, Tag,
    error::{ModelcarError, Result},
    sink::{Blob, ExistingBlob, ManifestBlob, Published, Sink, VerifiedBlob},
};

/// Puts an image into a repository, under tags.
#[derive(Debug)]
pub struct RegistrySink {
    repository: Repository,
    tags: Vec<Tag>,
    published: Mutex<Option<Published>>,
}

impl RegistrySink {
    /// Puts the image under each of `tags`. Without tags the image has only its digest as a name.
    pub fn new(repository: Repository, tags: Vec<Tag>) -> Self {
        Self { repository, tags, published: Mutex::default() }
    }

    /// Stores the index under a name, and records whether the name points to the index then.
    async fn point(&self, name: &str, index: &ManifestBlob) -> Result<()> {
        self.note(index, |published| published.maybe = Some(name.to_owned()));
        let stored = self.repository.put_manifest(index, name).await;
        self.note(index, |published| match &stored {
            Ok(()) => published.names.extend(published.maybe.take()),
            // Without an answer, the registry may have stored the index.
            Err(error) if error.is_retryable() => {}
            Err(_) => published.maybe = None,
        });
        Ok(stored?)
    }

    fn note(&self, index: &ManifestBlob, act: impl FnOnce(&mut Published)) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        act(published.get_or_insert_with(|| Published::new(index.digest)));
    }
}

#[async_trait]
impl Sink for RegistrySink {
    fn max_jobs(&self) -> usize {
        usize::MAX
    }

    async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool> {
        Ok(self.repository.blob_exists(Access::Push, digest, size).await?)
    }

    async fn mount_or_find(&self, blob: &ExistingBlob) -> Result<bool> {
        match &blob.repository {
            None => self.has_blob(&blob.digest, blob.size).await,
            Some(from) => Ok(self.repository.mount(&blob.digest, from).await),
        }
    }

    async fn write_blob(&self, body: &dyn Blob, restarted: &(dyn Fn(String) + Send + Sync)) -> Result<VerifiedBlob> {
        self.repository.upload(body, restarted).await
    }

    async fn write_manifest(&self, manifest: &ManifestBlob) -> Result<()> {
        Ok(self.repository.put_manifest(manifest, &manifest.digest.to_string()).await?)
    }

    /// Stores the index under the tag in one request, so that a refused tag leaves no index behind.
    async fn publish(&self, index: &ManifestBlob) -> Result<()> {
        if self.tags.is_empty() {
            self.point(&index.digest.to_string(), index).await?;
        }
        for tag in &self.tags {
            self.point(tag.as_str(), index).await?;
        }
        Ok(())
    }

    fn published(&self) -> Option<Published> {
        let published = self.published.lock().unwrap_or_else(PoisonError::into_inner).clone();
        published.filter(|published| !published.names.is_empty() || published.maybe.is_some())
    }

    async fn abandon(&self) {
        self.repository.inner().close_all().await;
    }
}
