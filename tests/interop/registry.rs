//! Debian's `docker-registry` on a free port.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::parts::command;

const PATIENCE: Duration = Duration::from_mins(1);

/// A running registry with an empty store; both go away when dropped.
#[derive(Debug)]
pub(crate) struct Registry {
    address: SocketAddr,
    process: Child,
    store: TempDir,
}

impl Registry {
    /// Starts a registry and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a registry that has `more` in its configuration.
    pub(crate) fn start_with(more: &str) -> Self {
        Self::start_as(true, more)
    }

    /// Starts a registry that does not let manifests be deleted.
    pub(crate) fn start_without_deletes() -> Self {
        Self::start_as(false, "")
    }

    fn start_as(deletes: bool, more: &str) -> Self {
        // Between the choice of a port and the registry's bind another process may take it.
        (0..5).find_map(|_| Self::try_start(deletes, more)).expect("docker-registry answers")
    }

    fn try_start(deletes: bool, more: &str) -> Option<Self> {
        let store = TempDir::new().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = store.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    \
             rootdirectory: {}\n  delete:\n    enabled: {deletes}\nhttp:\n  addr: {address}\n  \
             secret: the same after a restart\n{more}",
            store.path().join("data").display()
        );
        fs::write(&config, text).unwrap();
        let mut registry = Self { address, process: serve(&config), store };
        registry.wait().then_some(registry)
    }

    /// Kills the registry where it stands; its store stays as it is.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts the registry again, on its address and store.
    pub(crate) fn start_again(&mut self) {
        self.process = serve(&self.store.path().join("config.yml"));
        assert!(self.wait(), "docker-registry answers again");
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
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET /v2/ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let greets = answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 401");
        Ok(greets && answer.contains("registry/2.0"))
    }
}

fn serve(config: &Path) -> Child {
    let mut serve = command("docker-registry");
    serve.arg("serve").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
    serve.spawn().unwrap()
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing to end.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
