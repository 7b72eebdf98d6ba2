//! The registry client: distribution-spec 1.1 as registries speak it in the field.

mod auth;
mod blob;
mod challenge;
mod client;
mod doctor;
mod error;
mod feed;
mod gauge;
mod google;
mod helper;
mod keychain;
mod login_file;
mod mount;
#[cfg(test)]
mod parser_tests;
mod place;
mod preflight;
mod quirks;
mod range;
mod registries;
mod retry;
mod session;
mod sink;
mod token;
mod upload;

pub use self::{
    client::{RegistryOptions, Repository},
    doctor::{Check, CheckCode, Verdict},
    error::{KeychainError, RegistryError},
    google::{GoogleKeychain, GoogleOptions},
    keychain::{Credential, HostLogin, Keychain, KeychainChain, Login, Refused},
    login_file::DockerConfig,
    preflight::TakenTag,
    registries::Registries,
    sink::RegistrySink,
};
