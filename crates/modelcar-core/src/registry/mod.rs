//! The registry client: distribution-spec 1.1 as registries implement it.

mod auth;
mod blob;
mod doctor;
mod error;
mod manifest;
#[cfg(test)]
mod parser_tests;
mod preflight;
mod quirks;
mod redirect;
mod registries;
mod repository;
mod request;
mod sink;
mod upload;

pub use self::{
    auth::{
        docker_config::DockerConfig,
        google::{GoogleKeychain, GoogleOptions},
        keychain::{Credential, HostLogin, Keychain, KeychainChain, Login, Refused},
    },
    doctor::{Check, CheckCode, Verdict},
    error::{KeychainError, RegistryError},
    preflight::TakenTag,
    registries::Registries,
    repository::{RegistryOptions, Repository},
    request::Access,
    sink::RegistrySink,
};
