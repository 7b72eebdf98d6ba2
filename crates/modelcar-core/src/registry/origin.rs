//! Where a login comes from, in words that can be shown.

use std::{io, path::PathBuf};

use serde_json::Value;

use super::{
    error::KeychainError,
    keychain::{Credential, Found, find},
};
use crate::ImageRef;

/// Returns which of the login files, and what in it, decides for `image`.
pub(super) async fn of(files: &[PathBuf], image: &ImageRef) -> Result<Option<String>, KeychainError> {
    for path in files {
        let text = match tokio::fs::read(path).await {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(KeychainError::Read { path: path.clone(), source }),
        };
        let invalid = |reason: String| KeychainError::Invalid { path: path.clone(), reason };
        let config: Value = serde_json::from_slice(&text).map_err(|_| invalid("is not JSON".to_owned()))?;
        let what = match find(&config, image).map_err(invalid)? {
            Found::Nothing => continue,
            Found::Helper { helper, server } => format!("helper `docker-credential-{helper}` for `{server}`, named"),
            Found::Credential(credential) => kind(&credential).to_owned(),
        };
        return Ok(Some(format!("{what} in `{}`", path.display())));
    }
    Ok(None)
}

/// Returns what a login is, without it.
pub(super) fn kind(credential: &Credential) -> &'static str {
    match credential {
        Credential::Anonymous => "no login",
        Credential::Basic { .. } => "a name and a password",
        Credential::IdentityToken(_) => "an identity token",
        Credential::RegistryToken(_) => "a registry token",
    }
}
