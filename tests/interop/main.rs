//! Puts modelcar between real parts: three registries, Debian's nginx, skopeo, buildah, umoci, crane and oras, four
//! readers of tar, the Hub's Python client, podman, and KServe's own Python server and models.
//!
//! A test whose parts are not installed says `skipped: … is not installed` and passes; with
//! `MODELCAR_REQUIRE_INTEROP=1`, as in CI, it fails. `make registry-programs` builds two of the registries, crane and oras,
//! from Go modules that are pinned in `modules/`. `MODELCAR_PYTHON` names a Python that has `huggingface_hub`,
//! `safetensors`, `tokenizers` and `kserve`, and `MODELCAR_REAL_MODEL` the folder of a real model.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a broken part is a failed test"
)]

mod auth;
mod clients;
mod cloud_build;
mod files;
mod hub_cache;
mod image;
mod kserve;
mod manifests;
mod nginx;
mod packages;
mod parts;
mod podman;
mod reasons;
mod recipes;
mod registries;
mod registry;
mod registry_settings;
mod reuse;
mod serving;
mod upload;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::Arc,
};

use futures_util::StreamExt;
use modelcar_core::{
    LayerBlob, Plan,
    base::Base,
    blob::Blob,
    plan::PlanOptions,
    progress::NoProgress,
    source::{DirSource, ReadBudget, Source},
};
use modelcar_testkit::{FakeHub, HubConfig, ModelTree};
use tempfile::TempDir;

use crate::{
    image::{Image, weight_layers},
    parts::{BUSYBOX, Part, available, command, modelcar, python, python_with_packages, run, script},
    registry::Registry,
};

/// Files from here on are in LFS on the fake Hub, as Git attributes would have it.
const LFS_BYTES: u64 = 10_000_000;
const NINE_GIB: u64 = 9 << 30;

pub(crate) fn fixture() -> PathBuf {
    parts::repository().join("fixtures/tiny-model")
}

/// A model with a layer of one file, a layer of several, a folder and names of 100 bytes and more.
fn two_layer_model() -> TempDir {
    let dir = TempDir::new().unwrap();
    let pattern: Vec<u8> = (0..=250).collect();
    let large: Vec<u8> = pattern.iter().copied().cycle().take((64 << 20) + 13).collect();
    let long_folder = "é".repeat(60);
    for (path, content) in [
        ("model.bin".to_owned(), large.as_slice()),
        ("config.json".to_owned(), b"{}"),
        ("empty".to_owned(), b""),
        ("a.txt".to_owned(), b"sorts before a/"),
        ("a/b/block".to_owned(), &[7; 512]),
        (format!("{long_folder}/file"), b"long name"),
        ("e".repeat(93), b"a name of 100 bytes with its folder"),
    ] {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

/// Pushes and returns the image pulled with skopeo and the folder that umoci unpacked it to.
fn push_and_pull(source: &str, hub: Option<&FakeHub>, registry: &Registry, work: &Path) -> (Image, PathBuf) {
    let name = format!("{}/team/model", registry.address());
    let mut push = modelcar(work);
    push.args(["push", source, &format!("{name}:v1"), "--base-binary", BUSYBOX]);
    if let Some(hub) = hub {
        push.env("HF_ENDPOINT", hub.endpoint());
    }
    let stdout = run(&mut push);
    let digest = pinned_digest(&stdout, &name);

    let layout = work.join("pulled");
    let from = format!("docker://{name}@{digest}");
    let to = format!("oci:{}:model", layout.display());
    run(command("skopeo").args(["--insecure-policy", "copy", "--src-tls-verify=false", &from, &to]));
    let bundle = work.join("bundle");
    let mut unpack = command("umoci");
    unpack.arg("unpack");
    if !files::is_root() {
        unpack.arg("--rootless");
    }
    run(unpack.arg(format!("--image={}:model", layout.display())).arg(&bundle));
    (Image::open(&layout), bundle.join("rootfs"))
}

/// Checks that `stdout` is one line `IMAGE@sha256:…` and returns the digest.
fn pinned_digest(stdout: &str, name: &str) -> String {
    let line = stdout.strip_suffix('\n').expect("stdout ends with a newline");
    assert!(!line.contains('\n'), "more than one line: {stdout}");
    let (image, digest) = line.split_once('@').expect("stdout holds a digest");
    assert!(image == name || image == format!("{name}:v1"), "{line}");
    let hex = digest.strip_prefix("sha256:").expect("a sha256 digest");
    assert!(hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
    digest.to_owned()
}

#[test]
fn a_directory_survives_the_way_through_a_real_registry() {
    if !available(&[Part::Registry, Part::Skopeo, Part::Umoci, Part::Busybox]) {
        return;
    }
    let work = TempDir::new().unwrap();
    let registry = Registry::start();
    let (_, rootfs) = push_and_pull(fixture().to_str().unwrap(), None, &registry, work.path());
    files::assert_unpacked(&fixture(), &rootfs.join("models"));
    assert!(rootfs.join("bin/sh").symlink_metadata().is_ok(), "no /bin/sh in the image");
}

#[test]
fn the_image_runs_what_kserve_runs() {
    if !available(&[Part::Registry, Part::Skopeo, Part::Umoci, Part::Busybox, Part::Root]) {
        return;
    }
    let work = TempDir::new().unwrap();
    let registry = Registry::start();
    let (image, rootfs) = push_and_pull(fixture().to_str().unwrap(), None, &registry, work.path());
    assert_eq!(image.config()["config"]["User"], "1010");
    assert!(image.config()["config"].get("Entrypoint").is_none_or(serde_json::Value::is_null));
    // The prefetch check of KServe's init container, then what its sidecar calls, as the image's own user.
    let shell = r#"export PATH=/bin:/usr/bin; [ -d /models ] && [ "$(ls -A /models)" ] &&
        for tool in ln ls mkdir sleep; do found=$(command -v $tool) || exit 1; done && cat /models/config.json"#;
    let mut chroot = command("chroot");
    chroot.arg("--userspec=1010:1010").arg(&rootfs).args(["/bin/sh", "-c", shell]);
    assert_eq!(run(&mut chroot), fs::read_to_string(fixture().join("config.json")).unwrap());
}

#[test]
fn layers_are_read_by_every_tar() {
    if !available(&[Part::GnuTar, Part::BsdTar, Part::Busybox, Part::Python]) {
        return;
    }
    let work = TempDir::new().unwrap();
    let model = two_layer_model();
    let layers = build_layers(model.path(), work.path());
    assert_eq!(layers.len(), 2);
    let mut checked = 0;
    for layer in &layers {
        let out = run(python().arg(script("check_layer.py")).arg(layer).arg(model.path()));
        checked += out.trim().parse::<usize>().unwrap();
    }
    assert_eq!(checked, files::list(model.path()).len());

    for reader in [vec!["tar"], vec!["bsdtar"], vec![BUSYBOX, "tar"]] {
        let target = work.path().join(reader.join("-").replace('/', ""));
        fs::create_dir(&target).unwrap();
        for layer in &layers {
            run(command(reader[0]).args(&reader[1..]).arg("-xpf").arg(layer).arg("-C").arg(&target));
        }
        files::assert_unpacked(model.path(), &target.join("models"));
    }
}

#[test]
fn gnu_tar_makes_the_same_layers() {
    if !available(&[Part::GnuTar]) {
        return;
    }
    let work = TempDir::new().unwrap();
    let model = two_layer_model();
    // The recipe has to see through what a checkout may look like.
    fs::hard_link(model.path().join("config.json"), model.path().join("second name.json")).unwrap();
    files::set_mode(&model.path().join("config.json"), 0o4700);
    files::set_mode(&model.path().join("a"), 0o2711);
    for epoch in ["0", "1700000000"] {
        let mut build = modelcar(work.path());
        build.env("SOURCE_DATE_EPOCH", epoch);
        let layers = build_layers_with(build, model.path(), &work.path().join(epoch));
        let (large, small): (Vec<_>, Vec<_>) =
            files::list(model.path()).into_keys().partition(|path| path == "model.bin");
        assert_eq!(layers.len(), 2);
        for (layer, list) in layers.iter().zip([large, small]) {
            let digest = layer.file_name().unwrap().to_str().unwrap();
            assert_eq!(documented_digest(model.path(), &list, epoch), digest, "{list:?}");
        }
    }
}

#[test]
fn gnu_tar_makes_the_layer_of_the_fixture() {
    if !available(&[Part::GnuTar]) {
        return;
    }
    let work = TempDir::new().unwrap();
    let layers = build_layers(&fixture(), work.path());
    let list: Vec<_> = files::list(&fixture()).into_keys().collect();
    let digest = documented_digest(&fixture(), &list, "0");
    assert_eq!(layers.iter().map(|layer| layer.file_name().unwrap()).collect::<Vec<_>>(), [digest.as_str()]);
}

/// Builds a layout without a base and returns its weight layers, bottom first. Their file names are their digests.
fn build_layers(model: &Path, work: &Path) -> Vec<PathBuf> {
    build_layers_with(modelcar(work), model, &work.join("layout"))
}

fn build_layers_with(mut build: std::process::Command, model: &Path, layout: &Path) -> Vec<PathBuf> {
    build.arg("build").arg(model).args(["--base", "scratch", "--output"]).arg(format!("oci:{}", layout.display()));
    run(&mut build);
    weight_layers(&Image::open(layout))
}

/// Returns the digest, in hex, that the commands of `docs/layer-format.md` print for a layer of these files.
fn documented_digest(model: &Path, list: &[String], epoch: &str) -> String {
    let document = fs::read_to_string(parts::repository().join("docs/layer-format.md")).unwrap();
    let recipe = document.split_once("<!-- recipe -->\n```sh\n").unwrap().1.split_once("```").unwrap().0;
    let mut shell = command("sh")
        .arg("-c")
        .arg(format!("{recipe}\nlayer \"$1\" | sha256sum"))
        .arg("sh")
        .arg(model)
        .env("SOURCE_DATE_EPOCH", epoch)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // `sha256sum` says nothing before the list has ended, so writing all of it first can't block.
    shell.stdin.take().unwrap().write_all((list.join("\n") + "\n").as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

#[test]
fn the_fake_hub_satisfies_the_real_client() {
    if !available(&[Part::PythonPackages]) {
        return;
    }
    // Small pages and a low threshold: the fixture has several pages and both kinds of files.
    let hub = FakeHub::start_blocking(HubConfig { page_size: 4, ..HubConfig::default() });
    let commit = hub.add_repo("acme/tiny", "main", ModelTree::from_dir(&fixture(), 20_000).unwrap());
    let mut check = python_with_packages();
    check.arg(script("check_hub.py")).arg(hub.endpoint()).args(["acme/tiny", "main"]).arg(fixture());
    assert_eq!(run(&mut check).trim(), commit);
}

#[test]
fn a_real_model_arrives_whole() {
    let needed = [Part::Registry, Part::Skopeo, Part::Umoci, Part::Busybox, Part::PythonPackages, Part::RealModel];
    if !available(&needed) {
        return;
    }
    let work = TempDir::new().unwrap();
    let model = PathBuf::from(std::env::var_os("MODELCAR_REAL_MODEL").unwrap());
    let hub = FakeHub::start_blocking(HubConfig::default());
    hub.add_repo("acme/minilm", "main", ModelTree::from_dir(&model, LFS_BYTES).unwrap());
    let registry = Registry::start();
    let (image, rootfs) = push_and_pull("acme/minilm@main", Some(&hub), &registry, work.path());
    files::assert_unpacked(&model, &rootfs.join("models"));

    let tensors = run(python_with_packages().arg(script("check_model.py")).arg(&model).arg(rootfs.join("models")));
    assert_eq!(tensors.trim(), "104");
    for layer in weight_layers(&image) {
        run(python().arg(script("check_layer.py")).arg(layer).arg(&model));
    }
}

#[test]
fn nine_gib_layer_is_readable() {
    if !available(&[Part::GnuTar, Part::BsdTar, Part::Python]) {
        return;
    }
    let model = TempDir::new().unwrap();
    let large = fs::File::create(model.path().join("model.bin")).unwrap();
    large.set_len(NINE_GIB).unwrap();
    let listing =
        "import sys, tarfile\nfor m in tarfile.open(fileobj=sys.stdin.buffer, mode='r|'): print(m.size, m.name)";
    let mut readers =
        [command("tar").args(["-tvf", "-"]), command("bsdtar").args(["-tvf", "-"]), python().args(["-c", listing])]
            .map(|reader| reader.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    frame_layer(model.path(), &mut readers);
    for reader in readers {
        let output = reader.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        let line = text.lines().find(|line| line.ends_with("models/model.bin")).expect("the file is listed");
        assert!(line.contains(&NINE_GIB.to_string()), "{line}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}

/// Frames the one layer of `model` once, into the standard input of every reader, and closes it.
fn frame_layer(model: &Path, readers: &mut [Child]) {
    let mut pipes: Vec<_> = readers.iter_mut().map(|reader| reader.stdin.take().unwrap()).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let source = Arc::new(DirSource::open(model).await.unwrap());
        let files = source.list().await.unwrap();
        let plan = Plan::new(source.origin(), files, &Base::scratch().image, &PlanOptions::default()).unwrap();
        let layer = plan.layers()[0].clone();
        let body = LayerBlob::new(0, layer, 0, source, ReadBudget::sequential(), Arc::new(NoProgress));
        let mut open = body.open();
        while let Some(bytes) = open.stream.next().await {
            let bytes = bytes.unwrap();
            for pipe in &mut pipes {
                pipe.write_all(&bytes).unwrap();
            }
        }
        assert_eq!(open.verified.await.unwrap().size, body.size());
    });
}
