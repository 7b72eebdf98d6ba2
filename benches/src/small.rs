//! Owns the model of many small files: listing, plan and push beside a download by the Hub's own client.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use modelcar_testkit::many_small_files;
use serde::Serialize;

use crate::{
    cost::{Cost, run},
    machine::median,
    model::MODEL,
    servers::{Server, beside},
    verify::verify,
};

/// What is measured, in the order of the first round.
const JOBS: [SmallJob; 3] = [SmallJob::Download, SmallJob::Plan, SmallJob::Push];

/// One of the commands that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SmallJob {
    /// `hf download` into an empty folder: what the others are held against.
    Download,
    /// `modelcar plan`: the listing and the headers.
    Plan,
    /// `modelcar push` to the counting registry.
    Push,
}

impl fmt::Display for SmallJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Download => "hf download",
            Self::Plan => "modelcar plan",
            Self::Push => "modelcar push",
        })
    }
}

/// A model of many small files on the fake Hub.
#[derive(Debug)]
pub struct SmallFiles {
    hub: Server,
    root: PathBuf,
    hf: PathBuf,
    bytes: u64,
}

impl SmallFiles {
    /// Writes a model of `files` files of `size` bytes below `root` and serves it. `venv` has the Hub's client.
    ///
    /// # Errors
    /// When a part is missing, the disk refuses or the Hub does not start.
    pub fn start(files: usize, size: u64, venv: &Path, root: &Path) -> io::Result<Self> {
        let hf = std::path::absolute(venv.join("bin/hf"))?;
        if !hf.is_file() {
            return Err(io::Error::other(format!("{} is missing: run benches/rivals.sh", hf.display())));
        }
        let folder = root.join(format!("small-{files}x{size}"));
        let model = many_small_files(files, size);
        // Written anew: a folder that an earlier run left unfinished looks like a whole one.
        let _was_not_there = fs::remove_dir_all(&folder);
        model.write_to(&folder)?;
        let hub = Server::hub(&["--repo".to_owned(), format!("{MODEL}={}", folder.display())])?;
        Ok(Self { hub, root: root.to_owned(), hf, bytes: model.total_size() })
    }

    /// Runs all commands `rounds` times in rotation. `told` hears of each run.
    ///
    /// # Errors
    /// The first command that fails.
    pub fn rounds(&self, rounds: usize, mut told: impl FnMut(SmallJob, &Cost)) -> io::Result<SmallTable> {
        let mut rows: Vec<(SmallJob, Vec<Cost>)> = JOBS.iter().map(|job| (*job, Vec::new())).collect();
        for round in 0..rounds {
            for place in 0..rows.len() {
                let (job, samples) = &mut rows[(place + round) % JOBS.len()];
                let cost = self.run(*job)?;
                told(*job, &cost);
                samples.push(cost);
            }
        }
        Ok(SmallTable(rows))
    }

    /// Runs one command with an empty home directory.
    fn run(&self, job: SmallJob) -> io::Result<Cost> {
        let home = tempfile::tempdir_in(&self.root)?;
        let registry = Server::counting()?;
        let mut command = match job {
            SmallJob::Download => {
                let mut command = Command::new(&self.hf);
                command.args(["download", MODEL, "--local-dir"]).arg(home.path().join("model"));
                command
            }
            SmallJob::Plan => {
                let mut command = Command::new(beside("modelcar")?);
                command.args(["plan", MODEL, "--base", "scratch", "--format", "json"]);
                command
            }
            SmallJob::Push => {
                let mut command = Command::new(beside("modelcar")?);
                command.args(["push", MODEL, &format!("{}/{MODEL}:v1", registry.address), "--base", "scratch"]);
                command.args(["--progress", "none"]);
                command
            }
        };
        command.env("HOME", home.path()).env("HF_HOME", home.path().join("hf")).env("HF_ENDPOINT", &self.hub.address);
        command.env("HF_HUB_DISABLE_XET", "1").env("HF_HUB_DISABLE_TELEMETRY", "1").env_remove("HF_TOKEN");
        let cost = run(command.current_dir(home.path()), &home.path().join("log"))?;
        if job == SmallJob::Push {
            verify(&registry.address, "v1", self.bytes)?;
        }
        Ok(cost)
    }
}

/// The samples of each command; displays as a table of medians.
#[derive(Debug, Serialize)]
pub struct SmallTable(Vec<(SmallJob, Vec<Cost>)>);

impl fmt::Display for SmallTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<14} {:>8} {:>8} {:>14}", "command", "wall s", "cpu s", "÷ hf download")?;
        let median = |samples: &[Cost], of: fn(&Cost) -> f64| median(samples.iter().map(of)).unwrap_or(f64::NAN);
        let download = self.0.iter().find(|(job, _)| *job == SmallJob::Download);
        let theirs = download.map_or(f64::NAN, |(_, samples)| median(samples, |cost| cost.wall_seconds));
        for (job, samples) in &self.0 {
            let wall = median(samples, |cost| cost.wall_seconds);
            let cpu = median(samples, |cost| cost.cpu_seconds);
            writeln!(f, "{:<14} {wall:>8.2} {cpu:>8.2} {:>14.2}", job.to_string(), wall / theirs)?;
        }
        Ok(())
    }
}
