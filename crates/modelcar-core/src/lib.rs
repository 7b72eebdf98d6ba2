//! Streams model weights into OCI images that KServe serves, without Docker and without a disk copy.
//!
#![cfg_attr(feature = "workspace-tests", doc = "```no_run")]
#![cfg_attr(not(feature = "workspace-tests"), doc = "```ignore")]
#![doc = include_str!("../examples/push.rs")]
//! ```
//!
//! That is what `modelcar push` does, with the same defaults but for reuse: the command line adds its local cache.
//! [`push`] stops on request, says what it would do, and takes a progress of yours. `modelcar_env` is a crate beside this
//! one; a program that reads no environment gives logins and options by hand: see [`push::Connections`]. The parts can be
//! used alone: [`source`], [`download`], [`plan`], [`base`], [`sink`], [`layout`], [`registry`].
//!
//! Futures of this library need a tokio runtime with time and I/O enabled, of one thread or many. One blocking thread is
//! enough: what lasts as long as a layer has a thread of its own. Every future can be sent to another thread. Dropping a
//! future stops its work; what that leaves behind is said where the future is made.
//!
//! Features that are on by default: `push` (what this page shows), `hub`, `registry`, and `gcp` for Google's Application
//! Default Credentials. `object-store` adds folders in S3 and Google Cloud Storage as sources, and `schemars` JSON schemas of what becomes
//! JSON. Without any of them the library plans, and builds and reads image layouts, and brings no HTTP client.
//!
//! The library prints nothing and reads neither environment nor home; whoever calls it decides what to tell it.

pub mod base;
pub mod blob;
pub mod conformance;
mod digest;
#[cfg(feature = "hub")]
pub mod download;
mod error;
pub mod facts;
pub mod files;
#[cfg(feature = "http")]
#[cfg_attr(not(feature = "push"), allow(dead_code, reason = "shared by two clients, of which one is left out"))]
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
#[cfg(feature = "push")]
pub mod push;
pub mod reader;
mod reference;
#[cfg(feature = "registry")]
#[cfg_attr(not(feature = "push"), allow(dead_code, reason = "a push deletes its checkpoints"))]
pub mod registry;
#[cfg_attr(not(feature = "registry"), allow(dead_code, reason = "only a push cancels, and has a budget"))]
mod retry;
pub mod reuse;
#[cfg(test)]
#[cfg(feature = "push")]
mod send_tests;
pub mod sink;
pub mod source;
pub mod text;
mod thread;
mod weights;

pub use self::{
    digest::{ContentId, Digest, InvalidDigest},
    error::{Error, ErrorKind, ModelcarError, OtherError, Result, causes},
    image::check_manifests,
    layer::{LayerBlob, LayerError},
    oci::{InvalidPlatform, Platform},
    path::{InvalidPath, ModelPath},
    pipeline::{BuildOptions, Built, BuiltLayer, BuiltManifest, build},
    plan::Plan,
    reader::ImageError,
    reference::{ImageRef, InvalidReference, InvalidTag, Tag},
};
