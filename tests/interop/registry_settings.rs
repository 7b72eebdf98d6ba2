//! Debian's registry as people configure it: what a push does there, and what it says. Its logins are in `auth`.

use std::{fs, process::Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    auth::text,
    fixture,
    parts::{Part, available, modelcar},
    registry::{Registry, Settings},
};

const READ_ONLY: Settings<'_> =
    Settings { storage: "  maintenance:\n    readonly:\n      enabled: true\n", ..Settings::DEFAULT };
/// What `registry:2` does unless it is told otherwise.
const CACHE: Settings<'_> = Settings { storage: "  cache:\n    blobdescriptor: inmemory\n", ..Settings::DEFAULT };

fn image(registry: &Registry, tag: &str) -> String {
    format!("{}/team/model:{tag}", registry.address())
}

/// Pushes the fixture from a machine that knows of no earlier push.
fn push(registry: &Registry, tag: &str) -> Output {
    let home = TempDir::new().unwrap();
    let mut push = modelcar(home.path());
    push.arg("push").arg(fixture()).arg(image(registry, tag)).args(["--base", "scratch", "--format", "json"]);
    push.output().unwrap()
}

/// Returns the digest of a push that succeeded, and how many bytes it sent.
fn pushed(registry: &Registry, tag: &str) -> (String, u64) {
    let output = push(registry, tag);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    (answer["digest"].as_str().unwrap().to_owned(), answer["bytesSent"].as_u64().unwrap())
}

/// Checks that a push fails without a digest on stdout, and what it says.
fn refused(registry: &Registry, tag: &str, said: &[&str]) -> String {
    let output = push(registry, tag);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["error"].is_object() && answer.get("digest").is_none(), "{answer}");
    for said in said {
        assert!(stderr.contains(said), "{said:?} is not in:\n{stderr}");
    }
    stderr
}

/// A registry that takes no uploads is found before any layer is moved, by `doctor` too.
fn takes_no_uploads(registry: &Registry, reason: &str) {
    let said = ["check the right to push at", "405 Method Not Allowed", reason, "trying again will not help"];
    let stderr = refused(registry, "v2", &said);
    assert!(!stderr.contains("move the layers"), "{stderr}");
    let home = TempDir::new().unwrap();
    let output = modelcar(home.path()).args(["doctor", &image(registry, "v2")]).output().unwrap();
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains("perhaps it takes no uploads at all") && stdout.contains(reason), "{stdout}");
}

#[test]
fn a_registry_that_is_read_only_is_found_before_the_layers() {
    if !available(&[Part::Registry]) {
        return;
    }
    let mut registry = Registry::start();
    let (digest, _) = pushed(&registry, "v1");
    registry.start_again_as(&READ_ONLY);
    takes_no_uploads(&registry, "Method not allowed");
    // What is there needs no upload.
    assert_eq!(pushed(&registry, "v1"), (digest, 0));
}

#[test]
fn a_registry_that_is_a_proxy_of_another_is_found_before_the_layers() {
    if !available(&[Part::Registry]) {
        return;
    }
    let other = Registry::start();
    let proxy = Registry::start_with(&format!("proxy:\n  remoteurl: http://{}\n", other.address()));
    takes_no_uploads(&proxy, "UNSUPPORTED: The operation is unsupported");
}

#[test]
fn a_registry_with_relative_urls_gets_the_same_image() {
    if !available(&[Part::Registry]) {
        return;
    }
    let (absolute, relative) = (Registry::start(), Registry::start_with("  relativeurls: true\n"));
    let (head, _) = relative.request("POST", "/v2/team/model/blobs/uploads/");
    assert!(head.contains("\r\nLocation: /v2/"), "{head}");
    let wanted = pushed(&absolute, "v1");
    assert_eq!(pushed(&relative, "v1"), wanted);
    assert_eq!(pushed(&relative, "v1"), (wanted.0, 0));
}

/// A cache still answers HEAD for blobs that are gone: no digest is printed for them. When the cache is empty, the next
/// push sends them.
#[test]
fn a_registry_whose_cache_is_stale_gets_no_success() {
    if !available(&[Part::Registry]) {
        return;
    }
    let mut registry = Registry::start_as(&CACHE);
    let first = pushed(&registry, "v1");
    assert_eq!(pushed(&registry, "v1"), (first.0.clone(), 0));
    fs::remove_dir_all(registry.store().join("docker/registry/v2/blobs")).unwrap();
    let index = format!("index `{}` is not there (404)", first.0);
    refused(&registry, "v1", &[&index, "nothing of it should be deployed", "clear that cache or restart the registry"]);
    registry.start_again_as(&CACHE);
    assert_eq!(pushed(&registry, "v1"), first);
}
