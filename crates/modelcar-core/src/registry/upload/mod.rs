//! One blob into one repository: a session, its bytes, the commit; and what to do when any of them breaks.
//!
//! A layer's digest is known only after its last byte, so the bytes go in one PATCH with their exact length and
//! without `Content-Range`, and an empty PUT commits them: the shape that every registry takes, Artifact Registry,
//! which knows no chunks, among them. A blob whose digest is known goes in the PUT. Chunks are for what caps the size
//! of a request, asked for or shown by a 413.
//!
//! A request that breaks goes on in its session where the registry proves how much it holds; the body is read again
//! from there and its hashes keep their state. Everywhere else a new session takes the blob from its first byte.

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

use self::{body::Feed, session::Session};
use crate::{
    Digest,
    error::{Error, Result, chain},
    http::{self, HttpFailure},
    progress::Event,
    registry::{
        error::RegistryError,
        redirect,
        repository::{Inner, Repository},
        request::Scope,
        retry,
    },
    sink::{Body, Sealed},
};

/// First size of chunks where a request was too large: below the 100 MB of Cloudflare's smallest plan.
const CHUNK_BYTES: u64 = 64 << 20;
/// A chunk that is too large is cut to a quarter, down to this: below nginx's default of 1 MiB.
const LEAST_CHUNK_BYTES: u64 = 256 << 10;
/// What GHCR takes; a registry that refuses the range of a larger chunk may mean its size.
const CAREFUL_CHUNK_BYTES: u64 = 4 << 20;
/// An upload that breaks again and again must come forward by this much, or it starts over.
const LEAST_ADVANCE_BYTES: u64 = 1 << 20;

impl Repository {
    /// Uploads `body` and returns what it turned out to be.
    ///
    /// # Errors
    /// The body's own error when its bytes are wrong, else what the registry says after the last try. No session is
    /// left behind, as far as the registry lets it be deleted.
    pub async fn upload(&self, body: &dyn Body, restarted: &(dyn Fn(String) + Send + Sync)) -> Result<Sealed> {
        let inner = self.inner();
        let mut way = Way::new(inner, body);
        let mut proven = None;
        let what = format!("upload {}", body.title());
        let (mut attempt, mut expired) = (1, 0);
        loop {
            let error = match try_once(inner, body, &way, &mut proven).await {
                Ok(sealed) => return Ok(sealed),
                Err(error) => error,
            };
            let other_way = way.learn(inner, &error);
            if other_way {
                tracing::info!(what, resume = way.resume, announce = way.announce, "going over to another way");
            }
            let again = other_way || error.is_worth_another_try();
            // A login that runs out twice in the same upload does so every time.
            expired += u32::from(matches!(RegistryError::of(&error), Some(RegistryError::LoginExpired { .. })));
            if !again
                || expired > 1
                || !inner.patience.again(attempt, retry::asked(&error), Duration::ZERO, &what, &error).await
            {
                return Err(error);
            }
            // The reply to a commit may be lost while the commit is not.
            if let Some(sealed) = &proven
                && self.has_blob(&sealed.digest, sealed.size).await.unwrap_or(false)
            {
                return Ok(sealed.clone());
            }
            restarted(chain(&error));
            attempt += 1;
        }
    }
}

/// How a blob is uploaded.
#[derive(Debug)]
struct Way {
    /// The digest, when it is known beforehand.
    digest: Option<Digest>,
    /// Size of the body.
    size: u64,
    /// Whether to go on in a session that broke.
    resume: bool,
    /// Whether the length of a whole body is announced, or the body is sent in HTTP's own chunks.
    announce: bool,
}

impl Way {
    fn new(inner: &Inner, body: &dyn Body) -> Self {
        Self { digest: body.digest(), size: body.size(), resume: inner.quirks.resume, announce: true }
    }

    /// Changes the way after a failure that another way may not meet. Returns whether it did.
    fn learn(&mut self, inner: &Inner, error: &Error) -> bool {
        let chunk = inner.chunk_bytes.load(Ordering::Relaxed);
        match RegistryError::of(error) {
            Some(RegistryError::TooLarge { bytes, .. }) => inner.smaller_chunks(*bytes),
            Some(RegistryError::SessionLost { source, .. })
                if source.status == Some(StatusCode::RANGE_NOT_SATISFIABLE) =>
            {
                match chunk {
                    // GHCR refuses large bodies by their length where it means chunks.
                    0 => std::mem::replace(&mut self.announce, false),
                    _ if chunk > CAREFUL_CHUNK_BYTES => {
                        inner.chunk_bytes.store(CAREFUL_CHUNK_BYTES, Ordering::Relaxed);
                        true
                    }
                    _ => false,
                }
            }
            // The bytes were right when they left: the place at which the session went on was not.
            Some(RegistryError::Resumed { .. }) => std::mem::replace(&mut self.resume, false),
            _ => false,
        }
    }
}

/// Returns the size of the request that was refused as too large.
fn refused_bytes(error: &Error) -> Option<u64> {
    match RegistryError::of(error) {
        Some(RegistryError::TooLarge { bytes, .. }) => Some(*bytes),
        _ => None,
    }
}

impl Inner {
    /// Goes over to smaller chunks after a request of `refused` bytes. Returns whether there are smaller ones.
    fn smaller_chunks(&self, refused: u64) -> bool {
        let Some(most) = self.quirks.chunk(CHUNK_BYTES) else { return false };
        let now = self.chunk_bytes.load(Ordering::Relaxed);
        if now != 0 && now < refused {
            // Another layer has met it before.
            return true;
        }
        let smaller = most.min(refused / 4).max(LEAST_CHUNK_BYTES);
        if smaller >= refused {
            return false;
        }
        self.chunk_bytes.store(smaller, Ordering::Relaxed);
        self.say(&format!("takes no request of {refused} bytes, going on in chunks of {smaller} bytes"));
        true
    }

    fn say(&self, text: &str) {
        self.progress.report(&Event::Warning { message: format!("`{}` {text}", self.name()) });
    }
}

async fn try_once(inner: &Arc<Inner>, body: &dyn Body, way: &Way, proven: &mut Option<Sealed>) -> Result<Sealed> {
    let title = body.title();
    let session = inner.open_session(&format!("begin to upload {title}")).await?;
    let chunked = inner.chunk_bytes.load(Ordering::Relaxed) != 0;
    let gate = way.digest.filter(|_| !chunked && way.announce);
    tracing::debug!(title, bytes = way.size, chunked, with_digest = gate.is_some(), "a session is open");
    let act = format!("upload {title}");
    let upload = Upload { inner, session: &session, feed: Feed::open(body, gate), way, title, act };
    let result = match gate {
        Some(digest) => upload.whole(way.size, digest, proven).await,
        None if chunked => upload.in_chunks(way.size, proven).await,
        None => upload.streamed(way.size, proven).await,
    };
    match &result {
        Ok(_) => inner.uploads.remove(&session.location()),
        Err(_) => inner.close_session(&session).await,
    }
    result
}

/// One upload in one session.
struct Upload<'a> {
    inner: &'a Arc<Inner>,
    session: &'a Session,
    feed: Feed<'a>,
    way: &'a Way,
    title: String,
    act: String,
}

impl Upload<'_> {
    /// Sends everything in one PATCH, goes on where it breaks, and commits.
    async fn streamed(&self, size: u64, proven: &mut Option<Sealed>) -> Result<Sealed> {
        let mut at = 0;
        let mut tries = Tries::default();
        while at < size || size == 0 {
            let rest = self.way.announce.then_some(size - at);
            match self.patch(at..size, rest, at > 0).await {
                Ok(()) => break,
                Err(error) => at = self.go_on(at, 1, &mut tries, error).await?,
            }
        }
        self.commit(at > 0, proven).await
    }

    /// Sends one PATCH after the other and commits.
    async fn in_chunks(&self, size: u64, proven: &mut Option<Sealed>) -> Result<Sealed> {
        let (mut at, mut broken) = (0, false);
        let mut tries = Tries::default();
        while at < size {
            let chunk = self.inner.chunk_bytes.load(Ordering::Relaxed).max(self.session.least_chunk);
            let end = size.min(at.saturating_add(chunk));
            match self.patch(at..end, Some(end - at), true).await {
                Ok(()) => at = end,
                // Nothing of it was taken: the same place takes a smaller one, unless the registry forbids it.
                Err(error)
                    if chunk > self.session.least_chunk
                        && refused_bytes(&error).is_some_and(|bytes| self.inner.smaller_chunks(bytes)) => {}
                Err(error) => {
                    at = self.go_on(at, 0, &mut tries, error).await?;
                    broken = true;
                }
            }
        }
        self.commit(broken, proven).await
    }

    /// Sends a blob of a known digest in the PUT that commits it.
    async fn whole(&self, size: u64, digest: Digest, proven: &mut Option<Sealed>) -> Result<Sealed> {
        let url = redirect::with_digest(&self.session.location(), &digest);
        let sent = self.send(Method::PUT, &url, 0..size, Some(size), false).await;
        *proven = self.feed.outcome();
        // A registry that holds the blob need not read it to say so.
        let early = |error: &Error| matches!(RegistryError::of(error), Some(RegistryError::AnsweredEarly { .. }));
        if sent.as_ref().is_err_and(early) && Repository::of(self.inner).has_blob(&digest, size).await? {
            return self.feed.sealed().await;
        }
        self.committed(&self.act, &url, &digest, sent?, size).await?;
        self.feed.sealed().await
    }

    /// Returns where to go on after a break: at least `advance` bytes farther than `at`, as the registry tells. The
    /// error comes back when it does not tell, or when another try would meet it again.
    async fn go_on(&self, at: u64, advance: u64, tries: &mut Tries, error: Error) -> Result<u64> {
        let breaks = match RegistryError::of(&error) {
            Some(RegistryError::Request { source, .. }) => retry::is_passing(source),
            Some(RegistryError::Stalled { .. }) => true,
            _ => false,
        };
        if !breaks || !self.way.resume {
            return Err(error);
        }
        if !self.inner.patience.again(tries.count, retry::asked(&error), Duration::ZERO, &self.act, &error).await {
            return Err(error);
        }
        match self.inner.held_bytes(self.session, &format!("ask for the state of {}", self.title)).await {
            Some(held) if held >= at + advance && held <= self.feed.drawn() => {
                tracing::info!(act = self.act, held, "going on in the session that broke");
                tries.count = if held - at >= LEAST_ADVANCE_BYTES { 1 } else { tries.count + 1 };
                self.inner.say(&format!("holds {held} bytes of {}, going on there: {}", self.title, chain(&error)));
                Ok(held)
            }
            held => {
                tracing::info!(act = self.act, held, "the session that broke is given up");
                Err(error)
            }
        }
    }

    async fn patch(&self, bytes: Range<u64>, length: Option<u64>, ranged: bool) -> Result<()> {
        let url = self.session.location();
        let sent = length.unwrap_or(self.way.size);
        let response = self.send(Method::PATCH, &url, bytes, length, ranged).await?;
        Ok(self.accept(&url, response, sent).await?)
    }

    /// Sends a request with bytes of the body, and watches that they move. When it fails, the registry's silence before
    /// that is lost time; the time in which bytes moved is not.
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
            .client
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
        let lease = self.feed.bytes(bytes);
        let gauge = lease.gauge();
        let sent = http::log::answered(span, request.body(reqwest::Body::wrap_stream(lease)).send());
        let (act, repository) = (self.act.clone(), inner.name());
        let result = tokio::select! {
            response = sent => match response {
                Ok(response) if response.status().is_success() && !gauge.has_ended() => {
                    Err(RegistryError::AnsweredEarly { act, repository, status: response.status().as_u16() })
                }
                Ok(response) => Ok(response),
                Err(error) => Err(inner.failed(act, HttpFailure::transport(method, url, error))),
            },
            seconds = gauge.stalled(inner.options.stall_timeout, inner.options.commit_patience) => {
                Err(RegistryError::Stalled { act, repository, seconds })
            }
        };
        if !result.as_ref().is_ok_and(|response| response.status().is_success()) {
            inner.patience.lose(gauge.silence());
        }
        // What the body says goes before what the registry made of its end.
        self.feed.revoke().map_or(Ok(()), Err)?;
        Ok(result?)
    }

    /// Takes the answer to a PATCH. ECR says 201 where the specification says 202.
    async fn accept(&self, url: &Url, response: Response, sent: u64) -> Result<(), RegistryError> {
        let again = self.inner.learn(url, &response).await?;
        match response.status() {
            StatusCode::ACCEPTED | StatusCode::CREATED | StatusCode::NO_CONTENT => {
                if response.headers().contains_key("location") {
                    self.session.relocate(&self.inner.uploads, self.inner.follow(url, &self.act, &response).await?);
                }
                Ok(())
            }
            _ => Err(self.refused(&self.act, Method::PATCH, response, again, sent).await),
        }
    }

    /// Tells what a refusal inside a session means.
    async fn refused(
        &self,
        act: &str,
        method: Method,
        response: Response,
        login_renewed: bool,
        sent: u64,
    ) -> RegistryError {
        let failure = HttpFailure::from_response(method, response).await;
        let (act, repository, source) = (act.to_owned(), self.inner.name(), Box::new(failure));
        match source.status {
            Some(StatusCode::UNAUTHORIZED) if login_renewed => RegistryError::LoginExpired { act, repository, source },
            Some(StatusCode::PAYLOAD_TOO_LARGE) => RegistryError::TooLarge { act, repository, bytes: sent, source },
            _ if retry::is_lost_session(&source) => RegistryError::SessionLost { act, repository, source },
            _ => RegistryError::Request { act, repository, source },
        }
    }

    /// Waits for the proof of what was sent, and names it.
    async fn commit(&self, resumed: bool, proven: &mut Option<Sealed>) -> Result<Sealed> {
        let sealed = self.feed.sealed().await?;
        *proven = Some(sealed.clone());
        let act = format!("commit {}", self.title);
        let mut attempt = 1;
        loop {
            let begun = Instant::now();
            let error = match self.put(&act, &sealed.digest).await {
                Ok(()) => return Ok(sealed),
                Err(RegistryError::Request { source, act, repository })
                    if resumed && source.code.as_deref() == Some("DIGEST_INVALID") =>
                {
                    return Err(RegistryError::Resumed { act, repository, source }.into());
                }
                Err(error) => error,
            };
            let passing = matches!(&error, RegistryError::Request { source, .. } if retry::is_passing(source));
            let error = Error::from(error);
            if !passing
                || !self.inner.patience.again(attempt, retry::asked(&error), begun.elapsed(), &act, &error).await
            {
                return Err(error);
            }
            if Repository::of(self.inner).has_blob(&sealed.digest, sealed.size).await.unwrap_or(false) {
                return Ok(sealed);
            }
            // Whatever it answers, it may name the place at which the session goes on.
            let _state = self.inner.held_bytes(self.session, &act).await;
            attempt += 1;
        }
    }

    /// Sends the empty PUT; once more when the login ran out since the upload began.
    async fn put(&self, act: &str, digest: &Digest) -> Result<(), RegistryError> {
        let inner = self.inner;
        let mut renewed = false;
        loop {
            let url = redirect::with_digest(&self.session.location(), digest);
            let request = inner
                .client
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
                tracing::info!(act, "the login ran out and is renewed");
                continue;
            }
            return self.committed(act, &url, digest, response, 0).await;
        }
    }

    /// Takes the answer to a PUT.
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

/// Breaks of one upload without a real advance between them.
#[derive(Debug)]
struct Tries {
    count: u32,
}

impl Default for Tries {
    fn default() -> Self {
        Self { count: 1 }
    }
}

#[cfg(test)]
mod tests;
