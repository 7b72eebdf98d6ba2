//! The packages of `make dist`: each is installed where nothing else of modelcar is, and does the README's main job.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use modelcar_testkit::{FakeHub, HubConfig, ModelTree};
use tempfile::TempDir;

use crate::{
    fixture,
    parts::{Part, available, command, repository, run},
    pinned_digest,
    podman::Podman,
    registry::Registry,
};

/// The folder of `make dist`.
pub(crate) fn dist() -> PathBuf {
    repository().join("target/dist")
}

/// The one package whose name ends with `ending`.
fn package(ending: &str) -> PathBuf {
    let files = fs::read_dir(dist()).unwrap().map(|file| file.unwrap().path());
    let found: Vec<_> = files.filter(|file| file.to_str().is_some_and(|name| name.ends_with(ending))).collect();
    let [package] = found.as_slice() else { panic!("not one package with {ending}: {found:?}") };
    package.canonicalize().unwrap()
}

/// Runs `modelcar --version` and a push with the program that `modelcar` starts, and prints how long each takes.
fn assert_works(package: &str, modelcar: impl Fn(&FakeHub) -> Command) {
    let hub = FakeHub::start_blocking(HubConfig::default());
    hub.add_repo("acme/tiny", "main", ModelTree::from_dir(&fixture(), 20_000).unwrap());
    let registry = Registry::start();
    let name = format!("{}/models/tiny", registry.address());

    let start = Instant::now();
    let said = run(modelcar(&hub).arg("--version"));
    let version = start.elapsed();
    assert!(said.starts_with(&format!("modelcar {} (commit ", env!("CARGO_PKG_VERSION"))), "{said}");
    let start = Instant::now();
    let stdout = run(modelcar(&hub).args(["push", "acme/tiny", &format!("{name}:v1"), "--base", "scratch"]));
    eprintln!("{package}: --version {version:.1?}, push {:.1?}", start.elapsed());
    let digest = pinned_digest(&stdout, &name);
    assert!(registry.request("GET", &format!("/v2/models/tiny/manifests/{digest}")).0.starts_with("HTTP/1.1 200"));
}

/// A command that sees nothing but `root`.
fn chroot(root: &Path, program: &str, hub: &FakeHub) -> Command {
    let mut chroot = Command::new("chroot");
    chroot.arg(root).arg(program).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/");
    chroot.env("HF_ENDPOINT", hub.endpoint());
    chroot
}

#[test]
fn the_checksums_are_those_of_all_packages() {
    if !available(&[Part::Packages]) {
        return;
    }
    let checked = run(command("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(dist()));
    let files = fs::read_dir(dist()).unwrap().count();
    assert_eq!(checked.lines().count() + 1, files, "{checked}");
}

#[test]
fn the_packed_binary_works_alone() {
    if !available(&[Part::Packages, Part::Registry, Part::Root]) {
        return;
    }
    let root = TempDir::new().unwrap();
    run(command("tar").arg("-xzf").arg(package("-linux.tar.gz")).arg("-C").arg(root.path()));
    assert!(root.path().join("LICENSE").is_file());
    assert!(root.path().join("share/man/man1/modelcar-push.1").is_file());
    for completion in ["bash-completion/completions/modelcar", "zsh/site-functions/_modelcar"] {
        assert!(root.path().join("share").join(completion).is_file(), "{completion}");
    }
    assert_works("binary", |hub| chroot(root.path(), "/modelcar", hub));
}

#[test]
fn the_debian_package_is_installed_and_removed() {
    if !available(&[Part::Packages, Part::Registry, Part::Root, Part::Dpkg]) {
        return;
    }
    let root = TempDir::new().unwrap();
    for folder in ["var/lib/dpkg/updates", "var/lib/dpkg/info"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    fs::write(root.path().join("var/lib/dpkg/status"), "").unwrap();
    let dpkg = |arguments: &[&str]| {
        let mut dpkg = command("dpkg");
        dpkg.arg(format!("--root={}", root.path().display())).args(arguments);
        run(&mut dpkg)
    };
    dpkg(&["--install", package(".deb").to_str().unwrap()]);
    assert_eq!(dpkg(&["--verify", "modelcar"]), "");
    for file in ["man/man1/modelcar.1.gz", "man/man1/modelcar-push.1.gz", "bash-completion/completions/modelcar"] {
        assert!(root.path().join("usr/share").join(file).is_file(), "{file}");
    }
    assert_works("Debian package", |hub| chroot(root.path(), "/usr/bin/modelcar", hub));
    dpkg(&["--purge", "modelcar"]);
    assert!(!root.path().join("usr/bin/modelcar").exists());
}

#[test]
fn the_wheel_is_installed_into_a_fresh_environment() {
    if !available(&[Part::Packages, Part::Registry, Part::Python]) {
        return;
    }
    let home = TempDir::new().unwrap();
    let venv = home.path().join("venv");
    run(command("python3").args(["-m", "venv"]).arg(&venv));
    let mut pip = command(venv.join("bin/pip"));
    run(pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-index"]).arg(package(".whl")));
    assert!(venv.join("share/man/man1/modelcar-push.1").is_file());
    assert!(venv.join("share/bash-completion/completions/modelcar").is_file());
    assert_works("wheel", |hub| {
        let mut modelcar = Command::new(venv.join("bin/modelcar"));
        modelcar.env_clear().env("HOME", home.path()).env("HF_ENDPOINT", hub.endpoint());
        modelcar
    });
}

#[test]
fn the_image_runs_in_podman() {
    if !available(&[Part::Packages, Part::Registry, Part::Podman, Part::Root]) {
        return;
    }
    let podman = match Podman::start() {
        Ok(podman) => podman,
        Err(why) => return assert!(std::env::var_os("MODELCAR_REQUIRE_INTEROP").is_none(), "podman: {why}"),
    };
    let image = load(&podman);
    assert_works("image", |hub| {
        let mut run = podman.command();
        run.args(["run", "--rm", "--network=host", "--env", &format!("HF_ENDPOINT={}", hub.endpoint()), &image]);
        run
    });
}

/// Loads the image of modelcar, and returns its id.
pub(crate) fn load(podman: &Podman) -> String {
    let archive = format!("oci-archive:{}", package("-image.tar").display());
    run(podman.command().args(["pull", "--quiet", &archive])).trim().to_owned()
}
