//! podman as a node: images in a store of its own, and pods that share processes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::parts::{command, python_with_packages, run, script};

/// Works where limits can't be raised and there is no systemd.
const CONFIG: &str = r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"#;
/// Folders of this machine that the server's programs lie in.
const SYSTEM: [&str; 3] = ["/usr", "/lib", "/lib64"];
/// Where the server's container has what a server needs.
const MOUNT_POINTS: [&str; 10] = ["usr", "lib", "lib64", "mnt", "proc", "sys", "dev", "tmp", "app", "etc"];

/// A store of images and containers, empty at first; all of it goes away when dropped.
pub(crate) struct Podman {
    dir: TempDir,
}

/// A pod that runs.
pub(crate) struct Pod<'a> {
    podman: &'a Podman,
    pub(crate) name: String,
    /// The volume that sidecar and server share.
    pub(crate) shared: PathBuf,
}

impl Podman {
    /// Returns podman when it can run a container here, else why it can't.
    pub(crate) fn start() -> Result<Self, String> {
        let podman = Self { dir: TempDir::new().unwrap() };
        fs::write(podman.dir.path().join("containers.conf"), CONFIG).unwrap();
        for folder in MOUNT_POINTS {
            fs::create_dir_all(podman.rootfs().join(folder)).unwrap();
        }
        let home = podman.dir.path().join("home");
        fs::create_dir(&home).unwrap();
        crate::files::set_mode(&home, 0o777);
        let mut trial = podman.command();
        trial.args(["run", "--rm", "--network=none"]).args(system_mounts()).arg("--rootfs").arg(podman.rootfs());
        match trial.arg("/usr/bin/true").output() {
            Ok(output) if output.status.success() => Ok(podman),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(crate) fn command(&self) -> Command {
        let mut podman = command("podman");
        let dir = self.dir.path();
        podman.env("CONTAINERS_CONF", dir.join("containers.conf"));
        podman.arg("--root").arg(dir.join("root")).arg("--runroot").arg(dir.join("run"));
        podman.arg("--storage-driver=overlay");
        podman
    }

    fn rootfs(&self) -> PathBuf {
        self.dir.path().join("rootfs")
    }

    pub(crate) fn pull(&self, image: &str) {
        run(self.command().args(["pull", "--quiet", "--tls-verify=false", image]));
    }

    /// Makes an image of `image` with a change to its config and a folder more, and pushes it.
    pub(crate) fn changed(&self, image: &str, name: &str, change: &str, folder: Option<&Path>) {
        let container = run(self.command().args(["create", image, "sh"]));
        let container = container.trim();
        if let Some(folder) = folder {
            run(self.command().arg("cp").arg(folder).arg(format!("{container}:/")));
        }
        run(self.command().args(["commit", "--quiet", "--format=oci", "--change", change, container, name]));
        run(self.command().args(["push", "--quiet", "--tls-verify=false", name]));
    }

    /// Starts a pod whose containers share processes and nothing reaches.
    pub(crate) fn pod(&self, name: &str) -> Pod<'_> {
        run(self.command().args(["pod", "create", "--share=pid,ipc", "--network=none", "--name", name]));
        let shared = self.dir.path().join(format!("shared-{name}"));
        fs::create_dir(&shared).unwrap();
        crate::files::set_mode(&shared, 0o777);
        Pod { podman: self, name: name.to_owned(), shared }
    }

    /// A container that sees this machine's programs, the Python of the tests, and nothing else of it.
    pub(crate) fn server(&self, user: &str) -> Command {
        let mut server = self.command();
        // No server image knows KServe's user; podman would note it in the root that all servers share.
        server
            .args(["run", "--passwd=false", "--network=none", "--user", user, "--env=HOME=/tmp"])
            .args(system_mounts());
        server.arg(format!("--volume={}:/tmp", self.dir.path().join("home").display()));
        server.arg(format!("--volume={}:/app/serve_minilm.py:ro", script("serve_minilm.py").display()));
        for prefix in python_prefixes() {
            server.arg(format!("--volume={prefix}:{prefix}:ro"));
        }
        server
    }

    /// Ends a command line of [`server`](Self::server): the container's root, and what runs in it.
    pub(crate) fn minilm(&self, mut server: Command, args: &[&str]) -> Command {
        server.arg("--rootfs").arg(self.rootfs()).arg(python_in_container()).arg("/app/serve_minilm.py").args(args);
        server
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Mounts of a container that stays would keep the folder from being removed.
        for args in [["pod", "rm", "--all", "--force", "--time=0"], ["rm", "--all", "--force", "--time=0", "--volumes"]]
        {
            self.command().args(args).output().ok();
        }
    }
}

impl Pod<'_> {
    /// Starts the sidecar, or runs the init container, of an image.
    pub(crate) fn modelcar(&self, image: &str, user: &str, script: &str, is_init: bool) -> std::process::Output {
        let mut car = self.podman.command();
        car.args(["run", "--pod", &self.name, "--user", user]);
        if is_init {
            car.arg("--rm");
        } else {
            car.arg("--detach").arg(format!("--volume={}:/mnt", self.shared.display()));
        }
        car.args([image, "sh", "-c", script]).output().unwrap()
    }

    /// Returns a container of this pod that sees the model at `/mnt/models`.
    pub(crate) fn server(&self, user: &str) -> Command {
        let mut server = self.podman.server(user);
        // The pod has no network, its containers need not say so.
        let args: Vec<_> = server.get_args().map(ToOwned::to_owned).filter(|arg| arg != "--network=none").collect();
        let mut own = command("podman");
        own.args(args).env("CONTAINERS_CONF", self.podman.dir.path().join("containers.conf"));
        server = own;
        server.args(["--pod", &self.name]).arg(format!("--volume={}:/mnt", self.shared.display()));
        server
    }

    /// Runs KServe's model server and returns its answer.
    pub(crate) fn ask_kserve(&self, user: &str) -> String {
        let name = format!("{}-server", self.name);
        let mut server = self.server(user);
        server.args(["--detach", "--name", &name]);
        run(&mut self.podman.minilm(server, &["serve", "/mnt/models", "8080"]));
        let mut ask = self.podman.command();
        ask.args(["exec", &name, &python_in_container(), "/app/serve_minilm.py", "ask", "8080"]);
        let output = ask.output().unwrap();
        if !output.status.success() {
            let log = self.podman.command().args(["logs", &name]).output().unwrap();
            panic!("{}\n{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&log.stderr));
        }
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        self.podman.command().args(["pod", "rm", "--force", "--time=0", &self.name]).output().ok();
    }
}

fn system_mounts() -> Vec<String> {
    let there = SYSTEM.iter().filter(|folder| Path::new(folder).is_dir());
    there.map(|folder| format!("--volume={folder}:{folder}:ro")).collect()
}

/// The folders of the Python that has the packages, as far as they are not the system's.
fn python_prefixes() -> Vec<String> {
    let code = "import sys; print(sys.prefix); print(sys.base_prefix)";
    let text = run(python_with_packages().args(["-c", code]));
    let mut prefixes: Vec<String> = text.lines().map(str::to_owned).collect();
    prefixes.sort();
    prefixes.dedup();
    prefixes.retain(|prefix| !prefix.starts_with("/usr"));
    prefixes
}

fn python_in_container() -> String {
    run(python_with_packages().args(["-c", "import sys; print(sys.executable)"])).trim().to_owned()
}
