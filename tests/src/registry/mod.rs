//! Owns the fake registry: its handle and the path of a request through it.

mod auth;
mod base_image;
mod blobs;
mod config;
mod log;
mod losses;
mod manifests;
mod store;
#[cfg(test)]
mod tests;
mod uploads;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, Method, Request};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;

pub use config::{Auth, BrokenPatch, FixedTags, LocationStyle, RegistryAction, RegistryConfig, StatusReply, Storage};
pub use log::RegistryRequest;
pub use store::StoredManifest;

use crate::content::to_usize;
use crate::fault::{FaultQueue, FaultRule};
use crate::server::{self, Hangup, Query, Reply, ServerGuard, decode, empty, reply, set_header};
use auth::Tokens;
use log::{Entry, Log};
use losses::Losses;
use store::{Blob, Store, digest_of};

/// A registry on a loopback port, strict about the distribution spec; stops when dropped.
#[derive(Debug)]
pub struct FakeRegistry {
    state: Arc<State>,
    _servers: [ServerGuard; 2],
}

#[derive(Debug)]
struct State {
    config: RegistryConfig,
    host: String,
    storage_endpoint: String,
    store: Mutex<Store>,
    tokens: Tokens,
    faults: FaultQueue<RegistryAction>,
    log: Log,
    received: AtomicU64,
    sent: Arc<AtomicU64>,
}

impl State {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FakeRegistry {
    /// Starts a registry.
    pub async fn start(config: RegistryConfig) -> Self {
        std::future::ready(Self::start_blocking(config)).await
    }

    /// Starts a registry from a test without a runtime.
    pub fn start_blocking(config: RegistryConfig) -> Self {
        let (registry, storage) = (server::bind(config.port), server::bind(0));
        let state = Arc::new(State {
            config,
            host: registry.addr.to_string(),
            storage_endpoint: format!("http://{}", storage.addr),
            store: Mutex::default(),
            tokens: Tokens::default(),
            faults: FaultQueue::default(),
            log: Log::default(),
            received: AtomicU64::new(0),
            sent: Arc::default(),
        });
        let registry = server::serve(registry, Arc::clone(&state), |state, request| handle(state, "registry", request));
        let storage = server::serve(storage, Arc::clone(&state), |state, request| handle(state, "storage", request));
        Self { state, _servers: [registry, storage] }
    }

    /// `127.0.0.1:<port>`.
    pub fn host(&self) -> String {
        self.state.host.clone()
    }

    /// Adds a rule of misbehaviour.
    pub fn fault(&self, rule: FaultRule<RegistryAction>) {
        self.state.faults.push(rule);
    }

    /// Removes all rules of misbehaviour.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// Makes all bearer tokens handed out so far invalid.
    pub fn revoke_tokens(&self) {
        self.state.tokens.revoke();
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<RegistryRequest> {
        self.state.log.snapshot()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.state.log.clear();
    }

    /// Request body bytes received so far.
    pub fn bytes_received(&self) -> u64 {
        self.state.received.load(Ordering::Relaxed)
    }

    /// Repository, digest and length of every blob.
    pub fn blobs(&self) -> Vec<(String, String, u64)> {
        let store = self.state.store();
        let all = store
            .repos
            .iter()
            .flat_map(|(repo, held)| held.blobs.iter().map(|(digest, blob)| (repo.clone(), digest.clone(), blob.len)));
        all.collect()
    }

    /// Repository and content of every manifest.
    pub fn manifests(&self) -> Vec<(String, StoredManifest)> {
        let store = self.state.store();
        let all = store
            .repos
            .iter()
            .flat_map(|(repo, held)| held.manifests.values().map(|manifest| (repo.clone(), manifest.clone())));
        all.collect()
    }

    /// Repository, tag and digest of every tag.
    pub fn tags(&self) -> Vec<(String, String, String)> {
        let store = self.state.store();
        let all = store
            .repos
            .iter()
            .flat_map(|(repo, held)| held.tags.iter().map(|(tag, digest)| (repo.clone(), tag.clone(), digest.clone())));
        all.collect()
    }

    /// Repository and identifier of every upload neither finished nor deleted.
    pub fn open_sessions(&self) -> Vec<(String, String)> {
        let store = self.state.store();
        store.uploads.iter().map(|(id, upload)| (upload.repo.clone(), id.clone())).collect()
    }

    /// The manifest a tag or digest names.
    pub fn manifest(&self, repo: &str, reference: &str) -> Option<StoredManifest> {
        self.state.store().repos.get(repo)?.manifest(reference).cloned()
    }

    /// The bytes of a blob, when held and not discarded.
    pub fn blob(&self, repo: &str, digest: &str) -> Option<Bytes> {
        self.state.store().blob(repo, digest)?.bytes.clone()
    }

    /// Inserts a blob and returns its digest.
    pub fn add_blob(&self, repo: &str, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let digest = digest_of(&bytes);
        let blob = Blob { len: bytes.len() as u64, bytes: Some(bytes) };
        self.state.store().put_blob(repo, &digest, blob);
        digest
    }

    /// Loses a blob, as storage does; whatever names it stays.
    pub fn lose_blob(&self, repo: &str, digest: &str) {
        let lost = self.state.store().repo(repo).blobs.remove(digest);
        assert!(lost.is_some(), "{repo} has no {digest}");
    }

    /// Loses a manifest, as a rule of retention deletes it; whatever lists it stays.
    pub fn lose_manifest(&self, repo: &str, digest: &str) {
        let lost = self.state.store().repo(repo).manifests.remove(digest);
        assert!(lost.is_some(), "{repo} has no {digest}");
    }

    /// Inserts a manifest unchecked, under a tag or its digest, and returns its digest.
    pub fn add_manifest(&self, repo: &str, reference: &str, media_type: &str, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let digest = digest_of(&bytes);
        let media_type = media_type.to_owned();
        let manifest = StoredManifest { digest: digest.clone(), media_type, bytes };
        self.state.store().put_manifest(repo, reference, manifest);
        digest
    }
}

/// The parts of a request the handlers look at.
struct Call {
    method: Method,
    path: String,
    query: Query,
    headers: HeaderMap,
    fault: Option<RegistryAction>,
    entry: Arc<Entry>,
}

impl Call {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn content_length(&self) -> Option<u64> {
        self.header("content-length").and_then(|text| text.parse().ok())
    }
}

/// Why a request gets no normal answer.
enum Refusal {
    /// This answer instead.
    Answer(Reply),
    /// No answer at all.
    Hangup,
}

impl From<Reply> for Refusal {
    fn from(answer: Reply) -> Self {
        Self::Answer(answer)
    }
}

fn error_body(code: &str, message: &str) -> String {
    json!({"errors": [{"code": code, "message": message, "detail": null}]}).to_string()
}

/// An error as the distribution spec words it.
fn error(status: u16, code: &str, message: &str) -> Reply {
    reply(status, "application/json", error_body(code, message))
}

async fn handle(state: Arc<State>, server: &'static str, request: Request<Incoming>) -> Result<Reply, Hangup> {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/_stats" {
        let received = state.received.load(Ordering::Relaxed);
        let totals = json!({"bytes_received": received, "requests": state.log.len()});
        return Ok(reply(200, "application/json", totals.to_string()));
    }
    let entry = state.log.start(server, &parts);
    let raw_query = parts.uri.query().unwrap_or_default();
    let target = format!("{}?{raw_query}", parts.uri.path());
    let call = Call {
        fault: state.faults.take(server, parts.method.as_str(), &target),
        path: parts.uri.path().to_owned(),
        query: Query::parse(raw_query),
        method: parts.method,
        headers: parts.headers,
        entry: Arc::clone(&entry),
    };
    let mut body = body;
    let losses = Losses::expect(&state, &call);
    let outcome = match instead(&state, &call, &mut body).await {
        Some(answer) => Ok(answer),
        None if server == "storage" => Ok(blobs::storage(&state, &call)),
        None => route(&state, &call, body).await,
    };
    let mut answer = match outcome {
        Ok(answer) | Err(Refusal::Answer(answer)) => answer,
        Err(Refusal::Hangup) => return Err(Hangup),
    };
    if let Some(losses) = losses {
        losses.happen(&state, &call, &answer);
    }
    if let Some(RegistryAction::TruncateBody { after_bytes }) = call.fault {
        // Blobs, which may be large, are cut while they are read.
        if server != "storage" && !call.path.contains("/blobs/") {
            let whole = std::mem::take(answer.body_mut()).collect().await.map_err(|_| Hangup)?.to_bytes();
            *answer.body_mut() = broken(whole.slice(..to_usize(after_bytes).min(whole.len())));
        }
    }
    late_fault(&mut answer, call.fault).await?;
    Ok(entry.finish(answer))
}

/// Reads a request's body and keeps nothing.
async fn drain(state: &State, call: &Call, body: &mut Incoming) {
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        call.entry.add(bytes);
        state.received.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The answer of a fault that replaces normal handling.
async fn instead(state: &State, call: &Call, body: &mut Incoming) -> Option<Reply> {
    if state.config.max_request.is_some_and(|most| call.content_length().is_some_and(|length| length > most)) {
        // What comes is read, so that the answer is not lost to a reset.
        drain(state, call, body).await;
        let page = "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n</html>";
        return Some(reply(413, "text/html", page));
    }
    match call.fault.as_ref()? {
        RegistryAction::Status { code, headers, body } => {
            let mut answer = reply(*code, "text/plain", body.clone());
            for (name, value) in headers {
                set_header(&mut answer, name, value);
            }
            Some(answer)
        }
        RegistryAction::StatusAfterBody(code) => {
            drain(state, call, body).await;
            Some(error(*code, "UNKNOWN", "scripted"))
        }
        RegistryAction::Drip { code, piece, every } => Some(reply(*code, "text/plain", drip(*piece, *every))),
        RegistryAction::LieHead200 { len } if call.method == Method::HEAD => {
            let mut answer = empty(200);
            set_header(&mut answer, "content-length", &len.to_string());
            let name = call.path.rsplit('/').next().map(decode).unwrap_or_default();
            if name.starts_with("sha256:") {
                set_header(&mut answer, "docker-content-digest", &name);
            }
            Some(answer)
        }
        _ => None,
    }
}

/// Applies what changes, delays or loses an otherwise normal answer.
async fn late_fault(answer: &mut Reply, fault: Option<RegistryAction>) -> Result<(), Hangup> {
    match fault {
        Some(RegistryAction::DelayReply(pause)) => tokio::time::sleep(pause).await,
        Some(RegistryAction::LostReply | RegistryAction::DropConnection { .. }) => {
            return Err(Hangup);
        }
        Some(RegistryAction::WrongDigestHeader) => {
            let zeros = format!("sha256:{}", "0".repeat(64));
            set_header(answer, "docker-content-digest", &zeros);
        }
        Some(RegistryAction::ReplaceLocation(location)) => {
            set_header(answer, "location", &location);
        }
        Some(RegistryAction::ExtraHeaders(headers)) => {
            for (name, value) in headers {
                set_header(answer, &name, &value);
            }
        }
        Some(RegistryAction::WithoutHeader(name)) => {
            answer.headers_mut().remove(name);
        }
        _ => {}
    }
    Ok(())
}

async fn route(state: &Arc<State>, call: &Call, body: Incoming) -> Result<Reply, Refusal> {
    if call.path == "/token" {
        return auth::token(state, call, body).await;
    }
    let Some(rest) = call.path.strip_prefix("/v2/") else {
        return Err(error(404, "UNSUPPORTED", "not a registry path").into());
    };
    if rest.is_empty() {
        auth::check(state, call, None)?;
        return Ok(reply(200, "application/json", "{}"));
    }
    let split = |marker: &str| rest.rsplit_once(marker).map(|(repo, tail)| (repo, decode(tail)));
    if let Some((repo, tail)) = split("/blobs/uploads/") {
        check_name(repo)?;
        auth::check(state, call, Some((repo, "push")))?;
        check_repository(state, repo)?;
        let mut answer = uploads::route(state, call, repo, &tail, body).await?;
        for (name, value) in &state.config.upload_headers {
            set_header(&mut answer, name, value);
        }
        return Ok(answer);
    }
    let action = match call.method {
        Method::GET | Method::HEAD => "pull",
        Method::DELETE => "delete",
        _ => "push",
    };
    for (marker, kind) in
        [("/blobs/", "blobs"), ("/manifests/", "manifests"), ("/tags/", "tags"), ("/referrers/", "referrers")]
    {
        if let Some((repo, tail)) = split(marker) {
            check_name(repo)?;
            auth::check(state, call, Some((repo, action)))?;
            return match kind {
                "blobs" => Ok(blobs::route(state, call, repo, &tail)),
                "manifests" => manifests::route(state, call, repo, &tail, body).await,
                "tags" => Ok(manifests::tags(state, call, repo, &tail)),
                _ => Ok(manifests::referrers(state, call, repo, &tail)),
            };
        }
    }
    Err(error(404, "UNSUPPORTED", "no such endpoint").into())
}

/// Refuses names outside the spec's grammar.
fn check_name(name: &str) -> Result<(), Reply> {
    let component = |part: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(plain)
            && part.ends_with(plain)
            && part.chars().all(|c| plain(c) || "._-".contains(c))
            && !["..", "___", "._", "_.", ".-", "-.", "_-", "-_"].iter().any(|bad| part.contains(bad))
    };
    if name.len() <= 255 && name.split('/').all(component) {
        Ok(())
    } else {
        Err(error(400, "NAME_INVALID", "invalid repository name"))
    }
}

/// Refuses uploads to repositories that are not there or could not be.
fn check_repository(state: &State, name: &str) -> Result<(), Reply> {
    if name.split('/').count() < state.config.name_parts {
        return Err(error(400, "NAME_INVALID", "the name has too few components"));
    }
    match &state.config.repositories {
        Some(there) if !there.iter().any(|repository| repository == name) => {
            Err(error(404, "NAME_UNKNOWN", "repository name not known to registry"))
        }
        _ => Ok(()),
    }
}

/// A body that never ends.
fn drip(piece: usize, every: Duration) -> axum::body::Body {
    axum::body::Body::from_stream(futures_util::stream::unfold((), move |()| async move {
        tokio::time::sleep(every).await;
        Some((Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; piece])), ()))
    }))
}

/// A body that breaks off after these bytes.
fn broken(start: Bytes) -> axum::body::Body {
    axum::body::Body::from_stream(futures_util::stream::unfold(Some(start), |start| async {
        if start.is_none() {
            // Time for the socket to send what precedes the break.
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        Some((start.ok_or_else(|| std::io::Error::other("body cut on purpose")), None))
    }))
}

/// Whether `text` is `sha256:` and 64 lower-case hex digits.
fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}
