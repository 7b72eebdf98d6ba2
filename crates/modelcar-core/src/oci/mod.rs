//! OCI documents as data: what an index or a manifest says, for which platform, and JSON as it is hashed. No I/O.

mod document;
mod json;
mod platform;

pub use self::{
    document::{Descriptor, Manifest},
    platform::{InvalidPlatform, Platform},
};
pub(crate) use self::{
    document::{Document, DocumentError},
    json::{canonical_json, canonical_value},
};

/// Largest index, manifest or config that is read, in bytes: what registries take at most.
pub(crate) const MAX_JSON_BYTES: u64 = 4 * 1024 * 1024;
