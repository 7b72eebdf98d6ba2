//! Owns the fake Hub: its configuration, its handle and the path of a request through it.

mod api;
mod log;
mod repos;
mod resolve;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde_json::Value;

pub use log::{HubServer, LoggedRequest};
pub use repos::RepoOptions;

use crate::fault::{FaultQueue, FaultRule};
use crate::server::{self, Hangup, Query, Reply, ServerGuard, decode, reply, set_header};
use crate::stream::{Counters, Tweaks};
use crate::tree::ModelTree;
use log::Log;
use repos::Repos;

/// Largest request body read.
const BODY_LIMIT: usize = 4 << 20;

/// How a [`FakeHub`] behaves.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// Port of the Hub listener; 0 picks a free one.
    pub port: u16,
    /// Tokens that are valid; any other token is refused.
    pub tokens: Vec<String>,
    /// Refuse every anonymous request to the Hub listener.
    pub require_token: bool,
    /// Most entries on one page of a tree listing.
    pub page_size: usize,
    /// Host name used in CDN urls; the port always differs from the Hub's.
    pub cdn_host: String,
    /// CDN urls expire this long after they were made.
    pub url_ttl: Option<Duration>,
    /// CDN urls expire after this many downloads.
    pub url_max_uses: Option<u32>,
    /// Bytes a second for each CDN download.
    pub throttle: Option<u64>,
    /// Name xet hashes and offer the xet endpoints (which are not served).
    pub xet: bool,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            port: 0,
            tokens: Vec::new(),
            require_token: false,
            page_size: 1000,
            cdn_host: "127.0.0.1".to_owned(),
            url_ttl: None,
            url_max_uses: None,
            throttle: None,
            xet: false,
        }
    }
}

/// What a faulty Hub or CDN does to one request.
#[derive(Clone, Debug)]
pub enum HubAction {
    /// Answer with this status, headers and body instead.
    Status {
        /// Status code.
        code: u16,
        /// Extra headers.
        headers: Vec<(String, String)>,
        /// Body text.
        body: String,
    },
    /// Send this many body bytes, then drop the connection although more was promised.
    Truncate {
        /// Body bytes sent.
        after_bytes: u64,
    },
    /// Flip one bit of the byte at this offset of the file.
    Corrupt {
        /// Offset within the file.
        at: u64,
    },
    /// Flip one bit of the file.
    Flip {
        /// Offset of the byte in the file.
        at: u64,
        /// The bit, from 0 to 7.
        bit: u8,
    },
    /// Pause once after this many body bytes.
    Stall {
        /// Body bytes sent before the pause.
        at: u64,
        /// Length of the pause.
        pause: Duration,
    },
    /// Answer a range request with 200 and the whole file.
    IgnoreRange,
    /// Answer a range request with fewer bytes than asked for, and say so, as a server may.
    ShortRange {
        /// Body bytes sent at most; more than 0.
        most: u64,
    },
    /// Add or replace headers of an otherwise normal answer.
    ExtraHeaders(Vec<(String, String)>),
    /// Remove a header of an otherwise normal answer.
    WithoutHeader(String),
    /// Answer 200 with this JSON, for hostile or wrong listings.
    ListingOverride(Value),
    /// Wait before handling the request normally.
    Delay(Duration),
    /// Answer with a body that has one byte at a time and no end.
    Drip {
        /// Time between two bytes.
        every: Duration,
    },
    /// Answer a listing with one file on each page, and no last page.
    EndlessListing,
    /// Close the connection without any answer.
    Hangup,
}

impl HubAction {
    /// Answers with a bare status code.
    pub fn status(code: u16) -> Self {
        Self::Status { code, headers: Vec::new(), body: String::new() }
    }
}

/// A Hub with its CDN, on two loopback ports; stops when dropped.
#[derive(Debug)]
pub struct FakeHub {
    state: Arc<HubState>,
    _servers: [ServerGuard; 2],
}

/// What both listeners share.
#[derive(Debug)]
struct HubState {
    config: HubConfig,
    endpoint: String,
    cdn_endpoint: String,
    repos: Mutex<Repos>,
    faults: FaultQueue<HubAction>,
    throttle: AtomicU64,
    log: Log,
    total_sent: Arc<AtomicU64>,
}

impl FakeHub {
    /// Starts both listeners.
    pub async fn start(config: HubConfig) -> Self {
        std::future::ready(Self::start_blocking(config)).await
    }

    /// Starts both listeners from a test without a runtime.
    pub fn start_blocking(config: HubConfig) -> Self {
        let (hub, cdn) = (server::bind(config.port), server::bind(0));
        let state = Arc::new(HubState {
            endpoint: format!("http://{}", hub.addr),
            cdn_endpoint: format!("http://{}:{}", config.cdn_host, cdn.addr.port()),
            repos: Mutex::default(),
            faults: FaultQueue::default(),
            throttle: AtomicU64::new(config.throttle.unwrap_or(0)),
            log: Log::default(),
            total_sent: Arc::default(),
            config,
        });
        let hub = server::serve(hub, Arc::clone(&state), |state, request| handle(state, HubServer::Hub, request));
        let cdn = server::serve(cdn, Arc::clone(&state), |state, request| handle(state, HubServer::Cdn, request));
        Self { state, _servers: [hub, cdn] }
    }

    /// Base URL of the Hub, without a slash at the end.
    pub fn endpoint(&self) -> String {
        self.state.endpoint.clone()
    }

    /// Base URL of the CDN, without a slash at the end.
    pub fn cdn_endpoint(&self) -> String {
        self.state.cdn_endpoint.clone()
    }

    /// Adds a commit to a repository (made if new), points `revision` at it, returns its id.
    pub fn add_repo(&self, id: &str, revision: &str, tree: ModelTree) -> String {
        self.state.repos().add(id, revision, tree)
    }

    /// Points a branch or tag at an existing commit.
    pub fn set_ref(&self, id: &str, revision: &str, commit: &str) {
        self.state.repos().set_ref(id, revision, commit);
    }

    /// Replaces a repository's settings.
    pub fn configure_repo(&self, id: &str, options: RepoOptions) {
        self.state.repos().configure(id, options);
    }

    /// Makes an old repository name redirect to the new one.
    pub fn add_alias(&self, old: &str, new: &str) {
        self.state.repos().add_alias(old, new);
    }

    /// Adds a rule of misbehaviour.
    pub fn fault(&self, rule: FaultRule<HubAction>) {
        self.state.faults.push(rule);
    }

    /// Removes all rules of misbehaviour.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// Sets the bytes a second of each CDN download made from now on.
    pub fn set_throttle(&self, bytes_per_second: Option<u64>) {
        self.state.throttle.store(bytes_per_second.unwrap_or(0), Ordering::Relaxed);
    }

    /// Expires all CDN urls handed out so far.
    pub fn expire_urls(&self) {
        self.state.repos().expire_urls();
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.state.log.snapshot()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.state.log.clear();
    }

    /// File bytes sent by both listeners so far.
    pub fn bytes_sent(&self) -> u64 {
        self.state.total_sent.load(Ordering::Relaxed)
    }
}

impl HubState {
    fn repos(&self) -> MutexGuard<'_, Repos> {
        self.repos.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The parts of a request the handlers look at.
struct Call {
    method: Method,
    /// Percent-encoded path.
    path: String,
    query: Query,
    raw_query: String,
    headers: HeaderMap,
    body: Vec<u8>,
    tweaks: Tweaks,
    counters: Counters,
}

impl Call {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn token(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// Decoded path segments.
    fn segments(&self) -> Vec<String> {
        self.path.trim_start_matches('/').split('/').map(decode).collect()
    }
}

async fn handle(state: Arc<HubState>, server: HubServer, request: Request<Incoming>) -> Result<Reply, Hangup> {
    let (parts, body) = request.into_parts();
    let raw_query = parts.uri.query().unwrap_or_default().to_owned();
    let entry = state.log.start(server, &parts);
    let target = format!("{}?{raw_query}", parts.uri.path());
    let fault = state.faults.take(server.name(), parts.method.as_str(), &target);
    let mut call = Call {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: Query::parse(&raw_query),
        raw_query,
        headers: parts.headers,
        body: Vec::new(),
        tweaks: Tweaks::default(),
        counters: Counters { request: Arc::clone(&entry.body_bytes_sent), total: Arc::clone(&state.total_sent) },
    };
    if let Some(early) = early_fault(&mut call, fault.as_ref()).await? {
        return Ok(entry.finish(early));
    }
    if call.method == Method::POST {
        let body = Limited::new(body, BODY_LIMIT).collect().await.map_err(|_| Hangup)?;
        call.body = body.to_bytes().into();
    }
    let mut answer = match server {
        HubServer::Hub => hub_route(&state, &call),
        HubServer::Cdn => {
            let throttle = state.throttle.load(Ordering::Relaxed);
            call.tweaks.throttle = Some(throttle).filter(|rate| *rate > 0);
            resolve::cdn(&state, &call)
        }
    };
    late_fault(&mut answer, fault);
    Ok(entry.finish(answer))
}

/// Applies what happens before or instead of normal handling.
async fn early_fault(call: &mut Call, fault: Option<&HubAction>) -> Result<Option<Reply>, Hangup> {
    match fault {
        Some(HubAction::Status { code, headers, body }) => {
            let mut answer = reply(*code, "text/plain", body.clone());
            for (name, value) in headers {
                set_header(&mut answer, name, value);
            }
            return Ok(Some(answer));
        }
        Some(HubAction::ListingOverride(json)) => {
            return Ok(Some(reply(200, "application/json", json.to_string())));
        }
        Some(HubAction::Hangup) => return Err(Hangup),
        Some(HubAction::Drip { every }) => return Ok(Some(drip(*every))),
        Some(HubAction::EndlessListing) => return Ok(Some(page_of_many(call))),
        Some(HubAction::Delay(pause)) => tokio::time::sleep(*pause).await,
        Some(HubAction::Truncate { after_bytes }) => call.tweaks.truncate = Some(*after_bytes),
        Some(HubAction::Corrupt { at }) => call.tweaks.corrupt = Some((*at, 1)),
        Some(HubAction::Flip { at, bit }) => call.tweaks.corrupt = Some((*at, 1 << bit)),
        Some(HubAction::Stall { at, pause }) => call.tweaks.stall = Some((*at, *pause)),
        Some(HubAction::IgnoreRange) => call.tweaks.ignore_range = true,
        Some(HubAction::ShortRange { most }) => call.tweaks.most = Some(*most),
        Some(HubAction::ExtraHeaders(_) | HubAction::WithoutHeader(_)) | None => {}
    }
    Ok(None)
}

fn drip(every: Duration) -> Reply {
    let bytes = futures_util::stream::unfold((), move |()| async move {
        tokio::time::sleep(every).await;
        Some((Ok::<_, std::convert::Infallible>(bytes::Bytes::from_static(b" ")), ()))
    });
    reply(200, "application/json", axum::body::Body::from_stream(bytes))
}

/// A page of an endless listing: one file, and a link to the next page.
fn page_of_many(call: &Call) -> Reply {
    let at: u64 = call.query.get("cursor").and_then(|text: &str| text.parse().ok()).unwrap_or_default();
    let entry = serde_json::json!([{"type": "file", "path": format!("f{at}"), "size": 1, "oid": "ab".repeat(20)}]);
    let mut answer = reply(200, "application/json", entry.to_string());
    set_header(&mut answer, "link", &format!("<{}?recursive=true&cursor={}>; rel=\"next\"", call.path, at + 1));
    answer
}

/// Applies what changes an otherwise normal answer.
fn late_fault(answer: &mut Reply, fault: Option<HubAction>) {
    match fault {
        Some(HubAction::ExtraHeaders(headers)) => {
            for (name, value) in headers {
                set_header(answer, &name, &value);
            }
        }
        Some(HubAction::WithoutHeader(name)) => {
            answer.headers_mut().remove(name);
        }
        _ => {}
    }
}

fn hub_route(state: &HubState, call: &Call) -> Reply {
    let known = |token: &str| state.config.tokens.iter().any(|valid| valid == token);
    let refused = match (call.header("authorization"), call.token()) {
        (None, _) => state.config.require_token.then_some("Please log in."),
        (Some(_), Some(token)) if known(token) => None,
        _ => Some("Invalid credentials in Authorization header"),
    };
    if let Some(message) = refused {
        return api::error(401, None, message);
    }
    let segments = call.segments();
    let outcome = match segments.split_first() {
        Some((api, rest)) if api == "api" => api::route(state, call, rest),
        _ => resolve::route(state, call, &segments),
    };
    outcome.unwrap_or_else(|refusal| refusal)
}
