//! One blob into one repository: a session, one streamed request, the commit.
//!
//! A layer's digest is known only after its last byte, so the bytes go in one PATCH with their exact length and
//! without `Content-Range`, and an empty PUT commits them: the shape that every registry takes, Artifact Registry,
//! which knows no chunks, among them. A try that fails starts over in a new session.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use reqwest::{Method, Response, StatusCode, Url, header::HeaderMap};
use tokio::time::{Instant, sleep};

use super::{
    client::{Inner, Repository, Right},
    error::RegistryError,
    place,
};
use crate::{
    error::{Error, Result},
    http::HttpFailure,
    sink::{Body, Sealed},
};

/// How often the watchdog looks.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// How long a session may take to be deleted.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

impl Repository {
    /// Uploads `body` and returns what it turned out to be.
    ///
    /// # Errors
    /// The body's own error when its bytes are wrong, else what the registry says after the last try. No session is
    /// left behind, as far as the registry lets it be deleted.
    pub async fn upload(&self, body: &dyn Body, restarted: &(dyn Fn(String) + Send + Sync)) -> Result<Sealed> {
        let inner = self.inner();
        let mut attempt = 1;
        loop {
            let mut proven = None;
            let error = match attempt_upload(inner, body, &mut proven).await {
                Ok(sealed) => return Ok(sealed),
                Err(error) => error,
            };
            if !error.is_transient() || attempt >= inner.options.attempts {
                return Err(error);
            }
            // The reply to a commit may be lost while the commit is not.
            if let Some(sealed) = proven
                && self.has_blob(&sealed.digest, sealed.size).await?
            {
                return Ok(sealed);
            }
            let asked = match &error {
                Error::Registry(RegistryError::Request { source, .. }) => source.retry_after,
                _ => None,
            };
            restarted(chain(&error));
            sleep(inner.backoff(attempt, asked)).await;
            attempt += 1;
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn attempt_upload(inner: &Inner, body: &dyn Body, proven: &mut Option<Sealed>) -> Result<Sealed> {
    let title = body.title();
    let session = inner.open_session(&format!("begin to upload {title}")).await?;
    let result = fill_and_commit(inner, body, &title, session.clone(), proven).await;
    match &result {
        Ok(_) => inner.forget_session(&session),
        Err(_) => inner.close_session(&session).await,
    }
    result
}

async fn fill_and_commit(
    inner: &Inner,
    body: &dyn Body,
    title: &str,
    session: Session,
    proven: &mut Option<Sealed>,
) -> Result<Sealed> {
    let act = format!("upload {title}");
    let open = body.open();
    let watch = Watch::default();
    let bytes = watch.over(open.stream, body.size());
    let mut request = inner
        .uploads
        .patch(session.location())
        .headers(inner.authorization(Right::Push, &session.location()).await?)
        .header("content-type", "application/octet-stream");
    if let Some(size) = body.size() {
        request = request.header("content-length", size);
    }
    let sent = request.body(reqwest::Body::wrap_stream(bytes)).send();
    let response = tokio::select! {
        response = sent => response,
        seconds = watch.stalled(inner.options.stall_timeout, inner.options.commit_patience) => {
            return Err(RegistryError::Stalled { act, repository: inner.name(), seconds }.into());
        }
    };
    // What the body says goes before what the registry made of its end.
    if let Some(error) = watch.take_error() {
        return Err(error);
    }
    let response = response
        .map_err(|error| inner.failed(&act, HttpFailure::transport(Method::PATCH, &session.location(), error)))?;
    accept(inner, &act, &session, response).await?;
    let sealed = open.sealed.await?;
    *proven = Some(sealed.clone());
    commit(inner, title, &session, &sealed).await?;
    Ok(sealed)
}

/// Takes the answer to a PATCH. ECR says 201 where the specification says 202.
async fn accept(inner: &Inner, act: &str, session: &Session, response: Response) -> Result<(), RegistryError> {
    let url = session.location();
    let again = inner.learn(&url, &response).await?;
    match response.status() {
        StatusCode::ACCEPTED | StatusCode::CREATED | StatusCode::NO_CONTENT => {
            if response.headers().contains_key("location") {
                session.moved(inner, inner.follow(&url, act, &response)?);
            }
            Ok(())
        }
        _ if again => Err(RegistryError::Request {
            act: act.to_owned(),
            repository: inner.name(),
            // The token ran out between two requests: the next try gets a new one.
            source: Box::new(HttpFailure {
                status: Some(StatusCode::REQUEST_TIMEOUT),
                message: Some("the login ran out and is renewed".to_owned()),
                ..HttpFailure::protocol(Method::PATCH, &url, "")
            }),
        }),
        _ => Err(inner.refused(act, Method::PATCH, response).await),
    }
}

async fn commit(inner: &Inner, title: &str, session: &Session, sealed: &Sealed) -> Result<(), RegistryError> {
    let act = format!("commit {title}");
    let url = place::with_digest(&session.location(), &sealed.digest);
    for again in [true, false] {
        let request = inner
            .uploads
            .put(url.clone())
            .headers(inner.authorization(Right::Push, &url).await?)
            .header("content-type", "application/octet-stream")
            .header("content-length", 0)
            .timeout(inner.options.commit_patience);
        let response = request
            .send()
            .await
            .map_err(|error| inner.failed(&act, HttpFailure::transport(Method::PUT, &url, error)))?;
        if inner.learn(&url, &response).await? && again {
            continue;
        }
        return match response.status() {
            StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::NO_CONTENT => Ok(()),
            _ => Err(inner.refused(act, Method::PUT, response).await),
        };
    }
    Err(inner.protocol(&act, "the login is refused again and again"))
}

/// An upload session: the newest place that the registry named for it.
#[derive(Debug, Clone)]
pub(super) struct Session(Arc<Mutex<Url>>);

impl Session {
    fn location(&self) -> Url {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn moved(&self, inner: &Inner, to: Url) {
        inner.forget_session(self);
        inner.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(to.to_string());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }
}

impl Inner {
    pub(super) async fn open_session(&self, act: &str) -> Result<Session, RegistryError> {
        let url = self.url("blobs/uploads/")?;
        let response = self.send(act, Right::Push, Method::POST, &url, &HeaderMap::new(), None).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(self.refused(act, Method::POST, response).await);
        }
        let location = self.follow(&url, act, &response)?;
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(location.to_string());
        Ok(Session(Arc::new(Mutex::new(location))))
    }

    fn forget_session(&self, session: &Session) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(session.location().as_str());
    }

    /// Deletes a session. Registries that can't, clean up by themselves, so a refusal is no error.
    pub(super) async fn close_session(&self, session: &Session) {
        self.forget_session(session);
        self.delete_session(&session.location()).await;
    }

    /// After a body that broke off, registries refuse the session's last place and tell the new one on a status
    /// request (CNCF distribution signs the offset into it).
    async fn delete_session(&self, url: &Url) {
        let request = |method: Method, url: Url| async move {
            let login = self.authorization(Right::Push, &url).await.ok()?;
            self.uploads.request(method, url).headers(login).timeout(CLOSE_PATIENCE).send().await.ok()
        };
        let Some(answer) = request(Method::DELETE, url.clone()).await else { return };
        if answer.status().is_success() || answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            return;
        }
        let Some(status) = request(Method::GET, url.clone()).await else { return };
        if let Ok(place) = self.follow(url, "ask for the upload's state", &status) {
            let _best_effort = request(Method::DELETE, place).await;
        }
    }

    /// Deletes every session that is still open.
    pub(super) async fn close_all(&self) {
        let open = std::mem::take(&mut *self.sessions.lock().unwrap_or_else(PoisonError::into_inner));
        let urls: Vec<Url> = open.iter().filter_map(|url| url.parse().ok()).collect();
        stream::iter(&urls).for_each_concurrent(16, |url| self.delete_session(url)).await;
    }
}

/// Watches a body on its way into a request: its first error, its length, and whether it moves.
#[derive(Debug, Clone, Default)]
struct Watch {
    passed: Arc<AtomicU64>,
    ended: Arc<std::sync::atomic::AtomicBool>,
    error: Arc<Mutex<Option<Error>>>,
}

/// What ends a request's body early. The reason waits in the watch.
#[derive(Debug, thiserror::Error)]
#[error("the body ended early")]
struct Broken;

impl Watch {
    /// The HTTP client cuts a body that is longer than its announced length without a word, so it is counted here.
    fn over<S>(
        &self,
        bytes: S,
        size: Option<u64>,
    ) -> impl Stream<Item = Result<bytes::Bytes, Broken>> + Send + 'static + use<S>
    where
        S: Stream<Item = Result<bytes::Bytes>> + Send + Unpin + 'static,
    {
        let watch = self.clone();
        stream::unfold(Some(bytes), move |bytes| {
            let watch = watch.clone();
            async move {
                let mut bytes = bytes?;
                match bytes.next().await {
                    Some(Ok(chunk)) => {
                        let passed = watch.passed.fetch_add(chunk.len() as u64, Ordering::Relaxed) + chunk.len() as u64;
                        watch.ended.store(Some(passed) == size, Ordering::Relaxed);
                        // The end must be polled for too: only then do the hashes know that they are done.
                        if Some(passed) == size && watch.drained(&mut bytes).await.is_err() {
                            return Some((Err(Broken), None));
                        }
                        Some((Ok(chunk), Some(bytes)))
                    }
                    Some(Err(error)) => {
                        watch.keep(error);
                        Some((Err(Broken), None))
                    }
                    None => {
                        watch.ended.store(true, Ordering::Relaxed);
                        None
                    }
                }
            }
        })
    }

    async fn drained<S: Stream<Item = Result<bytes::Bytes>> + Unpin>(&self, bytes: &mut S) -> Result<(), Broken> {
        match bytes.next().await {
            None => Ok(()),
            Some(Err(error)) => {
                self.keep(error);
                Err(Broken)
            }
            Some(Ok(_)) => Err(Broken),
        }
    }

    fn keep(&self, error: Error) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn take_error(&self) -> Option<Error> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Resolves to the seconds of silence once there were too many.
    async fn stalled(&self, moving: Duration, committing: Duration) -> u64 {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            sleep(WATCH_EVERY).await;
            let passed = self.passed.load(Ordering::Relaxed);
            if passed != seen {
                (seen, since) = (passed, Instant::now());
            }
            let patience = if self.ended.load(Ordering::Relaxed) { committing } else { moving };
            if since.elapsed() >= patience {
                return since.elapsed().as_secs();
            }
        }
    }
}
