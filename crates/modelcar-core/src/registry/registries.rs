//! How registries are reached: one keychain and one set of options for all of them.

use std::sync::Arc;

use super::{
    auth::keychain::Keychain,
    error::RegistryError,
    repository::{RegistryOptions, Repository},
};
use crate::{ImageRef, progress::Progress};

/// What requests to registries share: logins and options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Registries {
    /// Where logins are found.
    pub keychain: Arc<dyn Keychain>,
    /// How a registry is spoken to.
    pub options: RegistryOptions,
}

impl Registries {
    /// Joins logins and options.
    pub fn new(keychain: Arc<dyn Keychain>, options: RegistryOptions) -> Self {
        Self { keychain, options }
    }

    /// Returns a handle on the repository of `image`. No request is made yet.
    ///
    /// # Errors
    /// As [`Repository::new`].
    pub fn repository(&self, image: &ImageRef, progress: &Arc<dyn Progress>) -> Result<Repository, RegistryError> {
        Repository::new(image, Arc::clone(&self.keychain), self.options.clone(), Arc::clone(progress))
    }
}
