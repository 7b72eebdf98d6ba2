//! One request to a repository: its credentials, the answer to a challenge, warnings of the registry, retries.

use std::sync::PoisonError;

use bytes::Bytes;
use reqwest::{
    Method, Response, StatusCode, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use tokio::time::{Instant, timeout};

use super::{auth::keychain::Refused, error::RegistryError, quirks, redirect, repository::Inner};
use crate::{
    http::{self, HttpFailure},
    progress::Event,
    retry::Failure,
    text,
};

/// Largest number of distinct warnings that are passed on, because a server can send any number of them.
const WARNINGS_MAX: usize = 16;
/// Forms of logins that are remembered: the last few tokens.
const SPOKEN_MAX: usize = 32;
/// Largest number of times that one request is sent again with another login: after the first challenge, after an
/// expired token, after a refused login.
const CHALLENGES_MAX: u32 = 4;

/// The login that a request was sent with, kept in the extensions of its response.
#[derive(Debug, Clone)]
struct SentLogin(HeaderValue);

/// The permission with which a request is sent.
///
/// A push looks for blobs with [`Access::Push`], so that look-ups and uploads share one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read the repository.
    Pull,
    /// Read and write the repository.
    Push,
}

/// The scope of the token that a request needs (distribution's token specification).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope<'a> {
    /// Read the repository.
    Pull,
    /// Read and write the repository.
    Push,
    /// Read the repository and delete its manifests.
    Delete,
    /// Write this repository, and read the named repository of the same registry.
    Mount(&'a str),
}

impl From<Access> for Scope<'_> {
    fn from(access: Access) -> Self {
        match access {
            Access::Pull => Self::Pull,
            Access::Push => Self::Push,
        }
    }
}

impl Inner {
    /// Returns the target of a response's `Location`, relative to `from`, if the redirect policy allows the target.
    ///
    /// # Errors
    /// [`RegistryError::Protocol`] without a `Location`, [`RegistryError::RefusedRedirect`] when the policy refuses the
    /// target.
    pub(super) async fn follow(&self, from: &Url, act: &str, response: &Response) -> Result<Url, RegistryError> {
        let location =
            http::header(response, "location").ok_or_else(|| self.protocol(act, "the answer has no `Location`"))?;
        let refused = |(host, reason)| RegistryError::RefusedRedirect { repository: self.name(), host, reason };
        let target = redirect::follow(from, &location).map_err(refused)?;
        redirect::check_addresses(self.base().await, &target).await.map_err(refused)?;
        Ok(target)
    }

    /// Returns the credentials for a request to `url` as headers. The headers are empty when `url` is not of the
    /// registry's own origin, or when the registry has sent no challenge yet. A keychain that fails for a while is
    /// asked again.
    ///
    /// # Errors
    /// When no credentials are found, all credentials are refused, or the keychain or the token server fails.
    pub(super) async fn authorization(&self, scope: Scope<'_>, url: &Url) -> Result<HeaderMap, RegistryError> {
        let mut headers = HeaderMap::new();
        if redirect::same_origin(self.base().await, url) {
            let path = |repository| quirks::api_repository(self.image.registry(), repository);
            let here = path(self.image.repository());
            let scope = match scope {
                Scope::Pull => format!("repository:{here}:pull"),
                Scope::Push => format!("repository:{here}:pull,push"),
                Scope::Delete => format!("repository:{here}:pull,delete"),
                Scope::Mount(from) => format!("repository:{here}:pull,push repository:{}:pull", path(from)),
            };
            let mut attempt = 1;
            let login = loop {
                let begun = Instant::now();
                match self.auth.header(&scope).await {
                    Err(RegistryError::Keychain { source, .. })
                        if self.retry.next_attempt("find a login", attempt, begun.elapsed(), &source).await =>
                    {
                        attempt += 1;
                    }
                    result => break result?,
                }
            };
            self.note_sent(login.as_ref());
            headers.extend(login.map(|value| (AUTHORIZATION, value)));
        }
        Ok(headers)
    }

    /// Reports the warnings in a response and stores the challenge of a 401, or that of `/v2/` if a refusal has none. Returns whether the request is worth
    /// sending again with another token or other credentials. A challenge from another origin is ignored.
    ///
    /// # Errors
    /// When the challenge names a token server that must not be asked, or an anonymous token lacks the permission.
    pub(super) async fn learn(&self, url: &Url, response: &Response) -> Result<bool, RegistryError> {
        for warning in values(response, "warning") {
            self.warn(&warning);
        }
        if !redirect::same_origin(self.base().await, url) {
            return Ok(false);
        }
        let challenges = values(response, "www-authenticate");
        let used = response.extensions().get::<SentLogin>().map(|SentLogin(header)| header);
        let may_hide =
            matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
        if may_hide && used.is_none() && challenges.is_empty() && self.ask_for_challenge().await? {
            return Ok(true);
        }
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(false);
        }
        self.auth.challenged(self.base().await, &challenges, used).await
    }

    /// Asks `/v2/` for the challenge that a repository did not send, once and only if there is a login. Some registries
    /// and proxies ask for a login there alone, because other clients begin with this request (distribution-spec
    /// "Determining Support"). Returns whether there is a challenge.
    ///
    /// # Errors
    /// When the challenge names a token server that must not be asked.
    async fn ask_for_challenge(&self) -> Result<bool, RegistryError> {
        let asking = async {
            // A keychain that fails is told of when its login is needed.
            if !matches!(self.keychain.resolve(&self.image, &Refused::default()).await, Ok(Some(_))) {
                return Ok(false);
            }
            let mut url = self.base().await.clone();
            url.set_path("/v2/");
            let request = self.clients.to(&url).get(url.clone()).timeout(self.options.answer_timeout);
            let span = http::log::request(&Method::GET, &url, 1, 0);
            match http::log::answered(span, request.send()).await {
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => {
                    self.auth.challenged(self.base().await, &values(&answer, "www-authenticate"), None).await
                }
                _ => Ok(false),
            }
        };
        // Rare, so the future of every other request need not have room for it.
        Box::pin(self.root_asks.get_or_try_init(|| asking)).await.copied()
    }

    /// Takes note of a login that is sent, so that no text of the registry can repeat it.
    fn note_sent(&self, login: Option<&HeaderValue>) {
        let Some(login) = login.and_then(|login| login.to_str().ok()) else { return };
        let forms = http::of_login(login);
        let mut spoken = self.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        if !forms.iter().all(|form| spoken.contains(form)) {
            spoken.extend(forms);
            let over = spoken.len().saturating_sub(SPOKEN_MAX);
            spoken.drain(..over);
        }
    }

    fn spoken(&self) -> Vec<String> {
        self.spoken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the failure of an answer with an unexpected status, with the logins masked that were sent.
    pub(super) async fn failure(&self, method: Method, response: Response) -> HttpFailure {
        HttpFailure::from_masked(method, response, &self.spoken()).await
    }

    /// Reports the text of a `Warning` header, unless it was reported before. The text of the header stands in quotes
    /// after a code and an agent (distribution-spec "Warnings").
    fn warn(&self, warning: &str) {
        let spoken = self.spoken();
        let warning = http::mask(warning, spoken.iter().map(String::as_str));
        let text = text::excerpt(warning.split('"').nth(1).unwrap_or(&warning));
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = warned.len() < WARNINGS_MAX && warned.insert(text.clone());
        drop(warned);
        if is_new {
            self.progress.report(&Event::Warning { message: format!("{} says: {text}", self.image.registry()) });
        }
    }

    /// Sends a request whose body, if any, is small. `act` names the request in errors and in the log.
    ///
    /// The request is sent again with other credentials after a challenge, and after a backoff when the failure may
    /// pass. The caller judges the status of the response: success, a redirect and a refusal that is not temporary are
    /// all returned.
    ///
    /// # Errors
    /// [`RegistryError::Request`] after the last try; otherwise as `authorization` and `learn`.
    pub(super) async fn send(
        &self,
        act: &str,
        scope: Scope<'_>,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Response, RegistryError> {
        let mut challenges = 0;
        let mut attempt = 1;
        loop {
            let login = self.authorization(scope, url).await?;
            let begun = Instant::now();
            let sent_login = login.get(AUTHORIZATION).cloned();
            let mut request = self.clients.to(url).request(method.clone(), url.clone()).headers(headers.clone());
            request = request.headers(login);
            request = match (&body, &method) {
                (Some(bytes), _) => request.body(bytes.clone()),
                // Some servers refuse a POST or PUT without `Content-Length` (411).
                (None, &Method::POST | &Method::PUT) => request.header("content-length", 0),
                (None, _) => request,
            };
            let span = http::log::request(&method, url, attempt, body.as_ref().map_or(0, |body| body.len() as u64));
            let sending = http::log::answered(span, request.send());
            let mut answer = timeout(self.options.answer_timeout, sending).await;
            if let (Ok(Ok(response)), Some(login)) = (&mut answer, sent_login) {
                response.extensions_mut().insert(SentLogin(login));
            }
            let failure = match answer {
                Ok(Ok(response)) if self.learn(url, &response).await? && challenges < CHALLENGES_MAX => {
                    challenges += 1;
                    tracing::debug!(act, "sending the request again with another login");
                    continue;
                }
                Ok(Ok(response)) if !http::is_transient(response.status()) => return Ok(response),
                Ok(Ok(response)) => self.failure(method.clone(), response).await,
                Ok(Err(error)) => HttpFailure::transport(method.clone(), url, error),
                Err(_) => HttpFailure::silent(method.clone(), url, self.options.answer_timeout),
            };
            let tried = Failure::from(&failure).outage(failure.is_outage());
            if !self.retry.next_attempt(act, attempt, begun.elapsed(), tried).await {
                return Err(self.failed(act, failure));
            }
            attempt += 1;
        }
    }
}

/// Returns all values of a header that are text.
fn values(response: &Response, name: &str) -> Vec<String> {
    let values = response.headers().get_all(name).iter();
    values.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
}
