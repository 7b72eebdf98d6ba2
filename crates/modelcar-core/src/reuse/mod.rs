//! Never twice: which layers of a plan are somewhere already, so that they are neither downloaded nor uploaded.
//!
//! `inventory` reads the layers that images state, `cache` and `checkpoint` those that earlier pushes noted; `decide`
//! chooses, without I/O; `probe` asks registries for it; `apply` acts on the [`Decision`]s. A [push](crate::push) does all.

mod action;
#[cfg(feature = "push")]
mod apply;
#[cfg(feature = "push")]
mod blob_source;
#[cfg(feature = "push")]
mod cache;
#[cfg(feature = "push")]
mod checkpoint;
#[cfg(feature = "push")]
mod decide;
#[cfg(test)]
#[cfg(feature = "push")]
mod decide_tests;
#[cfg(feature = "push")]
mod image_layer;
#[cfg(feature = "push")]
mod inventory;
mod known;
#[cfg(feature = "push")]
mod probe;
#[cfg(feature = "workspace-tests")]
#[cfg(test)]
mod registry_tests;
#[cfg(feature = "push")]
mod repositories;
#[cfg(test)]
#[cfg(feature = "push")]
mod tests;

pub use self::action::{Decision, LayerAction, Renamed};
#[cfg(feature = "push")]
pub use self::cache::Cache;
pub(crate) use self::{
    action::LayerCandidate,
    known::{KnownLayers, NoneKnown},
};
#[cfg(feature = "push")]
pub(crate) use self::{
    apply::DecidedPush,
    inventory::{Inventory, ReuseOptions},
};
