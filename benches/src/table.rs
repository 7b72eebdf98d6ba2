//! Owns the answer: medians, ratios, and the bounds of the machine.

use std::fmt;

use serde::Serialize;

use crate::{
    machine,
    rounds::{Outcome, Sample},
    rows::{Change, Row, Sink, Source, Tool},
};

/// The medians of all rows on one machine.
#[derive(Debug, Serialize)]
pub struct Report {
    cpu: String,
    cores: usize,
    model_bytes: u64,
    /// (CPU seconds of the raw pipe with its servers, and of both hashes) ÷ cores: nothing that hashes can be faster.
    cpu_bound_seconds: Option<f64>,
    rows: Vec<Line>,
}

/// One row's medians.
#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    outcome: Outcome,
    median: Option<Sample>,
    /// CPU seconds of client, registry and Hub together ÷ cores.
    all_cpu_seconds: f64,
    /// Wall time ÷ that of the raw pipe into the same sink.
    by_pipe: Option<f64>,
    /// Wall time ÷ that of modelcar in the same scenario.
    by_modelcar: Option<f64>,
}

impl Report {
    /// Makes the report on a model of `model_bytes`.
    pub fn new(outcomes: Vec<Outcome>, model_bytes: u64) -> Self {
        let cores = machine::cores();
        let medians: Vec<(Row, Option<Sample>)> =
            outcomes.iter().map(|outcome| (outcome.row, median(&outcome.samples))).collect();
        let wall = |wanted: &dyn Fn(&Row) -> bool| {
            medians.iter().find(|(row, _)| wanted(row)).and_then(|(_, sample)| Some((*sample)?.client.wall_seconds))
        };
        let rows = outcomes.into_iter().zip(&medians).map(|(outcome, (row, median))| {
            let by = |other: Option<f64>| Some((*median)?.client.wall_seconds / other?);
            let pushes = !matches!(row.tool, Tool::Hashes);
            let pipe = wall(&|other| other.tool == Tool::Pipe && other.to == row.to && pushes);
            let ours = wall(&|other| *other == Row { tool: Tool::Modelcar, ..*row } && pushes);
            let all_cpu_seconds = median.map_or(0.0, all_cpu) / cores_f64(cores);
            Line { outcome, median: *median, all_cpu_seconds, by_pipe: by(pipe), by_modelcar: by(ours) }
        });
        let rows = rows.collect();
        let cpu_of = |tool, to| {
            let row = Row { tool, from: Source::Hub, to, change: Change::First };
            medians.iter().find(|(other, _)| *other == row).and_then(|(_, sample)| sample.map(all_cpu))
        };
        let bound = cpu_of(Tool::Pipe, Sink::Counting).zip(cpu_of(Tool::Hashes, Sink::Nowhere));
        let cpu_bound_seconds = bound.map(|(pipe, hashes)| (pipe + hashes) / cores_f64(cores));
        Self { cpu: machine::cpu_name(), cores, model_bytes, cpu_bound_seconds, rows }
    }
}

fn all_cpu(sample: Sample) -> f64 {
    sample.client.cpu_seconds + sample.registry_cpu_seconds + sample.hub_cpu_seconds
}

#[expect(clippy::cast_precision_loss, reason = "a machine has few cores")]
fn cores_f64(cores: usize) -> f64 {
    cores as f64
}

/// Returns the medians of each number by itself.
fn median(samples: &[Sample]) -> Option<Sample> {
    let of = |number: fn(&Sample) -> f64| machine::median(samples.iter().map(number)).unwrap_or(f64::NAN);
    let mut median = *samples.first()?;
    median.client.wall_seconds = of(|sample| sample.client.wall_seconds);
    median.client.cpu_seconds = of(|sample| sample.client.cpu_seconds);
    median.client.peak_rss_mib = of(|sample| sample.client.peak_rss_mib);
    median.client.written_mib = of(|sample| sample.client.written_mib);
    median.client.moved_mib = of(|sample| sample.client.moved_mib);
    median.registry_cpu_seconds = of(|sample| sample.registry_cpu_seconds);
    median.hub_cpu_seconds = of(|sample| sample.hub_cpu_seconds);
    Some(median)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = crate::cost::mib(self.model_bytes);
        writeln!(f, "{} cores of {}; model of {mib:.0} MiB; medians\n", self.cores, self.cpu)?;
        let heads =
            ["wall s", "÷ pipe", "÷ ours", "cpu s", "reg s", "hub s", "all÷cores", "rss MiB", "wrote MiB", "moved MiB"];
        write!(f, "{:<42}", "")?;
        heads.iter().try_for_each(|head| write!(f, " {head:>9}"))?;
        for line in &self.rows {
            write!(f, "\n{:<42}", line.outcome.name)?;
            if let Some(sample) = &line.median {
                let client = &sample.client;
                let ratio = |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
                write!(f, " {:>9.2} {:>9}", client.wall_seconds, ratio(line.by_pipe))?;
                write!(f, " {:>9} {:>9.2}", ratio(line.by_modelcar), client.cpu_seconds)?;
                write!(f, " {:>9.2} {:>9.2}", sample.registry_cpu_seconds, sample.hub_cpu_seconds)?;
                write!(f, " {:>9.2} {:>9.1}", line.all_cpu_seconds, client.peak_rss_mib)?;
                write!(f, " {:>9.1} {:>9.0}", client.written_mib, client.moved_mib)?;
            }
            if let Some(problem) = &line.outcome.problem {
                write!(f, " {problem}")?;
            }
        }
        match self.cpu_bound_seconds {
            Some(bound) => write!(f, "\n\ncpu bound, counting: (raw pipe + both hashes) ÷ cores = {bound:.2} s"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cost;

    fn outcome(tool: Tool, walls: &[f64]) -> Outcome {
        let row = Row { tool, from: Source::Hub, to: Sink::Counting, change: Change::First };
        let sample = |wall: &f64| Sample {
            client: Cost { wall_seconds: *wall, cpu_seconds: 1.0, ..Cost::default() },
            registry_cpu_seconds: 0.5,
            hub_cpu_seconds: 0.5,
        };
        Outcome { name: row.to_string(), row, samples: walls.iter().map(sample).collect(), problem: None }
    }

    #[test]
    fn ratios_are_of_medians_in_the_same_scenario() {
        let outcomes = vec![
            outcome(Tool::Pipe, &[9.0, 1.0, 2.0]),
            outcome(Tool::Modelcar, &[3.0, 5.0]),
            outcome(Tool::OciModelcar(2), &[12.0]),
            outcome(Tool::Olot, &[]),
        ];
        let report = Report::new(outcomes, 1 << 30);
        let ratios: Vec<_> = report.rows.iter().map(|line| (line.by_pipe, line.by_modelcar)).collect();
        assert_eq!(ratios, [(Some(1.0), Some(0.5)), (Some(2.0), Some(1.0)), (Some(6.0), Some(3.0)), (None, None)]);
        assert!((report.rows[0].all_cpu_seconds * cores_f64(report.cores) - 2.0).abs() < 1e-9);
    }
}
