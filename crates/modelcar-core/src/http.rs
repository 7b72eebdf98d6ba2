//! What all HTTP clients of this library share: connections, failures, tries, secrets, the log of requests.

mod failure;
pub(crate) mod log;
mod network;
mod secret;

#[cfg(feature = "registry")]
pub(crate) use self::failure::{is_transient, read_limited};
#[cfg(feature = "gcp")]
pub(crate) use self::secret::mask;
pub use self::{
    failure::HttpFailure,
    network::{InvalidNetwork, Network},
    secret::{RedactedUrl, Secret},
};
pub(crate) use self::{failure::header, network::client_builder};
