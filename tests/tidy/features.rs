//! What a program pays for the parts of the libraries that it uses: the crates that come with them.

use std::{collections::BTreeSet, process::Command};

use super::workspace;

/// Crates that speak HTTP or TLS.
const HTTP: [&str; 8] =
    ["google-cloud-auth", "http", "http-auth", "hyper", "reqwest", "ring", "rustls", "webpki-root-certs"];

#[test]
fn planning_and_rendering_bring_no_http() {
    for library in ["modelcar-core", "modelcar-kserve"] {
        let crates = crates(&[library, "--no-default-features"]);
        let http: Vec<_> = HTTP.iter().filter(|name| crates.contains(**name)).collect();
        assert!(crates.contains("oci-spec") && http.is_empty(), "{library} brings {http:?}");
    }
    let rendering = crates(&["modelcar-kserve"]);
    assert!(HTTP.iter().all(|name| !rendering.contains(*name)), "rendering with templates: {rendering:?}");
    let registries = crates(&["modelcar-core", "--no-default-features", "--features", "registry"]);
    assert!(registries.contains("reqwest") && !registries.contains("google-cloud-auth"), "{registries:?}");
}

/// Returns the crates that a library is built from.
fn crates(of: &[&str]) -> BTreeSet<String> {
    let cargo = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--package"])
        .args(of)
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let text = String::from_utf8(cargo.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}
