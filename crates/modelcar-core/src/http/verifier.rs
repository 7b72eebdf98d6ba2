//! Verifies the certificates of servers as a platform's own programs do, and accepts a self-signed certificate that the
//! user named. Shows servers the client's own certificate.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
    sign::SingleCertAndKey,
};
use rustls_platform_verifier::Verifier;

use super::client_certificate::ClientCertificate;

/// Returns TLS settings that trust the authorities of the system, `built_in` and `named`. A certificate in `named` is
/// also accepted as that of a server. With `accepts_all` the settings trust every server. A server that asks for a
/// certificate gets `client`.
///
/// # Errors
/// When one of the certificates is damaged.
pub(super) fn settings(
    built_in: &[CertificateDer<'static>],
    named: &[CertificateDer<'static>],
    accepts_all: bool,
    client: Option<&ClientCertificate>,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let authorities = built_in.iter().chain(named).cloned();
    let platform = Verifier::new_with_extra_roots(authorities, Arc::clone(&provider))?;
    let verifier = Arc::new(NamedVerifier { platform, named: named.to_vec(), accepts_all });
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match client {
        Some(client) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(client.certified()))),
        None => builder.with_no_client_auth(),
    };
    // A client takes these settings as they are; registries and stores are spoken to by HTTP/1.1 anyway.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Returns whether a certificate is refused because it may sign others. `openssl req -x509` makes such certificates, and
/// the manuals of registries say to use them for the registry itself.
pub(super) fn is_own_authority(error: &CertificateError) -> bool {
    let CertificateError::Other(other) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// The platform's verifier, and certificates that servers may have themselves.
#[derive(Debug)]
struct NamedVerifier {
    platform: Verifier,
    named: Vec<CertificateDer<'static>>,
    accepts_all: bool,
}

impl ServerCertVerifier for NamedVerifier {
    /// Accepts a self-signed certificate only if it is one of the named ones byte for byte, in its time and for its
    /// names.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.accepts_all {
            return Ok(ServerCertVerified::assertion());
        }
        let verified = self.platform.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match &verified {
            // The dates were checked before this.
            Err(Error::InvalidCertificate(error))
                if is_own_authority(error) && self.named.iter().any(|named| named[..] == end_entity[..]) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            _ => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.accepts_all {
            return Ok(HandshakeSignatureValid::assertion());
        }
        self.platform.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.accepts_all {
            return Ok(HandshakeSignatureValid::assertion());
        }
        self.platform.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.platform.supported_verify_schemes()
    }
}
