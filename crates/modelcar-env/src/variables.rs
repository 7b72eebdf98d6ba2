//! Every environment variable and every file in the user's home that is looked at.

use std::{
    env, io,
    path::{Path, PathBuf},
};

use modelcar_core::{files, http::Secret, registry::GoogleOptions};

use crate::EnvironmentError;

/// Address of the Hub, for mirrors.
const HF_ENDPOINT: &str = "HF_ENDPOINT";
/// Token for the Hub.
const HF_TOKEN: &str = "HF_TOKEN";
/// The former name of `HF_TOKEN`, which the Hugging Face tools still read.
const HUGGING_FACE_HUB_TOKEN: &str = "HUGGING_FACE_HUB_TOKEN";
/// File that holds the token.
const HF_TOKEN_PATH: &str = "HF_TOKEN_PATH";
/// Folder of the Hugging Face tools; its `token` file holds the token.
const HF_HOME: &str = "HF_HOME";
/// Ask nothing of the Hub when set to a true value.
const HF_HUB_OFFLINE: &str = "HF_HUB_OFFLINE";
/// Time of every entry of the image, in seconds since 1970.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";
/// Base image where the command line names none.
const MODELCAR_BASE: &str = "MODELCAR_BASE";
/// Folder of Docker's `config.json`.
const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
/// Login file of podman, buildah and skopeo.
const REGISTRY_AUTH_FILE: &str = "REGISTRY_AUTH_FILE";
/// Name and password for the image's registry.
const REGISTRY_USERNAME: &str = "MODELCAR_REGISTRY_USERNAME";
const REGISTRY_PASSWORD: &str = "MODELCAR_REGISTRY_PASSWORD";
/// File with the certificate for the image's registry, in PEM form.
pub(crate) const REGISTRY_CLIENT_CERT: &str = "MODELCAR_REGISTRY_CLIENT_CERT";
/// File with the private key of that certificate.
const REGISTRY_CLIENT_KEY: &str = "MODELCAR_REGISTRY_CLIENT_KEY";
/// The login's two, for people.
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

pub(crate) fn path(name: &str) -> Option<PathBuf> {
    text(name).map(PathBuf::from)
}

pub(crate) fn home() -> Option<PathBuf> {
    path("HOME")
}

/// Returns the base image of those who name none.
pub(crate) fn base() -> Option<String> {
    text(MODELCAR_BASE)
}

/// Returns the Hub's address.
pub(crate) fn hub_endpoint() -> Option<String> {
    filled(&env_text, HF_ENDPOINT).map(|endpoint| endpoint.trim().trim_end_matches('/').to_owned())
}

/// Returns whether the user wants no request to the Hub.
pub(crate) fn hub_offline() -> bool {
    let value = text(HF_HUB_OFFLINE).map(|value| value.trim().to_lowercase());
    value.is_some_and(|value| matches!(value.as_str(), "1" | "true" | "yes" | "on"))
}

/// The Hub's token, or why the file that should hold it gave none.
#[derive(Debug, Default)]
pub(crate) struct HubToken {
    pub(crate) token: Option<Secret>,
    pub(crate) problem: Option<String>,
}

/// Returns the Hub's token. A file that can't be read is a problem for those alone who need the token.
pub(crate) fn hub_token() -> HubToken {
    find_hub_token(&env_text)
}

type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

fn env_text(name: &str) -> Option<String> {
    text(name)
}

/// Returns a variable as the Hugging Face tools see it: a blank one counts as not set.
fn filled(look_up: Lookup<'_>, name: &str) -> Option<String> {
    look_up(name).filter(|value| !value.trim().is_empty())
}

/// Largest file of a token that is read, in bytes.
const TOKEN_FILE_MAX_BYTES: u64 = 1 << 20;

/// Looks where the Hugging Face tools look, in their order: two variables, the token file, `token` in their home.
fn find_hub_token(look_up: Lookup<'_>) -> HubToken {
    let named = [HF_TOKEN, HUGGING_FACE_HUB_TOKEN].into_iter().find_map(|name| clean_token(&look_up(name)?));
    if let Some(token) = named {
        return HubToken { token: Some(token), problem: None };
    }
    let Some(file) = token_file(look_up) else { return HubToken::default() };
    let text = files::read(&file, TOKEN_FILE_MAX_BYTES).and_then(|text| {
        String::from_utf8(text).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text"))
    });
    match text {
        Ok(text) => HubToken { token: clean_token(&text), problem: None },
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            HubToken::default()
        }
        Err(error) => {
            let problem = format!("the file `{}`, which should hold it, can't be read: {error}", file.display());
            HubToken { token: None, problem: Some(problem) }
        }
    }
}

/// Returns a token without the blanks around it and the line ends in it; `None` when nothing is left.
fn clean_token(text: &str) -> Option<Secret> {
    let token = text.replace(['\r', '\n'], "");
    let token = token.trim();
    (!token.is_empty()).then(|| Secret::from(token))
}

fn token_file(look_up: Lookup<'_>) -> Option<PathBuf> {
    let path = |name| filled(look_up, name).map(|path| expand(look_up, &path));
    let folder = || {
        path(HF_HOME)
            .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .or_else(|| path("HOME").map(|home| home.join(".cache/huggingface")))
    };
    path(HF_TOKEN_PATH).or_else(|| folder().map(|folder| folder.join("token")))
}

/// Puts the user's home in the place of a `~` in front, which a shell leaves as it is inside quotes.
fn expand(look_up: Lookup<'_>, path: &str) -> PathBuf {
    let rest = path.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
    match (rest, filled(look_up, "HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest.trim_start_matches('/')),
        _ => PathBuf::from(path),
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

/// Returns the files of the certificate for the image's registry and of its key, as far as they are named.
pub(crate) fn client_certificate() -> (Option<PathBuf>, Option<PathBuf>) {
    (path(REGISTRY_CLIENT_CERT), path(REGISTRY_CLIENT_KEY))
}

/// Returns the folders in which Docker and podman look for a folder with the certificates of a registry: the user's, then
/// the system's (containers-certs.d(5); Docker's manual, "Use certificates for repository client verification").
pub(crate) fn certificate_folders() -> Vec<PathBuf> {
    let config = path("XDG_CONFIG_HOME").or_else(|| home().map(|home| home.join(".config")));
    let podman = home().map(|home| home.join(".config/containers/certs.d"));
    // Docker without root reads this one instead of the system's.
    let docker = config.map(|config| config.join("docker/certs.d"));
    let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    podman.into_iter().chain(docker).chain(system).collect()
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn token(variables: &[(&str, &str)]) -> Option<String> {
        let look_up =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        find_hub_token(&look_up).token.map(|token| token.expose().to_owned())
    }

    #[test]
    fn the_token_is_found_where_the_tools_of_hugging_face_find_it() {
        let home = tempfile::tempdir().unwrap();
        let at = home.path().to_str().unwrap();
        for (file, content) in [(".cache/huggingface/token", "cached\n"), ("hf/token", "home\r\n"), ("own", " own ")] {
            fs::create_dir_all(home.path().join(file).parent().unwrap()).unwrap();
            fs::write(home.path().join(file), content).unwrap();
        }
        let (in_cache, xdg) = (("HOME", at), format!("{at}/.cache"));
        for (variables, expected) in [
            (&[in_cache, ("HF_TOKEN", " one\n")][..], "one"),
            (&[in_cache, ("HF_TOKEN", " \n"), ("HUGGING_FACE_HUB_TOKEN", "two")], "two"),
            (&[in_cache, ("HF_TOKEN", "one"), ("HUGGING_FACE_HUB_TOKEN", "two")], "one"),
            (&[in_cache], "cached"),
            (&[in_cache, ("HF_TOKEN", "\n"), ("HUGGING_FACE_HUB_TOKEN", " ")], "cached"),
            (&[in_cache, ("HF_HOME", "~/hf")], "home"),
            (&[in_cache, ("HF_HOME", " ")], "cached"),
            (&[in_cache, ("HF_HOME", "~/hf"), ("HF_TOKEN_PATH", "~/own")], "own"),
            (&[("XDG_CACHE_HOME", &xdg)], "cached"),
            (&[in_cache, ("XDG_CACHE_HOME", "~/.cache")], "cached"),
        ] {
            assert_eq!(token(variables).as_deref(), Some(expected), "{variables:?}");
        }
        assert_eq!(token(&[in_cache, ("HF_HOME", "~nobody/hf")]), None);
        assert_eq!(token(&[]), None);
    }

    #[test]
    fn a_token_file_that_can_not_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        let found = find_hub_token(&|name| (name == HF_TOKEN_PATH).then(|| path.clone()));
        assert!(found.token.is_none() && found.problem.is_some_and(|problem| problem.contains(&path)));
    }
}
