//! Owns blob uploads: sessions, their locations, and the strict rules for PATCH and PUT.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::config::{BrokenPatch, LocationStyle, RegistryAction, StatusReply};
use super::store::{Blob, Mark, Sink};
use super::{Call, Refusal, State, auth, drain, error, is_digest};
use crate::content::to_usize;
use crate::server::{Reply, empty, set_header};

/// `/v2/<repo>/blobs/uploads/<tail>`.
pub(super) async fn route(
    state: &Arc<State>,
    call: &Call,
    repo: &str,
    tail: &str,
    body: Incoming,
) -> Result<Reply, Refusal> {
    if tail.is_empty() {
        return match call.method {
            Method::POST => start(state, call, repo, body).await,
            _ => Err(error(405, "UNSUPPORTED", "only POST opens an upload").into()),
        };
    }
    let (id, given) = match tail.split_once('-') {
        Some((id, given)) => (id, Some(given)),
        None => (tail, call.query.get("_state")),
    };
    let given = given.map(|text| text.split('.').next().unwrap_or_default());
    match call.method {
        Method::GET | Method::HEAD => {
            find(state, repo, id)?;
            status(state, repo, id)
        }
        Method::DELETE => {
            find_newest(state, repo, id, given)?;
            state.store().uploads.remove(id);
            Ok(empty(204))
        }
        Method::PATCH => patch(state, call, repo, id, given, body).await,
        Method::PUT => put(state, call, repo, id, given, body).await,
        _ => Err(error(405, "UNSUPPORTED", "method not allowed").into()),
    }
}

/// The state of a session, as it is asked for.
fn status(state: &State, repo: &str, id: &str) -> Result<Reply, Refusal> {
    let mut answer = progress(state, repo, id, 204);
    let held = state.store().uploads.get(id).and_then(|upload| upload.sink.as_ref()).map_or(0, |sink| sink.len);
    match state.config.status_reply {
        StatusReply::Held => {}
        StatusReply::Missing => return Err(error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload session").into()),
        StatusReply::NoRange => {
            answer.headers_mut().remove("range");
        }
        StatusReply::Stuck => set_header(&mut answer, "range", "0-0"),
        StatusReply::OneTooMany => set_header(&mut answer, "range", &format!("0-{held}")),
        StatusReply::Quay => {
            set_header(&mut answer, "range", &format!("bytes=0-{held}"));
            answer.headers_mut().remove("location");
        }
    }
    Ok(answer)
}

/// Checks that the session exists and returns the state its newest location carries.
fn find(state: &State, repo: &str, id: &str) -> Result<String, Reply> {
    let store = state.store();
    let upload = store.uploads.get(id).filter(|upload| upload.repo == repo);
    let unknown = || error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload session");
    upload.map(|upload| upload.state.clone()).ok_or_else(unknown)
}

/// Checks that the session exists and that its newest location was used.
fn find_newest(state: &State, repo: &str, id: &str, given: Option<&str>) -> Result<(), Reply> {
    if given == Some(find(state, repo, id)?.as_str()) {
        return Ok(());
    }
    Err(error(416, "RANGE_INVALID", "this location is not the newest one"))
}

async fn start(state: &Arc<State>, call: &Call, repo: &str, body: Incoming) -> Result<Reply, Refusal> {
    if let (Some(digest), Some(from)) = (call.query.get("mount"), call.query.get("from")) {
        let allowed = state.config.mounts && auth::grants(state, call, from, "pull");
        let mut store = state.store();
        let blob = store.blob(from, digest).filter(|_| allowed).cloned();
        if let Some(blob) = blob {
            store.put_blob(repo, digest, blob);
            return Ok(created(repo, digest));
        }
    }
    let id = state.store().open_upload(repo, state.config.storage);
    let single = call.query.get("digest").filter(|_| state.config.single_post);
    if let Some(digest) = single {
        return finish(state, call, repo, &id, digest, body).await;
    }
    let mut answer = progress(state, repo, &id, 202);
    if state.config.status_reply == StatusReply::Quay {
        set_header(&mut answer, "range", "bytes=0--1");
    }
    if let Some(min) = state.config.min_chunk {
        set_header(&mut answer, "oci-chunk-min-length", &min.to_string());
    }
    Ok(answer)
}

async fn patch(
    state: &Arc<State>,
    call: &Call,
    repo: &str,
    id: &str,
    given: Option<&str>,
    mut body: Incoming,
) -> Result<Reply, Refusal> {
    find_newest(state, repo, id, given)?;
    check_body_headers(state, call)?;
    let whole = call.header("content-range").is_none();
    if whole && state.config.max_length.zip(call.content_length()).is_some_and(|(most, length)| length > most) {
        // The body is read, so that the answer is not lost to a reset.
        drain(state, call, &mut body).await;
        return Err(error(416, "RANGE_INVALID", "the body exceeds the size of a chunk").into());
    }
    let mut session = Session::open(state, id)?;
    let chunk = check_range(state, call, &session)?;
    if state.config.one_write && session.offset() > 0 {
        return Err(error(400, "BLOB_UPLOAD_INVALID", "the upload has its bytes already").into());
    }
    session.receive(call, body).await?;
    session.close(chunk);
    Ok(progress(state, repo, id, state.config.patch_status))
}

async fn put(
    state: &Arc<State>,
    call: &Call,
    repo: &str,
    id: &str,
    given: Option<&str>,
    body: Incoming,
) -> Result<Reply, Refusal> {
    find_newest(state, repo, id, given)?;
    let digest = call.query.get("digest").unwrap_or_default();
    finish(state, call, repo, id, digest, body).await
}

/// Takes the rest of a blob and closes its session.
async fn finish(
    state: &Arc<State>,
    call: &Call,
    repo: &str,
    id: &str,
    digest: &str,
    body: Incoming,
) -> Result<Reply, Refusal> {
    if !is_digest(digest) {
        let message = "the digest parameter is missing, malformed or not sha256";
        return Err(error(400, "DIGEST_INVALID", message).into());
    }
    check_body_headers(state, call)?;
    let mut session = Session::open(state, id)?;
    if call.header("content-range").is_some() {
        check_range(state, call, &session)?;
    }
    session.receive(call, body).await?;
    let blob = session
        .commit(digest)
        .ok_or_else(|| error(400, "DIGEST_INVALID", "provided digest did not match uploaded content"))?;
    state.store().put_blob(repo, digest, blob);
    Ok(created(repo, digest))
}

fn check_body_headers(state: &State, call: &Call) -> Result<(), Reply> {
    let kind = call.header("content-type");
    let has_body = call.method == Method::PATCH || call.content_length().is_none_or(|n| n > 0);
    if has_body && kind.is_some_and(|kind| kind != "application/octet-stream") {
        let message = "Content-Type must be application/octet-stream";
        return Err(error(400, "BLOB_UPLOAD_INVALID", message));
    }
    let chunked = call.headers.contains_key("transfer-encoding");
    let unknown = call.content_length().is_none() && (call.method == Method::PATCH || chunked);
    if state.config.require_content_length && unknown {
        return Err(error(411, "SIZE_INVALID", "Content-Length is required"));
    }
    Ok(())
}

/// Checks `Content-Range` and returns the chunk's length; without it a PATCH is one stream.
fn check_range(state: &State, call: &Call, session: &Session) -> Result<Option<u64>, Reply> {
    let Some(text) = call.header("content-range") else { return Ok(None) };
    let refused = |message: &str| error(416, "RANGE_INVALID", message);
    if !state.config.chunked {
        return Err(refused("chunked uploads are not supported"));
    }
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| plain)
    };
    let range = text.split_once('-').and_then(|(a, b)| Some((number(a)?, number(b)?)));
    let Some((first, last)) = range.filter(|(first, last)| first <= last) else {
        return Err(refused("Content-Range must be <start>-<end>"));
    };
    let offset = session.offset();
    if first != offset {
        return Err(refused(&format!("expected a chunk at {offset}, got {first}")));
    }
    let length = last - first + 1;
    if call.content_length() != Some(length) {
        let message = "Content-Length does not match Content-Range";
        return Err(error(400, "SIZE_INVALID", message));
    }
    if state.config.max_chunk.is_some_and(|limit| length > limit) {
        return Err(refused("chunk is too large"));
    }
    let short = |min: u64| session.last_chunk.is_some_and(|previous| previous < min);
    if state.config.min_chunk.is_some_and(short) {
        return Err(refused("the previous chunk was shorter than OCI-Chunk-Min-Length"));
    }
    Ok(Some(length))
}

fn created(repo: &str, digest: &str) -> Reply {
    let mut answer = empty(201);
    set_header(&mut answer, "location", &format!("/v2/{repo}/blobs/{digest}"));
    set_header(&mut answer, "docker-content-digest", digest);
    answer
}

/// The state of a session, with a new location that voids the last.
fn progress(state: &State, repo: &str, id: &str, status: u16) -> Reply {
    let mut store = state.store();
    let token = store.renew(id).unwrap_or_default();
    let length = store.uploads.get(id).and_then(|upload| upload.sink.as_ref()).map_or(0, |s| s.len);
    drop(store);
    let padding = match state.config.location_padding {
        0 => String::new(),
        count => format!(".{}", "A".repeat(count)),
    };
    let base = match state.config.location {
        LocationStyle::Absolute | LocationStyle::AbsoluteWithQuery => {
            format!("http://{}", state.host)
        }
        LocationStyle::Relative | LocationStyle::RelativeWithQuery => String::new(),
    };
    let query = matches!(state.config.location, LocationStyle::RelativeWithQuery | LocationStyle::AbsoluteWithQuery);
    let sign = if query { "?_state=" } else { "-" };
    let location = format!("{base}/v2/{repo}/blobs/uploads/{id}{sign}{token}{padding}");
    let mut answer = empty(status);
    set_header(&mut answer, "location", &location);
    set_header(&mut answer, "range", &format!("0-{}", length.saturating_sub(1)));
    set_header(&mut answer, "docker-upload-uuid", id);
    answer
}

/// A session while one request writes to it; dropped early, it counts as broken.
struct Session {
    state: Arc<State>,
    id: String,
    writing: Option<(Sink, Mark)>,
    last_chunk: Option<u64>,
    touched: bool,
}

impl Session {
    fn open(state: &Arc<State>, id: &str) -> Result<Self, Reply> {
        let mut store = state.store();
        let upload = store.uploads.get_mut(id);
        if upload.as_ref().is_some_and(|upload| upload.dead) {
            return Err(error(400, "BLOB_UPLOAD_INVALID", "First byte of the layer part is not the expected one"));
        }
        let found = upload.and_then(|upload| Some((upload.sink.take()?, upload.last_chunk)));
        let (sink, last_chunk) =
            found.ok_or_else(|| error(409, "BLOB_UPLOAD_INVALID", "another request is writing"))?;
        let mark = sink.mark();
        let writing = Some((sink, mark));
        let (state, id) = (Arc::clone(state), id.to_owned());
        Ok(Self { state: Arc::clone(&state), id, writing, last_chunk, touched: false })
    }

    fn offset(&self) -> u64 {
        self.writing.as_ref().map_or(0, |(sink, _)| sink.len)
    }

    /// Reads a whole request body into the session.
    async fn receive(&mut self, call: &Call, mut body: Incoming) -> Result<(), Refusal> {
        let mut taken = 0;
        let drop_after = match &call.fault {
            Some(RegistryAction::DropConnection { after_body_bytes }) => Some(*after_body_bytes),
            _ => None,
        };
        let mut stall = match &call.fault {
            Some(RegistryAction::Stall { at, pause }) => Some((*at, *pause)),
            _ => None,
        };
        let kept = match &call.fault {
            Some(RegistryAction::KeepPart(bytes)) => *bytes,
            _ => u64::MAX,
        };
        self.touched = true;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Err(Refusal::Hangup) };
            let Ok(mut data) = frame.into_data() else { continue };
            if let Some(limit) = drop_after {
                data.truncate(to_usize((limit - taken).min(data.len() as u64)));
            }
            taken += data.len() as u64;
            call.entry.add(data.len() as u64);
            self.state.received.fetch_add(data.len() as u64, Ordering::Relaxed);
            if let Some((sink, _)) = &mut self.writing {
                let room = to_usize(kept.saturating_sub(sink.len).min(data.len() as u64));
                sink.write(&data[..room]);
            }
            if drop_after.is_some_and(|limit| taken >= limit) {
                return Err(Refusal::Hangup);
            }
            if let Some((_, pause)) = stall.take_if(|(at, _)| taken >= *at) {
                tokio::time::sleep(pause).await;
            }
            if self.state.config.max_blob.is_some_and(|limit| self.offset() > limit) {
                return Err(error(413, "SIZE_INVALID", "blob is too large").into());
            }
        }
        if drop_after.is_some() {
            return Err(Refusal::Hangup);
        }
        if let Some((_, pause)) = stall {
            tokio::time::sleep(pause).await;
        }
        call.entry.body_done();
        Ok(())
    }

    /// Gives the written bytes back to the open session.
    fn close(mut self, chunk: Option<u64>) {
        let written = self.writing.take();
        if let Some(upload) = self.state.store().uploads.get_mut(&self.id) {
            upload.sink = written.map(|(sink, _)| sink);
            upload.last_chunk = chunk;
        }
    }

    /// Ends the session; `None` when the bytes do not have this digest.
    fn commit(mut self, digest: &str) -> Option<Blob> {
        self.state.store().uploads.remove(&self.id);
        let (sink, _) = self.writing.take()?;
        sink.finish(digest)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some((mut sink, mark)) = self.writing.take() else { return };
        let mut store = self.state.store();
        if self.touched {
            if !sink.broken(self.state.config.broken_patch, mark) {
                store.uploads.remove(&self.id);
                return;
            }
            store.renew(&self.id);
            if let Some(upload) = store.uploads.get_mut(&self.id) {
                upload.dead = self.state.config.broken_patch == BrokenPatch::Dead;
            }
        }
        if let Some(upload) = store.uploads.get_mut(&self.id) {
            upload.sink = Some(sink);
        }
    }
}
