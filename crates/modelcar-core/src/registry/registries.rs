//! What all requests to registries share: one keychain, and the options of the client.

use std::sync::Arc;

use super::{
    auth::keychain::Keychain,
    error::RegistryError,
    repository::{RegistryOptions, Repository},
};
use crate::{ImageRef, progress::Progress};

/// What all requests to registries share: one keychain, and the options of the client.
///
/// Clones share the keychain. Each [`Repository`] made from this value has connections, tokens and a retry budget of
/// its own.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Registries {
    /// Finds the credentials for a registry. The keychain is asked again whenever a token has to be renewed.
    pub keychain: Arc<dyn Keychain>,
    /// How the client speaks to every registry: timeouts, retries, chunks, TLS.
    pub options: RegistryOptions,
}

impl Registries {
    /// Combines a keychain and options.
    pub fn new(keychain: Arc<dyn Keychain>, options: RegistryOptions) -> Self {
        Self { keychain, options }
    }

    /// Returns a handle on the repository of `image`. The tag and digest of `image` have no effect on the handle's
    /// requests. No request is sent yet.
    ///
    /// # Errors
    /// As [`Repository::new`].
    pub fn repository(&self, image: &ImageRef, progress: &Arc<dyn Progress>) -> Result<Repository, RegistryError> {
        Repository::new(image, Arc::clone(&self.keychain), self.options.clone(), Arc::clone(progress))
    }
}
