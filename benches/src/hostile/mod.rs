//! Measures what hostile inputs cost: peak memory and seconds of a command that reads each of them.

mod cases;
mod files;
mod layouts;

use std::{
    fmt, fs, io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use self::cases::Scene;
pub use self::cases::{Case, cases};
use crate::cost::{Cost, measure};

/// Memory that no input may take more of.
pub const BOUND_MIB: f64 = 64.0;
/// No command gets more time, nor more memory.
const SECONDS: &str = "300";
const ADDRESS_SPACE_KIB: &str = "8388608";

/// What a command cost, and how it ended.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Reading {
    /// Exit status, or 128 and the number of the signal.
    status: i32,
    seconds: f64,
    peak_mib: f64,
}

impl Reading {
    /// Returns whether the command kept within the bound.
    pub fn is_within(&self) -> bool {
        self.peak_mib <= BOUND_MIB
    }

    /// Runs a command and waits for it.
    ///
    /// The kernel counts the memory of whoever starts a program as the program's own (`ru_maxrss` of `getrusage(2)`
    /// outlives `execve(2)`), so a small process of its own must call this.
    ///
    /// # Errors
    /// When the command can't be started.
    pub fn take(command: &[String], output: &Path) -> io::Result<Self> {
        let [program, args @ ..] = command else { return Err(io::Error::other("no command")) };
        let (status, cost) = measure(Command::new(program).args(args), output)?;
        let Cost { wall_seconds: seconds, peak_rss_mib: peak_mib, .. } = cost;
        let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        Ok(Self { status, seconds, peak_mib })
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_within() { "ok" } else { "over" };
        write!(f, "{:>6} {:>9.1} {:>8.1}  {verdict:<6}", self.status, self.peak_mib, self.seconds)
    }
}

/// The heads of the columns of a [`Reading`].
pub const HEADS: &str = "  exit  peak MiB  seconds  bound ";

impl Case {
    /// Makes the input below `root`, and reads it with each of the programs.
    ///
    /// # Errors
    /// When the input can't be made, or a program not started.
    pub fn measure(self, binaries: &[&PathBuf], root: &Path) -> io::Result<Vec<Reading>> {
        let dir = tempfile::tempdir_in(root)?;
        let input = dir.path().join("input");
        fs::create_dir(&input)?;
        let scene = self.scene(&input)?;
        binaries.iter().map(|binary| read(binary, &scene, dir.path())).collect()
    }
}

/// Reads an input with `binary`, below a small process that measures.
fn read(binary: &Path, scene: &Scene, dir: &Path) -> io::Result<Reading> {
    let home = dir.join("home");
    fs::create_dir_all(&home)?;
    let limited = format!("ulimit -v {ADDRESS_SPACE_KIB}; exec timeout -k 5 {SECONDS} \"$0\" \"$@\"");
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--measure").arg(dir.join("output")).args(["--", "sh", "-c", &limited]).arg(binary).args(&scene.args);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", &home);
    command.envs(scene.variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
    let told = command.stderr(Stdio::inherit()).output()?;
    Ok(serde_json::from_slice(&told.stdout)?)
}
