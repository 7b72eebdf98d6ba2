//! Pulls of one model in several layouts by several releases of containerd.

mod containerd;
mod images;
mod layouts;
mod limit;
mod node;
mod packed;
mod rounds;
mod rows;
mod table;

pub use containerd::Containerd;
pub use layouts::{Compression, Layout};
pub use node::{PullCost, Settings};
pub use rounds::{PullBench, PullOutcome};
pub use rows::{PullRow, pull_rows};
pub use table::PullTable;
