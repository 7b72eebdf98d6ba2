//! The handle on one repository of a registry, its options, and what all its requests share.

use std::{
    collections::BTreeSet,
    num::NonZeroU64,
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};

use reqwest::{Method, Response, Url};

use super::{
    auth::{Auth, keychain::Keychain, token::TokenServer},
    error::RegistryError,
    quirks::{self, Quirks},
    upload::open::OpenUploads,
};
use crate::{
    Digest, ImageRef,
    http::{self, HttpFailure, Network},
    progress::Progress,
    retry::RetryPolicy,
};

/// How the client speaks to a registry.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// Speak plain HTTP to a registry on another machine. A registry on this machine (loopback) is always spoken to in
    /// plain HTTP.
    pub plain_http: bool,
    /// Number of tries of a request, and of a layer.
    pub attempts: u32,
    /// Upper bound of the wait before the second try. The bound doubles with each try up to 30 s; each wait is a random
    /// time below the bound.
    pub retry_base: Duration,
    /// Longest wait for the answer to a request without a large body.
    pub answer_timeout: Duration,
    /// Longest time in which an upload may transfer no byte.
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
    /// Host name of the registry product that the registry behaves like, for a registry behind a custom domain or a
    /// proxy.
    pub behaves_like: Option<String>,
    /// Certificate authorities that are trusted, and proxies.
    pub network: Network,
}

impl Default for RegistryOptions {
    /// HTTPS, 5 tries from 500 ms; 1, 2 and 30 minutes; a budget of 2 hours; no chunks.
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

/// What all requests to one repository share.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) image: ImageRef,
    /// `https://HOST/v2/REPOSITORY/`.
    pub(super) base: Url,
    /// HTTP/1.1 only: each upload has its own connection, and response headers may have hundreds of kilobytes
    /// (Artifact Registry's headers are larger than an HTTP/2 client accepts).
    pub(super) client: reqwest::Client,
    pub(super) auth: Auth,
    pub(super) keychain: Arc<dyn Keychain>,
    pub(super) quirks: Quirks,
    /// Shared by all requests to the repository and to its token server.
    pub(super) retry: Arc<RetryPolicy>,
    pub(super) options: RegistryOptions,
    pub(super) progress: Arc<dyn Progress>,
    /// Warnings of the registry that were reported already.
    pub(super) warned: Mutex<BTreeSet<String>>,
    pub(super) uploads: OpenUploads,
    /// Size of chunks, in bytes. 0 while uploads are not chunked.
    pub(super) chunk_bytes: AtomicU64,
}

impl Repository {
    /// Returns a handle on the repository of `image`. No request is sent yet.
    ///
    /// # Errors
    /// [`RegistryError::Client`] when TLS can't be set up, [`RegistryError::NoChunks`] when `options` ask for chunks
    /// and the registry does not support them.
    pub fn new(
        image: &ImageRef,
        keychain: Arc<dyn Keychain>,
        options: RegistryOptions,
        progress: Arc<dyn Progress>,
    ) -> Result<Self, RegistryError> {
        let plain = image.is_loopback() || options.plain_http;
        let host = quirks::api_host(image.registry());
        let base = format!("{}://{host}/v2/{}/", if plain { "http" } else { "https" }, image.repository());
        let base: Url = base.parse().map_err(|_| RegistryError::Protocol {
            act: "make the URL".to_owned(),
            repository: format!("{}/{}", image.registry(), image.repository()),
            reason: "the name gives no valid URL".to_owned(),
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
        let retry = RetryPolicy::new(options.attempts, options.retry_base, Arc::clone(&progress));
        let retry = Arc::new(retry.with_budget(options.retry_budget));
        let server = TokenServer { client: client.clone(), retry: Arc::clone(&retry) };
        let auth = Auth::new(image.clone(), base.clone(), Arc::clone(&keychain), server);
        Ok(Self(Arc::new(Inner {
            image: image.clone(),
            base,
            client,
            auth,
            keychain,
            quirks,
            retry,
            chunk_bytes: AtomicU64::new(chunk_bytes),
            options,
            progress,
            warned: Mutex::default(),
            uploads: OpenUploads::default(),
        })))
    }

    /// Returns a handle on another repository of the same registry, with the same login and options.
    ///
    /// # Errors
    /// [`RegistryError::Protocol`] when `repository` is no valid name of a repository.
    pub fn sibling(&self, repository: &str) -> Result<Self, RegistryError> {
        let inner = &self.0;
        let name = format!("{}/{repository}", inner.image.registry());
        let image: ImageRef = name
            .parse()
            .map_err(|_| inner.protocol("open another repository", format!("`{repository}` is not a valid name")))?;
        Self::new(&image, Arc::clone(&inner.keychain), inner.options.clone(), Arc::clone(&inner.progress))
    }

    /// Returns the image that the handle was made for.
    pub fn image(&self) -> &ImageRef {
        &self.0.image
    }

    /// Returns `registry/repository`.
    pub fn name(&self) -> String {
        self.0.name()
    }

    pub(super) fn of(inner: &Arc<Inner>) -> Self {
        Self(Arc::clone(inner))
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }
}

impl Inner {
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.image.registry(), self.image.repository())
    }

    pub(super) fn url(&self, tail: &str) -> Result<Url, RegistryError> {
        self.base.join(tail).map_err(|_| self.protocol("make the URL", "the name gives no valid URL"))
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
}
