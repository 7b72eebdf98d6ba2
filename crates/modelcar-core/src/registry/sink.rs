//! A repository as a sink.

use async_trait::async_trait;

use super::client::Repository;
use crate::{
    Digest,
    error::Result,
    sink::{Body, KnownBlob, ManifestBlob, Sealed, Sink},
};

/// Puts an image into a repository, under tags.
#[derive(Debug)]
pub struct RegistrySink {
    repository: Repository,
    tags: Vec<String>,
}

impl RegistrySink {
    /// Puts the image under each of `tags`; with none it can be had by its digest alone.
    pub fn new(repository: Repository, tags: Vec<String>) -> Self {
        Self { repository, tags }
    }
}

#[async_trait]
impl Sink for RegistrySink {
    fn max_jobs(&self) -> usize {
        usize::MAX
    }

    async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool> {
        Ok(self.repository.has_blob(digest, size).await?)
    }

    async fn claim(&self, blob: &KnownBlob) -> Result<bool> {
        match &blob.repository {
            None => self.has_blob(&blob.digest, blob.size).await,
            Some(from) => Ok(self.repository.mount(&blob.digest, from).await),
        }
    }

    async fn write_blob(&self, body: &dyn Body, restarted: &(dyn Fn(String) + Send + Sync)) -> Result<Sealed> {
        self.repository.upload(body, restarted).await
    }

    async fn write_manifest(&self, manifest: &ManifestBlob) -> Result<()> {
        Ok(self.repository.put_manifest(manifest, &manifest.digest.to_string()).await?)
    }

    /// The tag names the index in the very request that stores it, so that a tag which can't be moved leaves nothing
    /// behind.
    async fn publish(&self, index: &ManifestBlob) -> Result<()> {
        if self.tags.is_empty() {
            self.repository.put_manifest(index, &index.digest.to_string()).await?;
        }
        for tag in &self.tags {
            self.repository.put_manifest(index, tag).await?;
        }
        Ok(())
    }

    async fn abandon(&self) {
        self.repository.inner().close_all().await;
    }
}
