//! Blobs that come into a repository without their bytes, and manifests that go.

use std::sync::{Arc, Mutex};

use reqwest::{Method, StatusCode, header::HeaderMap};

use super::{
    client::{Inner, Repository, Right},
    error::RegistryError,
    session::Session,
};
use crate::Digest;

impl Repository {
    /// Makes a blob of repository `from`, on the same registry, a blob of this one. Returns whether it is one now:
    /// registries refuse a mount in many ways, and each of them means an upload.
    pub async fn mount(&self, digest: &Digest, from: &str) -> bool {
        let (inner, digest, from) = (Arc::clone(self.inner()), *digest, from.to_owned());
        // Not given up half-way: a registry that does not mount has opened a session.
        let mounting = self.inner().opening.spawn(async move { inner.post_mount(&digest, &from).await });
        matches!(mounting.await, Ok(Ok(true)))
    }

    /// Deletes the manifest of a digest, or a tag, and returns the registry's answer: 202 when it is gone, 404 when it
    /// was not there. Many registries delete by digest alone.
    ///
    /// # Errors
    /// When the registry can't be asked.
    pub(crate) async fn delete_manifest(&self, selector: &str) -> Result<StatusCode, RegistryError> {
        let url = self.inner().url(&format!("manifests/{selector}"))?;
        let act = format!("delete manifest `{selector}`");
        let response = self.inner().send(&act, Right::Delete, Method::DELETE, &url, &HeaderMap::new(), None).await?;
        Ok(response.status())
    }
}

impl Inner {
    async fn post_mount(&self, digest: &Digest, from: &str) -> Result<bool, RegistryError> {
        let mut url = self.url("blobs/uploads/")?;
        url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", from);
        let act = format!("mount blob `{digest}` from `{from}`");
        let response = self.send(&act, Right::Mount(from), Method::POST, &url, &HeaderMap::new(), None).await?;
        if response.status() == StatusCode::ACCEPTED {
            let location = self.follow(&url, &act, &response).await?;
            let session = Session { place: Arc::new(Mutex::new(location)), least_chunk: 0 };
            self.close_session(&session).await;
        }
        Ok(response.status() == StatusCode::CREATED)
    }
}
