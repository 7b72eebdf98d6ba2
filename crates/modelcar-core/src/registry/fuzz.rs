//! What registries and login files say, as bytes, for the fuzzing of `tests/fuzz` alone.

use reqwest::Url;

use super::auth::{
    challenge::Challenge,
    docker_config::{self, Found},
    keychain::Credential,
};
use crate::ImageRef;

/// A challenge that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A name and a password.
    Basic,
    /// A token of a token server.
    Bearer {
        /// The URL of the token server.
        realm: Url,
        /// The name of the registry at the token server.
        service: Option<String>,
        /// Pull scopes of other repositories.
        more: Vec<String>,
        /// All scopes.
        stated: Vec<String>,
    },
}

/// Chooses among the challenges in `headers`, which the registry at `base` has sent.
pub fn challenge(base: &Url, headers: &[String]) -> Result<Option<Asked>, (String, &'static str)> {
    Ok(Challenge::choose(base, headers)?.map(|chosen| match chosen {
        Challenge::Basic => Asked::Basic,
        Challenge::Bearer { realm, service, more, stated } => Asked::Bearer { realm, service, more, stated },
    }))
}

/// Returns the credentials for `image` in the entries of a login file. No helper is run.
pub fn logins(file: &[u8], image: &ImageRef) -> Result<Vec<Result<Option<Credential>, &'static str>>, String> {
    let config = docker_config::parse(file)?;
    let entries = docker_config::find(&config, image).into_iter().filter_map(|found| match found {
        Found::Entry { entry, .. } => Some(docker_config::entry_credential(entry)),
        Found::Helper { .. } => None,
    });
    Ok(entries.collect())
}
