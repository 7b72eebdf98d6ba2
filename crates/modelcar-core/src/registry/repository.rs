//! The handle on one repository of a registry, the options of the client, and what all requests to the repository
//! share.

use std::{
    collections::BTreeSet,
    num::NonZeroU64,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};

use reqwest::{Method, Response, Url};
use tokio::sync::OnceCell;

use super::{
    auth::{Auth, keychain::Keychain, token::TokenServer},
    certificates::RegistryCertificates,
    clients::Clients,
    error::RegistryError,
    loopback,
    quirks::{self, Quirks},
    upload::open::OpenUploads,
};
use crate::{
    Digest, ImageRef,
    http::{HttpFailure, Network},
    progress::Progress,
    retry::{OUTAGE_ATTEMPTS, RetryPolicy},
};

/// How the client speaks to a registry. All times and counts are for one [`Repository`] and its clones.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// Whether a registry on another machine is spoken to in plain HTTP, without TLS. A registry on this machine
    /// (loopback) is spoken to in TLS if it answers so, else in plain HTTP; with this option in plain HTTP.
    pub plain_http: bool,
    /// Largest number of tries, the first one included, of one request. The upload of one blob is counted in the same
    /// way.
    pub attempts: u32,
    /// Largest number of tries, the first one included, of one request after the upload of a blob has begun, while the
    /// registry is out of reach: no answer, or 502, 503 or 504. A number below `attempts` has no effect. The retry budget
    /// holds here too.
    pub outage_attempts: u32,
    /// Upper bound of the wait before the second try. The bound doubles with each try up to 30 s; each wait is a random
    /// time below the bound. A longer `Retry-After` of the registry is used instead.
    pub retry_base: Duration,
    /// Longest wait for the answer to a request without a large body. A request that takes longer counts as a failed
    /// try.
    pub answer_timeout: Duration,
    /// Longest time in which an upload or a download may transfer no byte. Time in which the source of an upload has no
    /// bytes ready does not count.
    pub stall_timeout: Duration,
    /// Longest wait for the answer after an upload's last byte. Some registries copy the blob in their storage before
    /// they answer, which takes minutes.
    pub commit_patience: Duration,
    /// Time that failures may cost over the whole push: waits between tries, and the time that failed tries spent
    /// without transferring a byte, summed up over all requests. Once the budget is spent, the next failure is final.
    pub retry_budget: Duration,
    /// Size of the chunks of an upload, in bytes. A chunked upload is needed where a proxy limits the size of a
    /// request. Without this option the client switches to chunks after the first 413.
    pub chunk_bytes: Option<NonZeroU64>,
    /// Host name of a registry product, such as `quay.io`. The registry is treated like that product. A registry behind
    /// a custom domain or a proxy needs this, because products are recognized by their host names.
    pub behaves_like: Option<String>,
    /// Certificate authorities that are trusted, and proxies that requests go through.
    pub network: Network,
    /// Certificates for single registries.
    pub certificates: RegistryCertificates,
}

impl Default for RegistryOptions {
    /// HTTPS; 5 tries, 10 of a registry that is out of reach after an upload has begun, with a first wait of at most 500 ms; 1 minute for an answer, 2 minutes for a stall, 30 minutes
    /// for a commit; a retry budget of 2 hours; no chunks.
    fn default() -> Self {
        Self {
            plain_http: false,
            attempts: 5,
            outage_attempts: OUTAGE_ATTEMPTS,
            retry_base: Duration::from_millis(500),
            answer_timeout: Duration::from_mins(1),
            stall_timeout: Duration::from_mins(2),
            commit_patience: Duration::from_mins(30),
            retry_budget: Duration::from_hours(2),
            chunk_bytes: None,
            behaves_like: None,
            network: Network::default(),
            certificates: RegistryCertificates::default(),
        }
    }
}

/// A handle on one repository. Clones share connections, tokens, the retry budget and the list of open upload sessions.
///
/// Requests that open an upload session run in tasks of their own, so that the location of the session becomes known
/// even when the caller drops the future. All other requests end when their future is dropped.
#[derive(Debug, Clone)]
pub struct Repository(Arc<Inner>);

/// What all requests to one repository share.
#[derive(Debug)]
pub(super) struct Inner {
    /// The image that the handle was made for. Requests use its registry and repository only.
    pub(super) image: ImageRef,
    /// Where the repository is, and by which protocol.
    place: Place,
    /// Send the requests, to the registry and to the hosts that it names.
    pub(super) clients: Clients,
    /// Tokens of the repository, and the challenge that the registry sent last.
    pub(super) auth: Auth,
    /// Finds the credentials. `auth` has the same keychain.
    pub(super) keychain: Arc<dyn Keychain>,
    /// How the registry differs from the specification.
    pub(super) quirks: Quirks,
    /// Shared by all requests to the repository and to its token server.
    pub(super) retry: Arc<RetryPolicy>,
    /// The options that the caller gave.
    pub(super) options: RegistryOptions,
    /// Receives warnings and the events of retries.
    pub(super) progress: Arc<dyn Progress>,
    /// Logins that were sent, in every form in which the registry may repeat them.
    pub(super) spoken: Mutex<Vec<String>>,
    /// Warnings of the registry that were reported already. Each text is reported once.
    pub(super) warned: Mutex<BTreeSet<String>>,
    /// Upload sessions that are open and have to be deleted when a push ends early.
    pub(super) uploads: OpenUploads,
    /// Whether the registry tells which blobs it has. `false` once it gave no usable answer before a push.
    pub(super) tells_blobs: AtomicBool,
    /// Whether `/v2/` asks for a login. Asked when the repository refuses a request and asks for none.
    pub(super) root_asks: OnceCell<bool>,
    /// Size of chunks, in bytes. 0 while uploads are not chunked. All uploads share the size, so that a 413 for one
    /// layer changes the mode of the others.
    pub(super) chunk_bytes: AtomicU64,
}

/// Where a repository is.
#[derive(Debug)]
struct Place {
    /// `https://HOST/v2/REPOSITORY/`, or `http://` for a registry in plain HTTP.
    base: Url,
    /// The same by `https://`, for a registry that may speak either: one on this machine.
    by_tls: Option<Url>,
    /// One of the two, once it is known.
    known: OnceCell<Url>,
}

impl Repository {
    /// Returns a handle on the repository of `image`. No request is sent yet.
    ///
    /// # Errors
    /// [`RegistryError::Client`] when TLS can't be set up, [`RegistryError::ReadCertificates`] and
    /// [`RegistryError::Certificates`] when the registry's certificates can't be used, [`RegistryError::Protocol`] when the name of the image gives
    /// no valid URL, [`RegistryError::NoChunks`] when `options` ask for chunks and the registry does not support them.
    pub fn new(
        image: &ImageRef,
        keychain: Arc<dyn Keychain>,
        options: RegistryOptions,
        progress: Arc<dyn Progress>,
    ) -> Result<Self, RegistryError> {
        let plain = image.is_loopback() || options.plain_http;
        let host = quirks::api_host(image.registry());
        let path = quirks::api_repository(image.registry(), image.repository());
        let url = |scheme: &str| {
            format!("{scheme}://{host}/v2/{path}/").parse::<Url>().map_err(|_| RegistryError::Protocol {
                act: "make the URL".to_owned(),
                repository: format!("{}/{}", image.registry(), image.repository()),
                reason: "the name gives no valid URL".to_owned(),
            })
        };
        let base = url(if plain { "http" } else { "https" })?;
        let by_tls = (plain && !options.plain_http).then(|| url("https")).transpose()?;
        let own = by_tls.as_ref().unwrap_or(&base).clone();
        let clients = Clients::new(image.registry(), own, &options.certificates, &options.network)?;
        let quirks = Quirks::of(options.behaves_like.as_deref().unwrap_or(image.registry()));
        let chunk_bytes = match options.chunk_bytes.map(|wanted| quirks.chunk(wanted.get())) {
            Some(None) => {
                let repository = format!("{}/{}", image.registry(), image.repository());
                return Err(RegistryError::NoChunks { repository, registry: quirks.registry });
            }
            Some(Some(bytes)) => bytes,
            None => 0,
        };
        let retry = RetryPolicy::new(options.attempts, options.retry_base, Arc::clone(&progress));
        let retry = retry.with_outage_attempts(options.outage_attempts).with_budget(options.retry_budget);
        let retry = Arc::new(retry);
        let server = TokenServer { clients: clients.clone(), retry: Arc::clone(&retry) };
        let auth = Auth::new(image.clone(), base.clone(), Arc::clone(&keychain), server);
        Ok(Self(Arc::new(Inner {
            image: image.clone(),
            place: Place { base, by_tls, known: OnceCell::new() },
            clients,
            auth,
            keychain,
            quirks,
            retry,
            tells_blobs: AtomicBool::new(true),
            root_asks: OnceCell::new(),
            chunk_bytes: AtomicU64::new(chunk_bytes),
            options,
            progress,
            spoken: Mutex::default(),
            warned: Mutex::default(),
            uploads: OpenUploads::default(),
        })))
    }

    /// Returns a handle on another repository of the same registry, with the same keychain and options. The new handle
    /// shares neither tokens nor the retry budget with this one: tokens are requested for one repository.
    ///
    /// # Errors
    /// [`RegistryError::Protocol`] when `repository` is no valid name of a repository; otherwise as
    /// [`Repository::new`].
    pub fn sibling(&self, repository: &str) -> Result<Self, RegistryError> {
        let inner = &self.0;
        let name = format!("{}/{repository}", inner.image.registry());
        let image: ImageRef = name
            .parse()
            .map_err(|_| inner.protocol("open another repository", format!("`{repository}` is not a valid name")))?;
        Self::new(&image, Arc::clone(&inner.keychain), inner.options.clone(), Arc::clone(&inner.progress))
    }

    /// Returns the image that the handle was made for, with its tag and digest if it has them.
    pub fn image(&self) -> &ImageRef {
        &self.0.image
    }

    /// Returns `registry/repository`, as errors and messages name the repository.
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// Returns the handle to which `inner` belongs.
    pub(super) fn of(inner: &Arc<Inner>) -> Self {
        Self(Arc::clone(inner))
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }
}

impl Inner {
    /// Returns `registry/repository`.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.image.registry(), self.image.repository())
    }

    /// Returns `https://HOST/v2/REPOSITORY/`, or `http://` for a registry in plain HTTP. Credentials are sent to this
    /// origin only.
    ///
    /// A registry on this machine is asked first, once, whether it speaks TLS: a port-forward or a local cluster may.
    pub(super) async fn base(&self) -> &Url {
        let Place { base, by_tls, known } = &self.place;
        let finding = async {
            let Some(by_tls) = by_tls else { return base };
            let host = by_tls.host_str().unwrap_or_default().trim_matches(['[', ']']);
            let port = by_tls.port_or_known_default().unwrap_or_default();
            if loopback::speaks_tls(host, port).await { by_tls } else { base }
        };
        // Waited for once, so the future of every other request need not have room for it.
        Box::pin(known.get_or_init(|| async { finding.await.clone() })).await
    }

    /// Returns the URL of an endpoint of the repository. `tail` is the path below `/v2/REPOSITORY/`, for example
    /// `blobs/uploads/`.
    ///
    /// # Errors
    /// [`RegistryError::Protocol`] when `tail` makes the URL invalid.
    pub(super) async fn url(&self, tail: &str) -> Result<Url, RegistryError> {
        self.base().await.join(tail).map_err(|_| self.protocol("make the URL", "the name gives no valid URL"))
    }

    /// Makes the error for an answer that breaks the protocol. `act` says what was tried.
    pub(super) fn protocol(&self, act: &str, reason: impl Into<String>) -> RegistryError {
        RegistryError::Protocol { act: act.to_owned(), repository: self.name(), reason: reason.into() }
    }

    /// Makes the error for a web page with the status of a success.
    pub(super) fn page(&self, act: impl Into<String>, response: &Response) -> RegistryError {
        RegistryError::Page { act: act.into(), repository: self.name(), status: response.status().as_u16() }
    }

    /// Makes the error for bytes whose digest is `actual` where `expected` was asked for.
    pub(super) fn wrong_digest(&self, expected: Digest, actual: Digest) -> RegistryError {
        RegistryError::WrongDigest { repository: self.name(), expected, actual }
    }

    /// Makes the error of a request that ended with `failure`.
    pub(super) fn failed(&self, act: impl Into<String>, failure: HttpFailure) -> RegistryError {
        RegistryError::Request { act: act.into(), repository: self.name(), source: Box::new(failure) }
    }

    /// Reads the body of a refusal and makes the error of the request. The body holds the registry's error code
    /// (distribution-spec "Error Codes").
    pub(super) async fn refused(&self, act: impl Into<String>, method: Method, response: Response) -> RegistryError {
        self.failed(act, self.failure(method, response).await)
    }
}
