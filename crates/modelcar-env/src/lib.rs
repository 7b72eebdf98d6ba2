//! What the environment and the user's home say: the Hub's token and address, logins to registries, Google's credentials,
//! proxies, certificate authorities, the cache, the time of the image.
//!
//! The library `modelcar-core` reads neither environment nor home. A program that should find what `modelcar push` finds
//! asks this crate:
//!
//! ```no_run
//! # async fn push() -> modelcar_core::Result<()> {
//! use modelcar_core::push::{ModelContents, Push};
//! use modelcar_env::Environment;
//!
//! let image: modelcar_core::ImageRef = "europe-docker.pkg.dev/p/models/qwen:v1".parse()?;
//! let connections = Environment::read()?.connections(Some(&image))?;
//! let contents = ModelContents::new("Qwen/Qwen2.5-0.5B-Instruct".parse()?);
//! let pushed = Push::new(contents, image, connections).prepare().await?.run().await?;
//! println!("{}", pushed.image);
//! # Ok(())
//! # }
//! ```

mod error;
mod hub_cache;
#[cfg(feature = "object-store")]
mod stores;
mod variables;

use std::{fs, path::Path, sync::Arc};

#[cfg(feature = "object-store")]
use modelcar_core::source::StoreOptions;
use modelcar_core::{
    ImageRef, files,
    http::{ClientCertificate, InvalidNetwork, Network},
    push::Connections,
    registry::{
        Credential, DockerConfig, GoogleKeychain, GoogleOptions, HostLogin, Keychain, KeychainChain, Login, Registries,
        RegistryCertificates, RegistryOptions,
    },
    reuse::Cache,
    source::{HubCache, HubOptions},
};

pub use self::error::EnvironmentError;
use self::variables::{REGISTRY_CLIENT_CERT, REGISTRY_LOGIN};

/// Largest file of a certificate or a key that is read, in bytes.
const PEM_MAX_BYTES: u64 = 4 << 20;

/// Names of all variables that are looked at. For a folder in a store all that begin with `AWS_` or `GOOGLE_` are looked at,
/// too, and `SERVICE_ACCOUNT`.
pub const VARIABLES: [&str; 28] = [
    "ALL_PROXY",
    "CLOUDSDK_CONFIG",
    "DOCKER_CONFIG",
    "GCE_METADATA_HOST",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "HUGGINGFACE_HUB_CACHE",
    "HUGGING_FACE_HUB_TOKEN",
    "MODELCAR_BASE",
    "MODELCAR_REGISTRY_CLIENT_CERT",
    "MODELCAR_REGISTRY_CLIENT_KEY",
    "MODELCAR_REGISTRY_PASSWORD",
    "MODELCAR_REGISTRY_USERNAME",
    "NO_PROXY",
    "REGISTRY_AUTH_FILE",
    "SOURCE_DATE_EPOCH",
    "SSL_CERT_FILE",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
];

/// What the environment says. It is read when it is asked for; proxies and certificate authorities at once.
#[derive(Debug, Clone)]
pub struct Environment {
    network: Network,
}

impl Environment {
    /// Reads proxies (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`) and certificate authorities
    /// (`SSL_CERT_FILE`).
    ///
    /// # Errors
    /// [`EnvironmentError::Proxy`], [`EnvironmentError::ReadAuthorities`] and [`EnvironmentError::Authorities`].
    pub fn read() -> Result<Self, EnvironmentError> {
        let proxies = variables::proxies();
        let network = Network::default()
            .with_proxies(proxies.http.as_deref(), proxies.https.as_deref(), &proxies.except)
            .map_err(EnvironmentError::Proxy)?;
        let environment = Self { network };
        match variables::certificate_file() {
            Some((file, variable)) => environment.with_authorities(&file, variable),
            None => Ok(environment),
        }
    }

    /// Trusts the certificate authorities in `file` too, which has them in PEM form. `named_by` is who names the file, for
    /// errors.
    ///
    /// # Errors
    /// [`EnvironmentError::ReadAuthorities`] and [`EnvironmentError::Authorities`].
    pub fn with_authorities(self, file: &Path, named_by: &str) -> Result<Self, EnvironmentError> {
        let (path, named_by) = (|| file.to_owned(), || named_by.to_owned());
        let pem = fs::read(file).map_err(|source| EnvironmentError::ReadAuthorities {
            path: path(),
            named_by: named_by(),
            source,
        })?;
        let network = self.network.with_roots(&pem).map_err(|source| EnvironmentError::Authorities {
            path: path(),
            named_by: named_by(),
            source,
        })?;
        Ok(Self { network })
    }

    /// Returns who is trusted, and which proxies lead out.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Returns how the Hub is spoken to: `HF_ENDPOINT`, and the token of `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`,
    /// `HF_TOKEN_PATH` or the Hugging Face tools. `None` when `HF_HUB_OFFLINE` turns access to the Hub off.
    ///
    /// A token file that can't be read is no error: public models need no token. It is named where the Hub refuses.
    pub fn hub(&self) -> Option<HubOptions> {
        if variables::hub_offline() {
            return None;
        }
        let mut options = HubOptions { network: self.network.clone(), ..HubOptions::default() };
        options.endpoint = variables::hub_endpoint().unwrap_or(options.endpoint);
        let found = variables::hub_token();
        (options.token, options.token_problem) = (found.token, found.problem);
        Some(options)
    }

    /// Returns how stores are reached: the variables that begin with `AWS_` or `GOOGLE_` and `SERVICE_ACCOUNT`, as the crate
    /// `object_store` knows them, and the credentials of `gcloud` where none of them names credentials of Google's.
    /// Contents are kept in modelcar's own cache.
    #[cfg(feature = "object-store")]
    pub fn stores(&self) -> StoreOptions {
        StoreOptions { network: self.network.clone(), ..stores::stores() }
    }

    /// Returns the cache of the Hugging Face tools, when the user has a place for one: the folder that `HF_HUB_CACHE` or
    /// `HUGGINGFACE_HUB_CACHE` names, else `hub` below `HF_HOME`, `XDG_CACHE_HOME` or the home. Its models are from
    /// `HF_ENDPOINT`.
    pub fn hub_cache() -> Option<HubCache> {
        hub_cache::hub_cache()
    }

    /// Returns whether `HF_HUB_OFFLINE` turns access to the Hub off.
    pub fn is_offline() -> bool {
        variables::hub_offline()
    }

    /// Returns where logins are found: the login files of Docker and podman, and Google's Application Default Credentials.
    /// With `image` the login of `MODELCAR_REGISTRY_USERNAME` and `MODELCAR_REGISTRY_PASSWORD` comes first; it is for the
    /// registry of that image alone.
    ///
    /// # Errors
    /// [`EnvironmentError::HalfLogin`] and [`EnvironmentError::Google`].
    pub fn keychain(&self, image: Option<&ImageRef>) -> Result<Arc<dyn Keychain>, EnvironmentError> {
        let mut keychains: Vec<Arc<dyn Keychain>> = Vec::new();
        if let Some(image) = image {
            keychains.extend(login(image)?.map(|login| Arc::new(login) as _));
        }
        keychains.push(Arc::new(DockerConfig::new(variables::login_files())));
        let google = GoogleOptions { network: self.network.clone(), ..variables::google() };
        keychains.push(Arc::new(GoogleKeychain::new(google).map_err(EnvironmentError::Google)?));
        Ok(Arc::new(KeychainChain::new(keychains)))
    }

    /// Returns the certificates for single registries: those in the folders `certs.d` of podman and Docker. With `image` the
    /// certificate in `MODELCAR_REGISTRY_CLIENT_CERT`, with the key in `MODELCAR_REGISTRY_CLIENT_KEY`, comes first; it is
    /// for the registry of that image alone.
    ///
    /// # Errors
    /// As [`client_certificate`], and [`EnvironmentError::KeyAlone`].
    pub fn certificates(image: Option<&ImageRef>) -> Result<RegistryCertificates, EnvironmentError> {
        let certificates = RegistryCertificates::in_folders(variables::certificate_folders());
        match (image, variables::client_certificate()) {
            (Some(image), (Some(certificate), key)) => {
                let client = client_certificate(&certificate, key.as_deref(), REGISTRY_CLIENT_CERT)?;
                Ok(certificates.with_client(image, client))
            }
            (Some(_), (None, Some(_))) => Err(EnvironmentError::KeyAlone),
            _ => Ok(certificates),
        }
    }

    /// Returns how the Hub and registries are reached. `image` is the image that a push goes to: see
    /// [`keychain`](Self::keychain).
    ///
    /// # Errors
    /// As [`keychain`](Self::keychain) and [`certificates`](Self::certificates).
    pub fn connections(&self, image: Option<&ImageRef>) -> Result<Connections, EnvironmentError> {
        let (network, certificates) = (self.network.clone(), Self::certificates(image)?);
        let options = RegistryOptions { network, certificates, ..RegistryOptions::default() };
        let connections = Connections::new(Registries::new(self.keychain(image)?, options)).with_hub(self.hub());
        #[cfg(feature = "object-store")]
        let connections = connections.with_stores(Some(self.stores()));
        Ok(connections)
    }

    /// Returns modelcar's own cache (`XDG_CACHE_HOME`), when the user has a place for caches.
    pub fn cache() -> Option<Cache> {
        variables::cache_folder().map(|folder| Cache::new(&folder))
    }

    /// Returns the text of the base image that `MODELCAR_BASE` names.
    pub fn base() -> Option<String> {
        variables::base()
    }

    /// Returns the time that every entry of the image gets, in seconds since 1970, when `SOURCE_DATE_EPOCH` gives one.
    ///
    /// # Errors
    /// [`EnvironmentError::Time`].
    pub fn source_date_epoch() -> Result<Option<u64>, EnvironmentError> {
        variables::source_date_epoch()
    }
}

/// Reads a certificate for a registry from the PEM file `certificate`, and its private key from the PEM file `key`. Without
/// `key`, the first file holds both. `named_by` is who names the files, for errors.
///
/// # Errors
/// [`EnvironmentError::ReadClientCertificate`] and [`EnvironmentError::ClientCertificate`].
pub fn client_certificate(
    certificate: &Path,
    key: Option<&Path>,
    named_by: &str,
) -> Result<ClientCertificate, EnvironmentError> {
    let read = |path: &Path| {
        files::read(path, PEM_MAX_BYTES).map_err(|source| EnvironmentError::ReadClientCertificate {
            path: path.to_owned(),
            named_by: named_by.to_owned(),
            source,
        })
    };
    let key = key.unwrap_or(certificate);
    ClientCertificate::from_pem(&read(certificate)?, &read(key)?).map_err(|source| {
        let path = if matches!(source, InvalidNetwork::Certificates) { certificate } else { key };
        EnvironmentError::ClientCertificate { path: path.to_owned(), named_by: named_by.to_owned(), source }
    })
}

/// Returns the login in the environment.
fn login(image: &ImageRef) -> Result<Option<HostLogin>, EnvironmentError> {
    match variables::registry_login() {
        (Some(username), Some(password)) => {
            let credential = Credential::Basic { username, password };
            let login = Login { credential, origin: REGISTRY_LOGIN.to_owned() };
            Ok(Some(HostLogin::new(image.registry(), login)))
        }
        (None, None) => Ok(None),
        _ => Err(EnvironmentError::HalfLogin),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::VARIABLES;

    #[test]
    fn the_list_has_every_variable() {
        let variables = include_str!("variables.rs").split("mod tests").next().unwrap();
        let code = [variables, include_str!("hub_cache.rs")].concat();
        let quoted = code.split('"').skip(1).step_by(2);
        let is_name = |text: &&str| text.len() > 3 && text.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        let read: BTreeSet<&str> = quoted.filter(is_name).collect();
        assert_eq!(read, VARIABLES.into_iter().collect());
    }
}
