//! How connections are made: who is trusted, and through which proxy.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use reqwest::{Certificate, NoProxy, Proxy, Url, header::HeaderValue};

use crate::error::{ErrorKind, ModelcarError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Never asked through a proxy: it would look for this machine on its own.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// What is trusted beyond the system's and the built-in authorities, and which proxies lead out.
///
/// The default trusts the authorities of the system (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured by the TLS
/// library) and of the web, and uses no proxy.
#[derive(Debug, Clone, Default)]
pub struct Network {
    roots: Vec<Certificate>,
    skip_tls_verify: bool,
    proxies: Vec<Proxy>,
}

/// Why a setting of the network can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNetwork {
    /// There is no certificate in what should hold some, or a damaged one.
    #[error("holds no readable certificate in PEM form")]
    Certificates,
    /// The address of a proxy is no URL. It is not repeated, for it may hold a password.
    #[error("is not the address of a proxy; write http://HOST:PORT")]
    Proxy,
}

impl ModelcarError for InvalidNetwork {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

impl Network {
    /// Trusts the authorities in `pem` too.
    ///
    /// # Errors
    /// [`InvalidNetwork::Certificates`] when there is none.
    pub fn with_roots(mut self, pem: &[u8]) -> Result<Self, InvalidNetwork> {
        let roots = Certificate::from_pem_bundle(pem).map_err(|_| InvalidNetwork::Certificates)?;
        if roots.is_empty() {
            return Err(InvalidNetwork::Certificates);
        }
        self.roots.extend(roots);
        Ok(self)
    }

    /// Takes any certificate from anybody: whoever is in between can read and change everything, logins included.
    #[must_use]
    pub fn with_tls_verification_skipped(mut self) -> Self {
        self.skip_tls_verify = true;
        self
    }

    /// Asks through `https` for `https://` and through `http` for `http://` addresses, except for the hosts in
    /// `except` (in the form of the variable `NO_PROXY`) and for this machine.
    ///
    /// # Errors
    /// [`InvalidNetwork::Proxy`] when an address is none.
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
/// There is no total and no read timeout: reqwest's read timeout cuts an upload that is longer than it. Whoever
/// moves bytes watches for stalls itself. System roots are used; the roots of the web are merged in, so that an
/// empty container trusts public authorities too.
pub(crate) fn client_builder(network: &Network) -> reqwest::ClientBuilder {
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter_map(|der| Certificate::from_der(der).ok());
    let builder = reqwest::Client::builder()
        .user_agent(concat!("modelcar/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .pool_max_idle_per_host(64)
        .tls_certs_merge(built_in.chain(network.roots.iter().cloned()))
        .tls_danger_accept_invalid_certs(network.skip_tls_verify)
        // reqwest would read the environment; the caller has said which proxies there are.
        .no_proxy();
    network.proxies.iter().cloned().fold(builder, reqwest::ClientBuilder::proxy)
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
