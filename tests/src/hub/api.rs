//! Owns the fake Hub's JSON endpoints: model information, tree listing, paths-info.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::repos::{Repo, Repos};
use super::{Call, HubState};
use crate::content::Content;
use crate::server::{Reply, encode_path, reply, set_header};
use crate::tree::{ModelTree, TreeFile};

/// An error as the Hub words it.
pub(super) fn error(status: u16, code: Option<&str>, message: &str) -> Reply {
    let mut answer = reply(status, "application/json", json!({"error": message}).to_string());
    if let Some(code) = code {
        set_header(&mut answer, "x-error-code", code);
    }
    set_header(&mut answer, "x-error-message", message);
    set_header(&mut answer, "x-request-id", "Root=1-fake");
    answer
}

/// The repository named `id`, or a redirect to its proper name, or a refusal.
pub(super) fn find_repo<'a>(repos: &'a Repos, call: &Call, id: &str) -> Result<&'a Repo, Reply> {
    let missing = || {
        let status = if call.token().is_some() { 404 } else { 401 };
        error(status, Some("RepoNotFound"), "Repository not found")
    };
    let repo = repos.find(id).ok_or_else(missing)?;
    let granted = &repo.options.granted;
    let visible = match call.token() {
        None => !repo.options.private,
        Some(token) => !repo.options.private || granted.is_empty() || granted.iter().any(|own| own == token),
    };
    if !visible {
        return Err(missing());
    }
    if repo.id != id {
        let (old, new) = (encode_path(id), encode_path(&repo.id));
        let mut location = call.path.replacen(&old, &new, 1);
        if !call.raw_query.is_empty() {
            location = format!("{location}?{}", call.raw_query);
        }
        let mut moved = reply(307, "text/plain", "Temporary Redirect");
        set_header(&mut moved, "location", &location);
        return Err(moved);
    }
    Ok(repo)
}

/// Refuses file downloads from a gated repository without access.
pub(super) fn check_gate(repo: &Repo, call: &Call) -> Result<(), Reply> {
    if repo.options.gated.is_none() {
        return Ok(());
    }
    let message = format!("Access to model {} is restricted.", repo.id);
    match call.token() {
        None => Err(error(401, Some("GatedRepo"), &message)),
        Some(token) if repo.options.granted.iter().any(|own| own == token) => Ok(()),
        Some(_) => Err(error(403, Some("GatedRepo"), &message)),
    }
}

/// The commit and tree of a revision.
pub(super) fn find_revision<'a>(repo: &'a Repo, revision: &str) -> Result<(&'a str, &'a ModelTree), Reply> {
    let missing = || {
        let message = format!("Invalid rev id: {}", revision.escape_default());
        error(404, Some("RevisionNotFound"), &message)
    };
    repo.resolve(revision).ok_or_else(missing)
}

/// `/api/...`; `rest` is what follows `api`.
pub(super) fn route(state: &HubState, call: &Call, rest: &[String]) -> Result<Reply, Reply> {
    const KEYWORDS: [&str; 3] = ["revision", "tree", "paths-info"];
    let not_found = || error(404, None, "Sorry, we can't find the page you are looking for.");
    let Some(("models", rest)) = rest.split_first().map(|(kind, rest)| (kind.as_str(), rest)) else {
        return Err(not_found());
    };
    let keyword = (1..rest.len().min(3)).find(|at| KEYWORDS.contains(&rest[*at].as_str()));
    let id = rest[..keyword.unwrap_or(rest.len())].join("/");
    let arguments = keyword.map_or(&[][..], |at| &rest[at + 1..]);
    let revision = arguments.first().map_or("main", String::as_str);
    let endpoint = keyword.map_or("revision", |at| rest[at].as_str());
    let (repo_tree, repo_id, answer);
    {
        let repos = state.repos();
        let repo = find_repo(&repos, call, &id)?;
        let (commit, tree) = find_revision(repo, revision)?;
        // Digests may take long: work on a copy of the tree, outside the lock.
        repo_tree = tree.clone();
        repo_id = repo.id.clone();
        answer = information(repo, commit, &repo_tree);
    }
    match (endpoint, &call.method) {
        ("revision", &Method::GET) => Ok(info(call, answer, &repo_tree)),
        ("tree", &Method::GET) => {
            let folder = arguments.get(1..).unwrap_or_default().join("/");
            list(state, call, &repo_id, revision, &repo_tree, &folder)
        }
        ("paths-info", &Method::POST) => paths_info(state, call, &repo_tree),
        _ => Err(not_found()),
    }
}

/// Everything about a revision except its files.
fn information(repo: &Repo, commit: &str, tree: &ModelTree) -> Map<String, Value> {
    let card = card_data(tree);
    let gated = repo.options.gated.as_ref().map_or(json!(false), |kind| json!(kind));
    let mut tags = Vec::new();
    if tree.files().any(|(path, _)| path.ends_with(".safetensors")) {
        tags.push("safetensors".to_owned());
    }
    if let Some(license) = card.get("license").and_then(Value::as_str) {
        tags.push(format!("license:{license}"));
    }
    let info = json!({
        "_id": &Content::from(repo.id.as_str()).git_sha1()[..24],
        "id": repo.id, "modelId": repo.id, "sha": commit,
        "author": repo.id.split('/').next(),
        "private": repo.options.private, "gated": gated, "disabled": false,
        "lastModified": "2025-01-01T00:00:00.000Z", "createdAt": "2025-01-01T00:00:00.000Z",
        "downloads": 0, "likes": 0, "tags": tags,
        "library_name": card.get("library_name"), "pipeline_tag": card.get("pipeline_tag"),
        "cardData": card,
    });
    let Value::Object(mut info) = info else { return Map::new() };
    info.retain(|_, value| !value.is_null());
    info.extend(repo.options.extra.clone());
    info
}

/// Top-level scalars of the README's front matter.
fn card_data(tree: &ModelTree) -> Map<String, Value> {
    let Some(readme) = tree.get("README.md") else { return Map::new() };
    let text = String::from_utf8_lossy(&readme.content.bytes(0, 64 << 10)).into_owned();
    let front = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---"));
    let lines = front.map_or("", |(front, _)| front).lines();
    let pairs = lines.filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let plain = !name.starts_with([' ', '-']) && !value.trim().is_empty();
        plain.then(|| (name.to_owned(), json!(value.trim())))
    });
    pairs.collect()
}

fn info(call: &Call, mut info: Map<String, Value>, tree: &ModelTree) -> Reply {
    let blobs = call.query.flag("blobs");
    if !info.contains_key("siblings") {
        let siblings: Vec<_> = tree.files().map(|(path, file)| sibling(path, file, blobs)).collect();
        info.insert("siblings".to_owned(), Value::Array(siblings));
    }
    let wanted: BTreeSet<&str> = call.query.all("expand").chain(call.query.all("expand[]")).collect();
    if !wanted.is_empty() {
        info.retain(|name, _| name == "_id" || name == "id" || wanted.contains(name.as_str()));
    }
    reply(200, "application/json", Value::Object(info).to_string())
}

fn sibling(path: &str, file: &TreeFile, blobs: bool) -> Value {
    if !blobs {
        return json!({"rfilename": path});
    }
    let mut entry = json!({"rfilename": path, "size": file.size(), "blobId": file.git_oid()});
    if file.lfs {
        let pointer = file.lfs_pointer().len();
        entry["lfs"] = json!({"sha256": file.sha256(), "size": file.size(), "pointerSize": pointer});
    }
    entry
}

/// A stand-in for the xet hash of a file.
pub(super) fn xet_hash(file: &TreeFile) -> String {
    Content::from(format!("xet {}", file.sha256())).sha256()
}

fn file_entry(state: &HubState, path: &str, file: &TreeFile, expand: bool) -> Value {
    let mut entry = json!({"type": "file", "oid": file.git_oid(), "size": file.size(), "path": path});
    if file.lfs {
        let pointer = file.lfs_pointer().len();
        entry["lfs"] = json!({"oid": file.sha256(), "size": file.size(), "pointerSize": pointer});
        if state.config.xet {
            entry["xetHash"] = json!(xet_hash(file));
        }
    }
    if expand {
        entry["lastCommit"] = json!({"id": file.git_oid(), "title": "add files", "date": "2025-01-01T00:00:00.000Z"});
        entry["securityFileStatus"] = json!({
            "status": "safe", "avScan": {"virusFound": false}, "pickleImportScan": null,
        });
    }
    entry
}

fn folder_entry(path: &str) -> Value {
    let oid = Content::from(format!("tree {path}")).git_sha1();
    json!({"type": "directory", "oid": oid, "size": 0, "path": path})
}

/// All folders that hold a file, directly or not.
fn folders(tree: &ModelTree) -> BTreeSet<String> {
    let parents = tree
        .files()
        .flat_map(|(path, _)| path.match_indices('/').map(|(at, _)| path[..at].to_owned()).collect::<Vec<_>>());
    parents.collect()
}

fn list(
    state: &HubState,
    call: &Call,
    id: &str,
    revision: &str,
    tree: &ModelTree,
    folder: &str,
) -> Result<Reply, Reply> {
    let folders = folders(tree);
    if !folder.is_empty() && !folders.contains(folder) {
        return Err(error(404, Some("EntryNotFound"), "The folder does not exist"));
    }
    let recursive = call.query.flag("recursive");
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let listed = |path: &&str| path.strip_prefix(&prefix).is_some_and(|rest| recursive || !rest.contains('/'));
    let mut paths: Vec<&str> = folders.iter().map(String::as_str).filter(listed).collect();
    paths.extend(tree.files().map(|(path, _)| path).filter(listed));
    paths.sort_unstable();

    let number = |name| call.query.get(name).and_then(|text: &str| text.parse::<usize>().ok());
    let limit = number("limit").unwrap_or(usize::MAX).min(state.config.page_size).max(1);
    let cursor = call.query.get("cursor").map(|text| text.trim_start_matches("page-").parse());
    let start = match cursor {
        None => 0,
        Some(Ok(start)) => start,
        Some(Err(_)) => return Err(error(400, None, "Invalid cursor")),
    };
    let expand = call.query.flag("expand");
    let page = paths.iter().skip(start).take(limit).map(|path| match tree.get(path) {
        Some(file) => file_entry(state, path, file, expand),
        None => folder_entry(path),
    });
    let page: Vec<_> = page.collect();
    let mut answer = reply(200, "application/json", Value::Array(page).to_string());
    if start.saturating_add(limit) < paths.len() {
        let revision = encode_path(revision).replace('/', "%2F");
        let slash = if folder.is_empty() { "" } else { "/" };
        let link = format!(
            "<{}/api/models/{}/tree/{revision}{slash}{}?recursive={recursive}&expand={expand}\
             &limit={limit}&cursor=page-{}>; rel=\"next\"",
            state.endpoint,
            encode_path(id),
            encode_path(folder),
            start + limit
        );
        set_header(&mut answer, "link", &link);
    }
    Ok(answer)
}

fn paths_info(state: &HubState, call: &Call, tree: &ModelTree) -> Result<Reply, Reply> {
    let body: Value =
        serde_json::from_slice(&call.body).map_err(|_| error(400, None, "The body must be JSON with \"paths\""))?;
    let expand = call.query.flag("expand") || body["expand"] == json!(true);
    let folders = folders(tree);
    let wanted = body["paths"].as_array().cloned().unwrap_or_default();
    let entries = wanted.iter().filter_map(Value::as_str).filter_map(|path| {
        let file = tree.get(path).map(|file| file_entry(state, path, file, expand));
        file.or_else(|| folders.contains(path).then(|| folder_entry(path)))
    });
    let entries: Vec<_> = entries.collect();
    Ok(reply(200, "application/json", Value::Array(entries).to_string()))
}
