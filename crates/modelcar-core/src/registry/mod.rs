//! The registry client: OCI distribution-spec 1.1, and the deviations from it that real registries show.
//!
//! [`Repository`] is the handle on one repository: it reads, mounts and uploads blobs, and reads and writes manifests.
//! [`RegistrySink`] makes a repository the destination of a build. [`Keychain`] is the interface for credentials, with
//! implementations for login files ([`DockerConfig`]), Google Cloud ([`GoogleKeychain`]) and a fixed login
//! ([`HostLogin`]).
//!
//! The client follows redirects itself and sends credentials to the registry's own origin and to its token server only.

mod auth;
mod blob;
mod certificates;
mod clients;
mod doctor;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz;
mod loopback;
mod manifest;
#[cfg(test)]
mod parser_tests;
mod preflight;
mod quirks;
mod read_back;
mod redirect;
mod registries;
mod repository;
mod request;
mod sink;
mod tags;
mod upload;

#[cfg(feature = "push")]
pub(crate) use self::preflight::TagState;
pub use self::{
    auth::{
        docker_config::DockerConfig,
        google::{GoogleKeychain, GoogleOptions},
        keychain::{Credential, HostLogin, Keychain, KeychainChain, Login, Refused},
    },
    certificates::RegistryCertificates,
    doctor::{Check, CheckCode, Verdict},
    error::{KeychainError, RegistryError},
    preflight::TakenTag,
    registries::Registries,
    repository::{RegistryOptions, Repository},
    request::Access,
    sink::RegistrySink,
};
pub(crate) use self::{quirks::takes_google_tokens, read_back::StoredImage};
