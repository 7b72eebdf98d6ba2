//! Owns the list of pulls that are measured.

use std::fmt;

use bytesize::ByteSize;
use serde::Serialize;

use super::{containerd::Containerd, layouts::Layout, node::Settings};

/// One layout, pulled by one containerd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PullRow {
    /// Who pulls.
    pub containerd: Containerd,
    /// How the node is set up.
    pub settings: Settings,
    /// Bytes a second that the registry gives each connection; `None`: as many as it can.
    pub limit: Option<u64>,
    /// What is pulled.
    pub layout: Layout,
}

impl fmt::Display for PullRow {
    /// The name that `--only` is matched with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.containerd, self.settings)?;
        if let Some(limit) = self.limit {
            write!(f, ", {}/s", ByteSize::b(limit).display().si())?;
        }
        write!(f, ": {}", self.layout)
    }
}

/// Returns every row, without a limit for each connection and then with `limit`.
pub fn pull_rows(containerds: &[Containerd], limit: Option<u64>) -> Vec<PullRow> {
    let mut rows = Vec::new();
    for limit in std::iter::once(None).chain(limit.map(Some)) {
        for containerd in containerds {
            for settings in [Settings::Defaults, Settings::Tuned] {
                let row = |layout| PullRow { containerd: containerd.clone(), settings, limit, layout };
                rows.extend(Layout::ALL.map(row));
            }
        }
    }
    rows
}
