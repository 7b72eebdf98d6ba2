//! Settings of connections: certificate authorities that are trusted, and proxies.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use reqwest::{Certificate, NoProxy, Proxy, Url, header::HeaderValue};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{client_certificate::ClientCertificate, invalid::InvalidNetwork, verifier};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Hosts that are never reached through a proxy: on the proxy these names mean the proxy itself.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// Certificate authorities that are trusted besides those of the system and the built-in ones, and proxies.
///
/// The default trusts the authorities of the system (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured by the TLS
/// library) and of the web, and uses no proxy.
#[derive(Debug, Clone, Default)]
pub struct Network {
    roots: Vec<CertificateDer<'static>>,
    skip_tls_verify: bool,
    proxies: Vec<Proxy>,
    /// Shown to every server that asks for one. Only the network of a single registry has one.
    client: Option<ClientCertificate>,
}

impl Network {
    /// Also trusts the authorities in `pem`. A self-signed certificate in `pem` is trusted for its own names, too.
    ///
    /// # Errors
    /// [`InvalidNetwork::Certificates`] when `pem` holds no valid certificate.
    pub fn with_roots(mut self, pem: &[u8]) -> Result<Self, InvalidNetwork> {
        let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let roots = roots.map_err(|_| InvalidNetwork::Certificates)?;
        let mut store = RootCertStore::empty();
        let are_whole = roots.iter().all(|root| store.add(root.clone()).is_ok());
        if roots.is_empty() || !are_whole {
            return Err(InvalidNetwork::Certificates);
        }
        self.roots.extend(roots);
        Ok(self)
    }

    /// Accepts every certificate. Anybody between this machine and the server can then read and change all data,
    /// logins included.
    #[must_use]
    pub fn with_tls_verification_skipped(mut self) -> Self {
        self.skip_tls_verify = true;
        self
    }

    /// Shows `certificate` to every server that asks for one.
    #[cfg(feature = "registry")]
    pub(crate) fn with_client_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.client = Some(certificate);
        self
    }

    /// Uses the proxy `https` for `https://` and the proxy `http` for `http://` addresses, except for the hosts in
    /// `except` (in the form of the variable `NO_PROXY`) and for this machine.
    ///
    /// # Errors
    /// [`InvalidNetwork::Proxy`] when the address of a proxy is no URL.
    pub fn with_proxies(
        mut self,
        http: Option<&str>,
        https: Option<&str>,
        except: &str,
    ) -> Result<Self, InvalidNetwork> {
        let except = NoProxy::from_string(&format!("{except},{LOOPBACK}"));
        let plain = http.map(|address| proxy(address, Proxy::http));
        let tls = https.map(|address| proxy(address, Proxy::https));
        for proxy in plain.into_iter().chain(tls) {
            self.proxies.push(proxy?.no_proxy(except.clone()));
        }
        Ok(self)
    }
}

/// Makes a proxy. Its password goes into a header that is marked as secret, and not into an
/// address that is printed.
fn proxy(address: &str, make: impl Fn(Url) -> reqwest::Result<Proxy>) -> Result<Proxy, InvalidNetwork> {
    let with_scheme = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let mut url: Url = with_scheme.parse().map_err(|_| InvalidNetwork::Proxy)?;
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (username, password) = (plain(url.username()), url.password().map(plain));
    if url.set_username("").and(url.set_password(None)).is_err() || !matches!(url.scheme(), "http" | "https") {
        return Err(InvalidNetwork::Proxy);
    }
    let proxy = make(url).map_err(|_| InvalidNetwork::Proxy)?;
    if username.is_empty() && password.is_none() {
        return Ok(proxy);
    }
    let login = STANDARD.encode(format!("{username}:{}", password.unwrap_or_default()));
    let mut header = HeaderValue::from_str(&format!("Basic {login}")).map_err(|_| InvalidNetwork::Proxy)?;
    header.set_sensitive(true);
    // `Proxy::basic_auth` would put it back into the address.
    Ok(proxy.custom_http_auth(header))
}

/// Returns a client builder with this library's TLS and connection settings.
///
/// The client has no total and no read timeout, because reqwest's read timeout ends an upload that takes longer.
/// Uploads and downloads detect stalls themselves. The roots of the system are merged with the built-in public roots,
/// so that an empty container trusts public authorities, too.
pub(crate) fn client_builder(network: &Network) -> reqwest::ClientBuilder {
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
    let as_authorities = built_in.iter().chain(&network.roots).filter_map(|der| Certificate::from_der(der).ok());
    let builder = reqwest::Client::builder()
        .user_agent(concat!("modelcar/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .pool_max_idle_per_host(64)
        .tls_certs_merge(as_authorities)
        .tls_danger_accept_invalid_certs(network.skip_tls_verify)
        // Without this, reqwest would read proxies from the environment.
        .no_proxy();
    let builder = network.proxies.iter().cloned().fold(builder, reqwest::ClientBuilder::proxy);
    let Network { roots, skip_tls_verify, client, .. } = network;
    if client.is_none() && (roots.is_empty() || *skip_tls_verify) {
        return builder;
    }
    match verifier::settings(built_in, roots, *skip_tls_verify, client.as_ref()) {
        Ok(tls) => builder.tls_backend_preconfigured(tls),
        // Building the client then fails in the same way.
        Err(_) => builder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_refused_without_showing_them() {
        let network = Network::default();
        assert!(matches!(network.clone().with_roots(b"nothing"), Err(InvalidNetwork::Certificates)));
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let built = network.clone().with_roots(broken).map(|network| client_builder(&network).build());
        assert!(!matches!(built, Ok(Ok(_))), "a damaged certificate is not passed over");
        let error = network.clone().with_proxies(None, Some("http://user:hunter2@[broken"), "").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        let network =
            network.with_proxies(Some("user:hunter2@proxy"), Some("http://u:hunter2@p:3128"), "a.io").unwrap();
        let client = client_builder(&network).build().unwrap();
        let shown = format!("{network:?} {client:?}");
        assert!(!shown.contains("hunter2") && !shown.contains(&STANDARD.encode("u:hunter2")), "{shown}");
    }
}
