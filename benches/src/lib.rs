//! What the end-to-end benchmark is made of: servers, data, commands of every tool, costs, and the table.

mod commands;
mod cost;
mod hashes;
pub mod hostile;
mod http;
mod machine;
mod manifests;
mod model;
mod pipe;
pub mod pull;
mod rounds;
mod rows;
mod servers;
mod small;
mod synthetic;
mod table;
mod tools;
mod upload;
mod verify;
mod weights;

pub use cost::{Cost, run};
pub use hashes::hash_on_all_cores;
pub use model::Model;
pub use pipe::{Pipe, PipeFile};
pub use rounds::{Bench, Outcome};
pub use rows::{Change, Row, Sink, Source, Tool, rows};
pub use servers::Server;
pub use small::{SmallFiles, SmallJob, SmallTable};
pub use synthetic::{Measured, SyntheticPush};
pub use table::Report;
pub use tools::Tools;
