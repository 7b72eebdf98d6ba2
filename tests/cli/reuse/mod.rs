//! Layers that are somewhere already: what moves, what is believed, and what a killed push leaves.

mod check;
mod kills;
mod scenarios;
mod trust;

use std::{collections::BTreeMap, path::Path, process::Child};

use super::*;

/// Least size of a file that is a layer of its own.
const SHARD: u64 = 64 << 20;
const CHECKPOINT: &str = "modelcar-part-";
/// What tells whether a registry takes checkpoints.
const TRIAL: &str = "modelcar-part-trial";

/// A command that sees no home but `home`.
fn modelcar(env: &Env, home: &Path, args: &[&str]) -> Command {
    let mut command = env.command(args);
    command.env("HOME", home);
    command
}

fn empty_home() -> TempDir {
    TempDir::new().unwrap()
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).trim_end().to_owned()
}

fn start(env: &Env, home: &Path, args: &[&str]) -> Child {
    modelcar(env, home, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Checks that all that a tag names is there, at a moment when others write.
fn check_tags(registry: &FakeRegistry) -> usize {
    let tags = registry.tags();
    for (repository, tag, digest) in &tags {
        let Some(problem) = problem(registry, repository, digest) else { continue };
        // A checkpoint may have been deleted since the tags were read; then its tag is gone too.
        let still = registry.tags().iter().any(|now| now.1 == *tag && now.0 == *repository);
        assert!(tag.starts_with(CHECKPOINT) && !still, "{repository}:{tag} is not whole: {problem}");
    }
    tags.len()
}

fn problem(registry: &FakeRegistry, repository: &str, digest: &str) -> Option<String> {
    let Some(manifest) = registry.manifest(repository, digest) else { return Some(format!("{digest} is missing")) };
    let manifest: Value = serde_json::from_slice(&manifest.bytes).unwrap();
    if let Some(children) = manifest["manifests"].as_array() {
        return children.iter().find_map(|child| problem(registry, repository, child["digest"].as_str().unwrap()));
    }
    let blobs: BTreeMap<String, u64> =
        registry.blobs().into_iter().filter(|blob| blob.0 == repository).map(|blob| (blob.1, blob.2)).collect();
    let named = manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]);
    named.into_iter().find_map(|blob| {
        let digest = blob["digest"].as_str().unwrap();
        (blobs.get(digest).copied() != blob["size"].as_u64()).then(|| format!("blob {digest} is missing or wrong"))
    })
}

/// The tags and manifests of a repository.
fn names(registry: &FakeRegistry, repository: &str) -> (Vec<String>, usize) {
    let tags = registry.tags().into_iter().filter(|tag| tag.0 == repository).map(|tag| tag.1).collect();
    (tags, registry.manifests().iter().filter(|manifest| manifest.0 == repository).count())
}
