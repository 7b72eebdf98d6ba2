//! Owns the fake object store: the parts of S3 and of Google Cloud Storage's XML API that a reader uses.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, Request};
use hyper::body::Incoming;

use crate::content::Content;
use crate::fault::{FaultQueue, FaultRule};
use crate::server::{Hangup, Query, Reply, ServerGuard, bind, decode, reply, serve, set_header};
use crate::stream::{Counters, Tweaks, serve_content};
use crate::tree::ModelTree;

/// Whose language the store speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Amazon's: `x-amz-version-id`, `versionId`.
    #[default]
    S3,
    /// Google's: `x-goog-generation`, `generation`.
    Gcs,
}

/// How the store behaves.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Whose language it speaks.
    pub dialect: Dialect,
    /// Its one bucket.
    pub bucket: String,
    /// Most keys on a page of a listing.
    pub page_size: usize,
    /// What the header `Authorization` must contain; `None` lets everybody in.
    pub login: Option<String>,
    /// Whether objects have versions. Those of Google's always have.
    pub versions: bool,
    /// Whether `If-Match` is overlooked, as some servers do.
    pub overlooks_conditions: bool,
}

impl Default for StoreConfig {
    fn default() -> Self {
        let (dialect, bucket) = (Dialect::S3, "models".to_owned());
        Self { dialect, bucket, page_size: 1000, login: None, versions: false, overlooks_conditions: false }
    }
}

/// What a [`FaultRule`] makes the store do.
#[derive(Clone, Debug)]
pub enum StoreAction {
    /// Answer with this status, code and headers.
    Refuse {
        /// Status.
        status: u16,
        /// The code in the document of the error.
        code: &'static str,
        /// More headers.
        headers: Vec<(&'static str, String)>,
    },
    /// Answer with this status and text.
    Text(u16, String),
    /// Close the connection without an answer.
    Hangup,
    /// Break the body after so many bytes.
    Truncate(u64),
    /// Flip a bit of the byte at this offset of the file.
    Corrupt(u64),
    /// Flip this bit, from 0 to 7, of the byte at this offset of the file.
    Flip(u64, u8),
    /// Send so many bytes of a range at most, and say so.
    Most(u64),
    /// Answer a range with the whole object.
    IgnoreRange,
    /// Send the first bytes, then nothing for so long.
    Stall(u64, Duration),
    /// List an object with so many bytes more.
    Larger(u64),
    /// List objects without entity tag.
    WithoutTags,
    /// Put other bytes in the place of the object that is asked for, of the same size, and then answer.
    Replace,
    /// Delete the object that is asked for, and then answer.
    Delete,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct StoreRequest {
    /// Method.
    pub method: String,
    /// Key of the object, decoded; empty for a listing.
    pub key: String,
    /// The query, decoded.
    pub query: String,
    /// `Range`.
    pub range: Option<String>,
    /// `If-Match`.
    pub if_match: Option<String>,
}

#[derive(Clone, Debug)]
struct Stored {
    content: Content,
    e_tag: String,
    generation: u64,
}

#[derive(Debug)]
struct State {
    config: StoreConfig,
    objects: Mutex<BTreeMap<String, Stored>>,
    generations: AtomicU64,
    faults: FaultQueue<StoreAction>,
    requests: Mutex<Vec<StoreRequest>>,
    sent: Arc<AtomicU64>,
}

/// An object store on the loopback interface.
#[derive(Debug)]
pub struct FakeStore {
    state: Arc<State>,
    endpoint: String,
    _guard: ServerGuard,
}

impl FakeStore {
    /// Starts an empty store.
    pub fn start(config: StoreConfig) -> Self {
        let bound = bind(0);
        let endpoint = format!("http://{}", bound.addr);
        let state = Arc::new(State {
            config,
            objects: Mutex::default(),
            generations: AtomicU64::new(1_700_000_000_000_000),
            faults: FaultQueue::default(),
            requests: Mutex::default(),
            sent: Arc::default(),
        });
        let guard = serve(bound, Arc::clone(&state), handle);
        Self { state, endpoint, _guard: guard }
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// Puts an object, in the place of an earlier one.
    pub fn put(&self, key: &str, content: impl Into<Content>) {
        self.state.put(key, content.into());
    }

    /// Puts all files of a model below a folder.
    pub fn put_model(&self, prefix: &str, tree: &ModelTree) {
        for (path, file) in tree.files() {
            self.put(&format!("{prefix}/{path}"), file.content.clone());
        }
    }

    /// Removes an object.
    pub fn delete(&self, key: &str) {
        self.state.objects().remove(key);
    }

    /// Adds a fault. Rules see the path and the query: `/bucket/key`, `/bucket?list-type=2`.
    pub fn fault(&self, rule: FaultRule<StoreAction>) {
        self.state.faults.push(rule);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<StoreRequest> {
        self.state.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.state.requests.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Bytes of objects that were sent.
    pub fn bytes_sent(&self) -> u64 {
        self.state.sent.load(Ordering::Relaxed)
    }
}

impl State {
    fn objects(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Stored>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, key: &str, content: Content) {
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        let e_tag = format!("\"{}\"", &content.sha256()[..32]);
        self.objects().insert(key.to_owned(), Stored { content, e_tag, generation });
    }
}

async fn handle(state: Arc<State>, request: Request<Incoming>) -> Result<Reply, Hangup> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let (method, headers) = (request.method().as_str().to_owned(), request.headers().clone());
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let path = decode(request.uri().path());
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    state.requests.lock().unwrap_or_else(PoisonError::into_inner).push(StoreRequest {
        method: method.clone(),
        key: key.to_owned(),
        query: decode(request.uri().query().unwrap_or_default()),
        range: header("range"),
        if_match: header("if-match"),
    });
    let action = state.faults.take("store", &method, &target);
    match &action {
        Some(StoreAction::Refuse { status, code, headers }) => {
            let mut refused = error(*status, code, "refused on purpose");
            for (name, value) in headers {
                set_header(&mut refused, name, value);
            }
            return Ok(refused);
        }
        Some(StoreAction::Text(status, text)) => return Ok(reply(*status, "text/plain", text.clone())),
        Some(StoreAction::Hangup) => return Err(Hangup),
        Some(StoreAction::Replace) => {
            let other = state.objects().get(key).map(|stored| other_bytes(&stored.content));
            if let Some(other) = other {
                state.put(key, other);
            }
        }
        Some(StoreAction::Delete) => {
            state.objects().remove(key);
        }
        _ => {}
    }
    let authorization = header("authorization").unwrap_or_default();
    if state.config.login.as_ref().is_some_and(|login| !authorization.contains(login.as_str())) {
        return Ok(match authorization.as_str() {
            "" => error(403, "AccessDenied", "Access Denied"),
            sent => error(403, "InvalidAccessKeyId", &format!("no such key in `{sent}`")),
        });
    }
    if bucket != state.config.bucket {
        return Ok(error(404, "NoSuchBucket", "The specified bucket does not exist"));
    }
    Ok(match key {
        "" => list(&state, &query, action.as_ref()),
        key => object(&state, key, &query, &headers, method == "HEAD", action.as_ref()),
    })
}

/// Returns other bytes of the same size.
fn other_bytes(content: &Content) -> Content {
    let flipped: Vec<u8> = content.bytes(0, content.len()).iter().map(|byte| byte ^ 1).collect();
    Content::from(flipped)
}

fn list(state: &State, query: &Query, action: Option<&StoreAction>) -> Reply {
    let prefix = query.get("prefix").unwrap_or_default();
    let after = query.get("continuation-token").unwrap_or_default();
    let objects = state.objects();
    let mut found = objects.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult>");
    let mut last = None;
    for (key, stored) in found.by_ref().take(state.config.page_size) {
        let larger = if let Some(StoreAction::Larger(more)) = action { *more } else { 0 };
        let tag = match action {
            Some(StoreAction::WithoutTags) => String::new(),
            _ => format!("<ETag>{}</ETag>", escaped(&stored.e_tag)),
        };
        let (key, size) = (escaped(key), stored.content.len() + larger);
        let second = stored.generation % 60;
        let _infallible = write!(
            xml,
            "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:{second:02}.000Z</LastModified>{tag}\
             <Size>{size}</Size></Contents>"
        );
        last = Some(key);
    }
    if let (Some(_), Some(last)) = (found.next(), last) {
        let _infallible = write!(xml, "<NextContinuationToken>{last}</NextContinuationToken>");
    }
    xml.push_str("</ListBucketResult>");
    reply(200, "application/xml", xml)
}

fn object(
    state: &State,
    key: &str,
    query: &Query,
    headers: &HeaderMap,
    head: bool,
    action: Option<&StoreAction>,
) -> Reply {
    let Some(stored) = state.objects().get(key).cloned() else {
        return error(404, "NoSuchKey", "The specified key does not exist.");
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let version = query.get("versionId").or_else(|| query.get("generation"));
    if version.is_some_and(|version| version != stored.generation.to_string()) {
        return error(404, "NoSuchVersion", "The specified version does not exist.");
    }
    let is_other = header("if-match").is_some_and(|tag| tag != stored.e_tag && tag != "*");
    if is_other && !state.config.overlooks_conditions {
        return error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
    }
    let mut tweaks = Tweaks::default();
    match action {
        Some(StoreAction::Truncate(after)) => tweaks.truncate = Some(*after),
        Some(StoreAction::Corrupt(at)) => tweaks.corrupt = Some((*at, 1)),
        Some(StoreAction::Flip(at, bit)) => tweaks.corrupt = Some((*at, 1 << bit)),
        Some(StoreAction::Most(most)) => tweaks.most = Some(*most),
        Some(StoreAction::IgnoreRange) => tweaks.ignore_range = true,
        Some(StoreAction::Stall(after, pause)) => tweaks.stall = Some((*after, *pause)),
        _ => {}
    }
    let counters = Counters { request: Arc::default(), total: Arc::clone(&state.sent) };
    let mut answer = serve_content(&stored.content, header("range"), head, tweaks, counters);
    set_header(&mut answer, "etag", &stored.e_tag);
    set_header(&mut answer, "last-modified", "Thu, 01 Jan 2026 00:00:00 GMT");
    match state.config.dialect {
        Dialect::Gcs => set_header(&mut answer, "x-goog-generation", &stored.generation.to_string()),
        Dialect::S3 if state.config.versions => {
            set_header(&mut answer, "x-amz-version-id", &stored.generation.to_string());
        }
        Dialect::S3 => {}
    }
    answer
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    let (code, message) = (escaped(code), escaped(message));
    let xml = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    reply(status, "application/xml", xml)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
