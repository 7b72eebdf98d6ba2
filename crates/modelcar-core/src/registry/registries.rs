//! The keychain and the options that all requests to registries share.

use std::sync::Arc;

use super::{
    auth::keychain::Keychain,
    error::RegistryError,
    repository::{RegistryOptions, Repository},
};
use crate::{ImageRef, progress::Progress};

/// The keychain and the options that all requests to registries share.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Registries {
    /// Finds the login for a registry.
    pub keychain: Arc<dyn Keychain>,
    /// How the client speaks to a registry.
    pub options: RegistryOptions,
}

impl Registries {
    /// Combines a keychain and options.
    pub fn new(keychain: Arc<dyn Keychain>, options: RegistryOptions) -> Self {
        Self { keychain, options }
    }

    /// Returns a handle on the repository of `image`. No request is sent yet.
    ///
    /// # Errors
    /// As [`Repository::new`].
    pub fn repository(&self, image: &ImageRef, progress: &Arc<dyn Progress>) -> Result<Repository, RegistryError> {
        Repository::new(image, Arc::clone(&self.keychain), self.options.clone(), Arc::clone(progress))
    }
}
