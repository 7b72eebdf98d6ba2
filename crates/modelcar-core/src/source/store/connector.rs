//! The HTTP client under the stores: this library's own, so that proxies, certificate authorities and limits of time are
//! those of all other requests.

use std::{net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService},
};
use reqwest::{Client, redirect::Policy};
use tokio::time::timeout;

use super::refusal::Refusal;
use crate::http::{Network, client_builder};

/// How long the server of a cloud's metadata may take. Outside a cloud nobody answers.
const METADATA_PATIENCE: Duration = Duration::from_secs(3);

/// No answer came in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer for {} s", .0.as_secs())]
pub(super) struct Silent(pub(super) Duration);

/// There are no credentials, and the cloud's server for them gives none.
#[derive(Debug, thiserror::Error)]
#[error("no credentials are given, and no metadata server of a cloud gives some")]
pub(super) struct NoCredentials;

/// Makes the clients of a store.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    /// Proxies and certificate authorities.
    pub(super) network: Network,
    /// How long an answer may take to begin.
    pub(super) stall: Duration,
    /// What no error may show.
    pub(super) secrets: Arc<[String]>,
    /// Whether the crate looks at the refusals of a metadata server, to ask in an older way.
    pub(super) is_legacy: bool,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allows_http = options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|value| value == "true");
        // A signature is for one host.
        let build = |network: &Network| client_builder(network).redirect(Policy::none()).https_only(!allows_http);
        let made = build(&self.network).build().and_then(|outer| {
            let metadata = build(&Network::default()).connect_timeout(METADATA_PATIENCE).build()?;
            Ok((outer, metadata))
        });
        let failed = |error: reqwest::Error| object_store::Error::Generic { store: "HTTP", source: error.into() };
        let (outer, metadata) = made.map_err(failed)?;
        let (stall, secrets, is_legacy) = (self.stall, Arc::clone(&self.secrets), self.is_legacy);
        Ok(HttpClient::new(Service { outer, metadata, stall, secrets, is_legacy }))
    }
}

/// The client of a store, and that of its cloud's metadata server.
#[derive(Debug)]
struct Service {
    /// Asks the store, and whoever gives credentials for it over the network.
    outer: Client,
    /// Asks the server of a cloud's metadata, which is on this machine's own network: without a proxy.
    metadata: Client,
    stall: Duration,
    secrets: Arc<[String]>,
    is_legacy: bool,
}

#[async_trait]
impl HttpService for Service {
    /// Answers without success become errors here, before the crate makes texts of them that could show secrets.
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let method = request.method().clone();
        if is_metadata(&host) {
            let answer = timeout(METADATA_PATIENCE, HttpService::call(&self.metadata, request)).await;
            let answer = answer.ok().and_then(Result::ok);
            let answer = answer.filter(|answer| answer.status().is_success() || self.is_legacy);
            return answer.ok_or_else(|| HttpError::new(HttpErrorKind::Unknown, NoCredentials));
        }
        let path = request.uri().path().to_owned();
        let sent = ["authorization", "x-amz-security-token"].map(|name| {
            let value = request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            // A token, or the signature at the end.
            value.rsplit([' ', '=']).next().unwrap_or_default().to_owned()
        });
        let answer = timeout(self.stall, HttpService::call(&self.outer, request)).await;
        let answer = answer.map_err(|_| HttpError::new(HttpErrorKind::Timeout, Silent(self.stall)))??;
        let status = answer.status();
        tracing::debug!(%method, host, path, status = status.as_u16(), "a store answered");
        if status.is_success() {
            return Ok(answer);
        }
        // Objects are only ever read.
        let of_login = method == "POST" || method == "PUT";
        let refusal = Refusal::read(answer, of_login, &[&self.secrets, &sent[..]].concat()).await;
        Err(HttpError::new(HttpErrorKind::Unknown, refusal))
    }
}

/// Returns whether a host is one of the addresses that clouds give credentials at.
fn is_metadata(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.is_unicast_link_local() || address.is_unique_local(),
        Err(_) => host.ends_with(".internal"),
    }
}
