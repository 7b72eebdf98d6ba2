//! Blobs of a repository: whether a blob exists, mounting a blob from another repository, reading a blob. Uploads are
//! in [`upload`](super::upload).

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt, Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use reqwest::{Method, StatusCode, header::HeaderMap};
use sha2::Digest as _;
use tokio::{
    sync::oneshot,
    task::{self, JoinError},
    time::{Instant, timeout, timeout_at},
};

use super::{
    error::RegistryError,
    quirks,
    repository::{Inner, Repository},
    request::{Access, Scope},
    upload::session::Session,
};
use crate::{
    Digest, blob,
    error::{Error, Result, chain},
    http::{self, HttpFailure},
    progress::Event,
    sink::{Blob, OpenBlob, VerifiedBlob},
};

/// Largest number of requests for one blob, the first one and those after redirects. Many registries redirect the
/// download of a blob to an object store.
pub(super) const REDIRECTS_MAX: usize = 5;
/// Largest blob that is hashed on the async worker, in bytes: configs and the layers of most base images.
const IN_PLACE_BYTES: u64 = 8 << 20;
/// Least average rate at which a blob must arrive, in bytes a second, after [`START_PATIENCE`]: a server that sends
/// slowly on purpose must not hold up a push.
const LEAST_RATE: u64 = 16 << 10;
/// Time that every download has, before its size is considered.
const START_PATIENCE: Duration = Duration::from_mins(1);

impl Repository {
    /// Returns whether the repository holds a blob of this digest and `size` in bytes. The request is sent with a token
    /// for `access`.
    ///
    /// - An answer of 403 counts as absent: some registries give 403 for a missing blob.
    /// - An answer that says nothing about the blob, such as 405 or 500, counts as absent, with a warning: the blob can
    ///   be uploaded.
    /// - A redirect counts as present. The redirect is not followed.
    /// - A `Content-Length` or `Docker-Content-Digest` that differs counts as absent, and so does a web page. Both
    ///   headers may be missing.
    ///
    /// # Errors
    /// When the request gets no answer; when no login is found or the login is refused.
    pub async fn blob_exists(&self, access: Access, digest: &Digest, size: u64) -> Result<bool, RegistryError> {
        if !self.inner().tells_blobs.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match self.ask_for_blob(access, digest, size).await? {
            Ok(exists) => Ok(exists),
            Err(untold) => {
                let message = format!("`{}` does not tell whether it has a blob: {}", self.name(), chain(&untold));
                self.inner().progress.report(&Event::Warning { message });
                Ok(false)
            }
        }
    }

    /// Asks whether the repository holds a blob. The inner error is an answer that says nothing about the blob.
    ///
    /// # Errors
    /// As [`blob_exists`](Self::blob_exists).
    pub(super) async fn ask_for_blob(
        &self,
        access: Access,
        digest: &Digest,
        size: u64,
    ) -> Result<Result<bool, RegistryError>, RegistryError> {
        let inner = self.inner();
        let url = inner.url(&format!("blobs/{digest}")).await?;
        let act = format!("look for blob `{digest}`");
        let response = match inner.send(&act, access.into(), Method::HEAD, &url, &HeaderMap::new(), None).await {
            // It was asked several times.
            Err(error) if error.http().is_some_and(|failure| failure.status.is_some_and(|s| s.is_server_error())) => {
                return Ok(Err(error));
            }
            sent => sent?,
        };
        match response.status() {
            StatusCode::OK => {
                // The header of a HEAD is the blob's size; reqwest's `content_length` is that of the empty body.
                let length = http::header(&response, "content-length").and_then(|text| text.parse::<u64>().ok());
                let named = http::header(&response, "docker-content-digest").and_then(|text| text.parse().ok());
                let fits = length.is_none_or(|length| length == size)
                    && named.is_none_or(|named: Digest| named == *digest)
                    && !http::is_page(&response);
                Ok(Ok(fits))
            }
            status if status.is_redirection() => Ok(Ok(true)),
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(Ok(false)),
            StatusCode::UNAUTHORIZED => Err(inner.refused(act, Method::HEAD, response).await),
            _ => Ok(Err(inner.refused(act, Method::HEAD, response).await)),
        }
    }

    /// Mounts the blob of repository `from`, on the same registry, into this repository (distribution-spec "Mounting a
    /// blob from another repository"). Returns whether the registry mounted the blob, with status 201.
    ///
    /// Every other result, failures included, is `false`, and the blob must be uploaded: registries refuse a mount in
    /// many ways. The request runs to its end even when this future is dropped. An upload session that the registry
    /// opened instead of a mount is deleted.
    pub async fn mount(&self, digest: &Digest, from: &str) -> bool {
        let (inner, digest, from) = (Arc::clone(self.inner()), *digest, from.to_owned());
        // The request runs to its end: a registry that does not mount has opened an upload session.
        let mounting = self.inner().uploads.opening.spawn(async move { inner.post_mount(&digest, &from).await });
        matches!(mounting.await, Ok(Ok(true)))
    }

    /// Returns a blob of this repository as a body. The body can be opened many times. Each time the blob is downloaded
    /// from its first byte and its digest is checked. `title` names the blob in errors and progress, `size` is in
    /// bytes.
    ///
    /// A download fails with [`RegistryError::Stalled`] when no byte arrives for [`RegistryOptions::stall_timeout`], or
    /// when the blob has not arrived after one minute and the time that its size takes at 16 KiB a second. It fails
    /// with [`RegistryError::WrongDigest`] when the bytes have another digest. A download that breaks is not resumed.
    ///
    /// [`RegistryOptions::stall_timeout`]: crate::registry::RegistryOptions::stall_timeout
    pub fn blob(&self, title: impl Into<String>, digest: Digest, size: u64) -> impl Blob + 'static {
        RemoteBlob { repository: self.clone(), title: title.into(), digest, size }
    }
}

impl Inner {
    /// Sends the request for a mount and returns whether the registry mounted the blob. A registry that does not mount
    /// answers 202 and opens an upload session (distribution-spec "Mounting a blob from another repository"); that
    /// session is deleted.
    async fn post_mount(&self, digest: &Digest, from: &str) -> Result<bool, RegistryError> {
        let mut url = self.url("blobs/uploads/").await?;
        let from_path = quirks::api_repository(self.image.registry(), from);
        url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", &from_path);
        let act = format!("mount blob `{digest}` from `{from}`");
        let response = self.send(&act, Scope::Mount(from), Method::POST, &url, &HeaderMap::new(), None).await?;
        if response.status() == StatusCode::ACCEPTED {
            let location = self.follow(&url, &act, &response).await?;
            self.close_session(&Session::new(location, 0)).await;
        }
        Ok(response.status() == StatusCode::CREATED)
    }
}

/// A blob in a registry. The blob's digest is the digest of its stored bytes: a compressed blob stays compressed.
#[derive(Debug)]
struct RemoteBlob {
    repository: Repository,
    title: String,
    digest: Digest,
    /// Size of the blob, in bytes.
    size: u64,
}

impl Blob for RemoteBlob {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn digest(&self) -> Option<Digest> {
        Some(self.digest)
    }

    fn reread(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        blob::reread_from_start(self, range)
    }

    /// Starts a download. `verified` resolves after the last byte of `stream`, and fails if `stream` was dropped
    /// before.
    fn open(&self) -> OpenBlob {
        let (repository, digest, size) = (self.repository.clone(), self.digest, self.size);
        let (tell, told) = oneshot::channel();
        let source = repository.clone();
        let bytes = stream::once(async move { get_blob(&source, &digest, size).await }).try_flatten().boxed();
        let start = Some((bytes, sha2::Sha256::new(), tell));
        let hashed = stream::unfold(start, move |state| async move {
            let (mut bytes, hasher, tell) = state?;
            match bytes.next().await {
                Some(Ok(chunk)) => match hash(hasher, chunk.clone(), size).await {
                    Ok(hasher) => Some((Ok(chunk), Some((bytes, hasher, tell)))),
                    Err(died) => Some((Err(died.into()), None)),
                },
                Some(Err(error)) => Some((Err(error), None)),
                None => {
                    let _receiver_dropped = tell.send(Digest::from(<[u8; 32]>::from(hasher.finalize())));
                    None
                }
            }
        });
        let verified = async move {
            match told.await {
                Ok(actual) if actual == digest => Ok(VerifiedBlob { digest, size, diff_id: digest, files: Vec::new() }),
                Ok(actual) => Err(repository.inner().wrong_digest(digest, actual).into()),
                Err(_) => Err(repository.inner().protocol("get a blob", "the blob was not read to its end").into()),
            }
        };
        OpenBlob { stream: hashed.boxed(), verified: verified.boxed() }
    }
}

/// Hashes a chunk of a blob of `size` bytes. Chunks of a large blob are hashed on a blocking thread.
async fn hash(mut hasher: sha2::Sha256, chunk: Bytes, size: u64) -> Result<sha2::Sha256, JoinError> {
    if size <= IN_PLACE_BYTES {
        hasher.update(&chunk);
        return Ok(hasher);
    }
    let hashing = task::spawn_blocking(move || {
        hasher.update(&chunk);
        hasher
    });
    hashing.await
}

/// Requests a blob of `size` bytes and returns the bytes of the answer. The digest is not checked here.
///
/// # Errors
/// Before the first byte: when the request fails, is refused or is redirected too often. In the stream: when the
/// connection breaks or the server is too slow. The stream ends after its first error.
async fn get_blob(
    repository: &Repository,
    digest: &Digest,
    size: u64,
) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
    let inner = repository.inner();
    let act = format!("get blob `{digest}`");
    let mut url = inner.url(&format!("blobs/{digest}")).await?;
    for _hop in 0..REDIRECTS_MAX {
        let response = inner.send(&act, Scope::Pull, Method::GET, &url, &HeaderMap::new(), None).await?;
        if response.status().is_redirection() {
            url = inner.follow(&url, &act, &response).await?;
            continue;
        }
        if response.status() != StatusCode::OK {
            return Err(inner.refused(act, Method::GET, response).await.into());
        }
        let deadline = Instant::now() + START_PATIENCE + Duration::from_secs(size / LEAST_RATE);
        let inner = Arc::clone(inner);
        let silence = inner.options.stall_timeout;
        return Ok(stream::unfold(Some((response, inner, act, url)), move |state| async move {
            let (mut response, inner, act, url) = state?;
            let stalled =
                || RegistryError::Stalled { act: act.clone(), repository: inner.name(), seconds: silence.as_secs() };
            match timeout_at(deadline, timeout(silence, response.chunk())).await {
                Ok(Ok(Ok(bytes))) => bytes.map(|bytes| (Ok(bytes), Some((response, inner, act, url)))),
                Ok(Ok(Err(error))) => {
                    let failure = HttpFailure::transport(Method::GET, &url, error);
                    Some((Err(Error::from(inner.failed(act, failure))), None))
                }
                Ok(Err(_)) | Err(_) => Some((Err(stalled().into()), None)),
            }
        })
        .boxed());
    }
    Err(inner.protocol(&act, "too many redirects").into())
}
