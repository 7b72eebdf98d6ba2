//! The certificate with which the client shows a server who it is, and the private key of the certificate.

use std::{fmt, sync::Arc};

use rustls::{
    Error, InconsistentKeys,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::invalid::InvalidNetwork;

/// A certificate of the client, the certificates between it and its authority, and its private key. The private key can
/// be used and is never printed.
#[derive(Clone)]
pub struct ClientCertificate(Arc<CertifiedKey>);

impl ClientCertificate {
    /// Reads a certificate, with the certificates between it and its authority after it, and the private key of the first
    /// certificate. Both texts are PEM, and may be the same text.
    ///
    /// # Errors
    /// [`InvalidNetwork::Certificates`] without a certificate, [`InvalidNetwork::NoKey`] without a private key,
    /// [`InvalidNetwork::EncryptedKey`] for a key that needs a passphrase, [`InvalidNetwork::UnusableKey`] for a key that
    /// TLS can't use, [`InvalidNetwork::OtherKey`] for the key of another certificate.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, InvalidNetwork> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(InvalidNetwork::Certificates)?;
        if is_encrypted(key) {
            return Err(InvalidNetwork::EncryptedKey);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| InvalidNetwork::NoKey)?;
        let provider = rustls::crypto::ring::default_provider();
        let signer = provider.key_provider.load_private_key(key).map_err(|_| InvalidNetwork::UnusableKey)?;
        let certified = CertifiedKey::new(chain, signer);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Self(Arc::new(certified))),
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(InvalidNetwork::OtherKey),
            Err(_) => Err(InvalidNetwork::Certificates),
        }
    }

    /// Returns certificate and key in the form in which TLS takes them.
    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0)
    }
}

/// Returns whether a key in PEM form needs a passphrase: by its label (RFC 5958, RFC 7468), or by the header that OpenSSL's
/// older form has (RFC 1421).
fn is_encrypted(key: &[u8]) -> bool {
    let text = String::from_utf8_lossy(key);
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || text.lines().any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"))
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[client certificate]")
    }
}

#[cfg(feature = "workspace-tests")]
#[cfg(test)]
mod tests {
    use modelcar_testkit::{Identity, PrivateCa};

    use super::*;

    #[test]
    fn a_certificate_comes_with_its_own_readable_key() {
        let ca = PrivateCa::new();
        let (own, other) = (ca.certify_client("ci"), ca.certify_client("someone else"));
        let read = |certificate: &str, key: &str| ClientCertificate::from_pem(certificate.as_bytes(), key.as_bytes());
        let certificate = read(&own.certificate, &own.key).unwrap();
        assert_eq!(format!("{certificate:?}"), "[client certificate]");
        let both = format!("{}{}{}", own.key, own.certificate, ca.pem());
        assert!(read(&both, &both).is_ok(), "one file may hold both, and the authority's certificate");

        let pem = |label: &str, head: &str| format!("-----BEGIN {label}-----\n{head}AAAA\n-----END {label}-----\n");
        let Identity { certificate, key, .. } = &own;
        let (encrypted, older) = (
            pem("ENCRYPTED PRIVATE KEY", ""),
            pem("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n"),
        );
        for (certificate, key, expected) in [
            (key, key, InvalidNetwork::Certificates),
            (&String::new(), key, InvalidNetwork::Certificates),
            (&pem("CERTIFICATE", ""), key, InvalidNetwork::Certificates),
            (certificate, certificate, InvalidNetwork::NoKey),
            (certificate, &encrypted, InvalidNetwork::EncryptedKey),
            (certificate, &older, InvalidNetwork::EncryptedKey),
            (certificate, &pem("PRIVATE KEY", ""), InvalidNetwork::UnusableKey),
            (certificate, &other.key, InvalidNetwork::OtherKey),
        ] {
            let error = read(certificate, key).unwrap_err();
            assert_eq!(error.to_string(), expected.to_string());
        }
    }
}
