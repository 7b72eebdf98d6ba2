//! One repository of a registry: requests with login and retry, manifests, and blobs that are read.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use reqwest::{
    Method, Response, StatusCode, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use sha2::Digest as _;
use tokio::sync::oneshot;

use super::{auth::Auth, error::RegistryError, keychain::Keychain, place, token::TokenServer};
use crate::{
    Digest, ImageRef,
    error::{Error, Result},
    http::{self, HttpFailure, Network},
    progress::{Event, Progress},
    sink::{Body, ManifestBlob, OpenBody, Sealed},
};

/// Largest manifest that is read; registries agree on it as theirs.
const MANIFEST_MAX_BYTES: usize = 4 << 20;
/// Longest wait for the answer to a request without a large body.
const ANSWER_PATIENCE: Duration = Duration::from_mins(1);
const REDIRECTS_MAX: usize = 5;
/// How often one request is sent again with another login: the first challenge, a token that ran out, a login that is
/// refused.
const CHALLENGES_MAX: u32 = 4;
const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// How a registry is spoken to.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// Speak plain HTTP to a registry that is not on this machine. One on this machine always is spoken to that way.
    pub plain_http: bool,
    /// Tries of a request, and of a layer.
    pub attempts: u32,
    /// Wait before the second try; it doubles each time, up to 30 s, and is drawn by lot below that.
    pub retry_base: Duration,
    /// Longest time in which no byte of an upload moves.
    pub stall_timeout: Duration,
    /// Longest silence after an upload's last byte: storage behind a registry copies what it took, for minutes.
    pub commit_patience: Duration,
    /// Who is trusted, and through which proxy.
    pub network: Network,
}

impl Default for RegistryOptions {
    /// HTTPS, 5 tries from 500 ms, 2 minutes, 30 minutes.
    fn default() -> Self {
        Self {
            plain_http: false,
            attempts: 5,
            retry_base: Duration::from_millis(500),
            stall_timeout: Duration::from_mins(2),
            commit_patience: Duration::from_mins(30),
            network: Network::default(),
        }
    }
}

/// A handle on one repository. Clones share connections and login.
#[derive(Debug, Clone)]
pub struct Repository(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    image: ImageRef,
    pub(super) base: Url,
    pub(super) client: reqwest::Client,
    /// HTTP/1.1 alone: one connection an upload, and response headers of any size (Artifact Registry's are larger
    /// than what an HTTP/2 client takes).
    pub(super) uploads: reqwest::Client,
    auth: Auth,
    pub(super) options: RegistryOptions,
    progress: Arc<dyn Progress>,
    warned: Mutex<BTreeSet<String>>,
    /// Upload sessions that are neither committed nor deleted.
    pub(super) sessions: Mutex<BTreeSet<String>>,
}

/// The login that a request was sent with, kept with its answer.
#[derive(Debug, Clone)]
struct SentLogin(HeaderValue);

/// What a request needs to do, for its scope in the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    Pull,
    Push,
}

impl Repository {
    /// Returns a handle on the repository of `image`. No request is made yet.
    ///
    /// # Errors
    /// [`RegistryError::Client`] when TLS can't be set up.
    pub fn new(
        image: &ImageRef,
        keychain: Arc<dyn Keychain>,
        options: RegistryOptions,
        progress: Arc<dyn Progress>,
    ) -> Result<Self, RegistryError> {
        let plain = image.is_loopback() || options.plain_http;
        let host = match image.registry() {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            host => host,
        };
        let base = format!("{}://{host}/v2/{}/", if plain { "http" } else { "https" }, image.repository());
        let base: Url = base.parse().map_err(|_| RegistryError::Protocol {
            act: "make the address".to_owned(),
            repository: format!("{}/{}", image.registry(), image.repository()),
            reason: "is not a URL".to_owned(),
        })?;
        let builder = || http::client_builder(&options.network).redirect(reqwest::redirect::Policy::none());
        let client = builder().build().map_err(RegistryError::Client)?;
        let uploads = builder().http1_only().build().map_err(RegistryError::Client)?;
        let server = TokenServer { client: client.clone(), attempts: options.attempts, retry_base: options.retry_base };
        let auth = Auth::new(image.clone(), base.clone(), keychain, server);
        Ok(Self(Arc::new(Inner {
            image: image.clone(),
            base,
            client,
            uploads,
            auth,
            options,
            progress,
            warned: Mutex::default(),
            sessions: Mutex::default(),
        })))
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Returns `registry/repository`.
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// Proves that the login may push, by opening an upload and closing it again.
    ///
    /// # Errors
    /// What the registry says against it.
    pub async fn check_push(&self) -> Result<(), RegistryError> {
        let session = self.0.open_session("check the right to push").await?;
        self.0.close_session(&session).await;
        Ok(())
    }

    /// Returns whether the blob is there. A registry that does not tell (403) counts as one that has it not.
    ///
    /// # Errors
    /// When the registry can't be asked.
    pub async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool, RegistryError> {
        let url = self.0.url(&format!("blobs/{digest}"))?;
        let act = format!("look for blob `{digest}`");
        let response = self.0.send(&act, Right::Push, Method::HEAD, &url, &HeaderMap::new(), None).await?;
        match response.status() {
            StatusCode::OK => {
                // A HEAD's length is the blob's; reqwest's own `content_length` is the body's, which is empty.
                let length = http::header(&response, "content-length").and_then(|text| text.parse::<u64>().ok());
                Ok(length.is_none_or(|length| length == size))
            }
            status if status.is_redirection() => Ok(true),
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(false),
            _ => Err(self.0.refused(act, Method::HEAD, response).await),
        }
    }

    /// Returns the manifest or index called `selector`, a tag or a digest; `None` when there is none.
    ///
    /// # Errors
    /// When it can't be read, is larger than 4 MiB, or is not what its digest says.
    pub async fn manifest(&self, selector: &str) -> Result<Option<ManifestBlob>, RegistryError> {
        let url = self.0.url(&format!("manifests/{selector}"))?;
        let act = format!("get manifest `{selector}`");
        let mut headers = HeaderMap::new();
        headers.insert("accept", MANIFEST_TYPES.parse().map_err(|_| self.0.protocol(&act, "no such header"))?);
        let response = self.0.send(&act, Right::Pull, Method::GET, &url, &headers, None).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if response.status() != StatusCode::OK {
            return Err(self.0.refused(act, Method::GET, response).await);
        }
        let content_type = http::header(&response, "content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_owned();
        let bytes = Bytes::from(http::read_limited(response, MANIFEST_MAX_BYTES + 1).await);
        if bytes.len() > MANIFEST_MAX_BYTES {
            return Err(self.0.protocol(&act, "it is larger than 4 MiB"));
        }
        let digest = Digest::of(&bytes);
        match selector.parse::<Digest>() {
            Ok(expected) if expected != digest => Err(self.0.wrong_digest(expected, digest)),
            _ => Ok(Some(ManifestBlob { bytes, media_type, digest })),
        }
    }

    /// Stores a manifest under `selector`, a tag or its digest.
    ///
    /// # Errors
    /// What the registry says against it, or that it took other bytes.
    pub async fn put_manifest(&self, manifest: &ManifestBlob, selector: &str) -> Result<(), RegistryError> {
        let url = self.0.url(&format!("manifests/{selector}"))?;
        let act = format!("put manifest `{selector}`");
        let mut headers = HeaderMap::new();
        let media_type = manifest.media_type.parse().map_err(|_| self.0.protocol(&act, "no such media type"))?;
        headers.insert("content-type", media_type);
        let body = manifest.bytes.clone();
        let response = self.0.send(&act, Right::Push, Method::PUT, &url, &headers, Some(body)).await?;
        if !response.status().is_success() {
            return Err(self.0.refused(act, Method::PUT, response).await);
        }
        let stored = http::header(&response, "docker-content-digest").and_then(|text| text.parse::<Digest>().ok());
        match stored {
            Some(stored) if stored != manifest.digest => Err(self.0.wrong_digest(manifest.digest, stored)),
            _ => Ok(()),
        }
    }

    /// Returns a blob of this repository as a body. It can be opened many times; each checks the digest anew.
    pub fn blob(&self, title: impl Into<String>, digest: Digest, size: u64) -> impl Body + 'static {
        RemoteBlob { repository: self.clone(), title: title.into(), digest, size }
    }
}

impl Inner {
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.image.registry(), self.image.repository())
    }

    pub(super) fn url(&self, tail: &str) -> Result<Url, RegistryError> {
        self.base.join(tail).map_err(|_| self.protocol("make the address", "it is not a URL"))
    }

    pub(super) fn protocol(&self, act: &str, reason: impl Into<String>) -> RegistryError {
        RegistryError::Protocol { act: act.to_owned(), repository: self.name(), reason: reason.into() }
    }

    pub(super) fn wrong_digest(&self, expected: Digest, actual: Digest) -> RegistryError {
        RegistryError::WrongDigest { repository: self.name(), expected, actual }
    }

    pub(super) fn failed(&self, act: impl Into<String>, failure: HttpFailure) -> RegistryError {
        RegistryError::Request { act: act.into(), repository: self.name(), source: Box::new(failure) }
    }

    pub(super) async fn refused(&self, act: impl Into<String>, method: Method, response: Response) -> RegistryError {
        self.failed(act, HttpFailure::from_response(method, response).await)
    }

    /// Returns where the registry points to, if a client may go there.
    pub(super) fn follow(&self, from: &Url, act: &str, response: &Response) -> Result<Url, RegistryError> {
        let location = http::header(response, "location").ok_or_else(|| self.protocol(act, "it names no location"))?;
        place::follow(from, &location).map_err(|(place, reason)| RegistryError::RefusedPlace {
            repository: self.name(),
            place,
            reason,
        })
    }

    /// Returns the login for `url`; none for another host than the registry's.
    pub(super) async fn authorization(&self, right: Right, url: &Url) -> Result<HeaderMap, RegistryError> {
        let mut headers = HeaderMap::new();
        if place::same_origin(&self.base, url) {
            let actions = if right == Right::Push { "pull,push" } else { "pull" };
            let scope = format!("repository:{}:{actions}", self.image.repository());
            headers.extend(self.auth.header(&scope).await?.map(|value| (AUTHORIZATION, value)));
        }
        Ok(headers)
    }

    /// Learns from an answer: warnings, and the challenge of a 401. Returns whether to ask again with a login.
    pub(super) async fn learn(&self, url: &Url, response: &Response) -> Result<bool, RegistryError> {
        let all = |name: &str| -> Vec<String> {
            let values = response.headers().get_all(name).iter();
            values.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
        };
        for warning in all("warning") {
            let text = warning.split('"').nth(1).unwrap_or(&warning).to_owned();
            if self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone()) {
                self.progress.report(&Event::Warning { message: format!("{} says: {text}", self.image.registry()) });
            }
        }
        if response.status() != StatusCode::UNAUTHORIZED || !place::same_origin(&self.base, url) {
            return Ok(false);
        }
        let used = response.extensions().get::<SentLogin>().map(|SentLogin(header)| header);
        self.auth.challenged(&self.base, &all("www-authenticate"), used).await
    }

    /// Sends a request whose body, if any, is small; asks again on a challenge and on passing failures. The answer's
    /// status is the caller's business.
    pub(super) async fn send(
        &self,
        act: &str,
        right: Right,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Response, RegistryError> {
        let mut challenges = 0;
        let mut attempt = 1;
        loop {
            let login = self.authorization(right, url).await?;
            let sent_login = login.get(AUTHORIZATION).cloned();
            let mut request = self.client.request(method.clone(), url.clone()).headers(headers.clone());
            request = request.headers(login).timeout(ANSWER_PATIENCE);
            request = match (&body, &method) {
                (Some(bytes), _) => request.body(bytes.clone()),
                // A length of zero is said: some servers refuse a POST or PUT without one (411).
                (None, &Method::POST | &Method::PUT) => request.header("content-length", 0),
                (None, _) => request,
            };
            let mut answer = request.send().await;
            if let (Ok(response), Some(login)) = (&mut answer, sent_login) {
                response.extensions_mut().insert(SentLogin(login));
            }
            let failure = match answer {
                Ok(response) if self.learn(url, &response).await? && challenges < CHALLENGES_MAX => {
                    challenges += 1;
                    continue;
                }
                Ok(response) if !is_passing(response.status()) => return Ok(response),
                Ok(response) => HttpFailure::from_response(method.clone(), response).await,
                Err(error) => HttpFailure::transport(method.clone(), url, error),
            };
            if attempt >= self.options.attempts || !failure.is_transient() {
                return Err(self.failed(act, failure));
            }
            tokio::time::sleep(self.backoff(attempt, failure.retry_after)).await;
            attempt += 1;
        }
    }

    /// Returns the wait before the next try: what the server asks for, or a lot drawn below a doubling bound.
    pub(super) fn backoff(&self, attempt: u32, retry_after: Option<Duration>) -> Duration {
        http::backoff(self.options.retry_base, attempt, retry_after)
    }
}

fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504 | 522)
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

    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    fn digest(&self) -> Option<Digest> {
        Some(self.digest)
    }

    fn open(&self) -> OpenBody {
        let (repository, digest, size) = (self.repository.clone(), self.digest, self.size);
        let (tell, told) = oneshot::channel();
        let source = repository.clone();
        let bytes = stream::once(async move { get_blob(&source, &digest).await }).try_flatten().boxed();
        // Base layers are small: hashing them where they pass is cheaper than a thread.
        let start = Some((bytes, sha2::Sha256::new(), tell));
        let hashed = stream::unfold(start, |state| async {
            let (mut bytes, mut hasher, tell) = state?;
            match bytes.next().await {
                Some(Ok(chunk)) => {
                    hasher.update(&chunk);
                    Some((Ok(chunk), Some((bytes, hasher, tell))))
                }
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
                Ok(actual) => Err(repository.0.wrong_digest(digest, actual).into()),
                Err(_) => Err(repository.0.protocol("get a blob", "it was not read to its end").into()),
            }
        };
        OpenBody { stream: hashed.boxed(), sealed: sealed.boxed() }
    }
}

async fn get_blob(
    repository: &Repository,
    digest: &Digest,
) -> Result<impl futures_util::Stream<Item = Result<Bytes>> + Send + use<>> {
    let inner = &repository.0;
    let act = format!("get blob `{digest}`");
    let mut url = inner.url(&format!("blobs/{digest}"))?;
    for _hop in 0..REDIRECTS_MAX {
        let response = inner.send(&act, Right::Pull, Method::GET, &url, &HeaderMap::new(), None).await?;
        if response.status().is_redirection() {
            url = inner.follow(&url, &act, &response)?;
            continue;
        }
        if response.status() != StatusCode::OK {
            return Err(inner.refused(act, Method::GET, response).await.into());
        }
        let (repository, at) = (repository.clone(), url.clone());
        return Ok(response.bytes_stream().map_err(move |error| {
            let failure = HttpFailure::transport(Method::GET, &at, error);
            Error::from(repository.0.failed(act.clone(), failure))
        }));
    }
    Err(inner.protocol(&act, "too many redirects").into())
}
