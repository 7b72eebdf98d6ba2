//! What all HTTP clients of this library share: connections, failures, tries, secrets, the log of requests.

mod client_certificate;
mod failure;
mod invalid;
pub(crate) mod log;
mod network;
mod secret;
mod verifier;

#[cfg(any(feature = "hub", feature = "registry"))]
pub(crate) use self::failure::header;
#[cfg(any(feature = "registry", feature = "object-store"))]
pub(crate) use self::failure::is_transient;
#[cfg(feature = "object-store")]
pub(crate) use self::failure::tls_error;
#[cfg(feature = "registry")]
pub(crate) use self::failure::{is_page, read_limited};
pub(crate) use self::network::client_builder;
#[cfg(feature = "hub")]
pub(crate) use self::secret::in_query;
#[cfg(any(feature = "registry", feature = "object-store"))]
pub(crate) use self::secret::mask;
#[cfg(any(feature = "hub", feature = "registry"))]
pub(crate) use self::secret::of_login;
pub use self::{
    client_certificate::ClientCertificate,
    failure::{CertificateFault, ClientCertificateFault, HttpFailure},
    invalid::InvalidNetwork,
    network::Network,
    secret::{RedactedUrl, Secret},
};
