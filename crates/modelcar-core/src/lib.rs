//! Streams model weights into OCI images that KServe serves, without Docker and without a disk copy.
//!
//! ```
//! use std::sync::Arc;
//!
//! use modelcar_core::push::{Connections, Contents, Push};
//! use modelcar_core::registry::{DockerConfig, Registries, RegistryOptions};
//!
//! # #[tokio::main]
//! # async fn main() -> modelcar_core::Result<()> {
//! # use modelcar_testkit::{FakeHub, FakeRegistry, HubConfig, RegistryConfig, tiny_model};
//! # use modelcar_core::{base::BaseRef, source::HubOptions};
//! # let fake = FakeHub::start(HubConfig::default()).await;
//! # fake.add_repo("Qwen/Qwen3-8B", "main", tiny_model());
//! # let registry = FakeRegistry::start(RegistryConfig::default()).await;
//! # let (image, hub) = (format!("{}/acme/qwen3-8b:v1", registry.host()), HubOptions { endpoint: fake.endpoint(), ..HubOptions::default() });
//! let logins = DockerConfig::new(vec!["/home/me/.docker/config.json".into()]);
//! let connections = Connections::new(Registries::new(Arc::new(logins), RegistryOptions::default()));
//! # let connections = connections.with_hub(Some(hub));
//! let contents = Contents::new("Qwen/Qwen3-8B".parse()?);
//! # let contents = contents.with_base(BaseRef::Scratch);
//! let push = Push::new(contents, image.parse()?, connections).prepare().await?; // no weights have moved
//! eprintln!("{} bytes to fetch, {} to send", push.bytes_to_fetch(), push.bytes_to_send());
//! let pushed = push.run().await?;
//! println!("{}", pushed.image); // …/acme/qwen3-8b@sha256:…
//! # assert_eq!(registry.tags()[0].2, pushed.built.digest.to_string());
//! # Ok(())
//! # }
//! ```
//!
//! That is what `modelcar push` does, with the same defaults. [`push`] stops on request, says what it would do, and takes
//! a progress of yours; the parts below it can be used alone: [`source`], [`plan`], [`base`], [`sink`], [`registry`].
//!
//! Futures of this library need a tokio runtime with time and I/O enabled, of one thread or many, and at least three
//! blocking threads (tokio has 512 where nothing else is said). Every future can be sent to another thread. Dropping a
//! future stops its work; what that leaves behind is said where the future is made.
//!
//! The library prints nothing and reads neither environment nor home; whoever calls it decides what to tell it.

pub mod base;
mod digest;
mod error;
pub mod facts;
pub mod http;
mod image;
pub mod inspect;
mod layer;
mod layer_format;
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
