//! Owns the run: every pull once a round, each round beginning with another row.

use std::{io, path::Path, process::Command};

use serde::Serialize;

use super::{
    images::Images,
    layouts::Layout,
    limit::limit,
    node::{Node, PullCost, Settings},
    rows::PullRow,
};
use crate::{
    manifests::Layers,
    model::{MODEL, Model},
    servers::beside,
    tools::Tools,
};

/// What came of a row.
#[derive(Debug, Serialize)]
pub struct PullOutcome {
    /// The row.
    #[serde(flatten)]
    pub row: PullRow,
    /// The image's layers, if there is an image.
    pub layers: Option<Layers>,
    /// One for each round.
    pub samples: Vec<PullCost>,
    /// Why there are none, or fewer.
    pub problem: Option<String>,
}

/// The registry with all images, and a node for each containerd and its settings.
#[derive(Debug)]
pub struct PullBench {
    images: Images,
    nodes: Vec<Node>,
    /// The registry behind a limit, and the limit.
    limited: Option<(u64, String)>,
}

impl PullBench {
    /// Pushes what `rows` pull, and starts the nodes; the registry's store goes below `data`, the nodes' below `disk`.
    ///
    /// # Errors
    /// When docker-registry or a containerd that is there does not start.
    pub fn start(rows: &[PullRow], model: &Model, tools: &Tools, (data, disk): (&Path, &Path)) -> io::Result<Self> {
        // The settings are read from modelcar's image.
        let is_needed = |layout: &Layout| *layout == Layout::Modelcar || rows.iter().any(|row| row.layout == *layout);
        let layouts: Vec<Layout> = Layout::ALL.into_iter().filter(is_needed).collect();
        let images = Images::push(&layouts, model, tools, data)?;
        let has_tuned = |row: &PullRow| row.settings == Settings::Tuned && row.containerd.has_transfer_service();
        let tuned = if rows.iter().any(has_tuned) { node_config(&images)? } else { String::new() };
        let mut nodes: Vec<Node> = Vec::new();
        for row in rows.iter().filter(|row| row.containerd.missing().is_none()) {
            if !nodes.iter().any(|node| is_of(node, row)) {
                nodes.push(Node::start(&row.containerd, row.settings, &tuned, disk)?);
            }
        }
        let rate = rows.iter().find_map(|row| row.limit);
        let limited =
            rate.map(|rate| Ok::<_, io::Error>((rate, limit(&images.registry.address, rate)?))).transpose()?;
        Ok(Self { images, nodes, limited })
    }

    /// Pulls `rows` in rotation; `told` hears of each pull.
    pub fn rounds(&self, rows: &[PullRow], rounds: usize, told: impl Fn(usize, &PullRow, &str)) -> Vec<PullOutcome> {
        let outcome = |row: &PullRow| {
            let layers = self.images.layers(row.layout);
            let problem = row.containerd.missing().or_else(|| layers.clone().err());
            let problem = problem.map(|why| format!("not run: {why}"));
            PullOutcome { row: row.clone(), layers: layers.ok(), samples: Vec::new(), problem }
        };
        let mut outcomes: Vec<PullOutcome> = rows.iter().map(outcome).collect();
        let count = outcomes.len();
        for round in 0..rounds {
            for place in 0..count {
                let outcome = &mut outcomes[(place + round) % count];
                let Some(layers) = outcome.layers.filter(|_| outcome.problem.is_none()) else { continue };
                match self.once(&outcome.row, layers) {
                    Ok(cost) => {
                        told(round, &outcome.row, &format!("{:.2} s", cost.wall_seconds));
                        outcome.samples.push(cost);
                    }
                    Err(error) => {
                        told(round, &outcome.row, &error.to_string());
                        outcome.problem = Some(format!("failed: {error}"));
                    }
                }
            }
        }
        outcomes
    }

    fn once(&self, row: &PullRow, layers: Layers) -> io::Result<PullCost> {
        let node = self.nodes.iter().find(|node| is_of(node, row));
        let node = node.ok_or_else(|| io::Error::other("the node was not started"))?;
        let limited = self.limited.as_ref().filter(|(rate, _)| row.limit == Some(*rate)).map(|(_, address)| address);
        let registry = limited.unwrap_or(&self.images.registry.address);
        node.pull(&format!("{registry}/{MODEL}:{}", row.layout.tag()), layers)
    }
}

fn is_of(node: &Node, row: &PullRow) -> bool {
    node.containerd == row.containerd && node.settings == row.settings
}

/// Returns what modelcar recommends for nodes.
fn node_config(images: &Images) -> io::Result<String> {
    let image = format!("{}/{MODEL}:{}", images.registry.address, Layout::Modelcar.tag());
    let output =
        Command::new(beside("modelcar")?).args(["render", &image, "--resolve", "--kind", "node-config"]).output()?;
    match output.status.success() {
        true => String::from_utf8(output.stdout).map_err(io::Error::other),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}
