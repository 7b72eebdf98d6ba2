//! Logins for registries, looked up anew each time one is needed: long builds outlive their tokens.

use std::{fmt::Debug, io, path::PathBuf, process::Stdio, time::Duration};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use super::{error::KeychainError, origin};
use crate::{ImageRef, http::Secret};

/// How long a credential helper may take.
const HELPER_PATIENCE: Duration = Duration::from_secs(30);
/// What a helper answers when it holds no login (docker-credential-helpers, `credentials` package).
const NOT_FOUND: &str = "credentials not found in native keychain";

/// A login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// None.
    Anonymous,
    /// A name and a password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token for the registry's token server.
    IdentityToken(Secret),
    /// A token to send as it is.
    RegistryToken(Secret),
}

/// Finds logins.
#[async_trait]
pub trait Keychain: Send + Sync + Debug {
    /// Returns the login for `image`, fresh.
    async fn resolve(&self, image: &ImageRef) -> Result<Credential, KeychainError>;

    /// Returns where the login for `image` comes from, for people: never the login itself. `None` when there is none.
    async fn describe(&self, image: &ImageRef) -> Result<Option<String>, KeychainError> {
        let credential = self.resolve(image).await?;
        Ok((credential != Credential::Anonymous).then(|| origin::kind(&credential).to_owned()))
    }
}

/// One login for everything.
#[derive(Debug, Clone)]
pub struct StaticKeychain(pub Credential);

#[async_trait]
impl Keychain for StaticKeychain {
    async fn resolve(&self, _image: &ImageRef) -> Result<Credential, KeychainError> {
        Ok(self.0.clone())
    }
}

/// Login files of Docker and of podman and its family, with the helpers they name.
///
/// Files are read at every look-up: Cloud Build rewrites Docker's file while a build runs. The first file that knows
/// the registry decides; in it a helper for the registry, then an entry, then the store. A file that is not there is
/// passed over; one that can't be read, and a helper that fails, is an error.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    files: Vec<PathBuf>,
}

impl DockerConfig {
    /// Looks into `files`, in this order.
    pub fn new(files: Vec<PathBuf>) -> Self {
        Self { files }
    }
}

#[async_trait]
impl Keychain for DockerConfig {
    async fn resolve(&self, image: &ImageRef) -> Result<Credential, KeychainError> {
        for path in &self.files {
            let text = match tokio::fs::read(path).await {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(KeychainError::Read { path: path.clone(), source }),
            };
            let invalid = |reason: String| KeychainError::Invalid { path: path.clone(), reason };
            let config: Value = serde_json::from_slice(&text)
                .map_err(|error| invalid(format!("is not JSON (line {})", error.line())))?;
            let credential = match find(&config, image).map_err(invalid)? {
                Found::Credential(credential) => credential,
                Found::Helper { helper, server } => ask(&helper, &server).await?,
                Found::Nothing => Credential::Anonymous,
            };
            if credential != Credential::Anonymous {
                return Ok(credential);
            }
        }
        Ok(Credential::Anonymous)
    }

    async fn describe(&self, image: &ImageRef) -> Result<Option<String>, KeychainError> {
        origin::of(&self.files, image).await
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Credential(Credential),
    Helper { helper: String, server: String },
}

/// Looks a registry up in a login file.
pub(super) fn find(config: &Value, image: &ImageRef) -> Result<Found, String> {
    let keys = keys(image);
    let text = |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let helper = keys.iter().find_map(|key| text(config.get("credHelpers")?.get(key)).map(|helper| (helper, key)));
    if let Some((helper, key)) = helper {
        return Ok(Found::Helper { helper, server: key.clone() });
    }
    for key in &keys {
        let Some(entry) = config.get("auths").and_then(|auths| auths.get(key)) else { continue };
        if let Some(credential) = entry_credential(entry).map_err(|reason| format!("entry `{key}` {reason}"))? {
            return Ok(Found::Credential(credential));
        }
    }
    match text(config.get("credsStore")) {
        Some(helper) => Ok(Found::Helper { helper, server: server_name(image) }),
        None => Ok(Found::Nothing),
    }
}

/// Docker Hub's entry in login files, kept from its first version.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

fn server_name(image: &ImageRef) -> String {
    match image.registry() {
        "docker.io" | "index.docker.io" => DOCKER_HUB.to_owned(),
        registry => registry.to_owned(),
    }
}

/// Returns the keys under which a registry may stand, the longest first: `host/a/b`, `host/a`, `host`
/// (containers-auth.json), then Docker's forms with a scheme.
fn keys(image: &ImageRef) -> Vec<String> {
    let host = image.registry();
    let mut keys = Vec::new();
    let mut rest = Some(image.repository());
    while let Some(path) = rest {
        keys.push(format!("{host}/{path}"));
        rest = path.rsplit_once('/').map(|(above, _)| above);
    }
    keys.push(host.to_owned());
    for form in ["https://{}", "https://{}/", "https://{}/v1/", "https://{}/v2/", "http://{}"] {
        keys.push(form.replace("{}", host));
    }
    if server_name(image) == DOCKER_HUB {
        keys.push(DOCKER_HUB.to_owned());
    }
    keys
}

fn entry_credential(entry: &Value) -> Result<Option<Credential>, &'static str> {
    let text = |key| entry.get(key).and_then(Value::as_str).filter(|text: &&str| !text.is_empty());
    if let Some(token) = text("registrytoken") {
        return Ok(Some(Credential::RegistryToken(token.into())));
    }
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Credential::IdentityToken(token.into())));
    }
    if let (Some(username), Some(password)) = (text("username"), text("password")) {
        return Ok(Some(Credential::Basic { username: username.to_owned(), password: password.into() }));
    }
    let Some(encoded) = text("auth") else { return Ok(None) };
    let decoded = STANDARD.decode(encoded.trim()).map_err(|_| "has an `auth` that is not base64")?;
    let decoded = String::from_utf8(decoded).map_err(|_| "has an `auth` that is not UTF-8")?;
    // Only the first colon parts: a service account's key, as a password, is full of them.
    let (username, password) = decoded.split_once(':').ok_or("has an `auth` without a colon")?;
    let password = password.trim_end_matches('\0');
    Ok(Some(Credential::Basic { username: username.to_owned(), password: password.into() }))
}

/// Asks a credential helper (docker-credential-helpers protocol: server on stdin, JSON on stdout).
async fn ask(suffix: &str, server: &str) -> Result<Credential, KeychainError> {
    let helper = format!("docker-credential-{suffix}");
    let failed = |reason: String| KeychainError::Helper { helper: helper.clone(), reason };
    if !suffix.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return Err(failed("is not the name of a program".to_owned()));
    }
    let mut child = Command::new(&helper)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("can't be started: {error}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that ends without reading says why by its status.
        let _broken_pipe = stdin.write_all(server.as_bytes()).await;
    }
    let output = match timeout(HELPER_PATIENCE, child.wait_with_output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => return Err(failed(format!("gave no answer for {} s", HELPER_PATIENCE.as_secs()))),
    };
    if !output.status.success() {
        // On failure stdout holds the reason, not a secret.
        let said = String::from_utf8_lossy(&output.stdout);
        return if said.contains(NOT_FOUND) {
            Ok(Credential::Anonymous)
        } else {
            Err(failed(format!("{}: {}", output.status, said.trim().chars().take(200).collect::<String>())))
        };
    }
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(|_| failed("answered no JSON".to_owned()))?;
    let field = |key| answer.get(key).and_then(Value::as_str).unwrap_or_default();
    Ok(match (field("Username"), field("Secret")) {
        (_, "") => Credential::Anonymous,
        ("<token>", secret) => Credential::IdentityToken(secret.into()),
        (username, secret) => Credential::Basic { username: username.to_owned(), password: secret.into() },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn basic(username: &str, password: &str) -> Found {
        Found::Credential(Credential::Basic { username: username.into(), password: password.into() })
    }

    #[test]
    fn a_login_is_found_where_it_may_stand() {
        let image: ImageRef = "r.io:5000/a/b:v1".parse().unwrap();
        let auth = STANDARD.encode("_json_key:{\"a\": \"b:c\"}");
        let token = |token: &str| Found::Credential(Credential::IdentityToken(token.into()));
        let helper = |server: &str| Found::Helper { helper: "gcloud".into(), server: server.into() };
        let cases = [
            (json!({}), Found::Nothing),
            (json!({"auths": {"r.io:5000": {}}}), Found::Nothing),
            (json!({"auths": {"r.io:5000": {"auth": auth}}}), basic("_json_key", "{\"a\": \"b:c\"}")),
            (json!({"auths": {"https://r.io:5000/v1/": {"username": "u", "password": "p"}}}), basic("u", "p")),
            (
                json!({"auths": {"r.io:5000": {"identitytoken": "x"}, "r.io:5000/a": {"identitytoken": "y"}}}),
                token("y"),
            ),
            (
                json!({"credHelpers": {"r.io:5000": "gcloud"}, "auths": {"r.io:5000": {"identitytoken": "x"}}}),
                helper("r.io:5000"),
            ),
            (json!({"credsStore": "gcloud"}), helper("r.io:5000")),
        ];
        for (config, expected) in cases {
            assert_eq!(find(&config, &image), Ok(expected), "{config}");
        }
        let bad = json!({"auths": {"r.io:5000": {"auth": "§"}}});
        assert_eq!(find(&bad, &image), Err("entry `r.io:5000` has an `auth` that is not base64".to_owned()));
    }

    #[tokio::test]
    async fn a_helper_that_is_missing_is_an_error_and_no_silence() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.json");
        std::fs::write(&file, r#"{"credsStore":"modelcar-has-no-such-helper"}"#).unwrap();
        let keychain = DockerConfig::new(vec![dir.path().join("missing"), file]);
        let error = keychain.resolve(&"r.io/a".parse().unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("modelcar-has-no-such-helper`: can't be started"), "{error}");
    }
}
