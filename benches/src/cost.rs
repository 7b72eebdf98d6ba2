//! Owns what a command costs, as the kernel counts it.

use std::{
    fs::{self, File},
    io,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    time::Instant,
};

use serde::Serialize;
use wait4::Wait4 as _;

/// Clock ticks a second in `/proc/PID/stat`: fixed in the kernel's interface to user space.
const TICKS: f64 = 100.0;

/// The cost of a command and of everything it waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Wall time.
    pub wall_seconds: f64,
    /// User and system time.
    pub cpu_seconds: f64,
    /// Largest resident size of a single process.
    pub peak_rss_mib: f64,
    /// Sent towards storage.
    pub written_mib: f64,
    /// Passed over the loopback interface, in all directions and by whomever.
    pub moved_mib: f64,
}

impl Cost {
    /// Returns the cost of `self` and then `next`.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        Self {
            wall_seconds: self.wall_seconds + next.wall_seconds,
            cpu_seconds: self.cpu_seconds + next.cpu_seconds,
            peak_rss_mib: self.peak_rss_mib.max(next.peak_rss_mib),
            written_mib: self.written_mib + next.written_mib,
            moved_mib: self.moved_mib + next.moved_mib,
        }
    }
}

/// Runs `command` to its end, its output in the file `log`.
///
/// # Errors
/// When it can't be started or fails; the error ends with the last line it said.
pub fn run(command: &mut Command, log: &Path) -> io::Result<Cost> {
    let (status, cost) = measure(command, log)?;
    if !status.success() {
        let said = String::from_utf8_lossy(&fs::read(log)?).into_owned();
        let last: Vec<&str> = said.lines().rev().filter(|line| !line.trim().is_empty()).take(3).collect();
        let name = command.get_program().display();
        return Err(io::Error::other(format!("{name}: {status}: {}", last.join(" / "))));
    }
    Ok(cost)
}

/// As [`run`], for a command that may fail.
pub(crate) fn measure(command: &mut Command, log: &Path) -> io::Result<(ExitStatus, Cost)> {
    let output = File::create(log)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let (written, moved, begun) = (written_bytes(), loopback_bytes(), Instant::now());
    let mut child = command.spawn()?;
    let used = child.wait4()?;
    let wall = begun.elapsed();
    let cost = Cost {
        wall_seconds: wall.as_secs_f64(),
        cpu_seconds: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        peak_rss_mib: mib(used.rusage.maxrss),
        // A process takes over the counters of children it waited for.
        written_mib: mib(written_bytes().saturating_sub(written)),
        moved_mib: mib(loopback_bytes().saturating_sub(moved)),
    };
    Ok((used.status, cost))
}

/// Returns the user and system time of process `pid`, zero when it is gone.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which is in brackets and may hold spaces, user and system time are the 12th and 13th field.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS
}

/// Returns the bytes that this process and the children it waited for sent towards storage.
fn written_bytes() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let field = io.lines().find_map(|line| line.strip_prefix("write_bytes:"));
    field.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Returns the bytes that the loopback interface has received.
fn loopback_bytes() -> u64 {
    let interfaces = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let loopback = interfaces.lines().find_map(|line| line.trim().strip_prefix("lo:"));
    loopback.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// A size for people.
#[expect(clippy::cast_precision_loss, reason = "a size for people")]
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_and_its_children_are_counted() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let target = folder.path().join("out");
        let script = format!("dd if=/dev/zero of={} bs=1M count=8 conv=fsync 2>/dev/null; sleep 0.1", target.display());
        let cost = run(Command::new("sh").args(["-c", &script]), &folder.path().join("log")).unwrap();
        assert!(cost.wall_seconds >= 0.1, "{cost:?}");
        assert!(cost.written_mib >= 8.0 && cost.written_mib < 9.0, "{cost:?}");
        assert!(cost.peak_rss_mib > 0.5, "{cost:?}");
    }

    #[test]
    fn a_failure_repeats_what_was_said() {
        let folder = tempfile::tempdir().unwrap();
        let error = run(Command::new("sh").args(["-c", "echo why; exit 3"]), &folder.path().join("log")).unwrap_err();
        assert!(error.to_string().contains("why"), "{error}");
    }
}
