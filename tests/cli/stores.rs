//! Models in object stores: the same layers as from anywhere else, one first read, and no secret anywhere.

use std::time::Duration;

use super::*;
use modelcar_testkit::{
    ConnectProxy, Dialect, FakeGoogle, FakeStore, GoogleCall, PrivateCa, StoreAction, StoreConfig, TlsFront,
};

const SECRET: &str = "wJalrXUtnFEMI-never-shown";
const BEARER: &str = "ya29.never-shown";

/// A store of a dialect, with the model in `tiny`.
fn store(dialect: Dialect, login: Option<&str>) -> FakeStore {
    let login = login.map(str::to_owned);
    let store = FakeStore::start(StoreConfig { dialect, login, page_size: 2, ..StoreConfig::default() });
    store.put_model("team/tiny", &tiny_model());
    store
}

/// The command with the variables of the store.
fn command(env: &Env, store: &FakeStore, args: &[&str]) -> Command {
    let mut command = env.command(args);
    command.env("AWS_ENDPOINT_URL", store.endpoint()).env("AWS_ALLOW_HTTP", "true").env("AWS_REGION", "eu-west-1");
    command.env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE").env("AWS_SECRET_ACCESS_KEY", SECRET);
    command.env("GOOGLE_BASE_URL", store.endpoint()).env("GOOGLE_BEARER_TOKEN", BEARER);
    command
}

fn run(env: &Env, store: &FakeStore, args: &[&str]) -> Output {
    let output = command(env, store, args).output().unwrap();
    let all = text(&output.stdout) + &text(&output.stderr);
    assert!(!all.contains("never-shown"), "{args:?} shows a secret:\n{all}");
    output
}

fn answer(env: &Env, store: &FakeStore, args: &[&str]) -> String {
    let output = run(env, store, args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout).trim_end().to_owned()
}

#[test]
fn a_model_has_the_same_layers_from_the_hub_its_cache_a_directory_and_two_stores() {
    let env = Env::new();
    let (s3, gs) = (store(Dialect::S3, Some("AKIAEXAMPLE")), store(Dialect::Gcs, Some(BEARER)));
    tiny_model().write_to(&env.dir.path().join("model")).unwrap();
    env.answer(&["download", MODEL, "cache", "--layout", "hf-cache"]);
    let cache = env.dir.path().join("cache");
    let sources: [(&str, &FakeStore); 5] = [
        (MODEL, &s3),
        ("hf-cache://acme/tiny", &s3),
        ("./model", &s3),
        ("s3://models/team/tiny", &s3),
        ("gs://models/team/tiny/", &gs),
    ];
    let mut built: Vec<Vec<String>> = Vec::new();
    let mut planned: Vec<Vec<(Value, Value)>> = Vec::new();
    for (source, store) in sources {
        let args = ["build", source, "--output", "oci:image", "--base", "scratch", "--format", "json"];
        let output = command(&env, store, &args).env("HF_HUB_CACHE", &cache).output().unwrap();
        assert!(output.status.success(), "{source}: {}", text(&output.stderr));
        built.push(layers(&text(&output.stdout)));
        fs::remove_dir_all(env.dir.path().join("image")).unwrap();
        let args = ["plan", source, "--base", "scratch", "--format", "json"];
        let output = command(&env, store, &args).env("HF_HUB_CACHE", &cache).output().unwrap();
        assert!(output.status.success(), "{source}: {}", text(&output.stderr));
        let document: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
        let plan = document["lock"]["plan"]["layers"].as_array().unwrap();
        let files = plan.iter().flat_map(|layer| layer["files"].as_array().unwrap());
        planned.push(files.map(|file| (file["path"].clone(), file["size"].clone())).collect());
        if source.contains("s://") || source.starts_with("s3:") {
            assert_eq!(document["lock"]["plan"]["origin"], json!({"license": "apache-2.0"}));
        }
    }
    assert!(!built[0].is_empty() && planned[0].len() > 4, "{planned:?}");
    for (at, (source, _)) in sources.iter().enumerate() {
        assert_eq!((&built[at], &planned[at]), (&built[0], &planned[0]), "{source}");
    }
}

#[test]
fn a_store_is_read_once_for_the_plan_and_then_not_again() {
    let env = Env::new();
    let store = store(Dialect::Gcs, None);
    // Large beside what is looked at anew: the headers of the weights and the card.
    store.put_model("team/tiny", &modelcar_testkit::synthetic_model(2, 5_000_000));
    let source = "gs://models/team/tiny";
    let weights =
        |store: &FakeStore| store.requests().iter().filter(|request| request.key.ends_with(".safetensors")).count();
    answer(&env, &store, &["plan", source, "--base", "scratch", "--output", "first.json"]);
    assert!(weights(&store) > 0);
    let left_out = store.requests().iter().filter(|request| request.key.ends_with(".gitattributes")).count();
    assert_eq!(left_out, 0, "what stays out is not read");
    let (sent, first) = (store.bytes_sent(), fs::read(env.dir.path().join("first.json")).unwrap());
    answer(&env, &store, &["plan", source, "--base", "scratch", "--output", "second.json"]);
    assert!(sent > 10_000_000 && store.bytes_sent() - sent < 1_000_000, "{sent} {}", store.bytes_sent());
    assert_eq!(fs::read(env.dir.path().join("second.json")).unwrap(), first);

    // The lock file is replayed, and the push that follows finds its layers.
    let image = env.image("a/b:v1");
    let pinned = answer(&env, &store, &["push", &image, "--plan", "first.json"]);
    assert_eq!(answer(&env, &store, &["push", source, &image, "--base", "scratch"]), pinned);
    assert_eq!(run(&env, &store, &["plan", "--check", "first.json"]).status.code(), Some(0));

    store.put("team/tiny/config.json", b"{\"model_type\": \"other\"}".to_vec());
    let output = run(&env, &store, &["plan", "--check", "first.json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("config.json"), "{}", text(&output.stdout));
    let output = run(&env, &store, &["push", &image, "--plan", "first.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("`config.json` has 23 bytes"), "{}", text(&output.stderr));
}

#[test]
fn a_download_of_a_store_brings_the_files() {
    let env = Env::new();
    let store = store(Dialect::S3, None);
    answer(&env, &store, &["download", "s3://models/team/tiny", "here"]);
    for (path, file) in tiny_model().files() {
        let found = fs::read(env.dir.path().join("here").join(path)).unwrap();
        assert_eq!(modelcar_core::Digest::of(&found).hex(), file.sha256(), "{path}");
    }
}

#[test]
fn what_a_store_refuses_is_said_with_what_to_do() {
    let env = Env::new();
    for (url, dialect, action, said) in [
        ("s3://other/tiny", Dialect::S3, None, &["404 NoSuchBucket", "hint: check the name of the bucket"][..]),
        ("s3://models/none", Dialect::S3, None, &["`s3://models/none` holds no objects", "hint: name the folder"]),
        ("s3://models/team/tiny", Dialect::S3, Some((403, "AccessDenied")), &["403 AccessDenied", "s3:GetObject"]),
        ("gs://models/team/tiny", Dialect::Gcs, Some((401, "AuthenticationRequired")), &["401", "gcloud auth"]),
        ("s3://models/team/tiny", Dialect::S3, Some((400, "ExpiredToken")), &["400 ExpiredToken", "AWS_ACCESS_KEY_ID"]),
        ("s3://models/team/tiny", Dialect::S3, Some((301, "PermanentRedirect")), &["301", "hint: set AWS_REGION"]),
    ] {
        let store = store(dialect, None);
        if let Some((status, code)) = action {
            let headers = Vec::new();
            store.fault(FaultRule::new("list-type", StoreAction::Refuse { status, code, headers }));
        }
        let image = env.image("a/b:v1");
        let output = run(&env, &store, &["push", url, &image, "--base", "scratch", "-vv"]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        for part in said {
            assert!(stderr.contains(part), "{url} does not say {part:?}:\n{stderr}");
        }
        assert_eq!(env.registry.tags(), []);
    }
    // Without credentials, and without a cloud around: the name of its server is none here.
    let mut command = env.command(&["plan", "s3://a/c", "--base", "scratch"]);
    let output = command.env("AWS_METADATA_ENDPOINT", "http://nobody.internal:9").output().unwrap();
    let stderr = text(&output.stderr);
    assert!(stderr.contains("no credentials are given") && stderr.contains("hint: set AWS_ACCESS_KEY_ID"), "{stderr}");
    env.refused(&["plan", "s3://a b/c"], &["is no folder in a store: expected s3://BUCKET/PREFIX", "docs/stores.md"]);
    env.refused(&["plan", "az://a/c"], &["`az://a/c` is neither", "gs://BUCKET/PREFIX"]);
}

#[test]
fn a_store_is_reached_through_the_proxy_and_the_authority_of_all_other_requests() {
    let env = Env::new();
    let store = store(Dialect::S3, Some("AKIAEXAMPLE"));
    let ca = PrivateCa::new();
    let address = store.endpoint().strip_prefix("http://").unwrap().parse().unwrap();
    let front = TlsFront::start(address, &ca.certify(&["s3.test"]));
    let proxy = ConnectProxy::start(&[("s3.test:443", front.addr())], None);
    fs::write(env.dir.path().join("ca.pem"), ca.pem()).unwrap();
    let build = |arguments: &[&str]| {
        let args = ["build", "s3://models/team/tiny", "--output", "oci:image", "--base", "scratch"];
        let mut command = command(&env, &store, &[&args[..], arguments].concat());
        command.env("AWS_ENDPOINT_URL", "https://s3.test").env("HTTPS_PROXY", proxy.url());
        command.env_remove("AWS_ALLOW_HTTP").output().unwrap()
    };
    let output = build(&["--ca-file", "ca.pem"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = build(&[]);
    let stderr = text(&output.stderr);
    assert!(stderr.contains("not from an authority that is trusted here"), "{stderr}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn googles_credentials_are_found_as_the_package_finds_them() {
    let env = Env::new();
    let store = store(Dialect::Gcs, Some("Bearer "));
    let google = FakeGoogle::start_blocking(Duration::from_hours(1));
    let key = env.dir.path().join("key.json");
    fs::write(&key, google.service_account().to_string()).unwrap();
    let plan = |variables: &[(&str, &str)]| {
        let mut command = env.command(&["plan", "gs://models/team/tiny", "--base", "scratch", "-vv"]);
        command.env("GOOGLE_BASE_URL", store.endpoint()).envs(variables.iter().copied());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{variables:?}: {}", text(&output.stderr));
        let shown = text(&output.stderr) + &text(&output.stdout);
        assert!(FakeGoogle::secrets().iter().all(|secret| !shown.contains(secret)), "{shown}");
    };
    plan(&[("GOOGLE_SERVICE_ACCOUNT", key.to_str().unwrap())]);
    plan(&[("GOOGLE_APPLICATION_CREDENTIALS", key.to_str().unwrap())]);
    plan(&[("GOOGLE_SERVICE_ACCOUNT_KEY", &google.service_account().to_string())]);
    let gcloud = env.dir.path().join(".config/gcloud");
    fs::create_dir_all(&gcloud).unwrap();
    fs::copy(&key, gcloud.join("application_default_credentials.json")).unwrap();
    plan(&[]);
    fs::remove_dir_all(&gcloud).unwrap();
    plan(&[("GCE_METADATA_HOST", &google.host()), ("NO_PROXY", "127.0.0.1")]);
    assert_eq!(google.calls(), [GoogleCall::Metadata]);
}
