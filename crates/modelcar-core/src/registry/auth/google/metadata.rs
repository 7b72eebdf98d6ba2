//! The metadata server of a machine in Google Cloud, of a pod in GKE, of a step in Cloud Build.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::access_token::AccessToken;
use crate::{
    error::ModelcarError,
    http::{self, HttpFailure, Network},
    progress::NoProgress,
    registry::{error::KeychainError, quirks},
    retry::RetryPolicy,
    text,
};

/// Addresses of the server, the fixed one first: a name may take long to be not found. Machines with IPv6 alone have
/// only the name.
const DEFAULT_HOSTS: [&str; 2] = ["169.254.169.254", quirks::GOOGLE_METADATA_HOST];
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
    /// Where it is looked for when none is named.
    usual: Vec<String>,
    /// The one of these that gave a token, which has to be there from then on: a push that takes hours must not become
    /// nobody's by a moment of silence.
    proven: OnceLock<String>,
    client: reqwest::Client,
    retry: RetryPolicy,
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
        let usual = DEFAULT_HOSTS.map(str::to_owned).into();
        let retry = RetryPolicy::new(TRIES, RETRY_BASE, Arc::new(NoProgress));
        Ok(Self { named: named.map(str::to_owned), usual, proven: OnceLock::new(), client, retry })
    }

    pub(super) fn origin(&self) -> String {
        format!("metadata server `{}`", self.named.as_deref().unwrap_or(DEFAULT_HOSTS[1]))
    }

    /// Returns the token of the machine's default account; `None` when this is no machine of Google's or it has no
    /// account.
    pub(super) async fn token(&self) -> Result<Option<AccessToken>, KeychainError> {
        if let Some(host) = self.known() {
            return self.ask(&self.url(host)?).await.map_err(|failure| self.failed(&failure));
        }
        for host in &self.usual {
            match self.ask(&self.url(host)?).await {
                Ok(Some(token)) => {
                    let _another_was_first = self.proven.set(host.clone());
                    return Ok(Some(token));
                }
                Ok(None) => return Ok(None),
                // Nobody is there, or somebody who is no metadata server.
                Err(failure) if failure.status.is_none() => {
                    tracing::debug!(host, %failure, "no metadata server");
                }
                Err(failure) => return Err(self.failed(&failure)),
            }
        }
        Ok(None)
    }

    fn known(&self) -> Option<&String> {
        self.named.as_ref().or_else(|| self.proven.get())
    }

    fn url(&self, host: &str) -> Result<Url, KeychainError> {
        format!("http://{host}/{TOKEN_PATH}").parse().map_err(|_| KeychainError::Google {
            origin: self.origin(),
            reason: "is not written HOST or HOST:PORT".to_owned(),
            passing: false,
        })
    }

    fn failed(&self, failure: &HttpFailure) -> KeychainError {
        let cause = failure.cause.as_ref().map(|cause| format!(" ({})", text::chain(cause))).unwrap_or_default();
        let (reason, passing) = (format!("{failure}{cause}"), failure.is_retryable());
        KeychainError::Google { origin: self.origin(), reason, passing }
    }

    async fn ask(&self, url: &Url) -> Result<Option<AccessToken>, HttpFailure> {
        let mut attempt = 1;
        loop {
            let failure = match self.ask_once(url).await {
                Ok(token) => return Ok(token),
                Err(failure) => failure,
            };
            let is_there = failure.status.is_some() || self.known().is_some();
            if !is_there || !self.retry.next_attempt("ask the metadata server", attempt, Duration::ZERO, &failure).await
            {
                return Err(failure);
            }
            attempt += 1;
        }
    }

    async fn ask_once(&self, url: &Url) -> Result<Option<AccessToken>, HttpFailure> {
        let request = self.client.get(url.clone()).header("metadata-flavor", "Google");
        let sending = http::log::answered(http::log::request(&Method::GET, url, 1, 0), request.send());
        let response = sending.await.map_err(|error| HttpFailure::transport(Method::GET, url, error))?;
        let genuine = http::header(&response, "metadata-flavor").is_some_and(|flavor| flavor == "Google");
        if self.known().is_none() && !genuine {
            // A router or a hotel's portal that answers everything.
            return Err(HttpFailure::protocol(Method::GET, url, "something else than a metadata server answers"));
        }
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(HttpFailure::from_response(Method::GET, response).await),
        }
        let body = http::read_limited(response, ANSWER_MAX_BYTES).await;
        let body = body.map_err(|error| HttpFailure::transport(Method::GET, url, error))?;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| HttpFailure::protocol(Method::GET, url, "the answer holds no token"))?;
        let life = answer.expires_in.map(Duration::from_secs);
        Ok(Some(AccessToken { value: answer.access_token.into(), life, origin: self.origin() }))
    }
}

#[cfg(feature = "workspace-tests")]
#[cfg(test)]
mod tests {
    use modelcar_testkit::FakeGoogle;

    use super::*;

    #[tokio::test]
    async fn a_server_that_gave_a_token_is_not_taken_for_missing() {
        let google = FakeGoogle::start_blocking(Duration::from_hours(1));
        let mut server = MetadataServer::new(None).unwrap();
        server.usual = vec![google.host()];
        assert!(server.token().await.unwrap().is_some());
        // It answers in a way that would not have shown what it is.
        google.fail(2);
        assert!(server.token().await.unwrap().is_some());
        drop(google);
        // It stops in its own time.
        let error = loop {
            match server.token().await {
                Ok(Some(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                other => break other.unwrap_err(),
            }
        };
        assert!(matches!(error, KeychainError::Google { passing: true, .. }), "{error:?}");
    }
}
