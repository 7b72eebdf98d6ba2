//! Owns the processes at both ends: fake Hub, counting registry, docker-registry.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::cost::cpu_seconds;

/// How long docker-registry may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A running server; it ends when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// The Hub's URL, or a registry's `127.0.0.1:PORT`.
    pub address: String,
}

impl Server {
    /// Starts the fake Hub beside the running binary and waits until it has hashed its models.
    ///
    /// # Errors
    /// When it was not built or does not start.
    pub fn hub(args: &[String]) -> io::Result<Self> {
        let mut command = Command::new(beside("fake-hub")?);
        command.args(args);
        Self::announced(&mut command, "hub=")
    }

    /// Starts the registry that counts bytes and believes every digest, so that it is never the limit.
    ///
    /// # Errors
    /// When it was not built or does not start.
    pub fn counting() -> io::Result<Self> {
        let mut command = Command::new(beside("fake-registry")?);
        command.args(["--storage", "count-no-hash"]);
        Self::announced(&mut command, "registry=")
    }

    /// Starts Debian's docker-registry with its store in `folder`.
    ///
    /// # Errors
    /// When it is not installed or does not answer.
    pub fn docker(folder: &Path) -> io::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let config = folder.join("registry.yml");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\nlog: {{level: error}}\n",
            folder.join("registry").display()
        );
        fs::write(&config, text)?;
        let mut command = Command::new("docker-registry");
        let child = command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let server = Self { child, address };
        let begun = Instant::now();
        while TcpStream::connect(&server.address).is_err() {
            if begun.elapsed() > START_TIMEOUT {
                return Err(io::Error::other("docker-registry does not answer"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Starts a server that prints its addresses as `name=address` on one line.
    fn announced(command: &mut Command, name: &str) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.split_whitespace().find_map(|word| word.strip_prefix(name)).map(str::to_owned);
        let server = Self { child, address: address.clone().unwrap_or_default() };
        address.map(|_| server).ok_or_else(|| io::Error::other(format!("a server did not start: {line}")))
    }

    /// Returns the CPU seconds that the server has used so far.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_gone = self.child.wait();
    }
}

/// Returns a binary of this workspace, built with the running one.
///
/// # Errors
/// When it was not built.
pub(crate) fn beside(name: &str) -> io::Result<std::path::PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    match path.exists() {
        true => Ok(path),
        false => {
            Err(io::Error::other(format!("{} is missing: cargo build --release --workspace --bins", path.display())))
        }
    }
}
