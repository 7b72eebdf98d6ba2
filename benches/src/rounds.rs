//! Owns the run: every row once a round, each round beginning with another row, each run on a fresh registry.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    commands::{Place, clean_up},
    cost::{Cost, run},
    model::Model,
    rows::{Change, Row, Sink, Tool},
    servers::Server,
    tools::Tools,
    verify::verify,
};

/// What one run cost.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sample {
    /// The commands.
    #[serde(flatten)]
    pub client: Cost,
    /// CPU seconds of the registry meanwhile.
    pub registry_cpu_seconds: f64,
    /// CPU seconds of the Hub meanwhile.
    pub hub_cpu_seconds: f64,
}

/// What came of a row.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The row's name.
    pub name: String,
    /// The row.
    #[serde(flatten)]
    pub row: Row,
    /// One for each round.
    pub samples: Vec<Sample>,
    /// Why there are none, or fewer.
    pub problem: Option<String>,
}

/// The machine set up for measuring.
#[derive(Debug)]
pub struct Bench {
    model: Model,
    tools: Tools,
    hub: Server,
    root: PathBuf,
}

impl Bench {
    /// Starts the Hub with `model`; what runs write goes below `root`.
    ///
    /// # Errors
    /// When the Hub does not start.
    pub fn start(model: Model, tools: Tools, root: &Path) -> io::Result<Self> {
        let hub = Server::hub(&model.hub_args())?;
        Ok(Self { model, tools, hub, root: root.to_owned() })
    }

    /// Runs `rows` in rotation; `told` hears of each run.
    pub fn rounds(&self, rows: &[Row], rounds: usize, mut told: impl FnMut(usize, &Row, &str)) -> Vec<Outcome> {
        let outcome = |row: &Row| Outcome {
            name: row.to_string(),
            row: *row,
            samples: Vec::new(),
            problem: self.tools.missing(row).map(|why| format!("not run: {why}")),
        };
        let mut outcomes: Vec<Outcome> = rows.iter().map(outcome).collect();
        for round in 0..rounds {
            if round > 0 && !outcomes.is_empty() {
                outcomes.rotate_left(1);
            }
            for outcome in outcomes.iter_mut().filter(|outcome| outcome.problem.is_none()) {
                match self.once(&outcome.row) {
                    Ok(sample) => {
                        told(round, &outcome.row, &format!("{:.2} s", sample.client.wall_seconds));
                        outcome.samples.push(sample);
                    }
                    Err(error) => {
                        told(round, &outcome.row, &error.to_string());
                        outcome.problem = Some(format!("failed: {error}"));
                    }
                }
            }
        }
        outcomes.sort_by_key(|outcome| rows.iter().position(|row| *row == outcome.row));
        outcomes
    }

    fn once(&self, row: &Row) -> io::Result<Sample> {
        let scratch = tempfile::tempdir_in(&self.root)?;
        let registry = match row.to {
            Sink::Counting => Some(Server::counting()?),
            Sink::Docker => Some(Server::docker(scratch.path())?),
            Sink::Layout | Sink::Nowhere => None,
        };
        let address = registry.as_ref().map_or("", |registry| &registry.address);
        if row.change != Change::First {
            self.execute(row, address, scratch.path(), false)?;
        }
        let cpu = || (registry.as_ref().map_or(0.0, Server::cpu_seconds), self.hub.cpu_seconds());
        let (registry_before, hub_before) = cpu();
        let next = row.change == Change::OneShard;
        let client = self.execute(row, address, scratch.path(), next)?;
        let (registry_after, hub_after) = cpu();
        if !matches!(row.tool, Tool::Hashes | Tool::Pipe) && registry.is_some() {
            verify(address, if next { "v2" } else { "v1" }, self.model.bytes())?;
        }
        Ok(Sample {
            client,
            registry_cpu_seconds: registry_after - registry_before,
            hub_cpu_seconds: hub_after - hub_before,
        })
    }

    /// Runs the commands of `row` in a home of their own, as a fresh worker would.
    fn execute(&self, row: &Row, registry: &str, scratch: &Path, next: bool) -> io::Result<Cost> {
        let home = scratch.join("home");
        fs::create_dir_all(&home)?;
        let (tools, model, hub) = (&self.tools, &self.model, self.hub.address.as_str());
        let place = Place { tools, model, hub, registry, home: &home, next };
        let log = scratch.join("log");
        let mut commands = place.commands(row)?;
        let cost = commands.iter_mut().try_fold(Cost::default(), |cost, command| Ok(cost.then(run(command, &log)?)));
        clean_up(&home);
        fs::remove_dir_all(&home)?;
        cost
    }
}
