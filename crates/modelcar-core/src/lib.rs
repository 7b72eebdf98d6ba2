//! Streams model weights into OCI images that KServe serves, without Docker and without a disk copy.
//!
//! ```no_run
#![doc = include_str!("../examples/push.rs")]
//! ```
//!
//! That is what `modelcar push` does, with the same defaults but for reuse: the command line adds its local cache.
//! [`push`] stops on request, says what it would do, and takes a progress of yours. `modelcar_env` is a crate beside this
//! one; a program that reads no environment gives logins and options by hand: see [`push::Connections`]. The parts can be
//! used alone: [`source`], [`plan`], [`base`], [`sink`], [`layout`], [`registry`].
//!
//! Futures of this library need a tokio runtime with time and I/O enabled, of one thread or many. One blocking thread is
//! enough: what lasts as long as a layer has a thread of its own. Every future can be sent to another thread. Dropping a
//! future stops its work; what that leaves behind is said where the future is made.
//!
//! The library prints nothing and reads neither environment nor home; whoever calls it decides what to tell it.

pub mod base;
pub mod blob;
pub mod conformance;
mod digest;
mod error;
pub mod facts;
pub mod http;
mod image;
pub mod inspect;
mod layer;
mod layer_format;
pub mod layout;
mod oci;
mod path;
mod pipeline;
pub mod plan;
pub mod progress;
pub mod push;
pub mod reader;
mod reference;
pub mod registry;
pub mod reuse;
#[cfg(test)]
mod send_tests;
pub mod sink;
pub mod source;
pub mod text;
mod thread;

pub use self::{
    digest::{ContentId, Digest, InvalidDigest},
    error::{Error, ErrorKind, ModelcarError, OtherError, Result},
    image::check_manifests,
    layer::{LayerBody, LayerError},
    oci::{InvalidPlatform, Platform},
    path::{InvalidPath, ModelPath},
    pipeline::{BuildOptions, Built, BuiltLayer, BuiltManifest, build},
    plan::Plan,
    reader::ImageError,
    reference::{ImageRef, InvalidReference, InvalidTag, Tag},
};
