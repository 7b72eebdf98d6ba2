//! Registries as they are met in the field: foreign documents at tags, and registries that refuse a part of the protocol.

use modelcar_testkit::{Auth, FakeRegistry, FaultRule, RegistryAction, RegistryConfig, Storage, synthetic_model};
use serde_json::{Value, json};

use super::{Env, MODEL, text};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

fn descriptor(media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{}", "ab".repeat(32)), "size": 2})
}

/// Manifests that are no image of modelcar's, each with its media type: what others keep beside images.
fn foreign() -> Vec<(&'static str, &'static str, Value)> {
    let manifest = |config: &str, layers: Value| json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(config), "layers": layers});
    let empty = "application/vnd.oci.empty.v1+json";
    let mut artifact = manifest(empty, json!([descriptor(empty)]));
    artifact["artifactType"] = json!("application/spdx+json");
    let index = |manifests: Value| json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let list = "application/vnd.docker.distribution.manifest.list.v2+json";
    let image = "application/vnd.oci.image.config.v1+json";
    let signature = json!([descriptor("application/vnd.dev.cosign.simplesigning.v1+json")]);
    let chart = json!([descriptor("application/vnd.cncf.helm.chart.content.v1.tar+gzip")]);
    let large = Value::Array((0..20_000).map(|_| descriptor(MANIFEST)).collect());
    vec![
        ("chart", MANIFEST, manifest("application/vnd.cncf.helm.config.v1+json", chart)),
        ("signature", MANIFEST, manifest(image, signature)),
        ("artifact", MANIFEST, artifact),
        ("artifact-without-layers", MANIFEST, manifest(empty, Value::Null)),
        ("nested", INDEX, index(json!([descriptor(INDEX)]))),
        ("list", list, json!({"schemaVersion": 2, "mediaType": list, "manifests": [descriptor(MANIFEST)]})),
        ("large", INDEX, index(large)),
        ("schema-1", SCHEMA_1, json!({"schemaVersion": 1, "name": "a", "fsLayers": [], "signatures": []})),
    ]
}

#[test]
fn what_others_keep_at_a_tag_is_replaced_and_is_nothing_to_reuse() {
    let env = Env::new();
    let bytes_sent = || env.registry.requests().iter().filter(|request| request.method == "PATCH").count();
    for (name, media_type, document) in foreign() {
        let repository = format!("acme/{name}");
        env.registry.add_manifest(&repository, "v1", media_type, document.to_string());
        let image = env.image(&format!("{repository}:v1"));

        // Doctor, inspect and lint say what is there and end by themselves.
        for command in [&["doctor", &image][..], &["inspect", &image], &["inspect", "--lint", &image]] {
            let output = env.run(command);
            let stderr = text(&output.stderr);
            assert!(output.status.code().is_some_and(|code| code <= 2), "{name}: {command:?}: {stderr}");
            assert!(!stderr.contains("panicked"), "{name}: {command:?}: {stderr}");
        }

        // An image to reuse has no layer of the model, which is no failure.
        env.registry.clear_requests();
        let fresh = env.image(&format!("fresh/{name}:v1"));
        let args =
            ["push", MODEL, &fresh, "--base", "scratch", "--no-cache", "--no-checkpoint", "--reuse-from", &image];
        let reused = env.run(&args);
        assert!(reused.status.success(), "{name}: {}", text(&reused.stderr));
        assert!(bytes_sent() > 0, "{name}: nothing was sent");

        let pushed = env.run(&["push", MODEL, &image, "--base", "scratch", "--no-cache", "--no-checkpoint"]);
        assert!(pushed.status.success(), "{name}: {}", text(&pushed.stderr));
        let digest = text(&pushed.stdout).trim().rsplit_once('@').unwrap().1.to_owned();
        assert_eq!(env.registry.manifest(&repository, "v1").unwrap().digest, digest, "{name}");
    }
}

#[test]
fn an_image_of_docker_schema_1_is_named_as_such() {
    let env = Env::new();
    let headers = vec![("content-type".to_owned(), SCHEMA_1.to_owned())];
    let answer = RegistryAction::Status { code: 200, headers, body: r#"{"schemaVersion": 1}"#.to_owned() };
    // Whatever was asked for, as registries do that keep such images.
    env.registry.fault(FaultRule::new("/v2/acme/old/manifests/v1", answer).method("GET").times(4));
    let image = env.image("acme/old:v1");
    for command in [&["inspect", &image][..], &["inspect", "--lint", &image]] {
        let output = env.run(command);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("Docker schema 1") && stderr.contains("hint: "), "{stderr}");
    }
    let pushed = env.run(&["push", MODEL, &image, "--base", "scratch"]);
    let stderr = text(&pushed.stderr);
    assert!(pushed.status.success() && stderr.contains("warning: "), "{stderr}");
}

#[test]
fn a_tag_that_can_not_be_read_is_no_reason_not_to_push() {
    for status in [400, 500] {
        let env = Env::new();
        env.registry.fault(FaultRule::new("/manifests/v1", RegistryAction::status(status)).method("GET").times(5));
        let pushed = env.run(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"]);
        let stderr = text(&pushed.stderr);
        assert!(pushed.status.success(), "{stderr}");
        assert!(stderr.contains(&format!("status {status}")), "{stderr}");
        assert!(stderr.contains("warning: can't look for reusable layers"), "{stderr}");
    }
}

/// GitLab's registry refuses manifests with an `artifactType`, which checkpoints are (ocx#480).
#[test]
fn a_registry_that_refuses_checkpoints_gets_the_image_and_one_warning() {
    for status in [400, 403, 404] {
        let mut env = Env::new();
        env.hub.add_repo(MODEL, "main", synthetic_model(2, 70 << 20));
        env.registry =
            FakeRegistry::start_blocking(RegistryConfig { storage: Storage::Count, ..RegistryConfig::default() });
        let refused = RegistryAction::error(status, "MANIFEST_INVALID");
        env.registry.fault(FaultRule::new("/manifests/modelcar-part", refused).method("PUT"));
        let pushed = env.run(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"]);
        let stderr = text(&pushed.stderr);
        assert!(pushed.status.success(), "{stderr}");
        let warnings: Vec<&str> = stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert!(matches!(warnings.as_slice(), [one] if one.contains("checkpoint")), "{status}: {stderr}");
        assert!(stderr.contains("MANIFEST_INVALID"), "{status}: {stderr}");
    }
}

/// As in Go's programs, a proxy is for other machines. The proxy here is no proxy, so that what passes it fails.
#[test]
fn a_registry_on_this_machine_is_asked_without_a_proxy() {
    let env = Env::new();
    let mut push = env.command(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"]);
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        push.env(variable, "http://127.0.0.1:9");
    }
    for variable in ["NO_PROXY", "no_proxy"] {
        push.env_remove(variable);
    }
    let pushed = push.output().unwrap();
    assert!(pushed.status.success(), "{}", text(&pushed.stderr));
}

#[test]
fn a_redirect_of_an_upload_to_https_on_this_machine_says_what_to_write() {
    let env = Env::new();
    let location = ("location".to_owned(), "https://localhost:9/v2/a/b/blobs/uploads/".to_owned());
    let moved = RegistryAction::Status { code: 308, headers: vec![location], body: String::new() };
    env.registry.fault(FaultRule::new("/blobs/uploads/", moved).method("POST"));
    let pushed = env.run(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"]);
    let stderr = text(&pushed.stderr);
    assert_eq!(pushed.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("308") && stderr.contains("hint: "), "{stderr}");
}

#[test]
fn a_password_may_have_any_letters() {
    let password = "pässwörd: ключ";
    let auth = Auth::bearer("robot", password);
    let env = Env::with_registry(RegistryConfig { auth, ..RegistryConfig::default() });
    env.log_in("robot", password);
    let pushed = env.run(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"]);
    assert!(pushed.status.success(), "{}", text(&pushed.stderr));
}

/// The image is there: what can't be told is its name.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_under_stdout_is_told_after_publishing() {
    let env = Env::new();
    let mut push = env.command(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"]);
    push.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let output = push.stderr(std::process::Stdio::piped()).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let digest = env.registry.manifest("a/b", "v1").unwrap().digest;
    assert!(stderr.contains(&digest), "{digest}: {stderr}");
}
