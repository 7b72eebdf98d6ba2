//! The registry client: distribution-spec 1.1 as registries speak it in the field.

mod auth;
mod challenge;
mod client;
mod error;
mod google;
mod helper;
mod keychain;
mod login_file;
mod place;
mod sink;
mod token;
mod upload;

pub use self::{
    client::{RegistryOptions, Repository},
    error::{KeychainError, RegistryError},
    google::{GoogleKeychain, GoogleOptions},
    keychain::{Credential, HostLogin, Keychain, KeychainChain, Login, Refused},
    login_file::DockerConfig,
    sink::RegistrySink,
};
