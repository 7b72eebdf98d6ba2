//! Reads an image from a repository of a registry.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;

use super::{ImageError, ImageReader};
use crate::{
    Digest,
    blob::Blob,
    registry::{RegistryError, Repository},
    sink::ManifestBlob,
};

#[async_trait]
impl ImageReader for Repository {
    async fn manifest(&self, selector: &str) -> Result<ManifestBlob, ImageError> {
        let found = Self::manifest(self, selector).await?;
        found.ok_or_else(|| RegistryError::not_found(&self.name(), selector).into())
    }

    /// Downloads the blob into memory. The download ends early once the blob is larger than `size`; its digest then
    /// can't be proven and the result is an error.
    async fn blob(&self, digest: &Digest, size: u64) -> Result<Bytes, ImageError> {
        let open = Self::blob(self, format!("blob `{digest}`"), *digest, size).open();
        let mut bytes = Vec::new();
        let mut stream = open.stream;
        while let Some(chunk) = stream.try_next().await.map_err(|error| read_error(*digest, error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > size {
                break;
            }
        }
        drop(stream);
        open.verified.await.map_err(|error| read_error(*digest, error))?;
        Ok(bytes.into())
    }

    fn body(&self, title: String, digest: Digest, size: u64) -> Arc<dyn Blob> {
        Arc::new(Self::blob(self, title, digest, size))
    }
}

/// Turns the error of a body into an error of the reader. A body of a repository usually fails with an error of the
/// registry, which is kept so that its kind and its retryability are.
fn read_error(digest: Digest, error: crate::Error) -> ImageError {
    match error.downcast::<RegistryError>() {
        Ok(error) => error.into(),
        Err(other) => ImageError::Blob { digest, source: other.into() },
    }
}
