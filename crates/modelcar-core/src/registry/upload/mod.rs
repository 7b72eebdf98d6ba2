//! Uploads one blob: opens a session, sends the bytes, commits them, and decides after a failure whether to resume, to
//! start over or to give up.
//!
//! The digest of a layer is known only after its last byte. The bytes are therefore sent in one PATCH with their exact
//! length and without `Content-Range`, and an empty PUT commits them. Every registry accepts this form, including
//! Artifact Registry, which does not support chunks. A blob whose digest is known is sent in the PUT. Chunks are used
//! when the options ask for them, or after a registry or proxy refused a request as too large (413).
//!
//! After a request that breaks, the upload is resumed in its session if the registry proves how many bytes it holds:
//! the bytes from that offset up to the break are read again, and the hashes keep their state. Otherwise the upload
//! starts over in a new session.

mod body;
pub(super) mod open;
mod range;
pub(super) mod session;
mod stall;

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use reqwest::{Method, Response, StatusCode, Url};
use tokio::time::Instant;

use self::{body::UploadBody, session::Session};
use crate::{
    Digest,
    error::{Error, ModelcarError, Result, chain},
    http::{self, HttpFailure},
    progress::Event,
    registry::{
        error::RegistryError,
        redirect,
        repository::{Inner, Repository},
        request::{Access, Scope},
    },
    retry::Failure,
    sink::{Blob, VerifiedBlob},
};

/// First size of chunks after a request was too large, in bytes: below the 100 MB of Cloudflare's smallest plan.
const CHUNK_BYTES: u64 = 64 << 20;
/// Smallest size of chunks, in bytes: below nginx's default limit of 1 MiB. Each 413 cuts the size to a quarter, down
/// to this one.
const LEAST_CHUNK_BYTES: u64 = 256 << 10;
/// Size of chunks after a registry refused the range of a larger chunk (416), in bytes. GHCR answers 416 to chunks that
/// are larger than this.
const CAREFUL_CHUNK_BYTES: u64 = 4 << 20;
/// Bytes by which an upload must advance between two failures for its tries to be counted anew.
const LEAST_ADVANCE_BYTES: u64 = 1 << 20;

impl Repository {
    /// Uploads `body` and returns its proven size and digest. `restarted` is called with the reason whenever the body
    /// is sent from its first byte again. A resumed upload does not call `restarted`.
    ///
    /// After a failure that other means may avoid, the upload changes its mode for the next try: smaller chunks, no
    /// `Content-Length`, no resuming. When this future is dropped, the open session stays open until the registry
    /// removes it; a sink's `abandon` deletes it.
    ///
    /// # Errors
    /// The body's own error when its bytes are wrong, otherwise the failure of the last try. After a failure, the
    /// upload's sessions are deleted if the registry supports it.
    pub async fn upload(&self, body: &dyn Blob, restarted: &(dyn Fn(String) + Send + Sync)) -> Result<VerifiedBlob> {
        let inner = self.inner();
        let mut mode = UploadMode::new(inner, body);
        let mut proven = None;
        let what = format!("upload {}", body.title());
        let (mut attempt, mut expired) = (1, 0);
        loop {
            let error = match try_once(inner, body, &mode, &mut proven).await {
                Ok(verified) => return Ok(verified),
                Err(error) => error,
            };
            let mode_changed = mode.adapt(inner, &error);
            if mode_changed {
                tracing::info!(what, resume = mode.resume, announce = mode.announce, "the mode of the upload changed");
            }
            let again = mode_changed || error.is_worth_another_try();
            // A login that expires twice during one upload would expire each time.
            expired += u32::from(matches!(RegistryError::of(&error), Some(RegistryError::LoginExpired { .. })));
            let failure = Failure::from(&error).retryable(again && expired <= 1);
            if !inner.retry.next_attempt(&what, attempt, Duration::ZERO, failure).await {
                return Err(error);
            }
            // The registry may have committed the blob although its answer was lost.
            if let Some(verified) = &proven
                && self.blob_exists(Access::Push, &verified.digest, verified.size).await.unwrap_or(false)
            {
                return Ok(verified.clone());
            }
            restarted(chain(&error));
            attempt += 1;
        }
    }
}

/// How a blob is uploaded. A failure can change the mode.
#[derive(Debug)]
struct UploadMode {
    /// The digest, if it is known before the upload. It allows one PUT without a PATCH.
    digest: Option<Digest>,
    /// Size of the body, in bytes.
    size: u64,
    /// Whether a broken upload may be resumed in its session.
    resume: bool,
    /// Whether a whole body is sent with `Content-Length`; if not, the body is sent with `Transfer-Encoding: chunked`.
    announce: bool,
}

impl UploadMode {
    /// Returns the first mode, which the registry's quirks decide.
    fn new(inner: &Inner, body: &dyn Blob) -> Self {
        Self { digest: body.digest(), size: body.size(), resume: inner.quirks.resume, announce: true }
    }

    /// Changes the mode after a failure that another mode may avoid. Returns whether the mode changed. Each change is
    /// made at most once or makes chunks smaller, so that changes come to an end. The size of chunks changes for all
    /// uploads to the repository.
    fn adapt(&mut self, inner: &Inner, error: &Error) -> bool {
        let chunk = inner.chunk_bytes.load(Ordering::Relaxed);
        match RegistryError::of(error) {
            Some(RegistryError::TooLarge { bytes, .. }) => inner.smaller_chunks(*bytes),
            Some(RegistryError::SessionLost { source, .. })
                if source.status == Some(StatusCode::RANGE_NOT_SATISFIABLE) =>
            {
                match chunk {
                    // GHCR answers 416 to a large `Content-Length`.
                    0 => std::mem::replace(&mut self.announce, false),
                    _ if chunk > CAREFUL_CHUNK_BYTES => {
                        inner.chunk_bytes.store(CAREFUL_CHUNK_BYTES, Ordering::Relaxed);
                        true
                    }
                    _ => false,
                }
            }
            // The hashes prove the bytes that were sent, so the registry resumed at a wrong offset.
            Some(RegistryError::Resumed { .. }) => std::mem::replace(&mut self.resume, false),
            _ => false,
        }
    }
}

/// Returns the size of the request that was refused as too large, in bytes.
fn refused_bytes(error: &Error) -> Option<u64> {
    match RegistryError::of(error) {
        Some(RegistryError::TooLarge { bytes, .. }) => Some(*bytes),
        _ => None,
    }
}

impl Inner {
    /// Reduces the size of chunks after a request of `refused` bytes was too large. Returns whether the next request
    /// will be smaller: `false` for a registry that supports no chunks, and when the size is as small as it may be.
    fn smaller_chunks(&self, refused: u64) -> bool {
        let Some(most) = self.quirks.chunk(CHUNK_BYTES) else { return false };
        let now = self.chunk_bytes.load(Ordering::Relaxed);
        if now != 0 && now < refused {
            // Another layer has reduced it already.
            return true;
        }
        let smaller = most.min(refused / 4).max(LEAST_CHUNK_BYTES);
        if smaller >= refused {
            return false;
        }
        self.chunk_bytes.store(smaller, Ordering::Relaxed);
        self.report_warning(&format!(
            "accepts no request of {refused} bytes, the upload continues in chunks of {smaller} bytes"
        ));
        true
    }

    /// Reports a warning that begins with the repository's name.
    fn report_warning(&self, text: &str) {
        self.progress.report(&Event::Warning { message: format!("`{}` {text}", self.name()) });
    }
}

/// Uploads `body` from its first byte in a new session. Stores the proven size and digest in `proven` as soon as they
/// are known, also when the commit fails afterwards: the caller can then ask whether the registry holds the blob.
async fn try_once(
    inner: &Arc<Inner>,
    body: &dyn Blob,
    mode: &UploadMode,
    proven: &mut Option<VerifiedBlob>,
) -> Result<VerifiedBlob> {
    let title = body.title();
    let session = inner.open_session(&format!("begin to upload {title}")).await?;
    // From here on there is something to lose: a registry that is restarted is waited for.
    inner.retry.reached();
    let chunked = inner.chunk_bytes.load(Ordering::Relaxed) != 0;
    let gate = mode.digest.filter(|_| !chunked && mode.announce);
    tracing::debug!(title, bytes = mode.size, chunked, with_digest = gate.is_some(), "a session is open");
    let act = format!("upload {title}");
    let upload = Upload { inner, session: &session, body: UploadBody::open(body, gate), mode, title, act };
    let result = match gate {
        Some(digest) => upload.whole(mode.size, digest, proven).await,
        None if chunked => upload.in_chunks(mode.size, proven).await,
        None => upload.streamed(mode.size, proven).await,
    };
    match &result {
        Ok(_) => inner.uploads.remove(&session.location()),
        Err(_) => inner.close_session(&session).await,
    }
    result
}

/// One upload in one session.
struct Upload<'a> {
    /// The repository.
    inner: &'a Arc<Inner>,
    /// The session, whose location changes with the answers.
    session: &'a Session,
    /// The body, shared by all requests of the upload.
    body: UploadBody<'a>,
    /// How the body is sent.
    mode: &'a UploadMode,
    /// Title of the body, for messages.
    title: String,
    /// What is tried, for errors and retries.
    act: String,
}

impl Upload<'_> {
    /// Sends the whole body in one PATCH, resumes it after a break, and commits. A body without bytes is sent as an
    /// empty PATCH.
    async fn streamed(&self, size: u64, proven: &mut Option<VerifiedBlob>) -> Result<VerifiedBlob> {
        let mut at = 0;
        let mut tries = Tries::default();
        while at < size || size == 0 {
            let rest = self.mode.announce.then_some(size - at);
            match self.patch(at..size, rest, at > 0).await {
                Ok(()) => break,
                Err(error) => at = self.resume(at, 1, &mut tries, error).await?,
            }
        }
        self.commit(at > 0, proven).await
    }

    /// Sends the body in a PATCH for each chunk and commits (distribution-spec "Pushing a blob in chunks"). A chunk
    /// that broke is resumed at the offset that the registry confirms, or sent again.
    async fn in_chunks(&self, size: u64, proven: &mut Option<VerifiedBlob>) -> Result<VerifiedBlob> {
        let (mut at, mut broken) = (0, false);
        let mut tries = Tries::default();
        while at < size {
            let chunk = self.inner.chunk_bytes.load(Ordering::Relaxed).max(self.session.least_chunk);
            let end = size.min(at.saturating_add(chunk));
            match self.patch(at..end, Some(end - at), true).await {
                Ok(()) => at = end,
                // The registry took no byte of the chunk: the same offset may be sent in a smaller chunk, unless that
                // is below the registry's own minimum.
                Err(error)
                    if chunk > self.session.least_chunk
                        && refused_bytes(&error).is_some_and(|bytes| self.inner.smaller_chunks(bytes)) => {}
                Err(error) => {
                    at = self.resume(at, 0, &mut tries, error).await?;
                    broken = true;
                }
            }
        }
        self.commit(broken, proven).await
    }

    /// Sends a blob of a known digest in the PUT that commits it (distribution-spec "POST then PUT"). Such an upload is
    /// not resumed: a PUT that breaks is sent again from its first byte, in a new session.
    async fn whole(&self, size: u64, digest: Digest, proven: &mut Option<VerifiedBlob>) -> Result<VerifiedBlob> {
        let url = redirect::with_digest(&self.session.location(), &digest);
        let sent = self.send(Method::PUT, &url, 0..size, Some(size), false).await;
        *proven = self.body.outcome();
        // A registry that holds the blob already may answer without reading the body.
        let early = |error: &Error| matches!(RegistryError::of(error), Some(RegistryError::AnsweredEarly { .. }));
        if sent.as_ref().is_err_and(early)
            && Repository::of(self.inner).blob_exists(Access::Push, &digest, size).await?
        {
            return self.body.verified().await;
        }
        self.committed(&self.act, &url, &digest, sent?, size).await?;
        self.body.verified().await
    }

    /// Returns the offset at which the upload is resumed after `error`: at least `advance` bytes after `at`, and proven
    /// by the registry's answer to a status request. The offset never lies past the bytes that were drawn from the
    /// body.
    ///
    /// A registry that refuses the offset `at`, which the registry itself had named, was still storing what had arrived
    /// before the break (CNCF distribution): the offset that the registry names now lies after `at`.
    ///
    /// # Errors
    /// `error`, when the upload can't be resumed: the registry refused the bytes, resuming is switched off, the tries
    /// or the retry budget are spent, or the registry does not prove an offset.
    async fn resume(&self, at: u64, advance: u64, tries: &mut Tries, error: Error) -> Result<u64> {
        let (breaks, advance) = match RegistryError::of(&error) {
            Some(RegistryError::Request { source, .. }) => (source.is_retryable(), advance),
            Some(RegistryError::Stalled { .. } | RegistryError::HoldsLess { .. }) => (true, advance),
            Some(RegistryError::SessionLost { source, .. }) => (at > 0 && session::offset_is_stale(source), 1),
            _ => (false, advance),
        };
        if !breaks || !self.mode.resume {
            return Err(error);
        }
        if !self.inner.retry.next_attempt(&self.act, tries.count, Duration::ZERO, &error).await {
            return Err(error);
        }
        match self.inner.held_bytes(self.session, &format!("ask for the state of {}", self.title)).await {
            Some(held) if held >= at + advance && held <= self.body.drawn() => {
                tracing::info!(act = self.act, held, "resuming in the same session");
                tries.count = if held - at >= LEAST_ADVANCE_BYTES { 1 } else { tries.count + 1 };
                self.inner.report_warning(&format!(
                    "holds {held} bytes of {}, the upload resumes there: {}",
                    self.title,
                    chain(&error)
                ));
                Ok(held)
            }
            held => {
                tracing::info!(act = self.act, held, "the upload session can't be resumed");
                Err(error)
            }
        }
    }

    /// Sends `bytes` in one PATCH and continues the session at the location in the answer. `length` is announced as
    /// `Content-Length`; `ranged` adds `Content-Range`.
    async fn patch(&self, bytes: Range<u64>, length: Option<u64>, ranged: bool) -> Result<()> {
        let url = self.session.location();
        let (sent, end) = (length.unwrap_or(self.mode.size), bytes.end);
        let response = self.send(Method::PATCH, &url, bytes, length, ranged).await?;
        Ok(self.accept(&url, response, sent, end).await?)
    }

    /// Sends a request with bytes of the body, and ends it when the registry stalls. When the request fails, the
    /// registry's idle time before the failure is spent from the retry budget; time in which bytes were sent is not.
    ///
    /// # Errors
    /// The body's own error, if the body failed. Otherwise [`RegistryError::AnsweredEarly`] for a success before the
    /// last byte was sent, [`RegistryError::Stalled`], [`RegistryError::Request`] when the connection fails, or an
    /// error of the search for credentials. A refusal by the registry is a response and no error.
    async fn send(
        &self,
        method: Method,
        url: &Url,
        bytes: Range<u64>,
        length: Option<u64>,
        ranged: bool,
    ) -> Result<Response> {
        let inner = self.inner;
        let mut request = inner
            .clients
            .to(url)
            .request(method.clone(), url.clone())
            .headers(inner.authorization(Scope::Push, url).await?)
            .header("content-type", "application/octet-stream");
        if let Some(length) = length {
            request = request.header("content-length", length);
            if ranged && length > 0 {
                // Without a unit, and inclusive (distribution-spec "Pushing a blob in chunks").
                request = request.header("content-range", format!("{}-{}", bytes.start, bytes.end - 1));
            }
        }
        let span = http::log::request(&method, url, 1, bytes.end - bytes.start);
        let body = self.body.request(bytes);
        let watch = body.watch();
        let sent = http::log::answered(span, request.body(reqwest::Body::wrap_stream(body)).send());
        let (act, repository) = (self.act.clone(), inner.name());
        let result = tokio::select! {
            response = sent => match response {
                Ok(response) if response.status().is_success() && !watch.has_ended() => {
                    Err(RegistryError::AnsweredEarly { act, repository, status: response.status().as_u16() })
                }
                Ok(response) => Ok(response),
                Err(error) => Err(inner.failed(act, HttpFailure::transport(method, url, error))),
            },
            seconds = watch.stalled(inner.options.stall_timeout, inner.options.commit_patience) => {
                Err(RegistryError::Stalled { act, repository, seconds })
            }
        };
        if !result.as_ref().is_ok_and(|response| response.status().is_success()) {
            inner.retry.spend(watch.idle());
        }
        // When the body failed, its error explains the failure of the request.
        self.body.revoke().map_or(Ok(()), Err)?;
        Ok(result?)
    }

    /// Checks the answer to a PATCH, and moves the session to the location that the answer names. ECR answers 201 where
    /// the specification says 202. `sent` is the size of the request in bytes, `end` that of all that was sent in the
    /// session.
    ///
    /// A `Range` below `end` means that bytes were lost, unless the registry's ranges are known to be wrong.
    async fn accept(&self, url: &Url, response: Response, sent: u64, end: u64) -> Result<(), RegistryError> {
        let again = self.inner.learn(url, &response).await?;
        match response.status() {
            _ if response.status().is_success() && http::is_page(&response) => {
                Err(self.inner.page(&self.act, &response))
            }
            StatusCode::ACCEPTED | StatusCode::CREATED | StatusCode::NO_CONTENT => {
                if response.headers().contains_key("location") {
                    self.session.relocate(&self.inner.uploads, self.inner.follow(url, &self.act, &response).await?);
                }
                let held = http::header(&response, "range").and_then(|text| range::held(&text));
                match held.filter(|held| self.inner.quirks.resume && *held < end) {
                    Some(held) => {
                        let (act, repository) = (self.act.clone(), self.inner.name());
                        Err(RegistryError::HoldsLess { act, repository, held, sent: end })
                    }
                    None => Ok(()),
                }
            }
            _ => Err(self.refused(&self.act, Method::PATCH, response, again, sent).await),
        }
    }

    /// Returns the error that a refusal inside a session means. `login_renewed` says whether a 401 may be answered with
    /// other credentials, `sent` is the size of the request in bytes.
    async fn refused(
        &self,
        act: &str,
        method: Method,
        response: Response,
        login_renewed: bool,
        sent: u64,
    ) -> RegistryError {
        let failure = self.inner.failure(method, response).await;
        let (act, repository, source) = (act.to_owned(), self.inner.name(), Box::new(failure));
        match source.status {
            Some(StatusCode::UNAUTHORIZED) if login_renewed => RegistryError::LoginExpired { act, repository, source },
            Some(StatusCode::PAYLOAD_TOO_LARGE) => RegistryError::TooLarge { act, repository, bytes: sent, source },
            _ if session::is_lost(&source) => RegistryError::SessionLost { act, repository, source },
            _ => RegistryError::Request { act, repository, source },
        }
    }

    /// Waits until the body has proven its digest, and commits the upload under it. After a failure that may pass, the
    /// PUT is sent again, unless the registry holds the blob already. `resumed` says whether the upload was resumed:
    /// then a wrong digest means that the registry resumed at a wrong offset.
    async fn commit(&self, resumed: bool, proven: &mut Option<VerifiedBlob>) -> Result<VerifiedBlob> {
        let verified = self.body.verified().await?;
        *proven = Some(verified.clone());
        let act = format!("commit {}", self.title);
        let mut attempt = 1;
        loop {
            let begun = Instant::now();
            let error = match self.put(&act, &verified.digest).await {
                Ok(()) => return Ok(verified),
                Err(RegistryError::Request { source, act, repository })
                    if resumed && source.code.as_deref() == Some("DIGEST_INVALID") =>
                {
                    return Err(RegistryError::Resumed { act, repository, source }.into());
                }
                Err(error) => error,
            };
            let passing = matches!(&error, RegistryError::Request { source, .. } if source.is_retryable());
            let error = Error::from(error);
            let failure = Failure::from(&error).retryable(passing);
            if !self.inner.retry.next_attempt(&act, attempt, begun.elapsed(), failure).await {
                return Err(error);
            }
            if Repository::of(self.inner)
                .blob_exists(Access::Push, &verified.digest, verified.size)
                .await
                .unwrap_or(false)
            {
                return Ok(verified);
            }
            // Only the location in the answer matters: the session may have moved.
            let _state = self.inner.held_bytes(self.session, &act).await;
            attempt += 1;
        }
    }

    /// Sends the empty PUT, and sends it again with a new token when the token expired during the upload.
    async fn put(&self, act: &str, digest: &Digest) -> Result<(), RegistryError> {
        let inner = self.inner;
        let mut renewed = false;
        loop {
            let url = redirect::with_digest(&self.session.location(), digest);
            let request = inner
                .clients
                .to(&url)
                .put(url.clone())
                .headers(inner.authorization(Scope::Push, &url).await?)
                .header("content-type", "application/octet-stream")
                .header("content-length", 0);
            let failed = |failure| inner.failed(act, failure);
            let patience = inner.options.commit_patience;
            let sending = http::log::answered(http::log::request(&Method::PUT, &url, 1, 0), request.send());
            let response = match tokio::time::timeout(patience, sending).await {
                Ok(response) => response.map_err(|error| failed(HttpFailure::transport(Method::PUT, &url, error)))?,
                Err(_) => return Err(failed(HttpFailure::silent(Method::PUT, &url, patience))),
            };
            if response.status() == StatusCode::UNAUTHORIZED && !renewed && inner.learn(&url, &response).await? {
                renewed = true;
                tracing::info!(act, "the login expired and is renewed");
                continue;
            }
            return self.committed(act, &url, digest, response, 0).await;
        }
    }

    /// Checks the answer to a PUT, and the digest that the registry says it stored, if the answer names one. 200, 202
    /// and 204 count as success like the 201 of the specification.
    async fn committed(
        &self,
        act: &str,
        url: &Url,
        digest: &Digest,
        response: Response,
        sent: u64,
    ) -> Result<(), RegistryError> {
        let inner = self.inner;
        let again = inner.learn(url, &response).await?;
        match response.status() {
            _ if response.status().is_success() && http::is_page(&response) => Err(inner.page(act, &response)),
            StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::NO_CONTENT => {
                let stored = http::header(&response, "docker-content-digest");
                match stored.and_then(|text| text.parse::<Digest>().ok()) {
                    Some(stored) if stored != *digest => Err(inner.wrong_digest(*digest, stored)),
                    _ => Ok(()),
                }
            }
            _ => Err(self.refused(act, Method::PUT, response, again, sent).await),
        }
    }
}

/// Failures of one upload since it last advanced by [`LEAST_ADVANCE_BYTES`].
#[derive(Debug)]
struct Tries {
    /// Number of the current try, counted from 1.
    count: u32,
}

impl Default for Tries {
    fn default() -> Self {
        Self { count: 1 }
    }
}

#[cfg(feature = "workspace-tests")]
#[cfg(test)]
mod tests;
