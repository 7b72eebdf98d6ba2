//! Other clients on an image of modelcar's: skopeo copies it in each of its formats, buildah builds on top of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    files, fixture,
    parts::{BUSYBOX, Part, available, command, modelcar, run},
    pinned_digest,
    registry::Registry,
};

const NAME: &str = "team/model";

/// A registry with the model of the fixtures.
struct Site {
    registry: Registry,
    work: TempDir,
    /// Digest of the image's index.
    digest: String,
}

impl Site {
    fn start() -> Self {
        let (registry, work) = (Registry::start(), TempDir::new().unwrap());
        let name = format!("{}/{NAME}", registry.address());
        let mut push = modelcar(work.path());
        let stdout = run(push.arg("push").arg(fixture()).args([&format!("{name}:v1"), "--base-binary", BUSYBOX]));
        let digest = pinned_digest(&stdout, &name);
        Self { registry, work, digest }
    }

    /// `HOST/NAME@DIGEST`.
    fn image(&self) -> String {
        format!("{}/{NAME}@{}", self.registry.address(), self.digest)
    }

    fn place(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }
}

/// Unpacks the one image of a layout, and compares the model with the fixture's.
fn assert_model(layout: &Path) {
    let bundle = layout.with_extension("bundle");
    let mut unpack = command("umoci");
    unpack.arg("unpack");
    if !files::is_root() {
        unpack.arg("--rootless");
    }
    run(unpack.arg(format!("--image={}:m", layout.display())).arg(&bundle));
    files::assert_unpacked(&fixture(), &bundle.join("rootfs/models"));
}

fn skopeo() -> Command {
    let mut skopeo = command("skopeo");
    skopeo.arg("--insecure-policy");
    skopeo
}

fn copy(from: &str, to: &str, more: &[&str]) {
    run(skopeo().arg("copy").args(["--src-tls-verify=false", "--dest-tls-verify=false"]).args(more).args([from, to]));
}

#[test]
fn skopeo_copies_an_image_in_each_of_its_formats() {
    if !available(&[Part::Registry, Part::Skopeo, Part::Umoci, Part::Busybox]) {
        return;
    }
    let site = Site::start();
    let image = format!("docker://{}", site.image());

    // A folder of blobs, and the archive of `docker load`; from both it comes back whole.
    for (format, place) in [("dir", "dir"), ("docker-archive", "image.tar")] {
        let there = format!("{format}:{}", site.place(place).display());
        copy(&image, &there, &[]);
        let back = site.place(&format!("from-{format}"));
        copy(&there, &format!("oci:{}:m", back.display()), &[]);
        assert_model(&back);
    }

    // All platforms to another registry, under the same digest.
    let other = Registry::start();
    let mirror = format!("{}/mirror/model", other.address());
    copy(&image, &format!("docker://{mirror}:v1"), &["--all", "--preserve-digests"]);
    let (head, _) = other.request("GET", &format!("/v2/mirror/model/manifests/{}", site.digest));
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    run(modelcar(site.work.path()).args(["inspect", "--lint", "--all", &format!("{mirror}@{}", site.digest)]));

    // Manifests as Docker has them.
    copy(&image, &format!("docker://{mirror}:docker"), &["--format=v2s2"]);
    let seen = run(modelcar(site.work.path()).args(["inspect", &format!("{mirror}:docker"), "--format", "json"]));
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["manifests"].as_array().unwrap().len(), 1, "{seen}");

    // A repository with its tags.
    let synced = site.place("synced");
    let name = format!("{}/{NAME}", site.registry.address());
    let sync = ["sync", "--src=docker", "--dest=dir", "--src-tls-verify=false"];
    run(skopeo().args(sync).args([&name, synced.to_str().unwrap()]));
    let tags: Vec<_> = fs::read_dir(&synced).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(tags, ["model:v1"]);

    let config = run(skopeo().args(["inspect", "--config", "--tls-verify=false", &image]));
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["config"]["User"], "1010", "{config}");
}

#[test]
fn buildah_mounts_an_image_and_builds_on_top_of_it() {
    if !available(&[Part::Registry, Part::Buildah, Part::Umoci, Part::Skopeo, Part::Busybox, Part::Root]) {
        return;
    }
    let site = Site::start();
    let buildah = || {
        let mut buildah = command("buildah");
        buildah.arg("--root").arg(site.place("root")).arg("--runroot").arg(site.place("run"));
        buildah.args(["--storage-driver=vfs", "--registries-conf=/dev/null"]);
        buildah
    };
    let container = run(buildah().args(["from", "--tls-verify=false", &site.image()]));
    let container = container.trim();
    let rootfs = PathBuf::from(run(buildah().args(["mount", container])).trim());
    files::assert_unpacked(&fixture(), &rootfs.join("models"));

    fs::write(rootfs.join("NOTES"), "on top").unwrap();
    run(buildah().args(["unmount", container]));
    run(buildah().args(["commit", "--quiet", "--format=oci", container, "more"]));
    let more = format!("{}/team/more:v1", site.registry.address());
    run(buildah().args(["push", "--tls-verify=false", "more", &format!("docker://{more}")]));
    run(buildah().args(["rm", container]));

    let layout = site.place("more");
    copy(&format!("docker://{more}"), &format!("oci:{}:m", layout.display()), &[]);
    assert_model(&layout);
    // What is on top takes nothing from the image that KServe needs.
    let linted = modelcar(site.work.path()).args(["inspect", "--lint", &more]).output().unwrap();
    assert_eq!(linted.status.code(), Some(0), "{}", String::from_utf8_lossy(&linted.stdout));
}
