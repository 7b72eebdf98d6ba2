//! The metadata server of a machine in Google Cloud, of a pod in GKE, of a step in Cloud Build.

use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::{super::error::KeychainError, AccessToken};
use crate::http::{self, HttpFailure, Network};

/// Addresses of the server, the fixed one first: a name may take long to be not found. Machines with IPv6 alone have
/// only the name.
const DEFAULT_HOSTS: [&str; 2] = ["169.254.169.254", "metadata.google.internal"];
const TOKEN_PATH: &str = "computeMetadata/v1/instance/service-accounts/default/token";
/// How long a connection may take on a machine that may have no such server. It is never far away.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// How long an answer may take. GKE's server fetches tokens while one waits.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// Tries at a server that is there but busy: GKE's is for a while after a pod's start.
const TRIES: u32 = 5;
const RETRY_BASE: Duration = Duration::from_millis(250);
/// Largest answer that is read.
const ANSWER_MAX_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct MetadataServer {
    /// The server that the user names, which has to be there.
    named: Option<String>,
    client: reqwest::Client,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<u64>,
}

impl MetadataServer {
    /// It is spoken to directly, never through a proxy.
    pub(super) fn new(named: Option<&str>) -> Result<Self, reqwest::Error> {
        let client = http::client_builder(&Network::default())
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_PATIENCE)
            .timeout(ANSWER_PATIENCE)
            .build()?;
        Ok(Self { named: named.map(str::to_owned), client })
    }

    pub(super) fn origin(&self) -> String {
        format!("metadata server `{}`", self.named.as_deref().unwrap_or(DEFAULT_HOSTS[1]))
    }

    /// Returns the token of the machine's default account; `None` when this is no machine of Google's or it has no
    /// account.
    pub(super) async fn token(&self) -> Result<Option<AccessToken>, KeychainError> {
        if let Some(host) = &self.named {
            return self.ask(&self.url(host)?).await.map_err(|failure| self.failed(&failure));
        }
        for host in DEFAULT_HOSTS {
            match self.ask(&self.url(host)?).await {
                Ok(token) => return Ok(token),
                // Nobody is there, or somebody who is no metadata server.
                Err(failure) if failure.status.is_none() => {
                    tracing::debug!(host, %failure, "no metadata server");
                }
                Err(failure) => return Err(self.failed(&failure)),
            }
        }
        Ok(None)
    }

    fn url(&self, host: &str) -> Result<Url, KeychainError> {
        format!("http://{host}/{TOKEN_PATH}").parse().map_err(|_| KeychainError::Google {
            origin: self.origin(),
            reason: "is not written HOST or HOST:PORT".to_owned(),
        })
    }

    fn failed(&self, failure: &HttpFailure) -> KeychainError {
        let cause = failure.cause.as_ref().map(|cause| format!(" ({})", http::chain(cause))).unwrap_or_default();
        KeychainError::Google { origin: self.origin(), reason: format!("{failure}{cause}") }
    }

    async fn ask(&self, url: &Url) -> Result<Option<AccessToken>, HttpFailure> {
        let mut attempt = 1;
        loop {
            let failure = match self.ask_once(url).await {
                Ok(token) => return Ok(token),
                Err(failure) => failure,
            };
            let is_there = failure.status.is_some() || self.named.is_some();
            if !is_there || !failure.is_transient() || attempt >= TRIES {
                return Err(failure);
            }
            tokio::time::sleep(http::backoff(RETRY_BASE, attempt, failure.retry_after)).await;
            attempt += 1;
        }
    }

    async fn ask_once(&self, url: &Url) -> Result<Option<AccessToken>, HttpFailure> {
        let request = self.client.get(url.clone()).header("metadata-flavor", "Google");
        let response = request.send().await.map_err(|error| HttpFailure::transport(Method::GET, url, error))?;
        let genuine = http::header(&response, "metadata-flavor").is_some_and(|flavor| flavor == "Google");
        if self.named.is_none() && !genuine {
            // A router or a hotel's portal that answers everything.
            return Err(HttpFailure::protocol(Method::GET, url, "something else than a metadata server answers"));
        }
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(HttpFailure::from_response(Method::GET, response).await),
        }
        let body = http::read_limited(response, ANSWER_MAX_BYTES).await;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| HttpFailure::protocol(Method::GET, url, "the answer holds no token"))?;
        let life = answer.expires_in.map(Duration::from_secs);
        Ok(Some(AccessToken { value: answer.access_token.into(), life, origin: self.origin() }))
    }
}
