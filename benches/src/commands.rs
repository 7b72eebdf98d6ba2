//! Owns the command lines: what a user of each tool types, at the tool's best settings.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    model::{MODEL, Model},
    rows::{Row, Source, Tool},
    servers::beside,
    tools::Tools,
};

/// Layers in flight, ours and the pipe's.
const JOBS: &str = "4";

/// Where one run takes place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) model: &'a Model,
    /// URL of the Hub.
    pub(crate) hub: &'a str,
    /// Host of the registry; empty without one.
    pub(crate) registry: &'a str,
    /// An empty folder for the tool's own files and for layouts.
    pub(crate) home: &'a Path,
    /// The model's second revision instead of its first.
    pub(crate) next: bool,
}

impl Place<'_> {
    /// Returns the commands that carry out `row`, one after the other.
    pub(crate) fn commands(&self, row: &Row) -> io::Result<Vec<Command>> {
        let mut commands = match row.tool {
            Tool::Hashes => vec![self.hashes()?],
            Tool::Pipe => vec![self.pipe()?],
            Tool::Modelcar => vec![self.modelcar(row)?],
            Tool::OciModelcar(workers) => vec![self.oci_modelcar(workers)],
            Tool::Olot => self.with_download(row, Self::olot)?,
            Tool::BuildahGzip => self.with_download(row, |place, folder| place.buildah(folder, true))?,
            Tool::BuildahPlain => self.with_download(row, |place, folder| place.buildah(folder, false))?,
        };
        for command in &mut commands {
            command.env("HOME", self.home).env("HF_HOME", self.home.join("hf")).env("HF_ENDPOINT", self.hub);
            command.env("HF_HUB_DISABLE_XET", "1").env("HF_HUB_DISABLE_TELEMETRY", "1").env("TMPDIR", self.home);
            command.env("XDG_RUNTIME_DIR", self.home).current_dir(self.home);
        }
        Ok(commands)
    }

    /// Returns the tag that is pushed.
    pub(crate) fn tag(&self) -> &'static str {
        if self.next { "v2" } else { "v1" }
    }

    fn image(&self) -> String {
        format!("{}/{MODEL}:{}", self.registry, self.tag())
    }

    fn revision(&self) -> &'static str {
        if self.next { "next" } else { "main" }
    }

    fn hashes(&self) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["hash", &(2 * self.model.bytes()).to_string()]);
        Ok(command)
    }

    fn pipe(&self) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["pipe", "--hub", self.hub, "--model", MODEL, "--registry", self.registry]);
        command.args(["--repository", MODEL, "--jobs", JOBS]);
        command.args(self.model.files.files().map(|(path, file)| format!("{path}={}={}", file.size(), file.sha256())));
        Ok(command)
    }

    fn modelcar(&self, row: &Row) -> io::Result<Command> {
        let mut command = Command::new(beside("modelcar")?);
        let source = match row.from {
            Source::Hub => format!("{MODEL}@{}", self.revision()),
            Source::Folder => self.model.folder(self.next).display().to_string(),
        };
        match self.registry {
            "" => command.args(["build", &source, "--output", &format!("oci:{}", self.home.join("image").display())]),
            _ => command.args(["push", &source, &self.image()]),
        };
        command.args(["--base", "scratch", "--jobs", JOBS, "--progress", "none"]);
        if self.next {
            // A new tag knows nothing of the old one by itself.
            command.args(["--reuse-from", &format!("{}/{MODEL}:v1", self.registry)]);
        }
        Ok(command)
    }

    fn oci_modelcar(&self, workers: u8) -> Command {
        let mut command = Command::new(self.tools.python("oci-modelcar"));
        command.args(["push", "--hf-repo", MODEL, "--hf-revision", self.revision(), "--hf-endpoint", self.hub]);
        command.args(["--registry", self.registry, "--target-repo", MODEL, "--target-tag", self.tag()]);
        command.args(["--workers", &workers.to_string()]).arg("--spool-dir").arg(self.home.join("spool"));
        command
    }

    /// From the Hub users of tools that read folders download first.
    fn with_download(
        &self,
        row: &Row,
        build: impl FnOnce(&Self, &Path) -> io::Result<Vec<Command>>,
    ) -> io::Result<Vec<Command>> {
        if row.from == Source::Folder {
            return build(self, &self.model.folder(self.next));
        }
        let folder = self.home.join("model");
        let mut download = Command::new(self.tools.python("hf"));
        download.args(["download", MODEL, "--revision", self.revision(), "--local-dir"]).arg(&folder);
        let mut commands = vec![download];
        commands.extend(build(self, &folder)?);
        Ok(commands)
    }

    fn olot(&self, folder: &Path) -> io::Result<Vec<Command>> {
        let base = self.tools.base_layout().ok_or_else(|| io::Error::other("modelcar-base-image is not installed"))?;
        let layout = self.home.join("layout");
        let mut copy = Command::new("skopeo");
        copy.args(["copy", "--multi-arch", "all", &format!("oci:{}:latest", base.display())]);
        copy.arg(format!("oci:{}:latest", layout.display()));
        let mut add = Command::new(self.tools.python("olot"));
        add.arg(&layout).args(self.model.files.paths().into_iter().map(|path| folder.join(path)));
        let mut push = Command::new("skopeo");
        push.args(["copy", "--multi-arch", "all", "--dest-tls-verify=false"]);
        push.args([format!("oci:{}:latest", layout.display()), format!("docker://{}", self.image())]);
        Ok(vec![copy, add, push])
    }

    fn buildah(&self, folder: &Path, gzip: bool) -> io::Result<Vec<Command>> {
        let containerfile = self.home.join("Containerfile");
        fs::write(&containerfile, "FROM scratch\nCOPY . /models/\n")?;
        let mut build = self.buildah_with_store();
        build.args(["bud", "--isolation", "chroot", "--tag", "model", "--file"]).arg(&containerfile).arg(folder);
        let mut push = self.buildah_with_store();
        push.args(["push", "--tls-verify=false"]);
        if !gzip {
            push.arg("--disable-compression");
        }
        push.args(["model".to_owned(), format!("docker://{}", self.image())]);
        Ok(vec![build, push])
    }

    fn buildah_with_store(&self) -> Command {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(buildah_store(self.home)).arg("--runroot").arg(self.home.join("run"));
        command.args(["--storage-driver", "overlay"]);
        command
    }
}

fn buildah_store(home: &Path) -> PathBuf {
    home.join("containers")
}

/// Unmounts what buildah leaves mounted in its store, so that the folder can be removed.
pub(crate) fn clean_up(home: &Path) {
    let mounted = buildah_store(home).join("overlay");
    if mounted.exists() {
        // Fails when nothing is mounted.
        let _not_mounted = Command::new("umount").arg("-l").arg(mounted).output();
    }
}
