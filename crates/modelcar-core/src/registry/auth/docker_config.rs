//! Reads login files of Docker (`config.json`) and of podman, skopeo and buildah (`auth.json`,
//! containers-auth.json(5)).

use std::{
    collections::BTreeSet,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::Value;

use super::{
    helper,
    keychain::{Credential, Keychain, Login, Refused},
};
use crate::{
    ImageRef, files,
    registry::{
        error::KeychainError,
        quirks::{self, DOCKER_HUB_KEYS, DOCKER_HUB_LOGIN},
    },
};

/// Largest login file that is read, in bytes.
const FILE_MAX_BYTES: u64 = 16 << 20;
/// Default time limit of a credential helper.
const HELPER_PATIENCE: Duration = Duration::from_secs(30);
/// Base64 with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Logins from login files and from the credential helpers that the files name.
///
/// Files are read at every look-up, because Cloud Build rewrites Docker's file while a build runs. The first file with
/// a login for the registry decides. Within a file, a helper for the registry comes before an entry, and an entry
/// before the default store. A missing file is skipped, and so is a helper that is not installed; an unreadable file and
/// a failing helper are errors.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    /// The login files, in the order in which they are read.
    files: Vec<PathBuf>,
    /// Time limit of one run of a credential helper.
    helper_patience: Duration,
    /// Helpers that a file names and that are not installed.
    missing_helpers: Arc<Mutex<BTreeSet<String>>>,
}

impl DockerConfig {
    /// Reads `files`, in this order. Nothing is read before credentials are needed.
    pub fn new(files: Vec<PathBuf>) -> Self {
        Self { files, helper_patience: HELPER_PATIENCE, missing_helpers: Arc::default() }
    }

    /// Limits the run of a credential helper to `patience`, instead of 30 s. A helper that takes longer is killed and
    /// counts as failed.
    #[must_use]
    pub fn with_helper_patience(mut self, patience: Duration) -> Self {
        self.helper_patience = patience;
        self
    }
}

#[async_trait]
impl Keychain for DockerConfig {
    async fn resolve(&self, image: &ImageRef, refused: &Refused) -> Result<Option<Login>, KeychainError> {
        for path in &self.files {
            let Some(config) = read(path).await? else { continue };
            for found in find(&config, image) {
                let (credential, place) = match found {
                    Found::Helper { helper, server } => {
                        match helper::ask(&helper, &server, self.helper_patience).await {
                            // A login file that is mounted into a container names helpers of another machine.
                            Err(KeychainError::NoHelper { helper }) => {
                                self.missing_helpers.lock().unwrap_or_else(PoisonError::into_inner).insert(helper);
                                continue;
                            }
                            asked => (asked?, format!("helper `{helper}`")),
                        }
                    }
                    Found::Entry { key, entry } => {
                        let credential = entry_credential(entry).map_err(|reason| KeychainError::Invalid {
                            path: path.clone(),
                            reason: format!("entry `{key}` {reason}"),
                        })?;
                        (credential, format!("entry `{key}`"))
                    }
                };
                if let Some(credential) = credential.filter(|credential| !refused.contains(credential)) {
                    return Ok(Some(Login { credential, origin: format!("{place} of `{}`", path.display()) }));
                }
            }
        }
        Ok(None)
    }

    fn places(&self, _image: &ImageRef) -> Vec<String> {
        let files = self.files.iter().map(|path| format!("`{}`", path.display()));
        let missing = self.missing_helpers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        files.chain(missing.iter().map(|helper| format!("`{helper}` (which is not installed)"))).collect()
    }
}

/// Reads a login file; `None` if the file does not exist.
///
/// # Errors
/// When the file can't be read, is larger than [`FILE_MAX_BYTES`], or is not a JSON object. No error repeats the
/// content.
async fn read(path: &PathBuf) -> Result<Option<Value>, KeychainError> {
    let failed = |source| KeychainError::Read { path: path.clone(), source };
    let invalid = |reason: String| KeychainError::Invalid { path: path.clone(), reason };
    match tokio::fs::metadata(path).await {
        Ok(about) if about.len() > FILE_MAX_BYTES => return Err(invalid("is too large for a login file".to_owned())),
        Ok(_) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    }
    let text = files::read_aside(path, FILE_MAX_BYTES).await.map_err(failed)?;
    parse(&text).map(Some).map_err(invalid)
}

/// Parses a login file.
///
/// # Errors
/// What the file is instead, without its content.
pub(in crate::registry) fn parse(text: &[u8]) -> Result<Value, String> {
    // Only the position: serde's message may repeat a part of the file.
    let config: Value = serde_json::from_slice(text).map_err(|error| format!("is not JSON (line {})", error.line()))?;
    if config.is_object() { Ok(config) } else { Err("is not a JSON object".to_owned()) }
}

/// A place in a login file that may have credentials for the registry.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::registry) enum Found<'a> {
    /// An entry of `auths`, under `key`.
    Entry { key: String, entry: &'a Value },
    /// The suffix of a credential helper's name, and the server that the helper is asked for.
    Helper { helper: String, server: String },
}

/// Returns the places in a login file that may have a login for the registry of `image`, the most specific first.
pub(in crate::registry) fn find<'a>(config: &'a Value, image: &ImageRef) -> Vec<Found<'a>> {
    let keys = keys(image);
    let name = |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let section = |name: &str, key: &str| config.get(name).and_then(|section| section.get(key));
    let helper = keys
        .iter()
        .find_map(|key| name(section("credHelpers", key)).map(|helper| Found::Helper { helper, server: key.clone() }));
    let entries =
        keys.iter().filter_map(|key| section("auths", key).map(|entry| Found::Entry { key: key.clone(), entry }));
    let entries = entries.chain(urls(config, image, &keys));
    let store = name(config.get("credsStore")).map(|helper| Found::Helper { helper, server: server_name(image) });
    helper.into_iter().chain(entries).chain(store).collect()
}

/// Returns the entries under a URL of the registry, whatever its path: `docker login https://HOST/PATH` writes such keys,
/// and Docker takes each for its host. Entries under one of `keys` are left out.
fn urls<'a>(config: &'a Value, image: &ImageRef, keys: &[String]) -> impl Iterator<Item = Found<'a>> {
    let entries = config.get("auths").and_then(Value::as_object).into_iter().flatten();
    let fits = |key: &str| {
        let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
        let host = rest.and_then(|rest| rest.split('/').next());
        host.is_some_and(|host| host.eq_ignore_ascii_case(image.registry())) && !keys.iter().any(|known| known == key)
    };
    let found: Vec<Found<'a>> =
        entries.filter(|(key, _)| fits(key)).map(|(key, entry)| Found::Entry { key: key.clone(), entry }).collect();
    found.into_iter()
}

/// Returns the name under which the default store (`credsStore`) keeps the credentials for the registry of `image`.
fn server_name(image: &ImageRef) -> String {
    if quirks::is_docker_hub(image.registry()) { DOCKER_HUB_LOGIN.to_owned() } else { image.registry().to_owned() }
}

/// Returns the keys that a login file may use for the registry of `image`, the longest first: `host/a/b`, `host/a`,
/// `host` (containers-auth.json), then Docker's forms with a scheme.
fn keys(image: &ImageRef) -> Vec<String> {
    // Names of hosts have no case; login files have them as they were typed, mostly in lower case.
    let lower = image.registry().to_ascii_lowercase();
    let host = lower.as_str();
    let mut keys = Vec::new();
    let mut rest = Some(image.repository());
    while let Some(path) = rest {
        keys.push(format!("{host}/{path}"));
        rest = path.rsplit_once('/').map(|(above, _)| above);
    }
    keys.push(host.to_owned());
    for form in ["https://{}", "https://{}/", "https://{}/v1/", "https://{}/v2/", "http://{}", "http://{}/"] {
        keys.push(form.replace("{}", host));
    }
    if quirks::is_docker_hub(host) {
        keys.extend(DOCKER_HUB_KEYS.map(str::to_owned));
    }
    keys
}

/// Reads an entry of `auths`; `None` for an empty entry, which means that a helper has the credentials. A registry
/// token comes before a refresh token, and a refresh token before name and password.
///
/// # Errors
/// What is wrong with the member `auth`.
pub(in crate::registry) fn entry_credential(entry: &Value) -> Result<Option<Credential>, &'static str> {
    let text = |key| entry.get(key).and_then(Value::as_str).filter(|text: &&str| !text.is_empty());
    if let Some(token) = text("registrytoken") {
        return Ok(Some(Credential::RegistryToken(token.into())));
    }
    let pair = match (text("username"), text("password")) {
        (Some(username), Some(password)) => Some((username.to_owned(), password.to_owned())),
        _ => text("auth").map(decode).transpose()?,
    };
    if let Some(token) = text("identitytoken") {
        // Some programs write a name without a password next to the token.
        let fallback = pair.filter(|(_, password)| !password.is_empty());
        let fallback = fallback.map(|(username, password)| (username, password.into()));
        return Ok(Some(Credential::IdentityToken { token: token.into(), fallback }));
    }
    Ok(pair.map(|(username, password)| Credential::from_pair(&username, &password)))
}

/// Decodes `auth`: base64 of name, colon and password. Zero bytes at the end are padding and dropped.
fn decode(encoded: &str) -> Result<(String, String), &'static str> {
    // Tools that wrap lines at 76 characters put line ends into it.
    let encoded: String = encoded.chars().filter(|c| !c.is_whitespace()).collect();
    let decoded = BASE64.decode(encoded).map_err(|_| "has an `auth` that is not base64")?;
    let decoded = String::from_utf8(decoded).map_err(|_| "has an `auth` that is not UTF-8")?;
    // Only the first colon separates: the key of a service account, used as a password, contains many.
    let (username, password) = decoded.split_once(':').ok_or("has an `auth` without a colon")?;
    Ok((username.to_owned(), password.trim_end_matches('\0').to_owned()))
}

#[cfg(test)]
#[path = "docker_config_tests.rs"]
mod tests;
