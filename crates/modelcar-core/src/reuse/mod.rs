//! Never twice: which layers of a plan are somewhere already, so that they are neither downloaded nor uploaded.
//!
//! What images, checkpoints and the local cache say of layers is gathered first; what follows from that for one plan and
//! one place is a [`Decision`] for each layer. A [push](crate::push) does both.

mod blob_source;
mod cache;
mod checkpoint;
mod decide;
mod found;
mod knowledge;
#[cfg(test)]
mod tests;

pub use self::{
    cache::Cache,
    decide::{Decision, Renamed, Way},
};
pub(crate) use self::{
    decide::{Candidate, DecidedPush, Place, Reuse},
    knowledge::{Knowledge, ReuseOptions},
};
