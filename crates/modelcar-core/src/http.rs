//! What all HTTP clients of this library share: connections, failures, tries, secrets, the log of requests.

mod failure;
pub(crate) mod log;
mod network;
pub(crate) mod retry;
mod secret;

pub use self::{
    failure::HttpFailure,
    network::{InvalidNetwork, Network},
    secret::{RedactedUrl, Secret},
};
pub(crate) use self::{
    failure::{header, is_transient, read_limited},
    network::client_builder,
    secret::mask,
};
