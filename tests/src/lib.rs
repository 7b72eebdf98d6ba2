//! Owns the stand-ins modelcar is tested against: a fake Hub, a fake registry and model trees.
//!
//! New here? A test usually does three things:
//!
//! 1. builds a [`ModelTree`], often [`tiny_model`], and puts it on a [`FakeHub`];
//! 2. starts a [`FakeRegistry`] and lets modelcar push to it;
//! 3. asks both what happened: `hub.requests()`, `registry.manifest(..)`, `registry.blob(..)`.
//!
//! Both servers speak plain HTTP/1.1 on the loopback interface, run on their own background
//! runtime (a test may block its thread) and stop when dropped. They are strict on purpose: a
//! leaked token, a stale upload location or a manifest naming an unknown blob is refused.
//! Misbehaviour is scripted with a [`FaultRule`]:
//!
//! ```
//! use modelcar_testkit::{FakeHub, FaultRule, HubAction, HubConfig, tiny_model};
//!
//! let hub = FakeHub::start_blocking(HubConfig::default());
//! let commit = hub.add_repo("acme/tiny", "main", tiny_model());
//! hub.fault(FaultRule::new("model-00001", HubAction::Truncate { after_bytes: 100 }).times(1));
//! assert_eq!(commit.len(), 40);
//! ```

mod content;
mod fault;
mod google;
mod hub;
mod logins;
mod object_store;
mod proxy;
mod registry;
mod samples;
mod server;
mod stream;
mod tls;
mod token_server;
mod tree;

pub use content::{Chunks, Content};
pub use fault::FaultRule;
pub use google::{FakeGoogle, GoogleCall};
pub use hub::{FakeHub, HubAction, HubConfig, HubServer, LoggedRequest, RepoOptions};
pub use logins::Logins;
pub use object_store::{Dialect, FakeStore, StoreAction, StoreConfig, StoreRequest};
pub use proxy::{ConnectProxy, CuttingProxy};
pub use registry::{
    Auth, BrokenPatch, FakeRegistry, FixedTags, LocationStyle, RegistryAction, RegistryConfig, RegistryRequest,
    StatusReply, Storage, StoredManifest,
};
pub use samples::{many_small_files, other_weights, revised_model, safetensors_bytes, synthetic_model, tiny_model};
pub use tls::{Identity, PrivateCa, TlsFront};
pub use token_server::TokenServer;
pub use tree::{ModelTree, TreeFile};
