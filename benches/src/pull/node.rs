//! Owns one running containerd: its start, cold pulls, and its end.

use std::{
    fmt, fs, io,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use tempfile::TempDir;

use super::containerd::Containerd;
use crate::{
    cost::{cpu_seconds, run},
    manifests::Layers,
};

/// Plugins that a pull does not need, and that have files outside the node's folder.
const DISABLED: [&str; 6] = [
    "io.containerd.grpc.v1.cri",
    "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
    "io.containerd.podsandbox.controller.v1.podsandbox",
    "io.containerd.internal.v1.opt",
    "io.containerd.nri.v1.nri",
];
/// How long containerd may take to answer, and to remove an image.
const TIMEOUT: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(50);

/// How a node is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settings {
    /// As the kubelet's pulls are without any configuration.
    Defaults,
    /// As `modelcar render --kind node-config` says. Release 1 has only the number of downloads of this.
    Tuned,
}

impl Settings {
    /// Layers that release 1 downloads at once. 3 is what it does for the kubelet.
    fn downloads(self) -> &'static str {
        match self {
            Self::Defaults => "3",
            Self::Tuned => "10",
        }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Defaults { "defaults" } else { "tuned" })
    }
}

/// A running containerd with a folder of its own; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) containerd: Containerd,
    pub(crate) settings: Settings,
    process: Child,
    folder: TempDir,
}

/// What one pull cost.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PullCost {
    /// Wall time of `ctr images pull`.
    pub wall_seconds: f64,
    /// CPU seconds of containerd and of its client.
    pub cpu_seconds: f64,
}

impl Node {
    /// Starts containerd with its folder below `root`. `tuned` is the configuration for [`Settings::Tuned`].
    pub(crate) fn start(containerd: &Containerd, settings: Settings, tuned: &str, root: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("node").tempdir_in(root)?;
        let path = |name: &str| folder.path().join(name);
        let has_tuned = settings == Settings::Tuned && containerd.has_transfer_service();
        let config = match (has_tuned, containerd.has_transfer_service()) {
            (true, _) => tuned,
            (false, true) => "version = 3\n",
            (false, false) => "version = 2\n",
        };
        fs::write(path("config.toml"), format!("disabled_plugins = {DISABLED:?}\n{config}"))?;
        let log = fs::File::create(path("containerd.log"))?;
        let mut command = Command::new(containerd.program("containerd"));
        command.arg("--config").arg(path("config.toml")).arg("--root").arg(path("root"));
        command.arg("--state").arg(path("state")).arg("--address").arg(path("socket")).env("TMPDIR", folder.path());
        let process = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let node = Self { containerd: containerd.clone(), settings, process, folder };
        let answers = node.soon(|| Ok(node.ctr().arg("version").output()?.status.success()))?;
        if answers {
            return Ok(node);
        }
        let log = fs::read_to_string(node.folder.path().join("containerd.log"))?;
        Err(io::Error::other(format!("{containerd} does not answer: {}", log.lines().last().unwrap_or_default())))
    }

    /// Pulls and unpacks `image`, checks that all of its layers are there, and removes everything again.
    pub(crate) fn pull(&self, image: &str, layers: Layers) -> io::Result<PullCost> {
        let mut command = self.ctr();
        command.args(["images", "pull", "--plain-http"]);
        if !self.containerd.has_transfer_service() {
            command.args(["--max-concurrent-downloads", self.settings.downloads()]);
        }
        write_back(self.folder.path())?;
        let before = cpu_seconds(self.process.id());
        let pull = run(command.arg(image), &self.folder.path().join("ctr.log"));
        let cpu_seconds = cpu_seconds(self.process.id()) - before;
        let unpacked = self.lines(&["snapshots", "ls"])?.len();
        self.remove(image)?;
        let pull = pull?;
        if unpacked != layers.count {
            return Err(io::Error::other(format!("{unpacked} of {} layers were unpacked", layers.count)));
        }
        Ok(PullCost { wall_seconds: pull.wall_seconds, cpu_seconds: cpu_seconds + pull.cpu_seconds })
    }

    /// Removes `image` and waits until neither a blob nor a snapshot is left, so that the next pull is cold.
    fn remove(&self, image: &str) -> io::Result<()> {
        // Fails when the pull has failed before the image had a name.
        let _was_not_there = self.ctr().args(["images", "rm", "--sync", image]).output()?;
        let is_empty =
            || Ok(self.lines(&["content", "ls"])?.is_empty() && self.lines(&["snapshots", "ls"])?.is_empty());
        match self.soon(is_empty)? {
            true => Ok(()),
            false => Err(io::Error::other(format!("{} keeps blobs or snapshots of {image}", self.containerd))),
        }
    }

    /// Returns the lines of a table of `ctr`, without the head.
    fn lines(&self, arguments: &[&str]) -> io::Result<Vec<String>> {
        let output = self.ctr().args(arguments).output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().skip(1).map(str::to_owned).collect())
    }

    fn ctr(&self) -> Command {
        let mut command = Command::new(self.containerd.program("ctr"));
        command.arg("--address").arg(self.folder.path().join("socket")).stdin(Stdio::null());
        command
    }

    /// Asks until the answer is yes; no after a while, or when containerd has ended.
    fn soon(&self, mut question: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
        let begun = Instant::now();
        while !question()? {
            if begun.elapsed() > TIMEOUT {
                return Ok(false);
            }
            thread::sleep(INTERVAL);
        }
        Ok(true)
    }
}

/// Waits until what was written to the file system of `folder` is on its disk, so that it does not slow down a pull.
pub(crate) fn write_back(folder: &Path) -> io::Result<()> {
    Command::new("sync").arg("--file-system").arg(folder).status().map(drop)
}

impl Drop for Node {
    fn drop(&mut self) {
        let _already_gone = self.process.kill();
        let _already_gone = self.process.wait();
    }
}
