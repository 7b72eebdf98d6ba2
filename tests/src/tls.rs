//! Owns certificates of a private authority, and a server that speaks TLS before another one that does not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use rustls::server::{WebPkiClientVerifier, danger::ClientCertVerifier};
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

    /// Certifies a client of this name.
    pub fn certify_client(&self, name: &str) -> Identity {
        let mut params = params(&[]);
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        self.signed(&params)
    }

    /// Certifies a server for the time between the first days of two years.
    pub fn certify_between(&self, names: &[&str], first: i32, last: i32) -> Identity {
        let mut params = params(names);
        (params.not_before, params.not_after) = (date_time_ymd(first, 1, 1), date_time_ymd(last, 1, 1));
        self.signed(&params)
    }

    fn verifier(&self, provider: Arc<rustls::crypto::CryptoProvider>) -> Arc<dyn ClientCertVerifier> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("it was made here");
        roots.add(authority).expect("it is an authority");
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("there is an authority")
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
    shown: Arc<AtomicUsize>,
    _server: ServerGuard,
}

impl TlsFront {
    /// Starts before `upstream`, as `identity`.
    pub fn start(upstream: SocketAddr, identity: &Identity) -> Self {
        Self::start_for(upstream, identity, None)
    }

    /// As [`start`](Self::start), for clients with a certificate of `clients` alone.
    pub fn start_for(upstream: SocketAddr, identity: &Identity, clients: Option<&PrivateCa>) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key_der.clone()));
        let verifier = clients.map(|ca| ca.verifier(Arc::clone(&provider)));
        let builder = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring knows the default versions");
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let config = builder
            .with_single_cert(vec![identity.certificate_der.clone()], key)
            .expect("certificate and key belong together");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let shown = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&shown);
        let bound = server::bind(0);
        let addr = bound.addr;
        let server = server::serve_connections(bound, move |stream| {
            let acceptor = acceptor.clone();
            let count = Arc::clone(&count);
            async move {
                let mut inside = match acceptor.accept(stream).into_fallible().await {
                    Ok(inside) => inside,
                    // Clients that do not trust the certificate hang up; tests want that. A client that was refused
                    // reads the reason before the connection ends.
                    Err((_, mut stream)) => {
                        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.ok();
                        return;
                    }
                };
                if inside.get_ref().1.peer_certificates().is_some() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
                let Ok(mut outside) = TcpStream::connect(upstream).await else { return };
                copy_bidirectional(&mut inside, &mut outside).await.ok();
            }
        });
        Self { addr, shown, _server: server }
    }

    /// Number of connections whose client showed a certificate.
    pub fn certificates_seen(&self) -> usize {
        self.shown.load(Ordering::SeqCst)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}
