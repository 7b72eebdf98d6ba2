//! Owns manifests, tags and referrers, and what makes a manifest acceptable.

use axum::http::Method;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::config::FixedTags;
use super::store::{Store, StoredManifest, digest_of};
use super::{Call, Refusal, State, error, is_digest};
use crate::server::{Reply, empty, reply, set_header};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
const OCI_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// Largest manifest, as in most registries.
const SIZE_LIMIT: usize = 4 << 20;

/// `/v2/<repo>/manifests/<reference>`.
pub(super) async fn route(
    state: &State,
    call: &Call,
    repo: &str,
    reference: &str,
    body: Incoming,
) -> Result<Reply, Refusal> {
    if !is_digest(reference) && !is_tag(reference) {
        return Err(error(400, "MANIFEST_INVALID", "neither a tag nor a digest").into());
    }
    match call.method {
        Method::GET | Method::HEAD => Ok(get(state, call, repo, reference)),
        Method::PUT => {
            let body = Limited::new(body, SIZE_LIMIT)
                .collect()
                .await
                .map_err(|_| error(413, "MANIFEST_INVALID", "manifest is too large or was cut off"))?;
            let bytes = body.to_bytes();
            call.entry.add(bytes.len() as u64);
            call.entry.body_done();
            Ok(put(state, call, repo, reference, bytes)?)
        }
        Method::DELETE if !state.config.deletes => Err(error(405, "UNSUPPORTED", "deletes are disabled").into()),
        Method::DELETE => Ok(delete(state, repo, reference)),
        _ => Err(error(405, "UNSUPPORTED", "method not allowed").into()),
    }
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= 128 && text.starts_with(word) && text.chars().all(|c| word(c) || c == '.' || c == '-')
}

fn get(state: &State, call: &Call, repo: &str, reference: &str) -> Reply {
    let unknown = |message| error(404, "MANIFEST_UNKNOWN", message);
    let store = state.store();
    let found = store.repos.get(repo).and_then(|held| held.manifest(reference));
    let Some(manifest) = found else { return unknown("manifest unknown") };
    let accepted: Vec<_> = call.headers.get_all("accept").iter().collect();
    let accepts = |value: &str| {
        let mut kinds = value.split(',').map(|kind| kind.split(';').next().unwrap_or("").trim());
        kinds.any(|kind| ["*/*", "application/*", &manifest.media_type].contains(&kind))
    };
    let fits = accepted.iter().any(|value| value.to_str().is_ok_and(accepts));
    if !accepted.is_empty() && !fits {
        return unknown("the Accept header does not name the manifest's media type");
    }
    let mut answer = reply(200, &manifest.media_type, manifest.bytes.clone());
    set_header(&mut answer, "content-length", &manifest.bytes.len().to_string());
    set_header(&mut answer, "docker-content-digest", &manifest.digest);
    answer
}

fn delete(state: &State, repo: &str, reference: &str) -> Reply {
    let mut store = state.store();
    let held = store.repo(repo);
    let tagged = is_digest(reference) && held.tags.values().any(|digest| digest == reference);
    if tagged && !state.config.tags_go {
        return empty(202);
    }
    if tagged && !state.config.tagged_deletes {
        return error(400, "GOOGLE_MANIFEST_DANGLING_TAG", "the manifest is still referenced by a tag");
    }
    if !is_digest(reference) && !state.config.tag_deletes {
        return error(405, "UNSUPPORTED", "tags are not deleted by name");
    }
    let found = if is_digest(reference) {
        held.tags.retain(|_, digest| digest != reference);
        held.manifests.remove(reference).is_some()
    } else {
        held.tags.remove(reference).is_some()
    };
    if found { empty(202) } else { error(404, "MANIFEST_UNKNOWN", "manifest unknown") }
}

fn put(state: &State, call: &Call, repo: &str, reference: &str, bytes: Bytes) -> Result<Reply, Reply> {
    let invalid = |message: &str| error(400, "MANIFEST_INVALID", message);
    let media_type = call.header("content-type").unwrap_or_default().to_owned();
    let manifest: Value = serde_json::from_slice(&bytes).map_err(|_| invalid("the manifest is not JSON"))?;
    if manifest.get("mediaType").is_some_and(|inner| inner != media_type.as_str()) {
        return Err(invalid("Content-Type differs from mediaType"));
    }
    if manifest["schemaVersion"] != 2 {
        return Err(invalid("schemaVersion must be 2"));
    }
    let digest = digest_of(&bytes);
    if is_digest(reference) && reference != digest {
        return Err(error(400, "DIGEST_INVALID", "the manifest does not have this digest"));
    }
    let mut store = state.store();
    match media_type.as_str() {
        OCI_MANIFEST | DOCKER_MANIFEST => check_image(state, &store, repo, &manifest)?,
        OCI_INDEX | DOCKER_LIST => check_index(state, &store, repo, &manifest)?,
        _ => return Err(invalid("unknown manifest media type")),
    }
    let subject = manifest.pointer("/subject/digest").and_then(Value::as_str);
    if manifest.get("subject").is_some() && !subject.is_some_and(is_digest) {
        return Err(invalid("subject is not a descriptor"));
    }
    let mut answer = empty(201);
    set_header(&mut answer, "location", &format!("/v2/{repo}/manifests/{digest}"));
    set_header(&mut answer, "docker-content-digest", &digest);
    if let Some(subject) = subject.filter(|_| state.config.referrers) {
        set_header(&mut answer, "oci-subject", subject);
    }
    if let Some(held) = store.repos.get(repo).and_then(|held| held.tags.get(reference)) {
        let refused = match state.config.fixed_tags {
            FixedTags::No => false,
            FixedTags::RefuseOther => *held != digest,
            FixedTags::RefuseAll => true,
        };
        if refused {
            return Err(error(400, "TAG_INVALID", "the tag is immutable and in use"));
        }
    }
    store.put_manifest(repo, reference, StoredManifest { digest, media_type, bytes });
    Ok(answer)
}

/// Digest, size and media type of a well-formed descriptor.
fn descriptor(value: &Value) -> Result<(&str, u64, &str), Reply> {
    let invalid = |what: &str| error(400, "MANIFEST_INVALID", &format!("{what} in {value}"));
    let digest = value["digest"].as_str().filter(|text| is_digest(text));
    let media_type = value["mediaType"].as_str().filter(|text| text.contains('/'));
    Ok((
        digest.ok_or_else(|| invalid("bad digest"))?,
        value["size"].as_u64().ok_or_else(|| invalid("bad size"))?,
        media_type.ok_or_else(|| invalid("bad mediaType"))?,
    ))
}

fn check_size(held: Option<u64>, size: u64, digest: &str, status: u16) -> Result<(), Reply> {
    match held {
        None => Err(error(status, "MANIFEST_BLOB_UNKNOWN", &format!("{digest} is unknown"))),
        Some(held) if held != size => {
            let message = format!("{digest} has {held} bytes, the descriptor says {size}");
            Err(error(400, "MANIFEST_INVALID", &message))
        }
        Some(_) => Ok(()),
    }
}

fn check_image(state: &State, store: &Store, repo: &str, manifest: &Value) -> Result<(), Reply> {
    let invalid = |message: &str| error(400, "MANIFEST_INVALID", message);
    let layers = manifest["layers"].as_array().ok_or_else(|| invalid("no layers"))?;
    let config = descriptor(&manifest["config"])?;
    let mut all = vec![config];
    for layer in layers {
        all.push(descriptor(layer)?);
    }
    for (digest, size, _) in &all {
        let held = store.blob(repo, digest).map(|blob| blob.len);
        check_size(held, *size, digest, state.config.missing_blob_status)?;
    }
    if config.2 == OCI_EMPTY && manifest["artifactType"].as_str().is_none_or(str::is_empty) {
        return Err(invalid("an empty config needs an artifactType"));
    }
    if state.config.check_images && [OCI_CONFIG, DOCKER_CONFIG].contains(&config.2) {
        let bytes = store.blob(repo, config.0).and_then(|blob| blob.bytes.as_ref());
        check_config(bytes.map_or(&[], |bytes| &bytes[..]), &all[1..]).map_err(|message| invalid(&message))?;
    }
    Ok(())
}

/// Checks an image config against its layers.
fn check_config(config: &[u8], layers: &[(&str, u64, &str)]) -> Result<(), String> {
    let config: Value = serde_json::from_slice(config).map_err(|_| "the image config is not JSON")?;
    for field in ["architecture", "os"] {
        if config[field].as_str().is_none_or(str::is_empty) {
            return Err(format!("the image config has no {field}"));
        }
    }
    if config.pointer("/rootfs/type") != Some(&json!("layers")) {
        return Err("rootfs.type must be \"layers\"".to_owned());
    }
    let diff_ids = config.pointer("/rootfs/diff_ids").and_then(Value::as_array);
    let diff_ids = diff_ids.ok_or("the image config has no diff_ids")?;
    if diff_ids.len() != layers.len() {
        let (ids, count) = (diff_ids.len(), layers.len());
        return Err(format!("{ids} diff_ids for {count} layers"));
    }
    for (diff_id, (digest, _, media_type)) in diff_ids.iter().zip(layers) {
        if !diff_id.as_str().is_some_and(is_digest) {
            return Err(format!("diff_id {diff_id} is not a digest"));
        }
        if *media_type == OCI_TAR && diff_id != digest {
            return Err(format!("plain tar layer {digest} has diff_id {diff_id}"));
        }
    }
    Ok(())
}

fn check_index(state: &State, store: &Store, repo: &str, index: &Value) -> Result<(), Reply> {
    let children = index["manifests"].as_array();
    let children = children.ok_or_else(|| error(400, "MANIFEST_INVALID", "no manifests in the index"))?;
    for child in children {
        let (digest, size, _) = descriptor(child)?;
        let held = store.repos.get(repo).and_then(|held| held.manifests.get(digest));
        let held = held.map(|manifest| manifest.bytes.len() as u64);
        check_size(held, size, digest, state.config.missing_blob_status)?;
    }
    Ok(())
}

/// `/v2/<repo>/tags/list`.
pub(super) fn tags(state: &State, call: &Call, repo: &str, tail: &str) -> Reply {
    if tail != "list" || call.method != Method::GET {
        return error(404, "UNSUPPORTED", "no such endpoint");
    }
    let store = state.store();
    let Some(held) = store.repos.get(repo) else {
        return error(404, "NAME_UNKNOWN", "repository unknown");
    };
    let last = call.query.get("last").unwrap_or_default();
    let limit = call.query.get("n").and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
    let rest: Vec<_> = held.tags.keys().filter(|tag| tag.as_str() > last).collect();
    let page: Vec<_> = rest.iter().take(limit).collect();
    let body = json!({"name": repo, "tags": page}).to_string();
    let mut answer = reply(200, "application/json", body);
    if let Some(end) = page.last().filter(|_| page.len() < rest.len()) {
        let link = format!("</v2/{repo}/tags/list?n={limit}&last={end}>; rel=\"next\"");
        set_header(&mut answer, "link", &link);
    }
    answer
}

/// `/v2/<repo>/referrers/<digest>`.
pub(super) fn referrers(state: &State, call: &Call, repo: &str, digest: &str) -> Reply {
    if !state.config.referrers || call.method != Method::GET {
        return error(404, "UNSUPPORTED", "no referrers API");
    }
    if !is_digest(digest) {
        return error(400, "DIGEST_INVALID", "malformed digest");
    }
    let wanted = call.query.get("artifactType");
    let store = state.store();
    let manifests = store.repos.get(repo).into_iter().flat_map(|held| held.manifests.values());
    let found = manifests.filter_map(|held| {
        let manifest: Value = serde_json::from_slice(&held.bytes).ok()?;
        if manifest.pointer("/subject/digest")?.as_str()? != digest {
            return None;
        }
        let config_type = manifest.pointer("/config/mediaType");
        let kind = manifest.get("artifactType").or(config_type).cloned().unwrap_or_default();
        if wanted.is_some_and(|wanted| kind != wanted) {
            return None;
        }
        let mut entry = json!({
            "mediaType": held.media_type, "digest": held.digest,
            "size": held.bytes.len(), "artifactType": kind,
        });
        if let Some(annotations) = manifest.get("annotations") {
            entry["annotations"] = annotations.clone();
        }
        Some(entry)
    });
    let found: Vec<_> = found.collect();
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found});
    let mut answer = reply(200, OCI_INDEX, index.to_string());
    if wanted.is_some() {
        set_header(&mut answer, "oci-filters-applied", "artifactType");
    }
    answer
}
