//! A repository of a registry as the sink of an image.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::{error::RegistryError, read_back::StoredImage, repository::Repository, request::Access};
use crate::{
    Digest, Tag,
    error::{ModelcarError, Result},
    sink::{Blob, ExistingBlob, ManifestBlob, Published, Sink, VerifiedBlob},
};

/// Puts an image into a repository of a registry, under tags.
///
/// Blobs and manifests are stored by digest first. The index is stored last and makes the image visible. What a push
/// that ends before the index has stored, only the registry can remove, by its garbage collection.
#[derive(Debug)]
pub struct RegistrySink {
    /// The repository that receives the image.
    repository: Repository,
    /// Tags that are set to the index, in this order.
    tags: Vec<Tag>,
    /// Whether the image is read back before the push succeeds.
    reads_back: bool,
    /// Names under which the index is stored, and the name whose request has no known result.
    published: Mutex<Option<Published>>,
}

impl RegistrySink {
    /// Puts the image under each of `tags`. Without tags the image has only its digest as a name. A tag that exists is
    /// overwritten if the registry permits that. No request is sent yet.
    pub fn new(repository: Repository, tags: Vec<Tag>) -> Self {
        Self { repository, tags, reads_back: true, published: Mutex::default() }
    }

    /// Sets whether a push reads the image back before it succeeds.
    #[must_use]
    pub(crate) fn with_read_back(self, reads_back: bool) -> Self {
        Self { reads_back, ..self }
    }

    /// Reads the published image back as a pull does, unless that is turned off.
    ///
    /// # Errors
    /// [`RegistryError::NotReadable`] with what the registry does not give back.
    pub(crate) async fn read_back(&self, image: &StoredImage) -> Result<(), RegistryError> {
        if !self.reads_back {
            return Ok(());
        }
        self.repository.read_back(image, &self.tags).await
    }

    /// Stores the index under a name, and records whether the name points to the index. A request without an answer
    /// leaves the name as one that may point to the index, because the registry may have stored the index before the
    /// connection broke.
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

    /// Changes the record of the names under which the index is stored.
    fn note(&self, index: &ManifestBlob, act: impl FnOnce(&mut Published)) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        act(published.get_or_insert_with(|| Published::new(index.digest)));
    }
}

#[async_trait]
impl Sink for RegistrySink {
    /// No limit: each upload has a connection of its own.
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

    /// Stores the index with one request for each tag, so that a refused tag leaves no index behind. Without tags the
    /// index is stored under its digest. A failure ends the loop: tags before the failed one stay set.
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

    /// Deletes the open upload sessions, within about a second.
    async fn abandon(&self) {
        self.repository.inner().close_all().await;
    }
}
