//! What can be wrong with the settings of connections.

use crate::error::{ErrorKind, ModelcarError};

/// An invalid setting of the network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNetwork {
    /// The PEM text holds no certificate, or a damaged one.
    #[error("holds no readable certificate in PEM form")]
    Certificates,
    /// The PEM text holds no private key.
    #[error("holds no private key in PEM form")]
    NoKey,
    /// The private key can be read with a passphrase only.
    #[error("holds a private key that is encrypted with a passphrase")]
    EncryptedKey,
    /// The private key is damaged or of a kind that TLS does not use here.
    #[error("holds a private key that TLS can't use; it takes RSA of 2048 bits or more, P-256, P-384 and Ed25519")]
    UnusableKey,
    /// The private key is not that of the certificate.
    #[error("holds a private key that does not belong to the certificate")]
    OtherKey,
    /// The address of a proxy is no URL. The address is not shown, because it may hold a password.
    #[error("is not the address of a proxy; write http://HOST:PORT")]
    Proxy,
}

impl ModelcarError for InvalidNetwork {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}
