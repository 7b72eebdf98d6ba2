//! Registries on free ports: Debian's `docker-registry`, and two that are built from Go modules.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::parts::{Part, command, registry_program};

const PATIENCE: Duration = Duration::from_mins(1);
/// The registry's configuration, beside its store.
const CONFIG: &str = "config.yml";

/// A program that is a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// The CNCF distribution 2.8, as Debian has it.
    Debian,
    /// The CNCF distribution 3.
    Distribution,
    /// The registry of go-containerregistry, in memory, with the list of referrers.
    GoContainerregistry,
}

impl Program {
    /// The part that a test with this registry needs.
    pub(crate) fn part(self) -> Part {
        match self {
            Self::Debian => Part::Registry,
            Self::Distribution => Part::Distribution,
            Self::GoContainerregistry => Part::GoContainerregistry,
        }
    }

    fn serve(self, folder: &Path, address: SocketAddr) -> Child {
        let mut serve = match self {
            Self::Debian => command("docker-registry"),
            Self::Distribution | Self::GoContainerregistry => command(registry_program(self.part())),
        };
        match self {
            Self::Debian | Self::Distribution => serve.arg("serve").arg(folder.join(CONFIG)),
            Self::GoContainerregistry => serve.arg(address.to_string()),
        };
        // Without the variable distribution 3 reports to a collector of traces on this machine.
        serve.env("OTEL_TRACES_EXPORTER", "none").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

/// What differs between the registries of tests. The registry of go-containerregistry heeds only `program`.
#[derive(Debug)]
pub(crate) struct Settings<'a> {
    pub(crate) program: Program,
    /// Whether manifests may be deleted.
    pub(crate) deletes: bool,
    /// More lines of the section `storage`, indented by two spaces.
    pub(crate) storage: &'a str,
    /// More lines of the section `http`, indented by two spaces, and sections after it.
    pub(crate) rest: &'a str,
}

impl Settings<'_> {
    /// Debian's registry, where manifests may be deleted.
    pub(crate) const DEFAULT: Self = Self { program: Program::Debian, deletes: true, storage: "", rest: "" };
}

/// A running registry with an empty store; both go away when dropped.
#[derive(Debug)]
pub(crate) struct Registry {
    address: SocketAddr,
    program: Program,
    process: Child,
    store: TempDir,
}

impl Registry {
    /// Starts Debian's registry and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_as(&Settings::DEFAULT)
    }

    /// Starts Debian's registry with `rest` in its configuration.
    pub(crate) fn start_with(rest: &str) -> Self {
        Self::start_as(&Settings { rest, ..Settings::DEFAULT })
    }

    /// Starts a registry that is `program`.
    pub(crate) fn start_program(program: Program) -> Self {
        Self::start_as(&Settings { program, ..Settings::DEFAULT })
    }

    /// Starts a registry with these settings and waits until it answers.
    pub(crate) fn start_as(settings: &Settings<'_>) -> Self {
        // Between the choice of a port and the registry's bind another process may take it.
        (0..5).find_map(|_| Self::try_start(settings)).expect("the registry answers")
    }

    fn try_start(settings: &Settings<'_>) -> Option<Self> {
        let store = TempDir::new().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        configure(store.path(), address, settings);
        let process = settings.program.serve(store.path(), address);
        let mut registry = Self { address, program: settings.program, process, store };
        registry.wait().then_some(registry)
    }

    /// Ends the registry and starts it with other settings, on its address and store.
    pub(crate) fn start_again_as(&mut self, settings: &Settings<'_>) {
        self.kill();
        configure(self.store.path(), self.address, settings);
        self.start_again();
    }

    /// Kills the registry where it stands; its store stays as it is.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts the registry again, on its address and store.
    pub(crate) fn start_again(&mut self) {
        self.process = self.program.serve(self.store.path(), self.address);
        assert!(self.wait(), "the registry answers again");
    }

    /// The folder of the registry's storage.
    pub(crate) fn store(&self) -> PathBuf {
        self.store.path().join("data")
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn wait(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE && matches!(self.process.try_wait(), Ok(None)) {
            if self.answers().is_ok_and(|answers| answers) {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn answers(&self) -> std::io::Result<bool> {
        let answer = self.ask("GET", "/v2/")?;
        let greets = answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 401");
        Ok(greets && answer.contains("registry/2.0"))
    }

    fn ask(&self, method: &str, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        let accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address)?;
        write!(stream, "Accept: {accept}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Returns the answer to a request without a body: its head and its body.
    ///
    /// # Panics
    /// When the registry does not answer.
    pub(crate) fn request(&self, method: &str, path: &str) -> (String, String) {
        let answer = self.ask(method, path).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        (head.to_owned(), body.to_owned())
    }

    /// Returns the tags of a repository; none, when it is not there.
    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        let (_, body) = self.request("GET", &format!("/v2/{repository}/tags/list"));
        let list: Value = serde_json::from_str(&body).unwrap();
        let tags = list["tags"].as_array().into_iter().flatten();
        tags.map(|tag| tag.as_str().unwrap().to_owned()).collect()
    }
}

fn configure(folder: &Path, address: SocketAddr, settings: &Settings<'_>) {
    let Settings { deletes, storage, rest, .. } = settings;
    let text = format!(
        "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    \
         rootdirectory: {}\n  delete:\n    enabled: {deletes}\n{storage}http:\n  addr: {address}\n  \
         secret: the same after a restart\n{rest}",
        folder.join("data").display()
    );
    fs::write(folder.join(CONFIG), text).unwrap();
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing to end.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
