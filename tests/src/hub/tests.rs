//! Owns the tests of the fake Hub.

use std::time::Duration;

use reqwest::{Client, Response, redirect};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::content::hex;
use crate::tiny_model;

const SHARD: &str = "model-00001-of-00002.safetensors";

fn client() -> Client {
    // A second installation fails, which is fine.
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder().redirect(redirect::Policy::none()).build().unwrap()
}

async fn tiny_hub(config: HubConfig) -> (FakeHub, String) {
    let hub = FakeHub::start(config).await;
    let commit = hub.add_repo("Acme/Tiny", "main", tiny_model());
    (hub, commit)
}

async fn get(hub: &FakeHub, path: &str) -> Response {
    client().get(format!("{}{path}", hub.endpoint())).send().await.unwrap()
}

async fn json_of(hub: &FakeHub, path: &str) -> Value {
    get(hub, path).await.json().await.unwrap()
}

fn header(response: &Response, name: &str) -> String {
    response.headers()[name].to_str().unwrap().to_owned()
}

async fn cdn_url(hub: &FakeHub) -> String {
    header(&get(hub, &format!("/Acme/Tiny/resolve/main/{SHARD}")).await, "location")
}

#[tokio::test]
async fn model_information_names_every_file() {
    let (hub, commit) = tiny_hub(HubConfig::default()).await;
    let info = json_of(&hub, "/api/models/Acme/Tiny/revision/main?blobs=true").await;
    assert_eq!(info["sha"], commit.as_str());
    assert_eq!(info["cardData"]["license"], "apache-2.0");
    assert_eq!(info["library_name"], "transformers");
    let siblings = info["siblings"].as_array().unwrap();
    assert_eq!(siblings.len(), tiny_model().paths().len());
    let shard = siblings.iter().find(|entry| entry["rfilename"] == SHARD).unwrap();
    assert_eq!(shard["lfs"]["sha256"], tiny_model().get(SHARD).unwrap().sha256());
    assert!(shard["blobId"].as_str().unwrap().len() == 40);
    let narrow = json_of(&hub, "/api/models/Acme/Tiny?expand=sha").await;
    assert_eq!(narrow.as_object().unwrap().len(), 3);
}

#[tokio::test]
async fn listing_is_paged_by_absolute_links() {
    let config = HubConfig { page_size: 3, ..HubConfig::default() };
    let (hub, _) = tiny_hub(config).await;
    hub.add_repo("Acme/Tiny", "feature/x", tiny_model());
    let mut url = format!("{}/api/models/Acme/Tiny/tree/feature%2Fx?recursive=true", hub.endpoint());
    let mut paths = Vec::new();
    loop {
        let page = client().get(&url).send().await.unwrap();
        let link = page.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        let entries: Value = page.json().await.unwrap();
        paths.extend(entries.as_array().unwrap().clone());
        let Some(link) = link else { break };
        url = link.strip_prefix('<').unwrap().split_once('>').unwrap().0.to_owned();
    }
    let files: Vec<_> = paths.iter().filter(|entry| entry["type"] == "file").collect();
    assert_eq!(files.len(), tiny_model().paths().len());
    assert!(paths.iter().any(|entry| entry["path"] == "1_Pooling" && entry["type"] == "directory"));
    let folder = json_of(&hub, "/api/models/Acme/Tiny/tree/main/1_Pooling").await;
    assert_eq!(folder[0]["path"], "1_Pooling/config.json");
}

#[tokio::test]
async fn paths_info_answers_only_what_exists() {
    let (hub, _) = tiny_hub(HubConfig::default()).await;
    let url = format!("{}/api/models/Acme/Tiny/paths-info/main", hub.endpoint());
    let body = json!({"paths": ["config.json", "absent", "1_Pooling"]}).to_string();
    let answer: Value = client().post(url).body(body).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn git_files_come_from_the_hub_with_ranges() {
    let (hub, commit) = tiny_hub(HubConfig::default()).await;
    let url = format!("{}/Acme/Tiny/resolve/main/README.md", hub.endpoint());
    let head = client().head(&url).send().await.unwrap();
    let readme = tiny_model().get("README.md").unwrap().clone();
    assert_eq!(header(&head, "etag"), format!("\"{}\"", readme.git_oid()));
    assert_eq!(header(&head, "x-repo-commit"), commit);
    assert_eq!(header(&head, "content-length"), readme.size().to_string());
    let part = client().get(&url).header("range", "bytes=4-10").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.text().await.unwrap(), "license");
}

#[tokio::test]
async fn lfs_files_come_from_the_cdn() {
    let (hub, _) = tiny_hub(HubConfig::default()).await;
    let redirect = get(&hub, &format!("/Acme/Tiny/resolve/main/{SHARD}")).await;
    let shard = tiny_model().get(SHARD).unwrap().clone();
    assert_eq!(redirect.status(), 302);
    assert_eq!(header(&redirect, "x-linked-etag"), format!("\"{}\"", shard.sha256()));
    assert_eq!(header(&redirect, "x-linked-size"), shard.size().to_string());
    let url = header(&redirect, "location");
    assert!(url.starts_with(&hub.cdn_endpoint()));
    let body = client().get(&url).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(hex(&Sha256::digest(&body)), shard.sha256());
    let part = client().get(&url).header("range", "bytes=10-").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.unwrap(), body.slice(10..));
    let last = hub.requests().pop().unwrap();
    assert_eq!((last.server, last.status), (HubServer::Cdn, 206));
    assert_eq!(last.body_bytes_sent, shard.size() - 10);
}

#[tokio::test]
async fn cdn_refuses_tokens_heads_and_forged_urls() {
    let (hub, _) = tiny_hub(HubConfig::default()).await;
    let url = cdn_url(&hub).await;
    let leaked = client().get(&url).bearer_auth("secret").send().await.unwrap();
    assert_eq!(leaked.status(), 400);
    assert_eq!(client().head(&url).send().await.unwrap().status(), 403);
    let forged = url.replace("Signature=", "Signature=0");
    assert_eq!(client().get(forged).send().await.unwrap().status(), 403);
    assert_eq!(client().get(&url).send().await.unwrap().status(), 200);
    hub.expire_urls();
    assert_eq!(client().get(&url).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn urls_expire_after_their_uses() {
    let config = HubConfig { url_max_uses: Some(1), ..HubConfig::default() };
    let (hub, _) = tiny_hub(config).await;
    let url = cdn_url(&hub).await;
    assert_eq!(client().get(&url).send().await.unwrap().status(), 200);
    assert_eq!(client().get(&url).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn wrong_case_and_old_names_redirect_relatively() {
    let (hub, _) = tiny_hub(HubConfig::default()).await;
    hub.add_alias("old/name", "Acme/Tiny");
    for id in ["acme/tiny", "old/name"] {
        let moved = get(&hub, &format!("/{id}/resolve/main/config.json?x=1")).await;
        assert_eq!(moved.status(), 307);
        assert_eq!(header(&moved, "location"), "/Acme/Tiny/resolve/main/config.json?x=1");
    }
}

#[tokio::test]
async fn refusals_carry_the_hubs_error_codes() {
    let config = HubConfig { tokens: vec!["in".into(), "out".into()], ..HubConfig::default() };
    let (hub, _) = tiny_hub(config).await;
    hub.add_repo("acme/gated", "main", tiny_model());
    let options = RepoOptions { gated: Some("auto".into()), granted: vec!["in".into()], ..RepoOptions::default() };
    hub.configure_repo("acme/gated", options);
    let file = "resolve/main/config.json";
    for (path, token, status, code) in [
        ("/acme/none/resolve/main/config.json", None, 401, "RepoNotFound"),
        ("/acme/none/resolve/main/config.json", Some("in"), 404, "RepoNotFound"),
        ("/Acme/Tiny/resolve/nope/config.json", None, 404, "RevisionNotFound"),
        ("/Acme/Tiny/resolve/main/nope", None, 404, "EntryNotFound"),
        (&format!("/acme/gated/{file}"), None, 401, "GatedRepo"),
        (&format!("/acme/gated/{file}"), Some("out"), 403, "GatedRepo"),
        (&format!("/acme/gated/{file}"), Some("in"), 200, ""),
        (&format!("/Acme/Tiny/{file}"), Some("wrong"), 401, ""),
    ] {
        let mut request = client().get(format!("{}{path}", hub.endpoint()));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{path} {token:?}");
        let given = answer.headers().get("x-error-code").map_or("", |v| v.to_str().unwrap());
        assert_eq!(given, code, "{path} {token:?}");
    }
}

#[tokio::test]
async fn odd_names_are_percent_decoded() {
    let (hub, _) = tiny_hub(HubConfig::default()).await;
    let tree = tiny_model().file("sub dir/tok#1.bin", "x").lfs("sub dir/ü%.bin", "y");
    hub.add_repo("acme/odd", "main", tree);
    let plain = get(&hub, "/acme/odd/resolve/main/sub%20dir/tok%231.bin").await;
    assert_eq!(plain.text().await.unwrap(), "x");
    let redirect = get(&hub, "/acme/odd/resolve/main/sub%20dir/%C3%BC%25.bin").await;
    let stored = client().get(header(&redirect, "location")).send().await.unwrap();
    assert_eq!(stored.text().await.unwrap(), "y");
}

#[tokio::test]
async fn scripted_faults_break_bodies() {
    let (hub, _) = tiny_hub(HubConfig::default()).await;
    let truth = tiny_model().get(SHARD).unwrap().content.bytes(0, u64::MAX);
    let url = cdn_url(&hub).await;
    let rule = |action| FaultRule::new(SHARD, action).server("cdn").times(1);

    hub.fault(rule(HubAction::Truncate { after_bytes: 1000 }));
    let mut cut = client().get(&url).send().await.unwrap();
    let mut got = 0;
    let broken = loop {
        match cut.chunk().await {
            Ok(Some(chunk)) => got += chunk.len(),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken);
    assert_eq!(got, 1000);

    hub.fault(rule(HubAction::Corrupt { at: 50_000 }));
    let body = client().get(&url).header("range", "bytes=100-").send().await.unwrap();
    let body = body.bytes().await.unwrap();
    let wrong: Vec<_> = (0..body.len()).filter(|at| body[*at] != truth[at + 100]).collect();
    assert_eq!(wrong, [49_900]);

    hub.fault(rule(HubAction::IgnoreRange));
    let whole = client().get(&url).header("range", "bytes=100-").send().await.unwrap();
    assert_eq!(whole.status(), 200);
    assert_eq!(whole.bytes().await.unwrap(), truth);

    hub.fault(rule(HubAction::ShortRange { most: 7 }));
    let short = client().get(&url).header("range", "bytes=100-199").send().await.unwrap();
    assert_eq!(header(&short, "content-range"), format!("bytes 100-106/{}", truth.len()));
    assert_eq!(short.bytes().await.unwrap(), truth.slice(100..107));

    hub.fault(rule(HubAction::Stall { at: 10, pause: Duration::from_millis(80) }));
    hub.set_throttle(Some(1_000_000));
    let started = std::time::Instant::now();
    assert_eq!(client().get(&url).send().await.unwrap().bytes().await.unwrap(), truth);
    assert!(started.elapsed() >= Duration::from_millis(80));

    hub.fault(FaultRule::new("/api/", HubAction::Hangup).times(1));
    let dropped = client().get(format!("{}/api/models/Acme/Tiny", hub.endpoint())).send().await;
    assert!(dropped.is_err());
    hub.fault(FaultRule::new("/tree/", HubAction::ListingOverride(json!([{"path": "../x"}]))));
    assert_eq!(json_of(&hub, "/api/models/Acme/Tiny/tree/main").await[0]["path"], "../x");
}
