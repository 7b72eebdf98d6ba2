//! What the benchmarks share: parts that run beside modelcar, and readings of a process.

use std::{
    fs, io,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A running docker-registry with its store in a folder; it ends when dropped.
#[derive(Debug)]
pub struct DockerRegistry {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub host: String,
}

impl DockerRegistry {
    /// Starts the registry and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed or does not answer within ten seconds.
    pub fn start(store: &Path) -> io::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let host = format!("127.0.0.1:{port}");
        let config = store.join("config.yml");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}/data}}}}\nhttp: {{addr: \"{host}\"}}\nlog: {{level: error}}\n",
            store.display()
        );
        fs::write(&config, text)?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let registry = Self { child, host };
        let begun = Instant::now();
        while TcpStream::connect(&registry.host).is_err() {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err(io::Error::other("docker-registry does not answer"));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(registry)
    }

    /// Returns the registry's CPU seconds so far.
    pub fn cpu_seconds(&self) -> f64 {
        Reading::of(self.child.id()).cpu_seconds
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_gone = self.child.wait();
    }
}

/// What the kernel says of a process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// Largest resident size so far, in KiB.
    pub peak_rss_kib: u64,
    /// Bytes the process caused to be written to storage.
    pub written_bytes: u64,
    /// User and system time in seconds.
    pub cpu_seconds: f64,
}

impl Reading {
    /// Reads process `pid`; what can't be read is zero.
    pub fn of(pid: u32) -> Self {
        let field = |file: &str, name: &str| -> u64 {
            let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The fields behind the name, which is in brackets and may hold spaces; user and system time are 12th and 13th.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        Self {
            peak_rss_kib: field("status", "VmHWM:"),
            written_bytes: field("io", "write_bytes:"),
            cpu_seconds: (ticks(11) + ticks(12)) / 100.0,
        }
    }

    /// Runs `command` to its end and returns the last reading before it, and the seconds it took.
    ///
    /// # Errors
    /// When it can't be started or fails.
    pub fn during(command: &mut Command) -> io::Result<(Self, f64)> {
        let begun = Instant::now();
        let mut child = command.spawn()?;
        let mut last = Self::default();
        loop {
            let now = Self::of(child.id());
            if now.peak_rss_kib > 0 {
                last = now;
            }
            if let Some(status) = child.try_wait()? {
                let seconds = begun.elapsed().as_secs_f64();
                return if status.success() { Ok((last, seconds)) } else { Err(io::Error::other(status.to_string())) };
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Returns the `modelcar` binary beside the running one.
///
/// # Errors
/// When it was not built.
pub fn modelcar() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("modelcar");
    match path.exists() {
        true => Ok(path),
        false => Err(io::Error::other(format!("{} is missing, build it first", path.display()))),
    }
}
