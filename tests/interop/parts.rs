//! The real parts: whether they are there, and how they are run.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::files;

/// A static busybox, where Debian puts it.
pub(crate) const BUSYBOX: &str = "/bin/busybox";

/// Something that a test needs and a machine may lack.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    /// The CNCF distribution 2.8.
    Registry,
    /// The CNCF distribution 3.
    Distribution,
    /// The registry of go-containerregistry with its list of referrers.
    GoContainerregistry,
    /// Reads images as go-containerregistry does.
    Crane,
    /// Reads artifacts, and attaches them to images.
    Oras,
    /// A proxy, one that ends TLS or caps requests.
    Nginx,
    /// The static binary of `make static`.
    Static,
    /// The packages of `make dist`.
    Packages,
    /// Installs Debian packages.
    Dpkg,
    /// Copies images.
    Skopeo,
    /// Builds images on top of others.
    Buildah,
    /// Unpacks images.
    Umoci,
    /// A static shell for the base.
    Busybox,
    /// GNU tar, as `tar`.
    GnuTar,
    /// The tar of libarchive.
    BsdTar,
    /// Python with its standard library.
    Python,
    /// Python with the packages of the Hub.
    PythonPackages,
    /// Runs containers.
    Podman,
    /// Python with KServe's server and models.
    KservePackages,
    /// The folder of a real model.
    RealModel,
    /// The right to change owners and root folders.
    KubernetesSources,
    Root,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Registry => "docker-registry",
            Self::Distribution => "CNCF distribution 3 (make registry-programs)",
            Self::GoContainerregistry => "the registry of go-containerregistry (make registry-programs)",
            Self::Crane => "crane (make registry-programs)",
            Self::Oras => "oras (make registry-programs)",
            Self::Nginx => "nginx",
            Self::Static => "the static binary (make static)",
            Self::Packages => "the packages (make dist)",
            Self::Dpkg => "dpkg",
            Self::Skopeo => "skopeo",
            Self::Buildah => "buildah",
            Self::Umoci => "umoci",
            Self::Busybox => "busybox-static",
            Self::GnuTar => "GNU tar",
            Self::BsdTar => "bsdtar",
            Self::Python => "python3",
            Self::PythonPackages => "a Python with huggingface_hub, safetensors and tokenizers (MODELCAR_PYTHON)",
            Self::Podman => "podman with runc and catatonit",
            Self::KservePackages => "a Python with kserve (MODELCAR_PYTHON)",
            Self::RealModel => "a real model (MODELCAR_REAL_MODEL)",
            Self::KubernetesSources => {
                "Go and the sources of Kubernetes (in tests/cluster/modules/kubernetes: go mod download)"
            }
            Self::Root => "root",
        }
    }

    fn is_there(self) -> bool {
        match self {
            Self::Registry => answers(command("docker-registry").arg("--version")),
            Self::Distribution => answers(command(registry_program(self)).arg("--version")),
            Self::GoContainerregistry => registry_program(self).is_file(),
            Self::Crane | Self::Oras => answers(command(registry_program(self)).arg("version")),
            Self::Nginx => answers(command("nginx").arg("-v")),
            Self::Static => answers(command(static_binary()).arg("--version")),
            Self::Packages => repository().join("target/dist/SHA256SUMS").is_file(),
            Self::Dpkg => answers(command("dpkg").arg("--version")),
            Self::Skopeo => answers(command("skopeo").arg("--version")),
            Self::Buildah => answers(command("buildah").arg("--version")),
            Self::Umoci => answers(command("umoci").arg("--version")),
            Self::Busybox => answers(command(BUSYBOX).arg("true")),
            Self::GnuTar => answers(command("sh").args(["-c", "tar --version | grep -q GNU"])),
            Self::BsdTar => answers(command("bsdtar").arg("--version")),
            Self::Python => answers(python().arg("--version")),
            Self::PythonPackages => {
                answers(python_with_packages().args(["-c", "import huggingface_hub, safetensors, tokenizers"]))
            }
            Self::Podman => {
                answers(command("sh").args(["-c", "podman --version && runc --version && catatonit --version"]))
            }
            Self::KservePackages => answers(python_with_packages().args(["-c", "import kserve, numpy"])),
            Self::RealModel => {
                env::var_os("MODELCAR_REAL_MODEL").is_some_and(|dir| Path::new(&dir).join("config.json").is_file())
            }
            Self::KubernetesSources => go_module("k8s.io/kubernetes").is_some(),
            Self::Root => files::is_root(),
        }
    }
}

/// Returns the folder with the sources of a module of Kubernetes, in the version that the cluster of the tests runs.
/// Downloads them if need be.
pub(crate) fn go_module(name: &str) -> Option<PathBuf> {
    let modules = repository().join("tests/cluster/modules/kubernetes");
    let go = |arguments: &[&str]| {
        let mut go = Command::new("go");
        let output =
            go.args(arguments).current_dir(&modules).env("GOFLAGS", "-mod=readonly").stderr(Stdio::null()).output();
        output
            .ok()
            .filter(|output| output.status.success())
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    go(&["mod", "download", name])?;
    let folder = go(&["list", "-m", "-f", "{{.Dir}}", name])?;
    Some(PathBuf::from(folder.trim())).filter(|folder| folder.is_dir())
}

/// Returns whether all parts are there, and says which is not.
///
/// # Panics
/// When one is missing although `MODELCAR_REQUIRE_INTEROP=1` demands all of them.
pub(crate) fn available(parts: &[Part]) -> bool {
    let missing: Vec<_> = parts.iter().filter(|part| !part.is_there()).map(|part| part.name()).collect();
    let required = env::var_os("MODELCAR_REQUIRE_INTEROP").is_some_and(|value| value == "1");
    for name in &missing {
        eprintln!("skipped: {name} is not installed");
    }
    assert!(missing.is_empty() || !required, "MODELCAR_REQUIRE_INTEROP=1, but not installed: {}", missing.join(", "));
    missing.is_empty()
}

/// What could lead the programs elsewhere.
const FOREIGN: [&str; 18] = [
    "ALL_PROXY",
    "GCE_METADATA_HOST",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "HF_ENDPOINT",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HF_TOKEN",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "HUGGINGFACE_HUB_CACHE",
    "MODELCAR_REGISTRY_PASSWORD",
    "MODELCAR_REGISTRY_USERNAME",
    "NO_PROXY",
    "SOURCE_DATE_EPOCH",
    "SSL_CERT_FILE",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// The binary that runs in an empty container.
pub(crate) fn static_binary() -> PathBuf {
    repository().join("target/static/modelcar")
}

/// A program of `make registry-programs`.
///
/// # Panics
/// When the part is no such program.
pub(crate) fn registry_program(part: Part) -> PathBuf {
    let name = match part {
        Part::Distribution => "distribution",
        Part::GoContainerregistry => "go-containerregistry",
        Part::Crane => "crane",
        Part::Oras => "oras",
        other => panic!("{other:?} is not built from a Go module"),
    };
    repository().join("target/registry-programs").join(name)
}

/// A command whose language and credentials are nobody's.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    for variable in FOREIGN {
        command.env_remove(variable);
    }
    command
}

/// The program under test, with `home` in place of the user's.
pub(crate) fn modelcar(home: &Path) -> Command {
    let mut modelcar = command(env!("CARGO_BIN_EXE_modelcar"));
    modelcar.env("HOME", home).env("HF_HOME", home).env("DOCKER_CONFIG", home).env("CLOUDSDK_CONFIG", home);
    modelcar.env_remove("REGISTRY_AUTH_FILE").env_remove("XDG_RUNTIME_DIR").env_remove("XDG_CONFIG_HOME");
    modelcar
}

/// Any Python.
pub(crate) fn python() -> Command {
    command("python3")
}

/// The Python that has the packages.
pub(crate) fn python_with_packages() -> Command {
    command(env::var_os("MODELCAR_PYTHON").unwrap_or_else(|| "python3".into()))
}

/// One of the scripts beside this file.
pub(crate) fn script(name: &str) -> PathBuf {
    repository().join("tests/interop").join(name)
}

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn answers(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs a command and returns its stdout.
///
/// # Panics
/// When it fails, with what it said.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
