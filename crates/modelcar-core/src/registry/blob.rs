//! A blob of a registry, read.

use std::{ops::Range, time::Duration};

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
    client::{Repository, Right},
    error::RegistryError,
};
use crate::{
    Digest, blob,
    error::{Error, Result},
    http::HttpFailure,
    sink::{Body, OpenBody, Sealed},
};

const REDIRECTS_MAX: usize = 5;
/// Configs and the layers of most bases; weights are larger.
const IN_PLACE_BYTES: u64 = 8 << 20;
/// A blob must come at this rate at least, in bytes a second, after [`START_PATIENCE`]: a server that lets it drip is
/// not waited for.
const LEAST_RATE: u64 = 16 << 10;
const START_PATIENCE: Duration = Duration::from_mins(1);

impl Repository {
    /// Returns a blob of this repository as a body. It can be opened many times; each checks the digest anew.
    pub fn blob(&self, title: impl Into<String>, digest: Digest, size: u64) -> impl Body + 'static {
        RemoteBlob { repository: self.clone(), title: title.into(), digest, size }
    }
}

/// A blob in a registry.
#[derive(Debug)]
struct RemoteBlob {
    repository: Repository,
    title: String,
    digest: Digest,
    size: u64,
}

impl Body for RemoteBlob {
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

    fn open(&self) -> OpenBody {
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
                    let _nobody_asks = tell.send(Digest::from(<[u8; 32]>::from(hasher.finalize())));
                    None
                }
            }
        });
        let sealed = async move {
            match told.await {
                Ok(actual) if actual == digest => Ok(Sealed { digest, size, diff_id: digest, files: Vec::new() }),
                Ok(actual) => Err(repository.inner().wrong_digest(digest, actual).into()),
                Err(_) => Err(repository.inner().protocol("get a blob", "it was not read to its end").into()),
            }
        };
        OpenBody { stream: hashed.boxed(), sealed: sealed.boxed() }
    }
}

/// Hashes a chunk of a blob of `size` bytes: of a small one in place, of a large one where it holds up nobody.
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

async fn get_blob(
    repository: &Repository,
    digest: &Digest,
    size: u64,
) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
    let inner = repository.inner();
    let act = format!("get blob `{digest}`");
    let mut url = inner.url(&format!("blobs/{digest}"))?;
    for _hop in 0..REDIRECTS_MAX {
        let response = inner.send(&act, Right::Pull, Method::GET, &url, &HeaderMap::new(), None).await?;
        if response.status().is_redirection() {
            url = inner.follow(&url, &act, &response).await?;
            continue;
        }
        if response.status() != StatusCode::OK {
            return Err(inner.refused(act, Method::GET, response).await.into());
        }
        let deadline = Instant::now() + START_PATIENCE + Duration::from_secs(size / LEAST_RATE);
        let inner = std::sync::Arc::clone(inner);
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
