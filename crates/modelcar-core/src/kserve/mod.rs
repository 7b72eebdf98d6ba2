//! KServe: manifests for an image, the disk a node needs, and what goes wrong with pods and images.
//!
//! Nothing here talks to a cluster. What KServe does with `oci://` was read from its source, release by release; the
//! type [`KserveVersion`] answers what a release can do.

pub mod check;
mod line;
pub mod lint;
pub mod render;
pub mod sizing;
mod version;

pub use self::line::one_line;
pub use self::version::{InvalidVersion, KserveVersion};
