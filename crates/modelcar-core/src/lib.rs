//! Streams model weights into OCI images that KServe serves, without Docker and without a disk copy.
//!
//! Every line below is one step from a model to a pinned image:
//!
//! ```
//! use std::sync::Arc;
//!
//! use modelcar_core::{BuildOptions, ImageRef, Plan, base::Base, build, plan::PlanOptions, progress::NoProgress};
//! use modelcar_core::registry::{DockerConfig, RegistryOptions, RegistrySink, Repository};
//! use modelcar_core::source::{HubOptions, HubSource, Source};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use modelcar_testkit::{FakeHub, FakeRegistry, HubConfig, RegistryConfig, tiny_model};
//! # let hub = FakeHub::start(HubConfig::default()).await;
//! # hub.add_repo("Qwen/Qwen3-8B", "main", tiny_model());
//! # let registry = FakeRegistry::start(RegistryConfig::default()).await;
//! # let (endpoint, host) = (hub.endpoint(), registry.host());
//! let options = HubOptions { endpoint, ..HubOptions::default() };
//! let source = Arc::new(HubSource::resolve("Qwen/Qwen3-8B", "main", options).await?); // pins the commit
//! let base = Base::scratch();
//! let plan = Plan::new(source.origin(), source.list().await?, &base.image, &PlanOptions::default())?;
//! println!("{} layers, {} bytes", plan.layers().len(), plan.content_bytes());
//!
//! let image: ImageRef = format!("{host}/acme/qwen3-8b:v1").parse()?;
//! let keychain = Arc::new(DockerConfig::new(vec!["/home/me/.docker/config.json".into()]));
//! let repository = Repository::new(&image, keychain, RegistryOptions::default(), Arc::new(NoProgress))?;
//! repository.check_push().await?; // fails here if a push is not allowed
//!
//! let sink = RegistrySink::new(repository, vec!["v1".to_owned()]);
//! let built = build(&plan, source, &base, &sink, &BuildOptions::default()).await?;
//! println!("{}", image.with_digest(&built.digest));
//! # assert_eq!(registry.tags()[0].2, built.digest.to_string());
//! # Ok(())
//! # }
//! ```
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
    reference::{ImageRef, InvalidReference},
};
