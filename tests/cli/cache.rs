//! Models out of the Hugging Face cache: the image is that of the Hub, and what is missing is said.

use std::{os::unix::fs::symlink, path::PathBuf};

use super::*;

/// Writes a tree into the cache as the Hugging Face tools do, and returns the snapshot's folder.
fn fill(env: &Env, tree: &ModelTree, commit: &str) -> PathBuf {
    let model = env.dir.path().join("hub/models--acme--tiny");
    let snapshot = model.join("snapshots").join(commit);
    fs::create_dir_all(model.join("blobs")).unwrap();
    fs::create_dir_all(model.join("refs")).unwrap();
    fs::write(model.join("refs/main"), commit).unwrap();
    tree.write_to(&env.dir.path().join("tree")).unwrap();
    for (path, file) in tree.files() {
        let blob = if file.lfs { file.sha256() } else { file.git_oid() };
        fs::copy(env.dir.path().join("tree").join(path), model.join("blobs").join(blob)).unwrap();
        let link = snapshot.join(path);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(format!("{}../../blobs/{blob}", "../".repeat(path.matches('/').count())), link).unwrap();
    }
    snapshot
}

/// Runs with the Hub turned off and returns exit status, stdout and stderr.
fn offline(env: &Env, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = env.command(args);
    let output = command.env("HF_HUB_CACHE", "hub").env("HF_HUB_OFFLINE", "1").output().unwrap();
    (output.status.code(), text(&output.stdout).trim_end().to_owned(), text(&output.stderr))
}

fn build<'a>(source: &'a str, output: &'a str) -> [&'a str; 6] {
    ["build", source, "--base", "scratch", "--output", output]
}

/// Returns the name of one of the model's parts of weights.
fn shard() -> String {
    let tree = tiny_model();
    tree.files().find(|(_, file)| file.lfs).unwrap().0.to_owned()
}

#[test]
fn the_cache_gives_the_image_of_the_hub() {
    let env = Env::new();
    let commit = env.hub.add_repo(MODEL, "main", tiny_model());
    fill(&env, &tiny_model(), &commit);
    let of_hub = env.answer(&build(MODEL, "oci:hub-image"));
    env.answer(&["plan", MODEL, "--base", "scratch", "--output", "hub.lock"]);
    env.hub.clear_requests();
    let (status, digest, said) = offline(&env, &build(MODEL, "oci:offline"));
    assert_eq!((status, &digest), (Some(0), &of_hub), "{said}");
    assert!(said.contains("warning: ") && said.contains("not proven"), "{said}");
    let (_, digest, said) = offline(&env, &build("hf-cache://acme/tiny", "oci:cached"));
    assert_eq!(digest, of_hub, "{said}");
    let (_, digest, said) = offline(&env, &["build", "--plan", "hub.lock", "--output", "oci:locked"]);
    assert_eq!(digest, of_hub, "{said}");

    let plan = ["plan", "hf-cache://acme/tiny", "--base", "scratch", "--output", "cache.lock"];
    assert_eq!(offline(&env, &plan).0, Some(0));
    let lock: Value = serde_json::from_slice(&fs::read(env.dir.path().join("cache.lock")).unwrap()).unwrap();
    assert_eq!(lock["source"], format!("hf-cache://acme/tiny@{commit}"));
    let (_, digest, said) = offline(&env, &["build", "--plan", "cache.lock", "--output", "oci:again"]);
    assert_eq!(digest, of_hub, "{said}");
    let (status, _, said) = offline(&env, &["plan", "--check", "cache.lock"]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(env.hub.requests().len(), 0, "the Hub was asked");
}

#[test]
fn what_the_cache_lacks_is_named() {
    let env = Env::new();
    let commit = env.hub.add_repo(MODEL, "main", tiny_model());
    let snapshot = fill(&env, &tiny_model(), &commit);
    env.answer(&["plan", MODEL, "--base", "scratch", "--output", "hub.lock"]);
    let (status, _, said) = offline(&env, &build("acme/tiny@v2", "oci:out"));
    assert_eq!(status, Some(2));
    for part in ["`v2`", &format!("main ({commit})"), "HF_HUB_OFFLINE is set"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let shard = snapshot.join(shard());
    let link = fs::read_link(&shard).unwrap();
    fs::remove_file(&shard).unwrap();
    let (status, _, said) = offline(&env, &build(MODEL, "oci:out"));
    assert_eq!(status, Some(2));
    assert!(said.contains(&format!("missing: `{}`", self::shard())), "{said}");
    symlink(link, &shard).unwrap();

    fs::remove_file(snapshot.join("tokenizer.json")).unwrap();
    let (status, _, said) = offline(&env, &["build", "--plan", "hub.lock", "--output", "oci:out"]);
    assert_eq!(status, Some(2));
    assert!(said.contains("file `tokenizer.json` is not there"), "{said}");
}

#[test]
fn a_blob_that_is_not_what_its_name_says_publishes_nothing() {
    let env = Env::new();
    let commit = env.hub.add_repo(MODEL, "main", tiny_model());
    let snapshot = fill(&env, &tiny_model(), &commit);
    let blob = fs::canonicalize(snapshot.join(shard())).unwrap();
    let mut bytes = fs::read(&blob).unwrap();
    bytes[100] ^= 1;
    fs::write(&blob, bytes).unwrap();
    let (status, stdout, said) = offline(&env, &build(MODEL, "oci:out"));
    assert_eq!((status, stdout.as_str()), (Some(2), ""));
    assert!(said.contains(&format!("content of `{}` is wrong", shard())), "{said}");
}
