//! Manifests and indexes of a repository: get, put and delete (distribution-spec "Pulling manifests", "Pushing
//! Manifests", "Deleting Manifests").

use bytes::Bytes;
use reqwest::{
    Method, StatusCode,
    header::{ACCEPT, HeaderMap, HeaderValue},
};
use tokio::time::{Instant, timeout};

use super::{blob::REDIRECTS_MAX, error::RegistryError, repository::Repository, request::Scope};
use crate::{
    Digest,
    http::{self, HttpFailure},
    oci::Document,
    retry::Failure,
    sink::ManifestBlob,
};

/// Largest manifest that is read, in bytes. The distribution-spec asks clients and registries to support manifests of
/// at least 4 megabytes ("Pushing Manifests").
const MANIFEST_MAX_BYTES: usize = 4 << 20;
/// Value of `Accept`: indexes and manifests of OCI, and the same documents of Docker.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// Begins the media types of Docker's schema 1, signed and unsigned.
const SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+";

impl Repository {
    /// Returns the manifest or index under `selector`, a tag or a digest; `None` when the registry answers 404. The
    /// media type of the result is the answer's `Content-Type`, without parameters.
    ///
    /// The digest is computed from the bytes. The digest is compared with `selector`, or for a tag with the header
    /// `Docker-Content-Digest` if the registry sends it.
    ///
    /// # Errors
    /// [`RegistryError::WrongDigest`] when the digests differ; [`RegistryError::Schema1`] for an image of Docker's schema
    /// 1; [`RegistryError::Protocol`] when the manifest is larger
    /// than 4 MiB or arrives too slowly; [`RegistryError::Request`] when the registry refuses the request or gives no
    /// answer; and when no credentials are found or accepted.
    pub async fn manifest(&self, selector: &str) -> Result<Option<ManifestBlob>, RegistryError> {
        let act = format!("get manifest `{selector}`");
        let Some((bytes, headers)) = self.get_manifest(&act, selector).await? else { return Ok(None) };
        let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
        let media_type = header("content-type").split(';').next().unwrap_or_default().trim().to_owned();
        // Its digest is not that of the bytes, which hold signatures too.
        if is_schema1(&media_type, &bytes) {
            return Err(RegistryError::schema1(&self.name(), selector));
        }
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
        let mut url = inner.url(&format!("manifests/{selector}")).await?;
        let headers = accept();
        let (mut attempt, mut hops) = (1, 0);
        loop {
            let response = inner.send(act, Scope::Pull, Method::GET, &url, &headers, None).await?;
            if response.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            // Some registries keep manifests at another host.
            if response.status().is_redirection() && hops < REDIRECTS_MAX {
                url = inner.follow(&url, act, &response).await?;
                hops += 1;
                continue;
            }
            if response.status() != StatusCode::OK {
                return Err(inner.refused(act, Method::GET, response).await);
            }
            if http::is_page(&response) {
                return Err(inner.page(act, &response));
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
    /// A registry may not know for a moment what was just uploaded. A refusal for that reason is no failure at first:
    /// the registry is asked for all that the manifest names, and the manifest is put again after a wait.
    ///
    /// # Errors
    /// The failure of the put, when the registry refuses the manifest, gives no answer, or says that it stored another
    /// digest ([`RegistryError::WrongDigest`]). [`RegistryError::NamesMissing`] when it still lacks what the manifest
    /// names.
    pub async fn put_manifest(&self, manifest: &ManifestBlob, selector: &str) -> Result<(), RegistryError> {
        let mut attempt = 1;
        loop {
            let begun = Instant::now();
            let Err(error) = self.send_manifest(manifest, selector).await else { return Ok(()) };
            if let Ok(Some(stored)) = self.manifest(selector).await
                && stored.digest == manifest.digest
            {
                return Ok(());
            }
            let error = match error {
                RegistryError::Request { act, repository, source } if is_about_names(&source) => {
                    let missing = self.missing_below(manifest).await;
                    RegistryError::NamesMissing { act, repository, missing, source }
                }
                error => return Err(error),
            };
            let failure = Failure::from(&error).retryable(true).unhurried();
            let act = format!("put manifest `{selector}`");
            if !self.inner().retry.next_attempt(&act, attempt, begun.elapsed(), failure).await {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// Returns which of the blobs and manifests that a manifest names are not in the repository. What the registry does
    /// not tell counts as present.
    async fn missing_below(&self, manifest: &ManifestBlob) -> Vec<Digest> {
        let (blobs, manifests) = match Document::parse(&manifest.bytes) {
            Ok(Document::Manifest(manifest)) => {
                let layers = manifest.layers.into_iter().map(|layer| layer.digest);
                ([manifest.config.digest].into_iter().chain(layers).collect(), Vec::new())
            }
            Ok(Document::Index { manifests, .. }) => {
                (Vec::new(), manifests.into_iter().map(|entry| entry.digest).collect())
            }
            Err(_) => (Vec::new(), Vec::new()),
        };
        let mut missing = Vec::new();
        for (kind, digests) in [("blobs", blobs), ("manifests", manifests)] {
            for digest in digests {
                if self.is_missing(kind, &digest).await {
                    missing.push(digest);
                }
            }
        }
        missing
    }

    /// Returns whether the registry answers 404 for a blob or manifest.
    async fn is_missing(&self, kind: &str, digest: &Digest) -> bool {
        let inner = self.inner();
        let (act, headers) = (format!("look for `{digest}`"), accept());
        let Ok(url) = inner.url(&format!("{kind}/{digest}")).await else { return false };
        let answer = inner.send(&act, Scope::Push, Method::HEAD, &url, &headers, None).await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::NOT_FOUND)
    }

    /// Puts a manifest, without reading it back after a failure. An answer without `Docker-Content-Digest` counts as
    /// success.
    ///
    /// # Errors
    /// As [`put_manifest`](Self::put_manifest).
    pub(super) async fn send_manifest(&self, manifest: &ManifestBlob, selector: &str) -> Result<(), RegistryError> {
        let inner = self.inner();
        let url = inner.url(&format!("manifests/{selector}")).await?;
        let act = format!("put manifest `{selector}`");
        let mut headers = HeaderMap::new();
        let media_type =
            manifest.media_type.parse().map_err(|_| inner.protocol(&act, "the media type is no valid header"))?;
        headers.insert("content-type", media_type);
        let body = manifest.bytes.clone();
        let response = inner.send(&act, Scope::Push, Method::PUT, &url, &headers, Some(body)).await?;
        if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let source = Box::new(inner.failure(Method::PUT, response).await);
            let (repository, bytes) = (inner.name(), manifest.bytes.len() as u64);
            return Err(RegistryError::TooLarge { act, repository, bytes, source });
        }
        if !response.status().is_success() {
            return Err(inner.refused(act, Method::PUT, response).await);
        }
        if http::is_page(&response) {
            return Err(inner.page(act, &response));
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
        let url = self.inner().url(&format!("manifests/{selector}")).await?;
        let act = format!("delete manifest `{selector}`");
        let response = self.inner().send(&act, Scope::Delete, Method::DELETE, &url, &HeaderMap::new(), None).await?;
        Ok(response.status())
    }
}

/// Returns the header `Accept` of a request for a manifest.
fn accept() -> HeaderMap {
    [(ACCEPT, HeaderValue::from_static(MANIFEST_TYPES))].into_iter().collect()
}

/// Returns whether a manifest is of Docker's schema 1. Registries send it whatever the client accepts, and not all with
/// its media type.
fn is_schema1(media_type: &str, bytes: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Stated {
        schema_version: u64,
        fs_layers: Vec<serde::de::IgnoredAny>,
    }
    media_type.starts_with(SCHEMA1)
        || serde_json::from_slice::<Stated>(bytes)
            .is_ok_and(|stated| stated.schema_version == 1 && !stated.fs_layers.is_empty())
}

/// Returns whether a registry refuses a manifest because it does not know what the manifest names. `MANIFEST_UNKNOWN` is
/// meant for an index whose manifests are missing.
fn is_about_names(failure: &HttpFailure) -> bool {
    matches!(failure.code.as_deref(), Some("BLOB_UNKNOWN" | "MANIFEST_BLOB_UNKNOWN" | "MANIFEST_UNKNOWN"))
        && failure.status.is_some_and(|status| matches!(status.as_u16(), 400 | 404 | 422))
}
