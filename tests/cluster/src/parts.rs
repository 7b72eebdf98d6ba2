//! What the cluster is made of: programs built from pinned Go modules, and programs of the machine.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest as _, Sha256};

use crate::{program::run, wait::Result};

/// A Go module and the programs that are built from it.
struct Module {
    /// Folder below `modules/`, and of the programs.
    name: String,
    /// The module whose version counts, or `None` for our own.
    path: Option<&'static str>,
    /// Name and package of each program.
    programs: &'static [(&'static str, &'static str)],
    tags: &'static str,
}

const KUBERNETES: &str = "k8s.io/kubernetes";
const CONTAINERD: &str = "github.com/containerd/containerd/v2";

/// Programs of the machine, and the Debian package that brings each.
const MACHINE: [(&str, &str); 12] = [
    ("/usr/sbin/runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("/usr/lib/cni/host-local", "containernetworking-plugins"),
    ("/usr/sbin/iptables", "iptables"),
    ("/usr/bin/catatonit", "catatonit"),
    ("/usr/bin/bash-static", "bash-static"),
    ("/usr/bin/busybox", "busybox-static"),
    ("/usr/bin/docker-registry", "docker-registry"),
    ("/usr/bin/skopeo", "skopeo"),
    ("/usr/bin/umoci", "umoci"),
    ("/usr/bin/nsenter", "util-linux"),
    ("/usr/sbin/ip", "iproute2"),
];

/// Where everything lies.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    /// Root of the repository.
    pub(crate) workspace: PathBuf,
    /// Release of KServe.
    pub(crate) kserve: String,
}

impl Parts {
    pub(crate) fn new(kserve: &str) -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = here.ancestors().nth(2).ok_or("the package lies in tests/cluster")?.to_owned();
        let parts = Self { workspace, kserve: kserve.to_owned() };
        if !parts.modules_folder().join(format!("kserve-{kserve}")).is_dir() {
            let known = parts.releases()?.join(", ");
            return Err(format!("KServe {kserve} is not pinned in tests/cluster/modules, known are: {known}").into());
        }
        Ok(parts)
    }

    /// Returns the releases of KServe that are pinned.
    fn releases(&self) -> Result<Vec<String>> {
        let names = fs::read_dir(self.modules_folder())?.filter_map(std::result::Result::ok);
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let mut releases: Vec<_> = names.filter_map(|name| name.strip_prefix("kserve-").map(str::to_owned)).collect();
        releases.sort();
        Ok(releases)
    }

    fn sources(&self) -> PathBuf {
        self.workspace.join("tests/cluster")
    }

    fn modules_folder(&self) -> PathBuf {
        self.sources().join("modules")
    }

    /// The folder of everything that is made; `target/` is not part of the repository.
    pub(crate) fn made(&self) -> PathBuf {
        self.workspace.join("target/cluster")
    }

    fn folder(&self, module: &str) -> PathBuf {
        self.made().join("bin").join(module)
    }

    /// Returns a built program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let module = self.modules().into_iter().find(|module| module.programs.iter().any(|(known, _)| *known == name));
        module.map_or_else(PathBuf::new, |module| self.folder(&module.name).join(name))
    }

    /// Returns the folders of all built programs, as a `PATH` with the machine's behind them.
    pub(crate) fn search_path(&self) -> String {
        let folders = self.modules().into_iter().map(|module| self.folder(&module.name).display().to_string());
        let machine = env::var("PATH").unwrap_or_default();
        folders.chain([machine, "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()]).collect::<Vec<_>>().join(":")
    }

    /// Returns the unpacked source of KServe, which holds its resource definitions and configuration.
    pub(crate) fn kserve_source(&self) -> Result<PathBuf> {
        let module = self.modules_folder().join(format!("kserve-{}", self.kserve));
        let mut list = go(&module);
        let folder = run(list.args(["list", "-m", "-f", "{{.Dir}}", "github.com/kserve/kserve"]))?;
        Ok(PathBuf::from(folder.trim()))
    }

    fn modules(&self) -> Vec<Module> {
        let module = |name: &str, path, programs, tags| Module { name: name.to_owned(), path, programs, tags };
        vec![
            module("etcd", Some("go.etcd.io/etcd/server/v3"), &[("etcd", "go.etcd.io/etcd/server/v3")], ""),
            module(
                "containerd",
                Some(CONTAINERD),
                &[
                    ("containerd", "github.com/containerd/containerd/v2/cmd/containerd"),
                    ("containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"),
                    ("ctr", "github.com/containerd/containerd/v2/cmd/ctr"),
                ],
                "no_btrfs,no_devmapper,no_zfs",
            ),
            module(
                "kubernetes",
                Some(KUBERNETES),
                &[
                    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
                    ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
                    ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
                    ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
                    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
                ],
                "",
            ),
            module(
                &format!("kserve-{}", self.kserve),
                Some("github.com/kserve/kserve"),
                &[
                    ("manager", "github.com/kserve/kserve/cmd/manager"),
                    ("llmisvc", "github.com/kserve/kserve/cmd/llmisvc"),
                ],
                "",
            ),
            module("server", None, &[("model-server", ".")], ""),
        ]
    }

    /// Builds what is not built, or was built from other versions.
    pub(crate) fn build(&self) -> Result {
        for module in self.modules() {
            let source = match module.path {
                Some(_) => self.modules_folder().join(&module.name),
                None => self.sources().join("server"),
            };
            let stamp_file = self.folder(&module.name).join("stamp");
            let stamp = stamp(&source, &module)?;
            let built = module.programs.iter().all(|(name, _)| self.folder(&module.name).join(name).is_file());
            if built && fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
                continue;
            }
            fs::create_dir_all(self.folder(&module.name))?;
            for (name, package) in module.programs {
                self.build_program(&module, &source, name, package)?;
            }
            fs::write(stamp_file, stamp)?;
        }
        Ok(())
    }

    fn build_program(&self, module: &Module, source: &Path, name: &str, package: &str) -> Result {
        let start = std::time::Instant::now();
        let version = module.path.map(|path| required(source, path)).transpose()?.unwrap_or_default();
        let flags = if module.path == Some(KUBERNETES) {
            // Where the build scripts of Kubernetes put the version that kubelets and clients tell.
            let minor = version.split('.').nth(1).unwrap_or_default();
            let stamp = "k8s.io/component-base/version";
            format!("-s -w -X {stamp}.gitVersion={version} -X {stamp}.gitMajor=1 -X {stamp}.gitMinor={minor}")
        } else if module.path == Some(CONTAINERD) {
            format!("-s -w -X github.com/containerd/containerd/v2/version.Version={version}")
        } else {
            "-s -w".to_owned()
        };
        let mut build = go(source);
        build.args(["build", "-trimpath", "-ldflags", &flags, "-tags", module.tags, "-o"]);
        run(build.arg(self.folder(&module.name).join(name)).arg(package))?;
        eprintln!("built {name} {version} in {} s", start.elapsed().as_secs());
        Ok(())
    }

    /// Fails with a sentence when the machine lacks something.
    pub(crate) fn machine_has_all() -> Result {
        if !rustix::process::geteuid().is_root() {
            return Err("the cluster needs root: it makes network namespaces and runs a container runtime".into());
        }
        let missing: Vec<_> = MACHINE.iter().filter(|(file, _)| !Path::new(file).exists()).collect();
        if let Some((file, _)) = missing.first() {
            let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
            packages.dedup();
            let packages = packages.join(" ");
            return Err(format!("the machine lacks {file}; on Debian: apt-get install {packages}").into());
        }
        run(Command::new("go").arg("version"))
            .map_err(|_| "the machine lacks Go, which builds the cluster's programs")?;
        Ok(())
    }
}

fn go(folder: &Path) -> Command {
    let mut go = Command::new("go");
    // Checksums are committed: a build may not change them.
    go.current_dir(folder).env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=readonly").env_remove("GOWORK");
    go
}

/// Returns the version of `module` that a `go.mod` asks for.
fn required(folder: &Path, module: &str) -> Result<String> {
    let text = fs::read_to_string(folder.join("go.mod"))?;
    let mut lines = text.lines().map(|line| line.trim_start_matches("require ").split_whitespace());
    let version = lines.find_map(|mut words| (words.next() == Some(module)).then(|| words.next()).flatten());
    Ok(version.ok_or_else(|| format!("{}/go.mod does not require {module}", folder.display()))?.to_owned())
}

/// Returns what a module's programs depend on, as one hash.
fn stamp(source: &Path, module: &Module) -> Result<String> {
    let mut hash = Sha256::new();
    for name in ["go.mod", "go.sum", "main.go"] {
        hash.update(fs::read(source.join(name)).unwrap_or_default());
    }
    hash.update(module.tags);
    hash.update(run(go(source).args(["env", "GOVERSION", "GOARCH"]))?);
    Ok(hex(&hash.finalize()))
}

/// Writes bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").ok();
        text
    })
}
