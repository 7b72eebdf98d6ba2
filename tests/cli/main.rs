//! The binary as a user runs it, against the fake Hub and the fake registry: answers, exit statuses, determinism, and
//! what bad input leads to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a broken set-up is a failed test"
)]

mod base;
mod cache;
mod check;
mod completions;
mod digests;
mod doctor;
mod download;
mod events;
mod field;
mod front;
mod guide;
mod hints;
mod images;
mod interrupt;
mod json;
mod kserve;
mod log;
mod pin;
mod reuse;
mod shown;
mod stderr;
mod stores;
mod terminal;
mod tls;
mod usage;

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use modelcar_testkit::{
    FakeHub, FakeRegistry, FaultRule, HubAction, HubConfig, ModelTree, RegistryAction, RegistryConfig, tiny_model,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const MODEL: &str = "acme/tiny";

/// A hermetic place to run in.
struct Env {
    dir: TempDir,
    hub: FakeHub,
    registry: FakeRegistry,
}

impl Env {
    fn new() -> Self {
        let hub = FakeHub::start_blocking(HubConfig {
            page_size: 3,
            tokens: vec![log::TOKEN.to_owned()],
            ..HubConfig::default()
        });
        hub.add_repo(MODEL, "main", tiny_model());
        let registry = FakeRegistry::start_blocking(RegistryConfig::default());
        Self { dir: TempDir::new().unwrap(), hub, registry }
    }

    fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.host())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_modelcar"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null()).env_clear();
        command.env("HOME", self.dir.path()).env("HF_ENDPOINT", self.hub.endpoint());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs and returns stdout, without its line end.
    fn answer(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        let stdout = text(&output.stdout);
        stdout.strip_suffix('\n').expect("an answer ends in a line end").to_owned()
    }

    /// Runs what must fail: exit status 2, nothing on stdout, nothing published, and each of `said` on stderr, which
    /// is returned. Nor is a secret shown when it logs all that it does.
    fn refused(&self, args: &[&str], said: &[&str]) -> String {
        let output = self.run(args);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert_eq!(text(&output.stdout), "", "{args:?}");
        for part in said {
            assert!(stderr.contains(part), "{args:?} does not say {part:?}:\n{stderr}");
        }
        let told: Vec<&str> = stderr
            .lines()
            .filter_map(|line| line.strip_prefix("error: ").or_else(|| line.strip_prefix("  caused by: ")))
            .collect();
        let twice = told.windows(2).find(|pair| pair[0].contains(pair[1]));
        assert_eq!(twice, None, "{args:?} says its cause twice:\n{stderr}");
        assert_eq!(self.registry.tags(), [], "{args:?}");
        assert_eq!(self.registry.manifests().len(), 0, "{args:?}");
        assert_eq!(self.registry.open_sessions(), [], "{args:?}");
        self.logged(args);
        stderr
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn layers(document: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(document).unwrap();
    let layers = document["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
}

fn digest(document: &str) -> String {
    serde_json::from_str::<Value>(document).unwrap()["digest"].as_str().unwrap().to_owned()
}

#[test]
fn push_answers_with_one_pinned_line() {
    let env = Env::new();
    let image = env.image("team/tiny");
    let answer = env.answer(&["push", MODEL, &format!("{image}:v1"), "--tag", "v2", "--base", "scratch"]);
    let digest = answer.strip_prefix(&format!("{image}@")).unwrap();
    assert!(!answer.contains('\n'));
    let mut tags = env.registry.tags();
    tags.sort();
    let tag = |name: &str| ("team/tiny".to_owned(), name.to_owned(), digest.to_owned());
    assert_eq!(tags, [tag("v1"), tag("v2")]);
    assert!(env.answer(&["inspect", &answer]).contains("linux/arm64"));
}

#[test]
fn the_same_model_is_the_same_image_wherever_it_comes_from_and_goes() {
    let env = Env::new();
    let dir = env.dir.path().join("model");
    tiny_model().write_to(&dir).unwrap();
    let other = FakeRegistry::start_blocking(RegistryConfig::default());
    let scratch = ["--base", "scratch", "--format", "json"];
    let push = |source: &str, host: &str, jobs: &str| {
        let image = format!("{host}/a/b:v1");
        env.answer(&[&["push", source, &image, "--jobs", jobs], &scratch[..]].concat())
    };
    let hub: Vec<String> = [env.registry.host(), other.host()]
        .iter()
        .zip(["1", "8"])
        .map(|(host, jobs)| push(MODEL, host, jobs))
        .collect();
    let from_dir: Vec<String> = [env.registry.host(), other.host()]
        .iter()
        .zip(["8", "1"])
        .map(|(host, jobs)| push("./model", host, jobs))
        .collect();
    let layout = env.answer(&[&["build", "./model", "--output", "oci:layout"], &scratch[..]].concat());
    let archive = env.answer(&[&["build", "./model", "--output", "oci-archive:a.tar"], &scratch[..]].concat());
    for document in hub.iter().chain(&from_dir).chain([&layout, &archive]) {
        assert_eq!(layers(document), layers(&hub[0]));
    }
    assert_eq!(digest(&hub[0]), digest(&hub[1]));
    for document in [&from_dir[1], &layout, &archive] {
        assert_eq!(digest(document), digest(&from_dir[0]));
    }
    assert_ne!(digest(&hub[0]), digest(&from_dir[0]), "the model's origin is part of the plan");
}

#[test]
fn a_lock_file_replays() {
    let env = Env::new();
    env.answer(&["plan", MODEL, "--base", "scratch", "--output", "plan.json"]);
    let first = env.answer(&["push", &env.image("a/b:v1"), "--plan", "plan.json"]);
    let direct = env.answer(&["push", MODEL, &env.image("a/b:v2"), "--base", "scratch"]);
    assert_eq!(first, direct);

    tiny_model().write_to(&env.dir.path().join("model")).unwrap();
    env.answer(&["plan", "./model", "--base", "scratch", "--output", "dir.json"]);
    let other = FakeRegistry::start_blocking(RegistryConfig::default());
    let refused = |said: &str| {
        let output = env.run(&["push", &format!("{}/a/c:v1", other.host()), "--plan", "dir.json"]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
        assert_eq!((other.tags().len(), other.manifests().len()), (0, 0));
    };
    let config = env.dir.path().join("model/config.json");
    let pinned = fs::read_to_string(&config).unwrap();
    fs::write(&config, pinned.replace("llama", "Llama")).unwrap();
    refused("content of `config.json` is wrong: expected `sha256:");
    fs::write(&config, "{}").unwrap();
    refused(&format!("file `config.json` has 2 bytes, {} are pinned", pinned.len()));
    fs::remove_file(&config).unwrap();
    fs::remove_file(env.dir.path().join("model/tokenizer.json")).unwrap();
    refused("`./model` is not what the lock file pins: file `config.json` is not there and 1 more");
}

#[test]
fn the_json_answer_tells_what_was_done() {
    let env = Env::new();
    let image = env.image("a/b:v1");
    let document = env.answer(&["push", MODEL, &image, "--base", "scratch", "--format", "json"]);
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["schemaVersion"], json!(1));
    assert!(document["image"].as_str().unwrap().ends_with(document["digest"].as_str().unwrap()));
    assert!(document["seconds"].as_f64().unwrap() > 0.0);
    let sizes: u64 = document["layers"].as_array().unwrap().iter().map(|layer| layer["size"].as_u64().unwrap()).sum();
    assert_eq!(document["bytesSent"].as_u64().unwrap(), sizes);
    let tree = tiny_model();
    for file in document["layers"].as_array().unwrap().iter().flat_map(|layer| layer["files"].as_array().unwrap()) {
        let listed = tree.get(file["path"].as_str().unwrap()).unwrap();
        let expected =
            if listed.lfs { format!("sha256:{}", listed.sha256()) } else { format!("git-sha1:{}", listed.git_oid()) };
        assert_eq!(file["content"], json!(expected));
        assert_eq!(file["size"], json!(listed.size()));
    }
}

#[test]
fn bad_names_are_refused_before_anything_moves() {
    let env = Env::new();
    let image = env.image("a/b:v1");
    fs::create_dir_all(env.dir.path().join("acme/tiny")).unwrap();
    fs::create_dir(env.dir.path().join("empty")).unwrap();
    let push = |source: &str, image: &str, said: &[&str]| {
        env.refused(&["push", source, image, "--base", "scratch"], said);
    };
    push("./missing", &image, &["./missing", "hint:"]);
    push("./empty", &image, &["the source is empty"]);
    push(MODEL, &image, &["write ./acme/tiny for the directory or hf://acme/tiny"]);
    push("hf://acme/tiny@nope", &image, &["has no revision `nope`"]);
    push("hf://acme/nope", &image, &["acme/nope", "HF_TOKEN"]);
    push("hf://acme/tiny", "Upper/Case:v1", &["is not an image reference"]);
    push("hf://acme/tiny", &env.registry.host(), &["no registry"]);
    push("hf://acme/tiny", &format!("{}/A:v1", env.registry.host()), &["lower case"]);
    let read = |request: &modelcar_testkit::RegistryRequest| ["GET", "HEAD"].contains(&request.method.as_str());
    assert!(env.registry.requests().iter().all(read), "the registry was asked at most what it has");
    let target = env.dir.path().join("empty/link");
    std::os::unix::fs::symlink("/etc/hostname", target).unwrap();
    push("./empty", &image, &["leaves the directory"]);
}

#[test]
fn a_hub_that_lies_publishes_nothing() {
    type Case = (HubAction, &'static str, &'static str);
    let listing = |path: &str| {
        HubAction::ListingOverride(json!([{"type": "file", "oid": "a".repeat(40), "size": 1, "path": path}]))
    };
    let cases: Vec<Case> = vec![
        (HubAction::Corrupt { at: 500 }, "model-00001", "content of `model-00001"),
        (HubAction::Truncate { after_bytes: 100 }, "model-00001", "model-00001"),
        (HubAction::status(500), "model-00001", "500"),
        (listing("../../etc/passwd"), "/tree/", "can't be used"),
        (listing("/etc/passwd"), "/tree/", "can't be used"),
    ];
    for (action, path, said) in cases {
        let env = Env::new();
        let shown = format!("{action:?}");
        env.hub.fault(FaultRule::new(path, action));
        env.refused(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"], &[said]);
        let layout = env.dir.path().join("layout");
        env.refused(&["build", MODEL, "--output", "oci:layout", "--base", "scratch"], &[said]);
        assert!(!layout.exists(), "{shown}: a layout was left behind");
    }
}

#[test]
fn a_gated_model_says_what_to_do() {
    let env = Env::new();
    let options = modelcar_testkit::RepoOptions { gated: Some("manual".to_owned()), ..Default::default() };
    env.hub.configure_repo(MODEL, options);
    env.refused(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"], &["is gated", "HF_TOKEN"]);
}

#[test]
fn a_registry_that_refuses_is_named() {
    let env = Env::new();
    env.registry.fault(FaultRule::new("/blobs/uploads/", RegistryAction::error(403, "DENIED")).method("POST"));
    let image = env.image("a/b:v1");
    env.refused(&["push", MODEL, &image, "--base", "scratch"], &["403", "DENIED", "hint:"]);
    // Headers of weight files are read while planning: 64 KiB each.
    let weights = |request: &modelcar_testkit::LoggedRequest| {
        request.path.contains(".safetensors") && request.body_bytes_sent > 64 << 10
    };
    assert!(!env.hub.requests().iter().any(weights), "no weight was read before the refusal");
}

#[test]
fn a_tag_that_is_refused_after_others_says_what_those_point_to() {
    let env = Env::new();
    let fixed = RegistryAction::error(409, "TAG_INVALID");
    env.registry.fault(FaultRule::new("/manifests/second", fixed).method("PUT"));
    let digest_file = env.dir.path().join("digest");
    fs::write(&digest_file, "sha256:of-an-earlier-push").unwrap();
    let image = env.image("a/b:v1");
    let output = env.run(&[
        "push",
        MODEL,
        &image,
        "--tag",
        "second",
        "--tag",
        "third",
        "--base",
        "scratch",
        "--digest-file",
        "digest",
    ]);
    let (stderr, tags) = (text(&output.stderr), env.registry.tags());
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(tags.len(), 1, "{tags:?}");
    for said in ["TAG_INVALID", "push under another tag", &format!("hint: `v1` points to `{}` already", tags[0].2)] {
        assert!(stderr.contains(said), "{said}: {stderr}");
    }
    assert!(!stderr.contains("nothing was published"), "{stderr}");
    assert_eq!(fs::read_to_string(&digest_file).unwrap(), "", "the digest of an earlier push is not this one's");
}

#[test]
fn a_registry_that_stumbles_gets_the_layer_again() {
    let env = Env::new();
    let clean = env.answer(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"]);
    for action in [
        RegistryAction::DropConnection { after_body_bytes: 1000 },
        RegistryAction::status(503),
        RegistryAction::StatusAfterBody(502),
    ] {
        env.registry.fault(FaultRule::new("/blobs/uploads/", action).method("PATCH").times(1));
        let again = env.answer(&["push", MODEL, &env.image("a/other:v1"), "--base", "scratch"]);
        assert_eq!(again.split_once('@').unwrap().1, clean.split_once('@').unwrap().1);
    }
}

#[test]
fn an_output_that_cannot_be_made_is_named() {
    let env = Env::new();
    env.refused(&["build", MODEL, "--output", "oci-archive:/dev/full/x.tar", "--base", "scratch"], &["/dev/full"]);
}

/// A limit on the size of files, because a disk can't be filled everywhere; a write fails either way.
#[test]
fn a_disk_that_takes_no_more_leaves_nothing() {
    let env = Env::new();
    let full = |output: &str| {
        let script = "trap '' XFSZ; ulimit -f 60; exec \"$0\" \"$@\"";
        let command = env.command(&["build", MODEL, "--base", "scratch", "--output", output]);
        let output = Command::new("sh")
            .args(["-c", script])
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(env.dir.path())
            .env_clear()
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .output()
            .unwrap();
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.contains("File too large") && stderr.contains("nothing was published"), "{stderr}");
        stderr
    };
    let entries = || fs::read_dir(env.dir.path()).unwrap().count();
    assert!(full("oci:a/new").contains("a/new/blobs/sha256`"));
    assert!(full("oci-archive:new.tar").contains("new.tar.partial`"));
    assert_eq!(entries(), 0);

    let build = ["build", MODEL, "--base", "scratch", "--exclude", "*.safetensors", "--output", "oci:old"];
    let small = env.answer(&build);
    let index = fs::read(env.dir.path().join("old/index.json")).unwrap();
    full("oci:old");
    assert_eq!(fs::read(env.dir.path().join("old/index.json")).unwrap(), index);
    assert_eq!(env.answer(&build), small);
    env.answer(&["inspect", "oci:old", "--lint", "--all", "--mode", "native"]);
}

#[test]
fn an_output_inside_the_source_or_in_place_of_a_device_is_refused() {
    let env = Env::new();
    tiny_model().write_to(&env.dir.path().join("m")).unwrap();
    fs::create_dir(env.dir.path().join("m/sub")).unwrap();
    for output in ["oci:m/new", "oci-archive:m/sub/x.tar", "oci:./m/sub/../new/er"] {
        env.refused(&["build", "./m", "--base", "scratch", "--output", output], &["lies inside the source", "hint: "]);
    }
    let device = "oci-archive:/dev/null";
    env.refused(&["build", "./m", "--base", "scratch", "--output", device], &["`/dev/null` is there and is not a"]);
    env.answer(&["build", "./m", "--base", "scratch", "--output", "oci:m2"]);
}

#[test]
fn a_corrupt_blob_of_a_layout_is_found_and_mended() {
    let env = Env::new();
    let build = ["build", MODEL, "--base", "scratch", "--output", "oci:out", "--format", "json"];
    let document = env.answer(&build);
    let layer = layers(&document).remove(0);
    let blob = env.dir.path().join("out/blobs").join(layer.replace(':', "/"));
    let good = fs::read(&blob).unwrap();
    let mut wrong = good.clone();
    let middle = wrong.len() / 2;
    wrong[middle] ^= 1;
    fs::write(&blob, &wrong).unwrap();
    let lint = ["inspect", "oci:out", "--lint", "--mode", "native", "--all"];
    env.refused(&lint, &["is corrupt", layer.trim_start_matches("sha256:")]);
    assert_eq!(digest(&env.answer(&build)), digest(&document));
    assert_eq!(fs::read(&blob).unwrap(), good);
    env.answer(&lint);
}

#[test]
fn what_stays_out_is_counted() {
    let env = Env::new();
    env.hub.add_repo("acme/both", "main", tiny_model().file("pytorch_model.bin", vec![7; 200_000]));
    let output = env.run(&["build", "acme/both", "--base", "scratch", "--output", "oci:out"]);
    assert!(text(&output.stderr).contains("1 file of 195.3 KiB left out"), "{}", text(&output.stderr));
    let output = env.run(&["build", MODEL, "--base", "scratch", "--output", "oci:out"]);
    assert!(!text(&output.stderr).contains("left out"), "{}", text(&output.stderr));
}

#[test]
fn a_model_may_be_a_tree_of_one_file() {
    let env = Env::new();
    env.hub.add_repo("acme/one", "main", ModelTree::new().file("config.json", "{}"));
    let answer = env.answer(&["push", "acme/one", &env.image("a/one:v1"), "--base", "scratch"]);
    assert!(answer.contains("@sha256:"));
}
