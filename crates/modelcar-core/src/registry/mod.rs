//! The registry client: distribution-spec 1.1 as registries speak it in the field.

mod auth;
mod client;
mod error;
mod keychain;
mod place;
mod sink;
mod upload;

pub use self::{
    client::{RegistryOptions, Repository},
    error::{KeychainError, RegistryError},
    keychain::{Credential, DockerConfig, Keychain, StaticKeychain},
    sink::RegistrySink,
};
