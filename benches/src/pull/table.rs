//! Owns the answer: medians of the pulls, and ratios to the pull of modelcar's image.

use std::{fmt, fs, path::Path, process::Command};

use serde::Serialize;

use super::{
    layouts::Layout,
    node::{PullCost, Settings},
    rounds::PullOutcome,
    rows::PullRow,
};
use crate::{cost::mib, machine};

/// The medians of all pulls on one machine.
#[derive(Debug, Serialize)]
pub struct PullTable {
    cpu: String,
    cores: usize,
    kernel: String,
    /// The file system under the nodes' snapshots.
    file_system: String,
    model_bytes: u64,
    rows: Vec<Line>,
}

/// One row's medians.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    #[serde(flatten)]
    outcome: PullOutcome,
    median: Option<PullCost>,
    /// Wall time ÷ that of modelcar's image, with the same containerd, settings and limit.
    by_modelcar: Option<f64>,
    /// Wall time ÷ that of modelcar's image, with the same containerd and limit, and its defaults.
    by_defaults: Option<f64>,
}

impl PullTable {
    /// Makes the table of a model of `model_bytes`; the nodes were in the folder `disk`.
    pub fn new(outcomes: Vec<PullOutcome>, model_bytes: u64, disk: &Path) -> Self {
        let medians: Vec<(PullRow, Option<PullCost>)> =
            outcomes.iter().map(|outcome| (outcome.row.clone(), median(&outcome.samples))).collect();
        let wall = |row: PullRow| {
            let found = medians.iter().find(|(other, _)| *other == row);
            found.and_then(|(_, median)| Some((*median)?.wall_seconds))
        };
        let rows = outcomes.into_iter().zip(&medians).map(|(outcome, (row, median))| {
            let by = |other: PullRow| Some((*median)?.wall_seconds / wall(other)?);
            let ours = PullRow { layout: Layout::Modelcar, ..row.clone() };
            let by_defaults = by(PullRow { settings: Settings::Defaults, ..ours.clone() });
            Line { name: row.to_string(), outcome, median: *median, by_modelcar: by(ours), by_defaults }
        });
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        let (cpu, cores) = (machine::cpu_name(), machine::cores());
        Self { cpu, cores, kernel, file_system: file_system(disk), model_bytes, rows: rows.collect() }
    }
}

/// Returns the medians of each number by itself.
fn median(samples: &[PullCost]) -> Option<PullCost> {
    Some(PullCost {
        wall_seconds: machine::median(samples.iter().map(|cost| cost.wall_seconds))?,
        cpu_seconds: machine::median(samples.iter().map(|cost| cost.cpu_seconds))?,
    })
}

/// Returns the type of the file system that `folder` is in.
fn file_system(folder: &Path) -> String {
    let said = Command::new("stat").args(["--file-system", "--format=%T"]).arg(folder).output();
    said.map_or_else(|_| "unknown".to_owned(), |said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

impl fmt::Display for PullTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib_of_model = mib(self.model_bytes);
        writeln!(f, "{} cores of {}; model of {mib_of_model:.0} MiB; medians", self.cores, self.cpu)?;
        writeln!(f, "overlayfs of Linux {} on {}\n", self.kernel, self.file_system)?;
        let width = self.rows.iter().map(|line| line.name.len()).max().unwrap_or(0);
        write!(f, "{:<width$}", "")?;
        ["layers", "MiB", "wall s", "÷ ours", "÷ default", "cpu s"]
            .iter()
            .try_for_each(|head| write!(f, " {head:>9}"))?;
        for line in &self.rows {
            write!(f, "\n{:<width$}", line.name)?;
            if let (Some(layers), Some(cost)) = (line.outcome.layers, line.median) {
                let ratio = |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
                write!(f, " {:>9} {:>9.0} {:>9.2}", layers.count, mib(layers.bytes), cost.wall_seconds)?;
                write!(f, " {:>9} {:>9}", ratio(line.by_modelcar), ratio(line.by_defaults))?;
                write!(f, " {:>9.2}", cost.cpu_seconds)?;
            }
            if let Some(problem) = &line.outcome.problem {
                write!(f, " {problem}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pull::{Compression, Containerd};

    fn outcome(settings: Settings, layout: Layout, walls: &[f64]) -> PullOutcome {
        let containerd = Containerd::built(Path::new("/nowhere")).unwrap();
        let row = PullRow { containerd, settings, limit: None, layout };
        let sample = |wall: &f64| PullCost { wall_seconds: *wall, cpu_seconds: 1.0 };
        PullOutcome { row, layers: None, samples: walls.iter().map(sample).collect(), problem: None }
    }

    #[test]
    fn ratios_are_of_medians_with_the_same_settings_and_with_the_defaults() {
        let gzip = Layout::OneLayer(Compression::Gzip);
        let outcomes = vec![
            outcome(Settings::Defaults, Layout::Modelcar, &[9.0, 4.0, 1.0]),
            outcome(Settings::Defaults, gzip, &[8.0]),
            outcome(Settings::Tuned, Layout::Modelcar, &[2.0]),
            outcome(Settings::Tuned, gzip, &[6.0]),
            outcome(Settings::Tuned, Layout::Olot, &[]),
        ];
        let table = PullTable::new(outcomes, 1 << 30, Path::new("/"));
        let ratios: Vec<_> = table.rows.iter().map(|line| (line.by_modelcar, line.by_defaults)).collect();
        let expected =
            [(1.0, 1.0), (2.0, 2.0), (1.0, 0.5), (3.0, 1.5)].map(|(ours, defaults)| (Some(ours), Some(defaults)));
        assert_eq!(ratios[..4], expected);
        assert_eq!(ratios[4], (None, None));
    }
}
