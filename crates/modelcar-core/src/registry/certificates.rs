//! Certificates for single registries: those that the client shows, and authorities that are trusted for one registry.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::error::RegistryError;
use crate::{
    ImageRef, files,
    http::{ClientCertificate, InvalidNetwork, Network},
};

/// Largest file of certificates that is read, in bytes.
const FILE_MAX_BYTES: u64 = 4 << 20;

/// Certificates for single registries.
///
/// A certificate of the client goes to its registry alone: to the registry's host and port, and to a token server there.
/// No other host that the registry names gets to see the certificate. Authorities of a registry are trusted there alone.
///
/// The default has no certificates.
#[derive(Debug, Clone, Default)]
pub struct RegistryCertificates {
    /// Folders that may have a folder for a registry, in the order in which they are looked at.
    folders: Vec<PathBuf>,
    /// The registry for which the caller gave a certificate.
    given: Option<(String, ClientCertificate)>,
}

impl RegistryCertificates {
    /// Reads the folders of Docker and podman (`/etc/docker/certs.d`). The first of `folders` that has a folder with the
    /// name of the registry, `HOST` or `HOST:PORT`, is used: its files `*.crt` are authorities, and the first `NAME.cert`
    /// with its key `NAME.key` is the client's certificate. Folders that are missing, or may not be read, are passed
    /// over. The files are read when a [`Repository`](super::Repository) is made.
    pub fn in_folders(folders: Vec<PathBuf>) -> Self {
        Self { folders, given: None }
    }

    /// Shows `certificate` to the registry of `image`, in place of a certificate that a folder has for this registry.
    #[must_use]
    pub fn with_client(mut self, image: &ImageRef, certificate: ClientCertificate) -> Self {
        self.given = Some((image.registry().to_owned(), certificate));
        self
    }

    /// Returns the network for requests to `registry`; `None` if it is the network of all other requests.
    ///
    /// # Errors
    /// [`RegistryError::ReadCertificates`] and [`RegistryError::Certificates`].
    pub(super) fn network(&self, registry: &str, network: &Network) -> Result<Option<Network>, RegistryError> {
        let given =
            self.given.as_ref().filter(|(name, _)| name == registry).map(|(_, certificate)| certificate.clone());
        let found = match self.files(registry)? {
            Some((folder, names)) => read(&folder, &names, network, given.is_none())?,
            None => None,
        };
        Ok(match given {
            Some(certificate) => Some(found.unwrap_or_else(|| network.clone()).with_client_certificate(certificate)),
            None => found,
        })
    }

    /// Returns the first folder for `registry`, and the names of its files in the order of the alphabet.
    fn files(&self, registry: &str) -> Result<Option<(PathBuf, Vec<String>)>, RegistryError> {
        for folder in &self.folders {
            let folder = folder.join(registry);
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if is_absent(&error) => continue,
                Err(source) => return Err(RegistryError::ReadCertificates { path: folder, source }),
            };
            let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
            let names: io::Result<Vec<Option<String>>> = names.collect();
            let failed = |source| RegistryError::ReadCertificates { path: folder.clone(), source };
            let mut names: Vec<String> = names.map_err(failed)?.into_iter().flatten().collect();
            names.sort_unstable();
            return Ok(Some((folder, names)));
        }
        Ok(None)
    }
}

/// Reads the files of a registry's folder. Without `wants_client` the certificates of clients are left out. Returns `None`
/// if no file is of use.
fn read(
    folder: &Path,
    names: &[String],
    network: &Network,
    wants_client: bool,
) -> Result<Option<Network>, RegistryError> {
    let mut own = None;
    for name in names.iter().filter(|name| is_kind(name, "crt")) {
        let path = folder.join(name);
        let trusted: Network = own.unwrap_or_else(|| network.clone());
        own = Some(trusted.with_roots(&bytes(&path)?).map_err(|source| RegistryError::Certificates { path, source })?);
    }
    let pair = names.iter().find(|name| wants_client && (is_kind(name, "cert") || is_kind(name, "key")));
    let Some(name) = pair else { return Ok(own) };
    let (certificate, key) = (folder.join(name).with_extension("cert"), folder.join(name).with_extension("key"));
    let read = ClientCertificate::from_pem(&bytes(&certificate)?, &bytes(&key)?);
    let client = read.map_err(|source| match source {
        InvalidNetwork::Certificates => RegistryError::Certificates { path: certificate, source },
        source => RegistryError::Certificates { path: key, source },
    })?;
    Ok(Some(own.unwrap_or_else(|| network.clone()).with_client_certificate(client)))
}

fn bytes(path: &Path) -> Result<Vec<u8>, RegistryError> {
    files::read(path, FILE_MAX_BYTES)
        .map_err(|source| RegistryError::ReadCertificates { path: path.to_owned(), source })
}

fn is_kind(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found == extension)
}

/// Returns whether a folder counts as not there. As podman does, a folder of the system that this user may not read is
/// passed over: most registries need no certificate.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied)
}
