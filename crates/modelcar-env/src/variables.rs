//! Every environment variable and every file in the user's home that is looked at.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use modelcar_core::{http::Secret, registry::GoogleOptions};

use crate::EnvironmentError;

/// Address of the Hub, for mirrors.
const HF_ENDPOINT: &str = "HF_ENDPOINT";
/// Token for the Hub.
const HF_TOKEN: &str = "HF_TOKEN";
/// File that holds the token.
const HF_TOKEN_PATH: &str = "HF_TOKEN_PATH";
/// Folder of the Hugging Face tools; its `token` file holds the token.
const HF_HOME: &str = "HF_HOME";
/// Ask nothing of the Hub when set to a true value.
const HF_HUB_OFFLINE: &str = "HF_HUB_OFFLINE";
/// Time of every entry of the image, in seconds since 1970.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";
/// Folder of Docker's `config.json`.
const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
/// Login file of podman, buildah and skopeo.
const REGISTRY_AUTH_FILE: &str = "REGISTRY_AUTH_FILE";
/// Name and password for the image's registry.
const REGISTRY_USERNAME: &str = "MODELCAR_REGISTRY_USERNAME";
const REGISTRY_PASSWORD: &str = "MODELCAR_REGISTRY_PASSWORD";
/// The two, for people.
pub(crate) const REGISTRY_LOGIN: &str = "MODELCAR_REGISTRY_USERNAME and MODELCAR_REGISTRY_PASSWORD";
/// File with credentials of Google Cloud.
const GOOGLE_APPLICATION_CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// Folder of gcloud.
const CLOUDSDK_CONFIG: &str = "CLOUDSDK_CONFIG";
/// `HOST[:PORT]` of the metadata server.
const GCE_METADATA_HOST: &str = "GCE_METADATA_HOST";
/// Certificate authorities to trust beside those of the web, which are built in. The TLS library reads it too, instead
/// of the system's.
const SSL_CERT_FILE: &str = "SSL_CERT_FILE";

/// Returns the value of a variable; an empty one counts as not set.
fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn path(name: &str) -> Option<PathBuf> {
    text(name).map(PathBuf::from)
}

fn home() -> Option<PathBuf> {
    path("HOME")
}

/// Returns the Hub's address.
pub(crate) fn hub_endpoint() -> Option<String> {
    text(HF_ENDPOINT).map(|endpoint| endpoint.trim_end_matches('/').to_owned())
}

/// Returns whether the user wants no request to the Hub.
pub(crate) fn hub_offline() -> bool {
    text(HF_HUB_OFFLINE).is_some_and(|value| matches!(value.to_lowercase().as_str(), "1" | "true" | "yes" | "on"))
}

/// Returns the Hub's token, in the order of the Hugging Face tools: variable, token file, `token` in their home.
///
/// # Errors
/// When a token file is there and can't be read.
pub(crate) fn hub_token() -> Result<Option<Secret>, EnvironmentError> {
    if let Some(token) = text(HF_TOKEN) {
        return Ok(Some(Secret::from(token.trim())));
    }
    let folder = || {
        path(HF_HOME)
            .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .or_else(|| home().map(|home| home.join(".cache/huggingface")))
    };
    let Some(file) = path(HF_TOKEN_PATH).or_else(|| folder().map(|folder| folder.join("token"))) else {
        return Ok(None);
    };
    match fs::read_to_string(&file) {
        Ok(token) if token.trim().is_empty() => Ok(None),
        Ok(token) => Ok(Some(Secret::from(token.trim()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(EnvironmentError::Token { path: file, source }),
    }
}

/// Returns the folder of modelcar's own cache, when the user has a place for caches.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let caches = path("XDG_CACHE_HOME").or_else(|| home().map(|home| home.join(".cache")));
    caches.map(|caches| caches.join("modelcar"))
}

/// Returns the time that every entry of the image gets, when the user gives one.
pub(crate) fn source_date_epoch() -> Result<Option<u64>, EnvironmentError> {
    text(SOURCE_DATE_EPOCH).map(|value| value.parse().map_err(|_| EnvironmentError::Time(value))).transpose()
}

/// Returns the login files in the order in which they are asked: those that variables name, then Docker's and podman's
/// usual ones. A variable takes the place of the usual files of its family.
pub(crate) fn login_files() -> Vec<PathBuf> {
    let docker_folder = path(DOCKER_CONFIG).or_else(|| home().map(|home| home.join(".docker")));
    let docker = docker_folder.map(|folder| folder.join("config.json"));
    match path(REGISTRY_AUTH_FILE) {
        Some(file) if path(DOCKER_CONFIG).is_none() => std::iter::once(file).chain(docker).collect(),
        Some(file) => docker.into_iter().chain([file]).collect(),
        None => docker.into_iter().chain(podman_login_files()).collect(),
    }
}

fn podman_login_files() -> Vec<PathBuf> {
    let config = path("XDG_CONFIG_HOME").or_else(|| home().map(|home| home.join(".config")));
    let in_folder = |folder: PathBuf| folder.join(Path::new("containers/auth.json"));
    path("XDG_RUNTIME_DIR").into_iter().chain(config).map(in_folder).collect()
}

/// Returns name and password for the image's registry, as far as they are set.
pub(crate) fn registry_login() -> (Option<String>, Option<Secret>) {
    (text(REGISTRY_USERNAME), text(REGISTRY_PASSWORD).map(Secret::from))
}

/// Returns where Google's credentials may lie.
pub(crate) fn google() -> GoogleOptions {
    let folder = path(CLOUDSDK_CONFIG).or_else(|| home().map(|home| home.join(".config/gcloud")));
    GoogleOptions {
        credentials_file: path(GOOGLE_APPLICATION_CREDENTIALS),
        user_file: folder.map(|folder| folder.join("application_default_credentials.json")),
        metadata_host: text(GCE_METADATA_HOST),
        ..GoogleOptions::default()
    }
}

/// Returns the file of the certificate authorities to trust, and the variable's name.
pub(crate) fn certificate_file() -> Option<(PathBuf, &'static str)> {
    path(SSL_CERT_FILE).map(|file| (file, SSL_CERT_FILE))
}

/// The proxies that lead out, and the hosts that need none.
pub(crate) struct Proxies {
    pub(crate) http: Option<String>,
    pub(crate) https: Option<String>,
    pub(crate) except: String,
}

/// Returns the proxies by curl's variables, in capitals or small letters.
pub(crate) fn proxies() -> Proxies {
    let either = |name: &str| text(name).or_else(|| text(&name.to_lowercase()));
    Proxies {
        http: either("HTTP_PROXY").or_else(|| either("ALL_PROXY")),
        https: either("HTTPS_PROXY").or_else(|| either("ALL_PROXY")),
        except: either("NO_PROXY").unwrap_or_default(),
    }
}
