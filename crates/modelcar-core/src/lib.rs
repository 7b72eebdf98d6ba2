//! Streams model weights into OCI images that KServe serves, without Docker and without a disk copy.

pub mod base;
mod digest;
mod error;
pub mod http;
mod image;
pub mod inspect;
mod layer;
mod oci;
mod path;
mod pipeline;
pub mod plan;
pub mod progress;
mod reference;
pub mod registry;
pub mod sink;
pub mod source;

pub use self::{
    digest::{ContentId, Digest, InvalidDigest},
    error::{Error, ErrorKind, Result},
    layer::{LayerBody, LayerError},
    path::{InvalidPath, ModelPath},
    pipeline::{BuildOptions, Built, BuiltLayer, BuiltManifest, build},
    plan::Plan,
    reference::{ImageRef, InvalidReference},
};
