//! Owns the tests of the fake registry.

use reqwest::{Client, RequestBuilder, Response, redirect};
use serde_json::{Value, json};

use super::*;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn client() -> Client {
    // A second installation fails, which is fine.
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder().redirect(redirect::Policy::none()).build().unwrap()
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.unwrap()
}

fn url(registry: &FakeRegistry, path: &str) -> String {
    format!("http://{}{path}", registry.host())
}

fn header(response: &Response, name: &str) -> String {
    response.headers()[name].to_str().unwrap().to_owned()
}

fn location(registry: &FakeRegistry, response: &Response) -> String {
    let location = header(response, "location");
    if location.starts_with('/') { url(registry, &location) } else { location }
}

fn with_digest(location: &str, digest: &str) -> String {
    let sign = if location.contains('?') { '&' } else { '?' };
    format!("{location}{sign}digest={digest}")
}

async fn open(registry: &FakeRegistry) -> String {
    let answer = send(client().post(url(registry, "/v2/acme/tiny/blobs/uploads/"))).await;
    assert_eq!(answer.status(), 202);
    location(registry, &answer)
}

async fn error_code(response: Response) -> String {
    let body: Value = response.json().await.unwrap();
    body["errors"][0]["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn streamed_upload_works_in_every_location_style() {
    let digest = digest_of(b"hello world");
    for location_style in [
        LocationStyle::Relative,
        LocationStyle::Absolute,
        LocationStyle::RelativeWithQuery,
        LocationStyle::AbsoluteWithQuery,
    ] {
        let config = RegistryConfig { location: location_style, location_padding: 20_000, ..RegistryConfig::default() };
        let registry = FakeRegistry::start(config).await;
        let first = open(&registry).await;
        let patched = send(client().patch(&first).body("hello world")).await;
        assert_eq!(patched.status(), 202);
        assert_eq!(header(&patched, "range"), "0-10");
        let stale = send(client().put(with_digest(&first, &digest))).await;
        assert_eq!(stale.status(), 416);
        let newest = location(&registry, &patched);
        let done = send(client().put(with_digest(&newest, &digest))).await;
        assert_eq!(done.status(), 201);
        assert_eq!(registry.blob("acme/tiny", &digest).unwrap(), "hello world");
        assert!(registry.open_sessions().is_empty());
        let patch = registry.requests().into_iter().find(|r| r.method == "PATCH").unwrap();
        assert_eq!(patch.content_length, Some(11));
        assert!(patch.body_complete && !patch.chunked);
    }
}

#[tokio::test]
async fn wrong_digests_are_refused() {
    let registry = FakeRegistry::start(RegistryConfig::default()).await;
    for (digest, sessions) in [("sha256:12".to_owned(), 1), (digest_of(b"other"), 1)] {
        let put = client().put(with_digest(&open(&registry).await, &digest)).body("hello");
        let refused = send(put).await;
        assert_eq!(refused.status(), 400);
        assert_eq!(error_code(refused).await, "DIGEST_INVALID");
        assert_eq!(registry.open_sessions().len(), sessions);
    }
    assert!(registry.blobs().is_empty());
}

#[tokio::test]
async fn chunks_must_come_in_order() {
    let registry = FakeRegistry::start(RegistryConfig::default()).await;
    let mut next = open(&registry).await;
    for (range, body, status) in [
        ("0-4", "hello", 202),
        ("6-9", "worl", 416),
        ("bytes 5-9", "world", 416),
        ("5-8", "world", 400),
        ("5-9", "world", 202),
    ] {
        let patch = client().patch(&next).header("content-range", range).body(body);
        let answer = send(patch).await;
        assert_eq!(answer.status(), status, "{range}");
        if status == 202 {
            next = location(&registry, &answer);
        }
    }
    let digest = digest_of(b"helloworld");
    assert_eq!(send(client().put(with_digest(&next, &digest))).await.status(), 201);
}

#[tokio::test]
async fn a_broken_patch_keeps_what_the_policy_says() {
    for (policy, range) in [
        (BrokenPatch::KeepBytes, Some("0-3")),
        (BrokenPatch::Rollback, Some("0-0")),
        (BrokenPatch::DeleteSession, None),
    ] {
        let config = RegistryConfig { broken_patch: policy, ..RegistryConfig::default() };
        let registry = FakeRegistry::start(config).await;
        let first = open(&registry).await;
        let drop = RegistryAction::DropConnection { after_body_bytes: 4 };
        registry.fault(FaultRule::new("/uploads/", drop).method("PATCH").times(1));
        assert!(client().patch(&first).body("hello").send().await.is_err());
        assert_ne!(send(client().patch(&first).body("hello")).await.status(), 202);
        let status = send(client().get(&first)).await;
        let Some(range) = range else {
            assert_eq!(status.status(), 404);
            continue;
        };
        assert_eq!(header(&status, "range"), range);
        let rest = if policy == BrokenPatch::KeepBytes { "o" } else { "hello" };
        let put = with_digest(&location(&registry, &status), &digest_of(b"hello"));
        assert_eq!(send(client().put(put).body(rest)).await.status(), 201);
    }
}

#[tokio::test]
async fn manifests_need_their_blobs_and_true_sizes() {
    let registry = FakeRegistry::start(RegistryConfig::default()).await;
    let base = registry.add_single_platform_image("acme/tiny", "base", "linux/amd64");
    let good = registry.manifest("acme/tiny", &base).unwrap();
    let put = |repo: &str, reference: &str, kind: &str, body: Vec<u8>| {
        let path = format!("/v2/{repo}/manifests/{reference}");
        let request = client().put(url(&registry, &path)).header("content-type", kind);
        send(request.body(body))
    };
    let bytes = good.bytes.to_vec();
    assert_eq!(put("acme/tiny", "v1", MANIFEST, bytes.clone()).await.status(), 201);
    assert_eq!(registry.manifest("acme/tiny", "v1").unwrap().digest, base);
    assert_eq!(put("acme/tiny", &base, MANIFEST, bytes.clone()).await.status(), 201);
    assert_eq!(put("acme/tiny", "v1", "application/json", bytes.clone()).await.status(), 400);
    assert_eq!(put("acme/tiny", "-bad", MANIFEST, bytes.clone()).await.status(), 400);
    let other = digest_of(b"other");
    assert_eq!(put("acme/tiny", &other, MANIFEST, bytes.clone()).await.status(), 400);
    let missing = put("acme/elsewhere", "v1", MANIFEST, bytes.clone()).await;
    assert_eq!(missing.status(), 404);
    assert_eq!(error_code(missing).await, "MANIFEST_BLOB_UNKNOWN");
    let mut wrong: Value = serde_json::from_slice(&bytes).unwrap();
    wrong["layers"][0]["size"] = json!(1);
    assert_eq!(put("acme/tiny", "v1", MANIFEST, wrong.to_string().into()).await.status(), 400);
    wrong["layers"] = json!([]);
    assert_eq!(put("acme/tiny", "v1", MANIFEST, wrong.to_string().into()).await.status(), 400);
}

#[tokio::test]
async fn base_images_can_be_pulled_and_mounted() {
    let config = RegistryConfig { redirect_blobs: true, ..RegistryConfig::default() };
    let registry = FakeRegistry::start(config).await;
    let index = registry.add_base_image("lib/base", "1", &["linux/amd64", "linux/arm64/v8"]);
    let path = url(&registry, "/v2/lib/base/manifests/1");
    let unaccepted = send(client().get(&path).header("accept", MANIFEST)).await;
    assert_eq!(unaccepted.status(), 404);
    let answer = send(client().get(&path)).await;
    assert_eq!(header(&answer, "docker-content-digest"), index);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["manifests"][1]["platform"]["variant"], "v8");
    let child = body["manifests"][0]["digest"].as_str().unwrap();
    let manifest = registry.manifest("lib/base", child).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest.bytes).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();

    let moved = send(client().get(url(&registry, &format!("/v2/lib/base/blobs/{layer}")))).await;
    assert_eq!(moved.status(), 307);
    let storage = header(&moved, "location");
    assert_eq!(send(client().get(&storage).bearer_auth("leak")).await.status(), 400);
    let bytes = send(client().get(&storage)).await.bytes().await.unwrap();
    assert_eq!(digest_of(&bytes), layer);

    let mount = format!("/v2/acme/tiny/blobs/uploads/?mount={layer}&from=lib/base");
    assert_eq!(send(client().post(url(&registry, &mount))).await.status(), 201);
    assert!(registry.blob("acme/tiny", layer).is_some());
    let head = send(client().head(url(&registry, &format!("/v2/acme/tiny/blobs/{layer}")))).await;
    assert_eq!(header(&head, "content-length"), bytes.len().to_string());
}

#[tokio::test]
async fn bearer_tokens_are_scoped_and_revocable() {
    let config = RegistryConfig { auth: Auth::bearer("me", "pw"), ..RegistryConfig::default() };
    let registry = FakeRegistry::start(config).await;
    let upload = url(&registry, "/v2/acme/tiny/blobs/uploads/");
    let challenge = send(client().post(&upload)).await;
    assert_eq!(challenge.status(), 401);
    let text = header(&challenge, "www-authenticate");
    assert!(text.contains("scope=\"repository:acme/tiny:pull,push\""), "{text}");
    let ask = |scope: &str, password: &str| {
        let path = format!("/token?service=fake-registry&scope=repository:{scope}");
        send(client().get(url(&registry, &path)).basic_auth("me", Some(password.to_owned())))
    };
    assert_eq!(ask("acme/tiny:pull", "wrong").await.status(), 401);
    for (scope, status) in [("acme/tiny:pull", 401), ("other:push", 401), ("acme/tiny:push", 202)] {
        let body: Value = ask(scope, "pw").await.json().await.unwrap();
        let token = body["token"].as_str().unwrap();
        assert_eq!(send(client().post(&upload).bearer_auth(token)).await.status(), status);
        registry.revoke_tokens();
        assert_eq!(send(client().post(&upload).bearer_auth(token)).await.status(), 401);
    }
}

#[tokio::test]
async fn basic_credentials_are_checked() {
    let config = RegistryConfig { auth: Auth::basic("me", "pw"), ..RegistryConfig::default() };
    let registry = FakeRegistry::start(config).await;
    let ping = url(&registry, "/v2/");
    assert_eq!(send(client().get(&ping)).await.status(), 401);
    let signed = client().get(&ping).basic_auth("me", Some("pw"));
    assert_eq!(send(signed).await.status(), 200);
}

#[tokio::test]
async fn lost_replies_and_lies_are_scripted() {
    let registry = FakeRegistry::start(RegistryConfig::default()).await;
    let digest = digest_of(b"hello");
    let path = url(&registry, &format!("/v2/acme/tiny/blobs/{digest}"));
    registry.fault(FaultRule::new("", RegistryAction::LieHead200 { len: 5 }).method("HEAD").times(1));
    assert_eq!(send(client().head(&path)).await.status(), 200);
    assert_eq!(send(client().head(&path)).await.status(), 404);
    let target = with_digest(&open(&registry).await, &digest);
    registry.fault(FaultRule::new("", RegistryAction::LostReply).method("PUT").times(1));
    assert!(client().put(target).body("hello").send().await.is_err());
    assert_eq!(send(client().head(&path)).await.status(), 200);
    registry.fault(FaultRule::new("", RegistryAction::error(429, "TOOMANYREQUESTS")).times(1));
    assert_eq!(error_code(send(client().get(&path)).await).await, "TOOMANYREQUESTS");
}

#[tokio::test]
async fn count_storage_hashes_but_forgets_large_blobs() {
    for (storage, status) in [(Storage::Count, 400), (Storage::CountNoHash, 201)] {
        let config = RegistryConfig { storage, ..RegistryConfig::default() };
        let registry = FakeRegistry::start(config).await;
        let large = vec![7; 2 << 20];
        let digest = digest_of(&large);
        let put = with_digest(&open(&registry).await, &digest);
        assert_eq!(send(client().put(put).body(large.clone())).await.status(), 201);
        assert!(registry.blob("acme/tiny", &digest).is_none());
        assert_eq!(registry.blobs()[0].2, 2 << 20);
        let put = with_digest(&open(&registry).await, &digest_of(b"other"));
        assert_eq!(send(client().put(put).body(large)).await.status(), status);
        assert_eq!(registry.bytes_received(), 4 << 20);
    }
}

#[tokio::test]
async fn tags_are_paged_and_subjects_are_found() {
    let registry = FakeRegistry::start(RegistryConfig::default()).await;
    for tag in ["a", "b", "c"] {
        registry.add_single_platform_image("acme/tiny", tag, "linux/amd64");
    }
    let page = send(client().get(url(&registry, "/v2/acme/tiny/tags/list?n=2"))).await;
    assert!(header(&page, "link").contains("last=b"));
    let subject = registry.manifest("acme/tiny", "a").unwrap();
    let empty = registry.add_blob("acme/tiny", "{}");
    let descriptor = json!({
        "mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2,
    });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x.test",
        "config": descriptor, "layers": [descriptor],
        "subject": {"mediaType": MANIFEST, "digest": subject.digest, "size": subject.bytes.len()},
    });
    let body = manifest.to_string();
    let target = url(&registry, &format!("/v2/acme/tiny/manifests/{}", digest_of(body.as_bytes())));
    let put = send(client().put(target).header("content-type", MANIFEST).body(body)).await;
    assert_eq!(put.status(), 201);
    assert_eq!(header(&put, "oci-subject"), subject.digest);
    let path = format!("/v2/acme/tiny/referrers/{}", subject.digest);
    let found: Value = send(client().get(url(&registry, &path))).await.json().await.unwrap();
    assert_eq!(found["manifests"][0]["artifactType"], "application/x.test");
}
