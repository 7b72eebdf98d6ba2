//! Owns the list of what is measured.

use std::fmt;

use serde::Serialize;

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// Both hashes of all bytes on all cores, and nothing else.
    Hashes,
    /// Bytes from socket to socket.
    Pipe,
    /// This project.
    Modelcar,
    /// oci-modelcar with so many workers.
    OciModelcar(u8),
    /// olot and skopeo; from a Hub after `hf download`.
    Olot,
    /// buildah with gzip; from a Hub after `hf download`.
    BuildahGzip,
    /// buildah without compression; from a Hub after `hf download`.
    BuildahPlain,
}

/// Where the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// On the fake Hub.
    Hub,
    /// In a folder, in the page cache.
    Folder,
}

/// Where the image goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sink {
    /// The registry that only counts.
    Counting,
    /// docker-registry.
    Docker,
    /// An OCI layout on disk.
    Layout,
    /// Nowhere.
    Nowhere,
}

/// What was pushed before, by the same tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Nothing.
    First,
    /// The same model; the worker's disk is fresh.
    Unchanged,
    /// The model with another last shard; the worker's disk is fresh.
    OneShard,
}

/// One scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Who.
    pub tool: Tool,
    /// From where.
    pub from: Source,
    /// To where.
    pub to: Sink,
    /// After what.
    pub change: Change,
}

impl Row {
    const fn new(tool: Tool, from: Source, to: Sink, change: Change) -> Self {
        Self { tool, from, to, change }
    }
}

impl fmt::Display for Row {
    /// The name that `--only` is matched with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from_hub = self.from == Source::Hub;
        match self.tool {
            Tool::Hashes => return f.write_str("both hashes on all cores"),
            Tool::Pipe => f.write_str("raw pipe")?,
            Tool::Modelcar => f.write_str("modelcar")?,
            Tool::OciModelcar(workers) => write!(f, "oci-modelcar ({workers})")?,
            Tool::Olot => f.write_str(if from_hub { "hf + olot + skopeo" } else { "olot + skopeo" })?,
            Tool::BuildahGzip => f.write_str(if from_hub { "hf + buildah gzip" } else { "buildah gzip" })?,
            Tool::BuildahPlain => f.write_str(if from_hub { "hf + buildah plain" } else { "buildah plain" })?,
        }
        f.write_str(if from_hub { ": hub > " } else { ": folder > " })?;
        f.write_str(match self.to {
            Sink::Counting => "counting",
            Sink::Docker => "docker",
            Sink::Layout => "layout",
            Sink::Nowhere => "nowhere",
        })?;
        f.write_str(match self.change {
            Change::First => "",
            Change::Unchanged => ", unchanged",
            Change::OneShard => ", one shard",
        })
    }
}

/// Returns every row, bounds first, then ours, then the others.
pub fn rows() -> Vec<Row> {
    use self::{Change::*, Sink::*, Source::*, Tool::*};
    let mut rows = vec![Row::new(Hashes, Hub, Nowhere, First)];
    rows.extend([Counting, Docker].map(|to| Row::new(Pipe, Hub, to, First)));
    let ours = [(Hub, Counting), (Hub, Docker), (Folder, Counting), (Folder, Docker), (Folder, Layout)];
    rows.extend(ours.map(|(from, to)| Row::new(Modelcar, from, to, First)));
    for change in [Unchanged, OneShard] {
        rows.extend([Hub, Folder].map(|from| Row::new(Modelcar, from, Docker, change)));
    }
    for to in [Counting, Docker] {
        rows.extend([1, 2, 4].map(|workers| Row::new(OciModelcar(workers), Hub, to, First)));
    }
    rows.extend([Unchanged, OneShard].map(|change| Row::new(OciModelcar(2), Hub, Docker, change)));
    rows.extend([Counting, Docker].map(|to| Row::new(Olot, Hub, to, First)));
    rows.extend([First, Unchanged, OneShard].map(|change| Row::new(Olot, Folder, Docker, change)));
    for tool in [BuildahGzip, BuildahPlain] {
        rows.extend([Hub, Folder].map(|from| Row::new(tool, from, Docker, First)));
    }
    rows.extend([Unchanged, OneShard].map(|change| Row::new(BuildahPlain, Folder, Docker, change)));
    rows
}
