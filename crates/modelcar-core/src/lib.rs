//! placeholder

mod base;
mod digest;
mod error;
mod http;
mod image;
mod layer;
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
    path::{InvalidPath, ModelPath},
    reference::{ImageRef, InvalidReference},
};
