//! Owns certificates of a private authority, and a server that speaks TLS before another one that does not.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::server::{self, ServerGuard};

/// An authority that nobody trusts unless told to.
pub struct PrivateCa {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A server's certificate and its key.
#[derive(Debug)]
pub struct Identity {
    /// The certificate in PEM form.
    pub certificate: String,
    /// Its key in PEM form.
    pub key: String,
    certificate_der: CertificateDer<'static>,
    key_der: Vec<u8>,
}

impl PrivateCa {
    /// Makes an authority.
    #[expect(clippy::new_without_default, reason = "each one is another")]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a private authority");
        let key = KeyPair::generate().expect("a key can be made");
        let pem = params.self_signed(&key).expect("an authority can be made").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// The authority's certificate in PEM form.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Certifies a server of these names or addresses.
    pub fn certify(&self, names: &[&str]) -> Identity {
        self.signed(&params(names))
    }

    /// Certifies a server for the time between the first days of two years.
    pub fn certify_between(&self, names: &[&str], first: i32, last: i32) -> Identity {
        let mut params = params(names);
        (params.not_before, params.not_after) = (date_time_ymd(first, 1, 1), date_time_ymd(last, 1, 1));
        self.signed(&params)
    }

    fn signed(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate can be made");
        Identity::new(&certificate, &key)
    }
}

impl Identity {
    /// Signs itself and may sign others, as `openssl req -x509` makes it.
    pub fn self_signed(names: &[&str]) -> Self {
        let mut params = params(names);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        Self::new(&params.self_signed(&key).expect("a certificate can be made"), &key)
    }

    fn new(certificate: &Certificate, key: &KeyPair) -> Self {
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            certificate_der: certificate.der().clone(),
            key_der: key.serialize_der(),
        }
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    CertificateParams::new(names).expect("the names are names")
}

/// Speaks TLS on a port of its own and passes what comes on to another server.
#[derive(Debug)]
pub struct TlsFront {
    addr: SocketAddr,
    _server: ServerGuard,
}

impl TlsFront {
    /// Starts before `upstream`, as `identity`.
    pub fn start(upstream: SocketAddr, identity: &Identity) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key_der.clone()));
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring knows the default versions")
            .with_no_client_auth()
            .with_single_cert(vec![identity.certificate_der.clone()], key)
            .expect("certificate and key belong together");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let bound = server::bind(0);
        let addr = bound.addr;
        let server = server::serve_connections(bound, move |stream| {
            let acceptor = acceptor.clone();
            async move {
                // Clients that do not trust the certificate hang up; tests want that.
                let Ok(mut inside) = acceptor.accept(stream).await else { return };
                let Ok(mut outside) = TcpStream::connect(upstream).await else { return };
                copy_bidirectional(&mut inside, &mut outside).await.ok();
            }
        });
        Self { addr, _server: server }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}
