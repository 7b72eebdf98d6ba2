//! One repository of a registry: requests with login and retry, manifests, and blobs that are read.

use std::{
    collections::BTreeSet,
    num::NonZeroU64,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use bytes::Bytes;
use reqwest::{
    Method, Response, StatusCode, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::{
    auth::Auth,
    error::RegistryError,
    keychain::Keychain,
    place,
    quirks::Quirks,
    retry::{self, Patience},
    session::Places,
    token::TokenServer,
};
use crate::{
    Digest, ImageRef,
    error::ModelcarError,
    http::{self, HttpFailure, Network},
    progress::{Event, Progress},
    sink::ManifestBlob,
    text,
};

/// Largest manifest that is read; registries agree on it as theirs.
const MANIFEST_MAX_BYTES: usize = 4 << 20;
/// Distinct warnings that are passed on; a server can make up any number.
const WARNINGS_MAX: usize = 16;
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
    /// Longest wait for the answer to a request without a large body.
    pub answer_timeout: Duration,
    /// Longest time in which no byte of an upload moves.
    pub stall_timeout: Duration,
    /// Longest silence after an upload's last byte: storage behind a registry copies what it took, for minutes.
    pub commit_patience: Duration,
    /// Time that failures may cost over the whole push: waits between tries and the silence of tries that failed,
    /// summed up over all requests. Time in which an upload moved is not lost. Once it is spent, the next failure is
    /// final.
    pub retry_budget: Duration,
    /// Upload in chunks of this many bytes. Needed where something caps the size of a request; it is also done without
    /// being asked for once a request was too large (413).
    pub chunk_bytes: Option<NonZeroU64>,
    /// Host whose ways the registry has, when it is known under another name: a custom domain, a proxy.
    pub behaves_like: Option<String>,
    /// Who is trusted, and through which proxy.
    pub network: Network,
}

impl Default for RegistryOptions {
    /// HTTPS, 5 tries from 500 ms, 1, 2 and 30 minutes, 2 hours, no chunks.
    fn default() -> Self {
        Self {
            plain_http: false,
            attempts: 5,
            retry_base: Duration::from_millis(500),
            answer_timeout: Duration::from_mins(1),
            stall_timeout: Duration::from_mins(2),
            commit_patience: Duration::from_mins(30),
            retry_budget: Duration::from_hours(2),
            chunk_bytes: None,
            behaves_like: None,
            network: Network::default(),
        }
    }
}

/// A handle on one repository. Clones share connections and login.
#[derive(Debug, Clone)]
pub struct Repository(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) image: ImageRef,
    pub(super) base: Url,
    /// HTTP/1.1 alone: one connection an upload, and response headers of hundreds of kilobytes (Artifact Registry's
    /// are larger than what an HTTP/2 client takes).
    pub(super) client: reqwest::Client,
    pub(super) auth: Auth,
    pub(super) keychain: Arc<dyn Keychain>,
    pub(super) quirks: Quirks,
    pub(super) patience: Arc<Patience>,
    pub(super) options: RegistryOptions,
    pub(super) progress: Arc<dyn Progress>,
    warned: Mutex<BTreeSet<String>>,
    /// Places of upload sessions that are neither committed nor deleted.
    pub(super) sessions: Mutex<Places>,
    /// Requests for a session under way.
    pub(super) opening: TaskTracker,
    /// Size of chunks, once the registry took no larger request; 0 before.
    pub(super) chunk_bytes: AtomicU64,
}

/// The login that a request was sent with, kept with its answer.
#[derive(Debug, Clone)]
struct SentLogin(HeaderValue);

/// What a request needs to do, for its scope in the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right<'a> {
    Pull,
    Push,
    Delete,
    /// To push here what another repository of the registry holds.
    Mount(&'a str),
}

impl Repository {
    /// Returns a handle on the repository of `image`. No request is made yet.
    ///
    /// # Errors
    /// [`RegistryError::Client`] when TLS can't be set up, [`RegistryError::NoChunks`] when chunks are asked of a
    /// registry that takes none.
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
        let builder = http::client_builder(&options.network).redirect(reqwest::redirect::Policy::none()).http1_only();
        let client = builder.build().map_err(RegistryError::Client)?;
        let quirks = Quirks::of(options.behaves_like.as_deref().unwrap_or(image.registry()));
        let chunk_bytes = match options.chunk_bytes.map(|wanted| quirks.chunk(wanted.get())) {
            Some(None) => {
                let repository = format!("{}/{}", image.registry(), image.repository());
                return Err(RegistryError::NoChunks { repository, registry: quirks.registry });
            }
            Some(Some(bytes)) => bytes,
            None => 0,
        };
        let (attempts, base_wait, budget) = (options.attempts, options.retry_base, options.retry_budget);
        let patience = Arc::new(Patience::new(attempts, base_wait, budget, Arc::clone(&progress)));
        let server = TokenServer { client: client.clone(), patience: Arc::clone(&patience) };
        let auth = Auth::new(image.clone(), base.clone(), Arc::clone(&keychain), server);
        Ok(Self(Arc::new(Inner {
            image: image.clone(),
            base,
            client,
            auth,
            keychain,
            quirks,
            patience,
            chunk_bytes: AtomicU64::new(chunk_bytes),
            options,
            progress,
            warned: Mutex::default(),
            sessions: Mutex::default(),
            opening: TaskTracker::new(),
        })))
    }

    /// Returns a handle on another repository of the same registry, with the same login and options.
    ///
    /// # Errors
    /// When `repository` can't be one.
    pub fn sibling(&self, repository: &str) -> Result<Self, RegistryError> {
        let inner = &self.0;
        let name = format!("{}/{repository}", inner.image.registry());
        let image: ImageRef = name.parse().map_err(|_| inner.protocol("name a repository", "it is not one"))?;
        Self::new(&image, Arc::clone(&inner.keychain), inner.options.clone(), Arc::clone(&inner.progress))
    }

    /// Returns the image that the handle was made for.
    pub fn image(&self) -> &ImageRef {
        &self.0.image
    }

    pub(super) fn of(inner: &Arc<Inner>) -> Self {
        Self(Arc::clone(inner))
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    /// Returns `registry/repository`.
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// Returns whether the blob is there. A registry that does not tell (403) counts as one that has it not.
    ///
    /// # Errors
    /// When the registry can't be asked.
    pub async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool, RegistryError> {
        self.find_blob(digest, size, Right::Push).await
    }

    /// Returns whether the blob is there, as whoever may only read asks.
    ///
    /// # Errors
    /// When the registry can't be asked.
    pub async fn offers_blob(&self, digest: &Digest, size: u64) -> Result<bool, RegistryError> {
        self.find_blob(digest, size, Right::Pull).await
    }

    async fn find_blob(&self, digest: &Digest, size: u64, right: Right<'_>) -> Result<bool, RegistryError> {
        let url = self.0.url(&format!("blobs/{digest}"))?;
        let act = format!("look for blob `{digest}`");
        let response = self.0.send(&act, right, Method::HEAD, &url, &HeaderMap::new(), None).await?;
        match response.status() {
            StatusCode::OK => {
                // A HEAD's length is the blob's; reqwest's own `content_length` is the body's, which is empty.
                let length = http::header(&response, "content-length").and_then(|text| text.parse::<u64>().ok());
                let named = http::header(&response, "docker-content-digest").and_then(|text| text.parse().ok());
                Ok(length.is_none_or(|length| length == size) && named.is_none_or(|named: Digest| named == *digest))
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
        let act = format!("get manifest `{selector}`");
        let Some((bytes, headers)) = self.get_manifest(&act, selector).await? else { return Ok(None) };
        let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
        let media_type = header("content-type").split(';').next().unwrap_or_default().trim().to_owned();
        let digest = Digest::of(&bytes);
        // By a tag, the registry's word is all there is to hold the bytes against.
        match selector.parse::<Digest>().or_else(|_| header("docker-content-digest").parse()) {
            Ok(expected) if expected != digest => Err(self.0.wrong_digest(expected, digest)),
            _ => Ok(Some(ManifestBlob { bytes, media_type, digest })),
        }
    }

    /// Asks again when the bytes break off: what is cut short has a digest too.
    async fn get_manifest(&self, act: &str, selector: &str) -> Result<Option<(Bytes, HeaderMap)>, RegistryError> {
        let inner = &self.0;
        let url = inner.url(&format!("manifests/{selector}"))?;
        let mut headers = HeaderMap::new();
        headers.insert("accept", MANIFEST_TYPES.parse().map_err(|_| inner.protocol(act, "no such header"))?);
        let mut attempt = 1;
        loop {
            let response = inner.send(act, Right::Pull, Method::GET, &url, &headers, None).await?;
            if response.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            if response.status() != StatusCode::OK {
                return Err(inner.refused(act, Method::GET, response).await);
            }
            let (begun, told) = (Instant::now(), response.headers().clone());
            let reading = http::read_limited(response, MANIFEST_MAX_BYTES + 1);
            let read = timeout(inner.options.answer_timeout, reading).await;
            match read.map_err(|_| inner.protocol(act, "its bytes come too slowly"))? {
                Ok(bytes) if bytes.len() > MANIFEST_MAX_BYTES => {
                    return Err(inner.protocol(act, "it is larger than 4 MiB"));
                }
                Ok(bytes) => return Ok(Some((bytes.into(), told))),
                Err(error) => {
                    let failure = HttpFailure::transport(Method::GET, &url, error);
                    if !inner.patience.again(attempt, None, begun.elapsed(), act, &failure).await {
                        return Err(inner.failed(act, failure));
                    }
                    attempt += 1;
                }
            }
        }
    }

    /// Stores a manifest under `selector`, a tag or its digest.
    ///
    /// A refusal, or an answer that names another digest, is not believed before the manifest was read back: the reply
    /// to an earlier try may have been lost, and an immutable tag refuses what it points to already.
    ///
    /// # Errors
    /// What the registry says against it, or that it took other bytes.
    pub async fn put_manifest(&self, manifest: &ManifestBlob, selector: &str) -> Result<(), RegistryError> {
        let Err(error) = self.send_manifest(manifest, selector).await else { return Ok(()) };
        match self.manifest(selector).await {
            Ok(Some(stored)) if stored.digest == manifest.digest => Ok(()),
            _ => Err(error),
        }
    }

    pub(super) async fn send_manifest(&self, manifest: &ManifestBlob, selector: &str) -> Result<(), RegistryError> {
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
    pub(super) async fn follow(&self, from: &Url, act: &str, response: &Response) -> Result<Url, RegistryError> {
        let location = http::header(response, "location").ok_or_else(|| self.protocol(act, "it names no location"))?;
        let refused = |(place, reason)| RegistryError::RefusedPlace { repository: self.name(), place, reason };
        let place = place::follow(from, &location).map_err(refused)?;
        place::check_addresses(&self.base, &place).await.map_err(refused)?;
        Ok(place)
    }

    /// Returns the login for `url`; none for another host than the registry's. Where it comes from a server that fails
    /// for a while, that is asked again.
    pub(super) async fn authorization(&self, right: Right<'_>, url: &Url) -> Result<HeaderMap, RegistryError> {
        let mut headers = HeaderMap::new();
        if place::same_origin(&self.base, url) {
            let here = self.image.repository();
            let scope = match right {
                Right::Pull => format!("repository:{here}:pull"),
                Right::Push => format!("repository:{here}:pull,push"),
                Right::Delete => format!("repository:{here}:pull,delete"),
                Right::Mount(from) => format!("repository:{here}:pull,push repository:{from}:pull"),
            };
            let mut attempt = 1;
            let login = loop {
                let begun = Instant::now();
                match self.auth.header(&scope).await {
                    Err(RegistryError::Keychain { source, .. })
                        if source.is_retryable()
                            && self.patience.again(attempt, None, begun.elapsed(), "find a login", &source).await =>
                    {
                        attempt += 1;
                    }
                    result => break result?,
                }
            };
            headers.extend(login.map(|value| (AUTHORIZATION, value)));
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
            let text = text::excerpt(warning.split('"').nth(1).unwrap_or(&warning));
            let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = warned.len() < WARNINGS_MAX && warned.insert(text.clone());
            drop(warned);
            if is_new {
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
        right: Right<'_>,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Response, RegistryError> {
        let mut challenges = 0;
        let mut attempt = 1;
        loop {
            let login = self.authorization(right, url).await?;
            let begun = Instant::now();
            let sent_login = login.get(AUTHORIZATION).cloned();
            let mut request = self.client.request(method.clone(), url.clone()).headers(headers.clone());
            request = request.headers(login);
            request = match (&body, &method) {
                (Some(bytes), _) => request.body(bytes.clone()),
                // A length of zero is said: some servers refuse a POST or PUT without one (411).
                (None, &Method::POST | &Method::PUT) => request.header("content-length", 0),
                (None, _) => request,
            };
            let span = http::log::request(&method, url, attempt, body.as_ref().map_or(0, |body| body.len() as u64));
            let sending = http::log::answered(span, request.send());
            let mut answer = timeout(self.options.answer_timeout, sending).await;
            if let (Ok(Ok(response)), Some(login)) = (&mut answer, sent_login) {
                response.extensions_mut().insert(SentLogin(login));
            }
            let failure = match answer {
                Ok(Ok(response)) if self.learn(url, &response).await? && challenges < CHALLENGES_MAX => {
                    challenges += 1;
                    tracing::debug!(act, "asking again with another login");
                    continue;
                }
                Ok(Ok(response)) if response.status().is_success() || response.status().is_redirection() => {
                    return Ok(response);
                }
                Ok(Ok(response)) if !http::is_passing(response.status()) => return Ok(response),
                Ok(Ok(response)) => HttpFailure::from_response(method.clone(), response).await,
                Ok(Err(error)) => HttpFailure::transport(method.clone(), url, error),
                Err(_) => HttpFailure::silent(method.clone(), url, self.options.answer_timeout),
            };
            let passing = retry::is_passing(&failure);
            if !passing || !self.patience.again(attempt, failure.retry_after, begun.elapsed(), act, &failure).await {
                return Err(self.failed(act, failure));
            }
            attempt += 1;
        }
    }
}
