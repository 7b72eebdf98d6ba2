//! Turns an answer that is neither a success nor a redirect into an error that names the server and the cause.

use reqwest::{Method, Response, StatusCode, Url};
use tokio::time::timeout;

use super::{
    address::host,
    api::{Asked, Hub, Subject},
    rate_limit::rate_limit_wait,
};
use crate::{
    error::ModelcarError,
    http::{HttpFailure, header, in_query, of_login},
    source::{Answerer, GateReason, SourceError, TokenUse, ranged::Fault},
};

impl Hub {
    /// Reads an answer that is neither a success nor a redirect, and returns the error with the time to wait before a
    /// retry.
    pub(super) async fn refusal(&self, response: Response, asked: &Asked<'_>) -> Fault {
        let told = header(&response, "ratelimit").filter(|_| response.status() == StatusCode::TOO_MANY_REQUESTS);
        let (url, status) = (response.url().clone(), response.status());
        let secrets = self.secrets(&url);
        let read = HttpFailure::from_masked(Method::GET, response, &secrets);
        let failure = match timeout(self.stall, read).await {
            Ok(failure) => failure,
            Err(_) => HttpFailure {
                status: Some(status),
                ..HttpFailure::protocol(Method::GET, &url, "the answer has no body")
            },
        };
        let wait = failure.retry_after.or_else(|| rate_limit_wait(&told?));
        let transient = failure.is_retryable();
        Fault { error: self.meaning(&url, failure, asked), transient, wait }
    }

    /// Returns the error that an answer means. The Hub sends an error code in a header. A mirror may send the status
    /// alone. The status of a store or proxy says nothing about the model.
    fn meaning(&self, url: &Url, failure: HttpFailure, asked: &Asked<'_>) -> SourceError {
        let by = self.answerer_of(url, &failure);
        if !by.knows_models() {
            return self.http(url, failure, asked);
        }
        let (repo, token) = (asked.repo.to_owned(), self.token_use(url));
        let status = failure.status.map(|status| status.as_u16());
        let bad_token = failure.message.as_ref().is_some_and(|text| text.starts_with("Invalid credentials"));
        match (failure.code.as_deref(), status) {
            _ if bad_token => self.http(url, failure, asked),
            (Some("GatedRepo"), _) => {
                let reason = GateReason::read(failure.message.as_deref().unwrap_or_default());
                SourceError::Gated { repo, reason, token, source: Some(failure.into()) }
            }
            (Some("RevisionNotFound"), _) => {
                let revision = asked.revision.to_owned();
                SourceError::RevisionNotFound { repo, revision, source: Some(failure.into()) }
            }
            (Some("RepoNotFound"), _) => {
                SourceError::RepositoryNotFound { repo, by, token, source: Some(failure.into()) }
            }
            (None, Some(404)) if asked.subject == Subject::Model => {
                SourceError::RepositoryNotFound { repo, by, token, source: Some(failure.into()) }
            }
            (None, Some(401)) if token != TokenUse::Sent => {
                SourceError::RepositoryNotFound { repo, by, token, source: Some(failure.into()) }
            }
            _ => self.http(url, failure, asked),
        }
    }

    /// Returns which server gave the answer: the server at `url`, or a proxy that demands a login (status 407).
    fn answerer_of(&self, url: &Url, failure: &HttpFailure) -> Answerer {
        match failure.status {
            Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED) => Answerer::Proxy(host(url).into()),
            _ => self.endpoint.answerer(url),
        }
    }

    /// Returns what became of the token in a request to `url`.
    fn token_use(&self, url: &Url) -> TokenUse {
        match (&self.token, &self.token_problem) {
            (Some(_), _) if self.endpoint.is_own(url) => TokenUse::Sent,
            (Some(_), _) => TokenUse::Withheld { refused: host(url) },
            (None, Some(why)) => TokenUse::Unreadable(why.clone()),
            (None, None) => TokenUse::Absent,
        }
    }

    /// Returns the secrets that are masked in the text of an answer: the token, and values of the URL's query, such as
    /// a signature.
    fn secrets(&self, url: &Url) -> Vec<String> {
        let token = self.token.as_ref().and_then(|value| value.to_str().ok()).map(of_login);
        token.into_iter().flatten().chain(in_query(url)).collect()
    }

    /// The error of an answer that breaks the protocol.
    pub(super) fn protocol(&self, url: &Url, asked: &Asked<'_>, message: impl Into<String>) -> SourceError {
        self.http(url, HttpFailure::protocol(Method::GET, url, message), asked)
    }

    /// The error of a request that got no answer.
    pub(super) fn transport(&self, url: &Url, asked: &Asked<'_>, cause: reqwest::Error) -> SourceError {
        self.http(url, HttpFailure::transport(Method::GET, url, cause), asked)
    }

    fn http(&self, url: &Url, failure: HttpFailure, asked: &Asked<'_>) -> SourceError {
        SourceError::Http {
            what: asked.what.to_owned(),
            by: self.answerer_of(url, &failure),
            token: self.token_use(url),
            source: Box::new(failure),
        }
    }
}
