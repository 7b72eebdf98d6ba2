//! The registry client: distribution-spec 1.1 as registries speak it in the field.

mod auth;
mod blob;
mod client;
mod doctor;
mod error;
mod feed;
mod keychain;
mod mount;
mod origin;
#[cfg(test)]
mod parser_tests;
mod place;
mod preflight;
mod quirks;
mod range;
mod retry;
mod session;
mod sink;
mod upload;

pub use self::{
    client::{RegistryOptions, Repository},
    doctor::{Check, Verdict},
    error::{KeychainError, RegistryError},
    keychain::{Credential, DockerConfig, Keychain, StaticKeychain},
    preflight::TakenTag,
    sink::RegistrySink,
};
