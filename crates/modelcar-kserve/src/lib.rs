//! KServe: manifests for an image, the disk a node needs, and what goes wrong with pods and images.
//!
//! Nothing here talks to a cluster. What KServe does with `oci://` was read from its source, release by release; the
//! type [`KserveVersion`] answers what a release can do.
#![doc = ""]
#![doc = include_str!("../README.md")]

pub mod check;
mod findings;
pub mod lint;
pub mod pin;
mod quantity;
pub mod render;
#[cfg(test)]
mod send_tests;
mod sidecar_user;
pub mod sizing;
mod version;

pub use self::{
    findings::Severity,
    sidecar_user::{InvalidUser, SidecarUser},
    version::{InvalidVersion, KserveVersion},
};
