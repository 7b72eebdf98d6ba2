//! Manifests and indexes of a repository: get, put and delete (distribution-spec "Pulling manifests", "Pushing
//! Manifests", "Deleting Manifests").

use bytes::Bytes;
use reqwest::{
    Method, StatusCode,
    header::{HeaderMap, HeaderValue},
};
use tokio::time::{Instant, timeout};

use super::{error::RegistryError, repository::Repository, request::Scope};
use crate::{
    Digest,
    http::{self, HttpFailure},
    sink::ManifestBlob,
};

/// Largest manifest that is read, in bytes. The distribution-spec asks clients and registries to support manifests of
/// at least 4 megabytes ("Pushing Manifests").
const MANIFEST_MAX_BYTES: usize = 4 << 20;
/// Value of `Accept`: indexes and manifests of OCI, and the same documents of Docker.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

impl Repository {
    /// Returns the manifest or index under `selector`, a tag or a digest; `None` when the registry answers 404. The
    /// media type of the result is the answer's `Content-Type`, without parameters.
    ///
    /// The digest is computed from the bytes. The digest is compared with `selector`, or for a tag with the header
    /// `Docker-Content-Digest` if the registry sends it.
    ///
    /// # Errors
    /// [`RegistryError::WrongDigest`] when the digests differ; [`RegistryError::Protocol`] when the manifest is larger
    /// than 4 MiB or arrives too slowly; [`RegistryError::Request`] when the registry refuses the request or gives no
    /// answer; and when no credentials are found or accepted.
    pub async fn manifest(&self, selector: &str) -> Result<Option<ManifestBlob>, RegistryError> {
        let act = format!("get manifest `{selector}`");
        let Some((bytes, headers)) = self.get_manifest(&act, selector).await? else { return Ok(None) };
        let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
        let media_type = header("content-type").split(';').next().unwrap_or_default().trim().to_owned();
        let digest = Digest::of(&bytes);
        // Under a tag, only the registry's own header says which digest to expect.
        match selector.parse::<Digest>().or_else(|_| header("docker-content-digest").parse()) {
            Ok(expected) if expected != digest => Err(self.inner().wrong_digest(expected, digest)),
            _ => Ok(Some(ManifestBlob { bytes, media_type, digest })),
        }
    }

    /// Gets the bytes and headers of a manifest; `None` after a 404. A response that breaks off is requested again,
    /// because a truncated manifest under a tag would pass for another manifest.
    async fn get_manifest(&self, act: &str, selector: &str) -> Result<Option<(Bytes, HeaderMap)>, RegistryError> {
        let inner = self.inner();
        let url = inner.url(&format!("manifests/{selector}"))?;
        let mut headers = HeaderMap::new();
        headers.insert(
            "accept",
            MANIFEST_TYPES.parse().map_err(|_| inner.protocol(act, "the list of media types is no valid header"))?,
        );
        let mut attempt = 1;
        loop {
            let response = inner.send(act, Scope::Pull, Method::GET, &url, &headers, None).await?;
            if response.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            if response.status() != StatusCode::OK {
                return Err(inner.refused(act, Method::GET, response).await);
            }
            let (begun, answered) = (Instant::now(), response.headers().clone());
            let reading = http::read_limited(response, MANIFEST_MAX_BYTES + 1);
            let read = timeout(inner.options.answer_timeout, reading).await;
            match read.map_err(|_| inner.protocol(act, "the manifest arrives too slowly"))? {
                Ok(bytes) if bytes.len() > MANIFEST_MAX_BYTES => {
                    return Err(inner.protocol(act, "the manifest is larger than 4 MiB"));
                }
                Ok(bytes) => return Ok(Some((bytes.into(), answered))),
                Err(error) => {
                    let failure = HttpFailure::transport(Method::GET, &url, error);
                    if !inner.retry.next_attempt(act, attempt, begun.elapsed(), &failure).await {
                        return Err(inner.failed(act, failure));
                    }
                    attempt += 1;
                }
            }
        }
    }

    /// Stores a manifest under `selector`, a tag or its digest. A tag that exists is overwritten if the registry
    /// permits that.
    ///
    /// After a failure the manifest is read back. The put counts as done if the registry holds the manifest under
    /// `selector`: the answer to an earlier try may have been lost, and an immutable tag refuses even the manifest that
    /// it points to.
    ///
    /// # Errors
    /// The failure of the put, when the registry refuses the manifest, gives no answer, or says that it stored another
    /// digest ([`RegistryError::WrongDigest`]).
    pub async fn put_manifest(&self, manifest: &ManifestBlob, selector: &str) -> Result<(), RegistryError> {
        let Err(error) = self.send_manifest(manifest, selector).await else { return Ok(()) };
        match self.manifest(selector).await {
            Ok(Some(stored)) if stored.digest == manifest.digest => Ok(()),
            _ => Err(error),
        }
    }

    /// Puts a manifest, without reading it back after a failure. An answer without `Docker-Content-Digest` counts as
    /// success.
    ///
    /// # Errors
    /// As [`put_manifest`](Self::put_manifest).
    pub(super) async fn send_manifest(&self, manifest: &ManifestBlob, selector: &str) -> Result<(), RegistryError> {
        let inner = self.inner();
        let url = inner.url(&format!("manifests/{selector}"))?;
        let act = format!("put manifest `{selector}`");
        let mut headers = HeaderMap::new();
        let media_type =
            manifest.media_type.parse().map_err(|_| inner.protocol(&act, "the media type is no valid header"))?;
        headers.insert("content-type", media_type);
        let body = manifest.bytes.clone();
        let response = inner.send(&act, Scope::Push, Method::PUT, &url, &headers, Some(body)).await?;
        if !response.status().is_success() {
            return Err(inner.refused(act, Method::PUT, response).await);
        }
        let stored = http::header(&response, "docker-content-digest").and_then(|text| text.parse::<Digest>().ok());
        match stored {
            Some(stored) if stored != manifest.digest => Err(inner.wrong_digest(manifest.digest, stored)),
            _ => Ok(()),
        }
    }

    /// Deletes the manifest of a digest, or a tag. Returns the status of the answer: 202 when the registry deleted it,
    /// 404 when there was none, another status for a refusal. Many registries delete by digest only.
    ///
    /// # Errors
    /// When the request gets no answer, and when no credentials are found or accepted.
    pub(crate) async fn delete_manifest(&self, selector: &str) -> Result<StatusCode, RegistryError> {
        let url = self.inner().url(&format!("manifests/{selector}"))?;
        let act = format!("delete manifest `{selector}`");
        let response = self.inner().send(&act, Scope::Delete, Method::DELETE, &url, &HeaderMap::new(), None).await?;
        Ok(response.status())
    }
}
