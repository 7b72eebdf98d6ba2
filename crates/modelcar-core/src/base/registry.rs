//! A repository as the place of a base image.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;

use super::{Base, BaseError, ImageReader};
use crate::{
    Digest, ImageRef,
    registry::{RegistryError, Repository},
    sink::{Body, ManifestBlob},
};

impl Base {
    /// Uses the image that `image` names in `repository`, pinned to the digest it has now.
    ///
    /// # Errors
    /// When the image is not there, or nothing can be built on it.
    pub async fn from_registry(repository: &Repository, image: &ImageRef) -> Result<Self, BaseError> {
        // A name with a tag can be followed later; one that was given with a digest has none.
        let name = match image.digest() {
            Some(_) => format!("{}/{}", image.registry(), image.repository()),
            None => format!("{}/{}:{}", image.registry(), image.repository(), image.tag().unwrap_or("latest")),
        };
        Self::from_reader(Arc::new(repository.clone()), &image.selector(), Some(name)).await
    }
}

#[async_trait]
impl ImageReader for Repository {
    async fn manifest(&self, selector: &str) -> Result<ManifestBlob, BaseError> {
        let found = Self::manifest(self, selector).await?;
        found.ok_or_else(|| RegistryError::ImageNotFound(format!("{}:{selector}", self.name())).into())
    }

    async fn blob(&self, digest: &Digest, size: u64) -> Result<Bytes, BaseError> {
        let open = Self::blob(self, format!("blob `{digest}`"), *digest, size).open();
        let mut bytes = Vec::new();
        let mut stream = open.stream;
        while let Some(chunk) = stream.try_next().await.map_err(only_registry)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > size {
                break;
            }
        }
        drop(stream);
        match open.sealed.await {
            Ok(_) => Ok(bytes.into()),
            Err(error) => Err(only_registry(error)),
        }
    }

    fn body(&self, title: String, digest: Digest, size: u64) -> Arc<dyn Body> {
        Arc::new(Self::blob(self, title, digest, size))
    }
}

/// A blob of a repository fails with errors of the registry alone; the type of a body's error is wider.
fn only_registry(error: crate::Error) -> BaseError {
    match error {
        crate::Error::Registry(error) => error.into(),
        other => {
            let (image, what) = ("registry".to_owned(), "blob".to_owned());
            BaseError::Image { image, what, reason: other.to_string(), source: None }
        }
    }
}
