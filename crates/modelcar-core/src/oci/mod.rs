//! OCI documents as data: the content of an index or a manifest, platforms, and canonical JSON for hashing. No I/O.

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

/// Annotation of a weight layer: the layer's files with path, size in bytes and content id, as canonical JSON.
pub(crate) const LAYER_FILES: &str = "io.modelcar.layer.files";

/// Largest index, manifest or config that is read or written, in bytes. The distribution-spec asks clients and
/// registries to support manifests of at least 4 megabytes ("Pushing Manifests"); many registries accept no larger
/// ones.
pub(crate) const MAX_JSON_BYTES: u64 = 4 * 1024 * 1024;
