//! Owns file downloads: the Hub's resolve endpoint and the CDN behind it.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::Method;

use super::{Call, HubState, api};
use crate::content::Content;
use crate::server::{Reply, encode_path, reply, set_header};
use crate::stream::serve_content;
use crate::tree::TreeFile;

/// `/{ns}/{name}/resolve/{rev}/{path}`.
pub(super) fn route(state: &HubState, call: &Call, segments: &[String]) -> Result<Reply, Reply> {
    let keyword = segments.iter().take(3).position(|segment| segment == "resolve");
    let Some(keyword) = keyword.filter(|at| *at > 0 && segments.len() > at + 2) else {
        return Err(api::error(404, None, "Not Found"));
    };
    let head = match call.method {
        Method::GET => false,
        Method::HEAD => true,
        _ => return Err(api::error(405, None, "Method Not Allowed")),
    };
    let id = segments[..keyword].join("/");
    let mut repos = state.repos();
    let repo = api::find_repo(&repos, call, &id)?;
    api::check_gate(repo, call)?;
    let (commit, tree) = api::find_revision(repo, &segments[keyword + 1])?;
    let path = segments[keyword + 2..].join("/");
    let Some(file) = tree.get(&path) else {
        let mut missing = api::error(404, Some("EntryNotFound"), "Entry not found");
        set_header(&mut missing, "x-repo-commit", commit);
        return Err(missing);
    };
    let (commit, file) = (commit.to_owned(), file.clone());
    let cdn_path = format!("/{}/{commit}/{}", encode_path(&repo.id), encode_path(&path));
    let mut answer = if file.lfs {
        let signature = repos.sign(cdn_path.clone(), file.clone());
        drop(repos);
        lfs_redirect(state, &format!("{}{cdn_path}", state.cdn_endpoint), &signature, &file)
    } else {
        drop(repos);
        let range = call.header("range");
        let (tweaks, counters) = (call.tweaks.clone(), call.counters.clone());
        let mut answer = serve_content(&file.content, range, head, tweaks, counters);
        set_header(&mut answer, "etag", &format!("\"{}\"", file.git_oid()));
        answer
    };
    set_header(&mut answer, "x-repo-commit", &commit);
    Ok(answer)
}

fn lfs_redirect(state: &HubState, url: &str, signature: &str, file: &TreeFile) -> Reply {
    let lifetime = state.config.url_ttl.map_or(3600, |ttl| ttl.as_secs());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let expires = now + lifetime;
    let location = format!("{url}?Expires={expires}&Signature={signature}&Key-Pair-Id=FAKE");
    let mut answer = reply(302, "text/plain", format!("Found. Redirecting to {location}"));
    set_header(&mut answer, "location", &location);
    set_header(&mut answer, "x-linked-etag", &format!("\"{}\"", file.sha256()));
    set_header(&mut answer, "x-linked-size", &file.size().to_string());
    if state.config.xet {
        let hash = api::xet_hash(file);
        let endpoint = &state.endpoint;
        let link = format!(
            "<{endpoint}/api/xet-read-token>; rel=\"xet-auth\", \
             <{endpoint}/v1/reconstructions/{hash}>; rel=\"xet-reconstruction-info\""
        );
        set_header(&mut answer, "x-xet-hash", &hash);
        set_header(&mut answer, "link", &link);
    }
    answer
}

/// Any request to the CDN.
pub(super) fn cdn(state: &HubState, call: &Call) -> Reply {
    let denied = |code, message: &str| {
        let body = format!("<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>");
        reply(code, "application/xml", body)
    };
    if call.headers.contains_key("authorization") {
        return denied(400, "Only one auth mechanism allowed");
    }
    if call.method != Method::GET {
        return denied(403, "The url is signed for GET");
    }
    let signature = call.query.get("Signature").unwrap_or_default();
    let (ttl, max_uses) = (state.config.url_ttl, state.config.url_max_uses);
    let opened = state.repos().open(signature, &call.path, ttl, max_uses);
    let file = match opened {
        Ok(file) => file,
        Err(message) => return denied(403, message),
    };
    let range = call.header("range");
    let (tweaks, counters) = (call.tweaks.clone(), call.counters.clone());
    let mut answer = serve_content(&file.content, range, false, tweaks, counters);
    // Like S3's ETag of a multipart upload: looks like a digest, is not the sha256.
    let etag = &Content::from(call.path.as_str()).git_sha1()[..32];
    set_header(&mut answer, "etag", &format!("\"{etag}-2\""));
    answer
}
