//! Gets access tokens from the metadata server of a machine in Google Cloud, a pod in GKE, or a step in Cloud Build.

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

/// Addresses of the server. The fixed address comes first, because the resolution of an unknown name may take long.
/// Machines with IPv6 only have the name alone.
const DEFAULT_HOSTS: [&str; 2] = ["169.254.169.254", quirks::GOOGLE_METADATA_HOST];
/// Path of the access token of the machine's default service account.
const TOKEN_PATH: &str = "computeMetadata/v1/instance/service-accounts/default/token";
/// Time limit of a connection: the server is near, and most machines have none.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// Time limit of an answer. GKE's server fetches a token before it answers.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// Number of tries at a server that exists and is busy, as GKE's is for a while after the start of a pod.
const TRIES: u32 = 5;
/// Upper bound of the wait before the second try.
const RETRY_BASE: Duration = Duration::from_millis(250);
/// Largest answer that is read, in bytes.
const ANSWER_MAX_BYTES: usize = 1 << 20;

/// The client of Google's metadata server.
#[derive(Debug)]
pub(super) struct MetadataServer {
    /// The server that the user names. It must answer.
    named: Option<String>,
    /// Hosts that are tried when the user names no server.
    usual: Vec<String>,
    /// The host among `usual` that gave a token. From then on a failure of this host is an error: otherwise a short
    /// outage would make a long push continue anonymously.
    proven: OnceLock<String>,
    /// Uses no proxy and follows no redirect.
    client: reqwest::Client,
    /// Tries at a server that exists.
    retry: RetryPolicy,
}

/// The server's answer: the token, and the rest of its lifetime in seconds.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<u64>,
}

impl MetadataServer {
    /// Makes the client of the server, which never uses a proxy.
    ///
    /// # Errors
    /// When TLS can't be set up.
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

    /// Returns the origin of the token, for messages.
    pub(super) fn origin(&self) -> String {
        format!("metadata server `{}`", self.named.as_deref().unwrap_or(DEFAULT_HOSTS[1]))
    }

    /// Returns the token of the machine's default account; `None` if the machine has no metadata server or no account.
    ///
    /// # Errors
    /// [`KeychainError::Google`] when a server that is known to exist gives no token.
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
                // No server answers, or a server that is no metadata server.
                Err(failure) if failure.status.is_none() => {
                    tracing::debug!(host, %failure, "no metadata server");
                }
                Err(failure) => return Err(self.failed(&failure)),
            }
        }
        Ok(None)
    }

    /// Returns the host that must answer: the one that the user names, or the one that gave a token before.
    fn known(&self) -> Option<&String> {
        self.named.as_ref().or_else(|| self.proven.get())
    }

    /// Returns the URL of the token at `host`.
    ///
    /// # Errors
    /// When `host` is not written `HOST` or `HOST:PORT`.
    fn url(&self, host: &str) -> Result<Url, KeychainError> {
        format!("http://{host}/{TOKEN_PATH}").parse().map_err(|_| KeychainError::Google {
            origin: self.origin(),
            reason: "is not written HOST or HOST:PORT".to_owned(),
            passing: false,
        })
    }

    /// Makes the keychain's error of an HTTP failure.
    fn failed(&self, failure: &HttpFailure) -> KeychainError {
        let cause = failure.cause.as_ref().map(|cause| format!(" ({})", text::chain(cause))).unwrap_or_default();
        let (reason, passing) = (format!("{failure}{cause}"), failure.is_retryable());
        KeychainError::Google { origin: self.origin(), reason, passing }
    }

    /// Asks the server for a token, and retries when a server is there: one that has answered, or one that must answer.
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

    /// Asks the server for a token once; `None` after a 404, which means that the machine has no account. The header
    /// `Metadata-Flavor` shows that the server is Google's metadata server.
    async fn ask_once(&self, url: &Url) -> Result<Option<AccessToken>, HttpFailure> {
        let request = self.client.get(url.clone()).header("metadata-flavor", "Google");
        let sending = http::log::answered(http::log::request(&Method::GET, url, 1, 0), request.send());
        let response = sending.await.map_err(|error| HttpFailure::transport(Method::GET, url, error))?;
        let genuine = http::header(&response, "metadata-flavor").is_some_and(|flavor| flavor == "Google");
        if self.known().is_none() && !genuine {
            // A router or a captive portal may answer every request.
            return Err(HttpFailure::protocol(Method::GET, url, "the server that answers is not a metadata server"));
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
