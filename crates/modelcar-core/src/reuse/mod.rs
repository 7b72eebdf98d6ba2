//! Never twice: which layers of a plan are somewhere already, so that they are neither downloaded nor uploaded.
//!
//! [`Knowledge`] is what images, checkpoints and the local cache say of layers; [`DecidedPush`] is what follows from
//! it for one plan and one place. What is trusted, and why, stands in `docs/reuse.md`.

mod blob_source;
mod cache;
mod checkpoint;
mod decide;
mod found;
mod knowledge;
#[cfg(test)]
mod tests;

pub(crate) use self::decide::{Candidate, Place, Reuse};
pub use self::{
    cache::Cache,
    decide::{DecidedPush, Decision, Renamed, Way},
    knowledge::{Knowledge, ReuseOptions},
};
