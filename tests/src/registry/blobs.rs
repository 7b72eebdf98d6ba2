//! Owns blob existence checks, downloads and deletion.

use std::sync::Arc;

use axum::http::Method;

use super::config::RegistryAction;
use super::store::Blob;
use super::{Call, State, error, is_digest};
use crate::server::{Reply, empty, reply, set_header};
use crate::stream::{Counters, Tweaks, serve_content};

/// `/v2/<repo>/blobs/<digest>`.
pub(super) fn route(state: &State, call: &Call, repo: &str, digest: &str) -> Reply {
    if !is_digest(digest) {
        return error(400, "DIGEST_INVALID", "malformed digest");
    }
    let unknown = || error(state.config.missing_head_status, "BLOB_UNKNOWN", "blob unknown to registry");
    if call.method == Method::DELETE {
        let mut store = state.store();
        let removed = store.repos.get_mut(repo).and_then(|held| held.blobs.remove(digest));
        return removed.map_or_else(unknown, |_| empty(202));
    }
    let Some(blob) = state.store().blob(repo, digest).cloned() else { return unknown() };
    match call.method {
        Method::HEAD => {
            let mut answer = empty(200);
            set_header(&mut answer, "content-type", "application/octet-stream");
            set_header(&mut answer, "content-length", &blob.len.to_string());
            set_header(&mut answer, "docker-content-digest", digest);
            answer
        }
        Method::GET if state.config.redirect_blobs => {
            let mut answer = empty(307);
            let endpoint = &state.storage_endpoint;
            let location = format!("{endpoint}/{repo}/{digest}?X-Signature=fake&Expires=60");
            set_header(&mut answer, "location", &location);
            answer
        }
        Method::GET => {
            let mut answer = download(state, call, &blob);
            set_header(&mut answer, "docker-content-digest", digest);
            answer
        }
        _ => error(405, "UNSUPPORTED", "method not allowed"),
    }
}

/// A redirected download, on the storage listener.
pub(super) fn storage(state: &State, call: &Call) -> Reply {
    if call.headers.contains_key("authorization") {
        return error(400, "DENIED", "only one auth mechanism allowed");
    }
    if call.method != Method::GET || call.query.get("X-Signature").is_none() {
        return error(403, "DENIED", "the url is signed for GET");
    }
    let name = call.path.trim_start_matches('/').rsplit_once('/');
    let blob = name.and_then(|(repo, digest)| state.store().blob(repo, digest).cloned());
    match blob {
        Some(blob) => download(state, call, &blob),
        None => error(404, "BLOB_UNKNOWN", "blob unknown to storage"),
    }
}

fn download(state: &State, call: &Call, blob: &Blob) -> Reply {
    let Some(content) = blob.content() else {
        return match call.header("range") {
            // The end of a layer, which is zeros, as every tar's.
            Some(range) if range == format!("bytes={0}-{0}", blob.len - 1) => last_zero(blob.len),
            _ => error(501, "UNSUPPORTED", "the bytes of large blobs were not kept"),
        };
    };
    let range = call.header("range").filter(|_| !matches!(call.fault, Some(RegistryAction::IgnoreRange)));
    let mut tweaks = Tweaks::default();
    match call.fault {
        Some(RegistryAction::CorruptBody { at }) => tweaks.corrupt = Some((at, 1)),
        Some(RegistryAction::TruncateBody { after_bytes }) => tweaks.truncate = Some(after_bytes),
        Some(RegistryAction::Stall { at, pause }) => tweaks.stall = Some((at, pause)),
        _ => {}
    }
    let counters = Counters { request: Arc::default(), total: Arc::clone(&state.sent) };
    serve_content(&content, range, false, tweaks, counters)
}

/// The last byte of a blob of `len` bytes that were not kept.
fn last_zero(len: u64) -> Reply {
    let mut answer = reply(206, "application/octet-stream", vec![0]);
    set_header(&mut answer, "content-range", &format!("bytes {0}-{0}/{len}", len - 1));
    answer
}
