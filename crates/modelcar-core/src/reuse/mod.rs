//! Reuse: finds the layers of a plan that a registry holds already, so that they are neither downloaded nor uploaded
//! again.
//!
//! `inventory` reads the layers that images state; `cache` and `checkpoint` know the layers of earlier pushes. `decide`
//! chooses, without I/O, between reuse, mount, copy and upload; `probe` asks registries for what `decide` needs to
//! know; `apply` acts on the [`Decision`]s. A `push` does all of this.
//!
//! Layers are compared by their recipe: the digest of the layer's format, time, paths, sizes and content ids. The
//! recipe is known before the bytes of the layer exist.

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
#[cfg(feature = "push")]
mod seal;
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
