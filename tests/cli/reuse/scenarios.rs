//! What moves when something changes: one table, with the bytes as the servers counted them.

use std::time::Instant;

use modelcar_testkit::{Storage, other_weights, synthetic_model};

use super::*;

/// What one run moved.
struct Moved {
    hub: u64,
    registry: u64,
    requests: usize,
    writes: usize,
    answer: String,
}

struct Table {
    env: Env,
    rows: Vec<String>,
}

impl Table {
    fn new() -> Self {
        let env = Env {
            dir: TempDir::new().unwrap(),
            hub: FakeHub::start_blocking(HubConfig::default()),
            registry: FakeRegistry::start_blocking(RegistryConfig {
                storage: Storage::Count,
                ..RegistryConfig::default()
            }),
        };
        Self { env, rows: Vec::new() }
    }

    /// Runs a push and counts; `registry` is where it goes.
    fn row(&mut self, name: &str, registry: &FakeRegistry, home: &Path, args: &[&str]) -> Moved {
        let (hub_before, registry_before) = (self.env.hub.bytes_sent(), registry.bytes_received());
        self.env.hub.clear_requests();
        registry.clear_requests();
        let begun = Instant::now();
        let answer = succeeded(&modelcar(&self.env, home, args).output().unwrap());
        let seconds = begun.elapsed().as_secs_f64();
        let requests = registry.requests();
        let moved = Moved {
            hub: self.env.hub.bytes_sent() - hub_before,
            registry: registry.bytes_received() - registry_before,
            requests: requests.len() + self.env.hub.requests().len(),
            writes: requests.iter().filter(|request| !["GET", "HEAD"].contains(&request.method.as_str())).count(),
            answer,
        };
        let Moved { hub, registry, requests, writes, .. } = &moved;
        self.rows.push(format!("{name:<42} {hub:>11} {registry:>11} {requests:>8} {writes:>6} {seconds:>7.3}"));
        moved
    }

    fn print(&self) {
        println!(
            "{:<42} {:>11} {:>11} {:>8} {:>6} {:>7}",
            "scenario", "hub bytes", "sent bytes", "requests", "writes", "seconds"
        );
        for row in &self.rows {
            println!("{row}");
        }
    }
}

fn fine_tune(model: &ModelTree) -> ModelTree {
    let shards = model.files().filter(|(_, file)| file.lfs).enumerate();
    shards.fold(model.clone(), |tree, (seed, (path, file))| {
        tree.lfs(path, other_weights(&file.content, 7000 + seed as u64))
    })
}

/// Small enough to be no headers of weights.
const SMALL: u64 = 64 << 10;
/// What comes with a changed shard: small files, and the headers of all shards, which tell what the model is.
const HEADERS: u64 = 1 << 20;

#[test]
fn only_what_changed_moves() {
    let mut table = Table::new();
    let registry = std::mem::replace(&mut table.env.registry, FakeRegistry::start_blocking(RegistryConfig::default()));
    let (host, fresh) = (registry.host(), empty_home);
    let home = fresh();
    let model = synthetic_model(8, SHARD);
    let shards: u64 = model.files().filter(|(_, file)| file.lfs).map(|(_, file)| file.size()).sum();
    table.env.hub.add_repo(MODEL, "main", model.clone());
    let image = format!("{host}/a/b:v1");
    let push = ["push", MODEL, &image, "--base", "scratch"];

    let first = table.row("first push", &registry, home.path(), &push);
    assert!(first.hub >= shards && first.registry >= shards);
    let same = table.row("unchanged", &registry, home.path(), &push);
    assert_eq!((same.hub, same.registry, same.writes), (0, 0, 0));
    assert_eq!(same.answer, first.answer);
    let elsewhere = table.row("unchanged, another machine", &registry, fresh().path(), &push);
    assert_eq!((elsewhere.hub, elsewhere.registry, elsewhere.writes), (0, 0, 0));
    let without = ["push", MODEL, &image, "--base", "scratch", "--no-cache", "--no-checkpoint"];
    assert_eq!(table.row("unchanged, no cache, no checkpoints", &registry, fresh().path(), &without).writes, 0);

    let is_small = |moved: &Moved| moved.hub < SMALL && moved.registry < SMALL && moved.registry > 0;
    table.env.hub.add_repo(MODEL, "main", model.clone().file("README.md", "another text"));
    let readme = table.row("README.md changed", &registry, fresh().path(), &push);
    assert!(is_small(&readme) && readme.answer != first.answer);
    let changed = model.clone().file("config.json", r#"{"model_type": "changed"}"#);
    table.env.hub.add_repo(MODEL, "main", changed.clone());
    let config = table.row("config.json changed", &registry, fresh().path(), &push);
    assert!(is_small(&config));
    let expected = format!("git-sha1:{}", changed.get("config.json").unwrap().git_oid());
    let held = table.env.answer(&["inspect", &config.answer, "--format", "json"]);
    assert!(held.contains(&expected), "the new file is in the image");

    table.env.hub.add_repo(MODEL, "main", modelcar_testkit::revised_model(&changed));
    let shard = table.row("one of 8 shards changed", &registry, fresh().path(), &push);
    assert!((SHARD..SHARD + HEADERS).contains(&shard.hub) && (SHARD..SHARD + HEADERS).contains(&shard.registry));
    let second = format!("{host}/a/b:v2");
    let tag = table.row(
        "second tag",
        &registry,
        fresh().path(),
        &["push", MODEL, &second, "--base", "scratch", "--reuse-from", &image],
    );
    assert!(tag.hub == 0 && tag.registry < SMALL);
    let other = format!("{host}/other/name:v1");
    let mounted = ["push", MODEL, &other, "--base", "scratch", "--reuse-from", &image];
    let mount = table.row("second repository (mount)", &registry, fresh().path(), &mounted);
    assert!(mount.hub == 0 && mount.registry < SMALL);
    let cached = format!("{host}/third/name:v1");
    table.row("the cache learns the model", &registry, home.path(), &push);
    let by_cache = table.row(
        "third repository, by the cache alone",
        &registry,
        home.path(),
        &["push", MODEL, &cached, "--base", "scratch"],
    );
    // The cache has seen the bytes of the first push; the shard that another machine sent is not in it.
    assert!(by_cache.hub < SHARD + HEADERS && by_cache.registry < SHARD + HEADERS);

    let weights = table.row_of_tree(fine_tune(&changed), "a fine-tune, same names and sizes", &registry, &push);
    assert!(weights.hub >= shards && weights.registry >= shards, "all of its weights");
    let tuned = fine_tune(&changed);
    let (path, file) = tuned.files().find(|(_, file)| file.lfs).unwrap();
    let renamed = tuned.clone().without(path).lfs("renamed.safetensors", file.content.clone());
    table.env.hub.add_repo(MODEL, "main", renamed);
    let told = table.env.answer(&["plan", MODEL, &image, "--base", "scratch"]);
    assert!(told.contains(&format!("`renamed.safetensors` was `{path}`")), "{told}");
    let incomplete = [&push[..], &["--allow-incomplete"]].concat();
    let rename = table.row("a file renamed", &registry, fresh().path(), &incomplete);
    assert!((SHARD..SHARD + HEADERS).contains(&rename.registry), "one layer");

    table.env.hub.add_repo(MODEL, "main", tuned);
    age_recipes(&registry, "a/b");
    let format = table.row("new layer format version", &registry, fresh().path(), &push);
    assert!(format.hub >= shards, "an older format is not reused");
    table.env.registry.add_base_image("base/tools", "v1", &["linux/amd64", "linux/arm64"]);
    let base = table.env.image("base/tools:v1");
    let based = ["push", MODEL, &image, "--base", base.as_str()];
    let rebased = table.row("base image updated", &registry, fresh().path(), &based);
    assert!(rebased.hub == 0 && rebased.registry < SMALL && rebased.answer != format.answer);
    table.second_registry();
    table.print();
}

impl Table {
    fn row_of_tree(&mut self, tree: ModelTree, name: &str, registry: &FakeRegistry, push: &[&str]) -> Moved {
        self.env.hub.add_repo(MODEL, "main", tree);
        self.row(name, registry, empty_home().path(), push)
    }

    /// Copies one shard from a registry that keeps its bytes.
    fn second_registry(&mut self) {
        let (here, there) = (
            FakeRegistry::start_blocking(RegistryConfig::default()),
            FakeRegistry::start_blocking(RegistryConfig::default()),
        );
        self.env.hub.add_repo("acme/one", "main", synthetic_model(1, SHARD));
        let (from, to) = (format!("{}/a/b:v1", here.host()), format!("{}/a/b:v1", there.host()));
        let first = self.row(
            "one shard, first push",
            &here,
            empty_home().path(),
            &["push", "acme/one", &from, "--base", "scratch"],
        );
        let args = ["push", "acme/one", &to, "--base", "scratch", "--reuse-from", &from, "--copy"];
        let home = empty_home();
        let copied = self.row("one shard, second registry (--copy)", &there, home.path(), &args);
        assert!(copied.hub < HEADERS && copied.registry >= SHARD);
        assert_eq!(copied.answer.split_once('@').unwrap().1, first.answer.split_once('@').unwrap().1);
        let again = format!("{}/a/b:v2", there.host());
        let args = ["push", "acme/one", &again, "--base", "scratch", "--reuse-from", &from, "--copy"];
        let known = self.row("one shard, another tag there (--copy)", &there, home.path(), &args);
        assert!(known.registry < HEADERS, "what is there is not copied again");
    }
}

/// Makes the recipes of an image those of another version of the layer format.
fn age_recipes(registry: &FakeRegistry, repository: &str) {
    let index = registry.manifest(repository, "v1").unwrap();
    let mut index_json: Value = serde_json::from_slice(&index.bytes).unwrap();
    for child in index_json["manifests"].as_array_mut().unwrap() {
        let manifest = registry.manifest(repository, child["digest"].as_str().unwrap()).unwrap();
        let mut json: Value = serde_json::from_slice(&manifest.bytes).unwrap();
        for (number, layer) in json["layers"].as_array_mut().unwrap().iter_mut().enumerate() {
            layer["annotations"]["io.modelcar.layer.recipe"] = json!(format!("sha256:{number:064x}"));
        }
        let bytes = serde_json::to_vec(&json).unwrap();
        child["size"] = json!(bytes.len());
        child["digest"] = json!(registry.add_manifest(repository, "aged", &manifest.media_type, bytes));
    }
    registry.add_manifest(repository, "v1", &index.media_type, serde_json::to_vec(&index_json).unwrap());
}
