//! The HTTP clients of one repository.

use reqwest::Url;

use super::{certificates::RegistryCertificates, error::RegistryError, redirect};
use crate::http::{self, Network};

/// The HTTP clients of one repository: one for the registry itself, and one for the hosts that the registry names.
///
/// HTTP/1.1 only: each upload has its own connection, and response headers may have hundreds of kilobytes (Artifact
/// Registry's headers are larger than an HTTP/2 client accepts). The clients follow no redirect by themselves:
/// `redirect` decides where a request may go.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    /// The registry's own place.
    place: Url,
    /// Shows the registry's certificate of the client, and trusts the registry's own authorities.
    own: reqwest::Client,
    /// Has neither.
    elsewhere: reqwest::Client,
}

impl Clients {
    /// Makes the clients for `registry`, which is at `place`.
    pub(super) fn new(
        registry: &str,
        place: Url,
        certificates: &RegistryCertificates,
        network: &Network,
    ) -> Result<Self, RegistryError> {
        let elsewhere = client(network)?;
        let own = match certificates.network(registry, network)? {
            Some(own) => client(&own)?,
            None => elsewhere.clone(),
        };
        Ok(Self { place, own, elsewhere })
    }

    /// Returns the client for requests to `url`.
    pub(super) fn to(&self, url: &Url) -> &reqwest::Client {
        if redirect::same_host(&self.place, url) { &self.own } else { &self.elsewhere }
    }
}

fn client(network: &Network) -> Result<reqwest::Client, RegistryError> {
    let builder = http::client_builder(network).redirect(reqwest::redirect::Policy::none()).http1_only();
    builder.build().map_err(RegistryError::Client)
}

#[cfg(feature = "workspace-tests")]
#[cfg(test)]
mod tests {
    use std::fs;

    use modelcar_testkit::{FakeRegistry, Identity, PrivateCa, RegistryConfig, TlsFront};

    use super::*;
    use crate::{
        ImageRef,
        http::{ClientCertificate, ClientCertificateFault, HttpFailure},
    };

    /// A registry that wants certificates of clients, its authority, and a certificate that it accepts.
    struct Scene {
        registry: FakeRegistry,
        ca: PrivateCa,
        client: Identity,
    }

    impl Scene {
        async fn new() -> Self {
            let registry = FakeRegistry::start(RegistryConfig::default()).await;
            let ca = PrivateCa::new();
            let client = ca.certify_client("ci");
            Self { registry, ca, client }
        }

        fn front(&self) -> TlsFront {
            let server = self.ca.certify(&["127.0.0.1"]);
            TlsFront::start_for(self.registry.host().parse().unwrap(), &server, Some(&self.ca))
        }

        /// Writes the files of a folder `certs.d` for the registry behind `front`.
        fn folder(&self, folder: &std::path::Path, front: &TlsFront) {
            let own = folder.join(front.addr().to_string());
            fs::create_dir_all(&own).unwrap();
            fs::write(own.join("ca.crt"), self.ca.pem()).unwrap();
            fs::write(own.join("client.cert"), &self.client.certificate).unwrap();
            fs::write(own.join("client.key"), &self.client.key).unwrap();
        }
    }

    /// Asks the server behind `front`; returns its status, or what it wants of the client.
    async fn ask(clients: &Clients, front: &TlsFront) -> Result<u16, Option<ClientCertificateFault>> {
        let url: Url = format!("https://{}/v2/", front.addr()).parse().unwrap();
        match clients.to(&url).get(url.clone()).send().await {
            Ok(answer) => Ok(answer.status().as_u16()),
            Err(error) => Err(HttpFailure::transport(reqwest::Method::GET, &url, error).client_certificate_fault()),
        }
    }

    fn clients(front: &TlsFront, certificates: &RegistryCertificates, network: &Network) -> Clients {
        let registry = front.addr().to_string();
        let place = format!("https://{registry}/v2/a/").parse().unwrap();
        Clients::new(&registry, place, certificates, network).unwrap()
    }

    #[tokio::test]
    async fn a_certificate_is_shown_to_its_registry_and_to_nobody_else() {
        let scene = Scene::new().await;
        let (front, other) = (scene.front(), scene.front());
        let trusting = Network::default().with_roots(scene.ca.pem().as_bytes()).unwrap();
        let missing = Err(Some(ClientCertificateFault::Missing));
        let without = clients(&front, &RegistryCertificates::default(), &trusting);
        assert_eq!(ask(&without, &front).await, missing);

        let identity = &scene.client;
        let client = ClientCertificate::from_pem(identity.certificate.as_bytes(), identity.key.as_bytes()).unwrap();
        let image: ImageRef = format!("{}/a", front.addr()).parse().unwrap();
        let given = RegistryCertificates::default().with_client(&image, client);
        for network in [trusting.clone(), Network::default().with_tls_verification_skipped()] {
            let with = clients(&front, &given, &network);
            assert_eq!(ask(&with, &front).await, Ok(200));
            assert_eq!(ask(&with, &other).await, missing, "another port is another server");
            assert_eq!(ask(&clients(&other, &given, &network), &other).await, missing, "another registry");
        }
        assert_eq!((front.certificates_seen(), other.certificates_seen()), (2, 0));
        assert!(!format!("{given:?}").contains("key"));
    }

    #[tokio::test]
    async fn another_authoritys_certificate_is_refused() {
        let scene = Scene::new().await;
        let front = scene.front();
        let trusting = Network::default().with_roots(scene.ca.pem().as_bytes()).unwrap();
        let foreign = PrivateCa::new().certify_client("ci");
        let client = ClientCertificate::from_pem(foreign.certificate.as_bytes(), foreign.key.as_bytes()).unwrap();
        let image: ImageRef = format!("{}/a", front.addr()).parse().unwrap();
        let given = RegistryCertificates::default().with_client(&image, client);
        let refused = Err(Some(ClientCertificateFault::Refused));
        assert_eq!(ask(&clients(&front, &given, &trusting), &front).await, refused);
    }

    #[tokio::test]
    async fn the_folders_of_docker_and_podman_are_read() {
        let scene = Scene::new().await;
        let (front, other) = (scene.front(), scene.front());
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        scene.folder(&second, &front);
        let found = RegistryCertificates::in_folders(vec![first.clone(), second.clone()]);
        let with = clients(&front, &found, &Network::default());
        assert_eq!(ask(&with, &front).await, Ok(200), "its authority and its client");
        assert_eq!(ask(&with, &other).await, Err(None), "the authority is trusted at its own registry alone");

        // The first folder with the registry's name is used.
        fs::create_dir_all(first.join(front.addr().to_string())).unwrap();
        assert_eq!(ask(&clients(&front, &found, &Network::default()), &front).await, Err(None));
        fs::remove_dir_all(&first).unwrap();

        let own = second.join(front.addr().to_string());
        let error = |found: &RegistryCertificates| {
            let place = format!("https://{}/v2/a/", front.addr()).parse().unwrap();
            Clients::new(&front.addr().to_string(), place, found, &Network::default()).unwrap_err()
        };
        fs::write(own.join("client.key"), "no key").unwrap();
        let wrong = error(&found);
        assert!(matches!(&wrong, RegistryError::Certificates { path, .. } if path.ends_with("client.key")), "{wrong}");
        fs::remove_file(own.join("client.key")).unwrap();
        let wrong = error(&found);
        assert!(
            matches!(&wrong, RegistryError::ReadCertificates { path, .. } if path.ends_with("client.key")),
            "{wrong}"
        );
    }
}
