//! What can be wrong with the environment.

use std::{io, path::PathBuf};

use modelcar_core::{ErrorKind, ModelcarError, http::InvalidNetwork, registry::RegistryError};

/// Why the environment can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// A file of certificate authorities can't be read.
    #[error("read the authorities in `{path}` ({named_by})")]
    ReadAuthorities {
        /// The file.
        path: PathBuf,
        /// The variable or option that names it.
        named_by: String,
        /// The system's error.
        source: io::Error,
    },
    /// A file of certificate authorities holds none.
    #[error("read the authorities in `{path}` ({named_by})")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// The variable or option that names it.
        named_by: String,
        /// What is wrong.
        source: InvalidNetwork,
    },
    /// A file of the client's certificate or its key can't be read.
    #[error("read the client certificate or its key in `{path}` ({named_by})")]
    ReadClientCertificate {
        /// The file.
        path: PathBuf,
        /// The variable or option that names the client's certificate.
        named_by: String,
        /// The system's error.
        source: io::Error,
    },
    /// A file of the client's certificate or its key can't be used.
    #[error("use the client certificate or its key in `{path}` ({named_by})")]
    ClientCertificate {
        /// The file.
        path: PathBuf,
        /// The variable or option that names the client's certificate.
        named_by: String,
        /// What is wrong.
        source: InvalidNetwork,
    },
    /// A key without its certificate is named.
    #[error("MODELCAR_REGISTRY_CLIENT_KEY is set and MODELCAR_REGISTRY_CLIENT_CERT is not")]
    KeyAlone,
    /// A proxy's address is none.
    #[error("use the proxy in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY")]
    Proxy(#[source] InvalidNetwork),
    /// Of name and password for the image's registry only one is set.
    #[error("only one of {} is set", crate::REGISTRY_LOGIN)]
    HalfLogin,
    /// The time of the image is no number.
    #[error("SOURCE_DATE_EPOCH is `{0}`, expected seconds since 1970")]
    Time(String),
    /// Google's credentials can't be looked for.
    #[error(transparent)]
    Google(RegistryError),
}

impl ModelcarError for EnvironmentError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::ReadAuthorities { .. } | Self::ReadClientCertificate { .. } => ErrorKind::Io,
            Self::Google(error) => error.kind(),
            Self::ClientCertificate { .. }
            | Self::KeyAlone
            | Self::Authorities { .. }
            | Self::Proxy(_)
            | Self::HalfLogin
            | Self::Time(_) => ErrorKind::InvalidInput,
        }
    }
}
