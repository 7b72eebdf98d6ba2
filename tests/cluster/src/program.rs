//! Programs that run beside each other, each with a log of its own, each ended by its own id.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::{Look, Result, within};

/// How long a program may take to end before it is killed.
const END_SECONDS: u64 = 10;

/// The programs that run, by name.
#[derive(Debug)]
pub(crate) struct Programs {
    logs: PathBuf,
    running: BTreeMap<String, Child>,
}

impl Programs {
    pub(crate) fn new(logs: &Path) -> Result<Self> {
        fs::create_dir_all(logs)?;
        Ok(Self { logs: logs.to_owned(), running: BTreeMap::new() })
    }

    /// Starts `command`; what it prints goes to `NAME.log`, behind what an earlier run of it printed.
    pub(crate) fn start(&mut self, name: &str, command: &mut Command) -> Result {
        let log = File::options().create(true).append(true).open(self.log(name))?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        let child = child.map_err(|error| format!("start {name} ({}): {error}", command.get_program().display()))?;
        self.running.insert(name.to_owned(), child);
        Ok(())
    }

    /// Fails when a program has ended, with the last words of its log.
    pub(crate) fn all_run(&mut self) -> Result {
        for (name, child) in &mut self.running {
            if let Some(status) = child.try_wait()? {
                let log = self.logs.join(format!("{name}.log"));
                return Err(format!("{name} ended with {status}: {} ({})", last_words(&log), log.display()).into());
            }
        }
        Ok(())
    }

    /// Ends a program: SIGTERM, and SIGKILL when that is not heeded.
    pub(crate) fn stop(&mut self, name: &str) -> Result {
        let Some(mut child) = self.running.remove(name) else { return Ok(()) };
        signal(&child, Signal::TERM);
        let ended = within(&format!("the end of {name}"), END_SECONDS, || {
            Ok(child.try_wait()?.map_or_else(|| Look::NotYet("still there".to_owned()), Look::Done))
        });
        if ended.is_err() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Ends all programs, those named in `order` first.
    pub(crate) fn stop_all(&mut self, order: &[&str]) {
        let rest: Vec<String> = self.running.keys().filter(|name| !order.contains(&name.as_str())).cloned().collect();
        for name in order.iter().map(|name| (*name).to_owned()).chain(rest) {
            if let Err(error) = self.stop(&name) {
                eprintln!("ending {name}: {error}");
            }
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }
}

fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // A child that has ended keeps its id until it is waited for, so no stranger can have it.
        kill_process(pid, signal).ok();
    }
}

/// Returns the line of a log that says most: the last one that speaks of an error, else the last one.
pub(crate) fn last_words(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let speaks = |line: &&str| ["rror", "fatal", "panic", "failed"].iter().any(|word| line.contains(word));
    let line = text.lines().rev().take(200).find(speaks).or_else(|| text.lines().next_back());
    line.unwrap_or("its log is empty").chars().take(400).collect()
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// When it can't be started, or ends with another status than 0: with what it said on stderr.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {} {}", shown(command), output.status, said.trim()).into())
}

/// Runs a command to its end, whatever its status.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).output().map_err(|error| format!("{}: {error}", shown(command)).into())
}

/// Runs a command that reads `input`, whatever its status.
pub(crate) fn output_of(command: &mut Command, input: &[u8]) -> Result<Output> {
    use std::io::Write as _;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that answers before it has read everything is no failure.
        stdin.write_all(input).ok();
    }
    Ok(child.wait_with_output()?)
}

fn shown(command: &Command) -> String {
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("{program} {}", args.join(" ")).chars().take(300).collect()
}

/// Returns whether `http://127.0.0.1:PORT/PATH` answers with status 200.
pub(crate) fn answers(port: u16, path: &str) -> bool {
    use std::{
        io::{Read as _, Write as _},
        net::{Ipv4Addr, SocketAddr, TcpStream},
    };
    let ask = || -> std::io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut head = [0_u8; 12];
        stream.read_exact(&mut head)?;
        Ok(&head[9..] == b"200")
    };
    ask().unwrap_or(false)
}
