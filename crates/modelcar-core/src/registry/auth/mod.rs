//! Logs in to one repository: decides when to get a token, which credentials to use, and what a refusal means.
//!
//! Requests are sent without credentials until the registry answers 401 with a challenge. From then on each request
//! carries a bearer token of the token server that the challenge names, or the credentials themselves (`Basic`).

pub(super) mod challenge;
pub(super) mod docker_config;
pub(super) mod google;
mod helper;
pub(super) mod keychain;
pub(super) mod token;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{Method, Url, header::HeaderValue};
use tokio::sync::Mutex;

use self::{
    challenge::Challenge,
    keychain::{Credential, Keychain, Login, Refused},
    token::{Token, TokenServer, basic_header, secret_header},
};
use super::{error::RegistryError, redirect};
use crate::{ImageRef, http::HttpFailure};

/// How long credentials that are sent without a token server are kept, so that helpers and metadata servers are not
/// asked for every request.
const DIRECT_KEPT: Duration = Duration::from_secs(30);

/// Makes `Authorization` headers for one repository.
#[derive(Debug)]
pub(super) struct Auth {
    /// The image whose registry and repository the headers are for.
    image: ImageRef,
    /// `https://HOST/v2/REPOSITORY/`, for errors.
    base: Url,
    /// Finds the credentials.
    keychain: Arc<dyn Keychain>,
    /// The client of token servers.
    server: TokenServer,
    /// What is known so far. The lock is held during requests for a token.
    state: Mutex<State>,
}

/// What is known about the login to one repository.
#[derive(Debug, Default)]
struct State {
    /// The challenge that the registry sent last; `None` before the first one.
    challenge: Option<Challenge>,
    /// Tokens by scope.
    tokens: BTreeMap<String, Token>,
    /// Credentials that are sent to the registry without a token server, and their header.
    direct: Option<(Login, Token)>,
    /// Credentials that were refused. The keychain does not offer them again.
    refused: Refused,
    /// Whether tokens are requested for the scopes of the challenge, because a fresh token for the client's own scope
    /// was refused.
    stated_scopes: bool,
    /// Kind and origin of the credentials that gave the newest header.
    used: Option<String>,
    /// Origin of the credentials that were sent without a token server and refused by the registry.
    refused_at_once: Option<String>,
}

impl Auth {
    /// Makes the headers for the repository of `image`, whose endpoints are below `base`.
    pub(super) fn new(image: ImageRef, base: Url, keychain: Arc<dyn Keychain>, server: TokenServer) -> Self {
        Self { image, base, keychain, server, state: Mutex::default() }
    }

    /// Returns the header for requests in `scope`, or `None` before the first challenge. The lock is held while a token
    /// is fetched, so that many layers wait for one token.
    ///
    /// Credentials that are refused are followed by the next ones of the keychain. A client whose credentials are all
    /// refused does not continue anonymously.
    ///
    /// # Errors
    /// [`RegistryError::NoLogin`] when the keychain has no credentials and anonymous requests are refused,
    /// [`RegistryError::LoginRefused`] when all credentials are refused, [`RegistryError::Keychain`] when the keychain
    /// fails, [`RegistryError::Request`] when the token server fails.
    pub(super) async fn header(&self, scope: &str) -> Result<Option<HeaderValue>, RegistryError> {
        let mut state = self.state.lock().await;
        let Some(challenge) = state.challenge.clone() else { return Ok(None) };
        let direct = state.direct.as_ref().map(|(_, token)| token);
        if let Some(token) = state.tokens.get(scope).or(direct).filter(|token| token.good_until > Instant::now()) {
            return Ok(Some(token.header.clone()));
        }
        let mut refusal = None;
        while let Some(login) = self.resolve(&state.refused).await? {
            match self.use_login(&mut state, &challenge, scope, &login).await {
                Ok(header) => {
                    state.used = Some(login.describe());
                    return Ok(Some(header));
                }
                Err(failure) if token::is_refusal(&failure) || !fits(&challenge, &login.credential) => {
                    state.refused.add(login.credential);
                    refusal = Some((login.origin, Some(Box::new(failure))));
                }
                Err(failure) => return Err(self.failed(failure)),
            }
        }
        // After a refused login the client must not continue anonymously.
        if let Some((origin, source)) = refusal.or_else(|| state.refused_at_once.take().map(|origin| (origin, None))) {
            state.refused.clear();
            return Err(RegistryError::LoginRefused { registry: self.registry(), origin, source });
        }
        match challenge {
            Challenge::Basic => Err(self.no_login(None)),
            Challenge::Bearer { .. } => match self.fetch(&mut state, &challenge, scope, None).await {
                Ok(header) => Ok(Some(header)),
                Err(failure) if token::is_refusal(&failure) => Err(self.no_login(Some(Box::new(failure)))),
                Err(failure) => Err(self.failed(failure)),
            },
        }
    }

    /// Handles a 401 from `base` for a request that was sent with `used`: drops that token and stores the challenge in
    /// `headers`. Returns whether the request can be sent again with another token or other credentials.
    ///
    /// Without `used` all tokens are dropped, because the refused one is unknown.
    ///
    /// # Errors
    /// [`RegistryError::RefusedRedirect`] when the challenge names a token server that must not be asked,
    /// [`RegistryError::NoLogin`] when a valid anonymous token lacks the permission.
    pub(super) async fn challenged(
        &self,
        base: &Url,
        headers: &[String],
        used: Option<&HeaderValue>,
    ) -> Result<bool, RegistryError> {
        let challenge = Challenge::choose(base, headers).map_err(|refusal| self.refused(refusal))?;
        if let Some(Challenge::Bearer { realm, .. }) = &challenge {
            redirect::check_addresses(base, realm).await.map_err(|refusal| self.refused(refusal))?;
        }
        let mut state = self.state.lock().await;
        // Some proxies drop the challenge when a token has expired; the earlier challenge stays valid.
        state.challenge = challenge.or(state.challenge.take());
        let Some(used) = used else {
            state.tokens.clear();
            state.direct = None;
            return Ok(state.challenge.is_some());
        };
        let meant = |token: &Token| token.header == used;
        let young = |token: &Token| token.good_until > Instant::now();
        // The token server may know the repository by another name.
        let is_fresh = state.tokens.values().any(|token| meant(token) && young(token));
        let anonymous_is_too_little =
            state.tokens.values().any(|token| meant(token) && token.anonymous && young(token));
        state.tokens.retain(|_, token| !meant(token));
        state.stated_scopes |= is_fresh;
        if let Some((login, _)) = state.direct.take_if(|(_, token)| meant(token)) {
            state.refused.add(login.credential);
            state.refused_at_once = Some(login.origin);
        }
        if anonymous_is_too_little { Err(self.no_login(None)) } else { Ok(state.challenge.is_some()) }
    }

    /// Returns the kind and origin of the login that was used last.
    pub(super) async fn used(&self) -> Option<String> {
        self.state.lock().await.used.clone()
    }

    /// Makes the error for a host that the redirect policy refuses.
    fn refused(&self, (host, reason): (String, &'static str)) -> RegistryError {
        let repository = format!("{}/{}", self.image.registry(), self.image.repository());
        RegistryError::RefusedRedirect { repository, host, reason }
    }

    /// Returns the registry, as `host` or `host:port`.
    fn registry(&self) -> String {
        self.image.registry().to_owned()
    }

    /// Makes the error for a keychain without credentials. `source` is the token server's answer, if the server was
    /// asked.
    fn no_login(&self, source: Option<Box<HttpFailure>>) -> RegistryError {
        let places = self.keychain.places(&self.image);
        let looked = if places.is_empty() { "nowhere".to_owned() } else { places.join(", ") };
        RegistryError::NoLogin { registry: self.registry(), looked, source }
    }

    /// Makes the error for a token server that failed.
    fn failed(&self, failure: HttpFailure) -> RegistryError {
        RegistryError::Request {
            act: "get a token".to_owned(),
            repository: format!("{}/{}", self.image.registry(), self.image.repository()),
            source: Box::new(failure),
        }
    }

    /// Asks the keychain for credentials that are not in `refused`.
    async fn resolve(&self, refused: &Refused) -> Result<Option<Login>, RegistryError> {
        let found = self.keychain.resolve(&self.image, refused).await;
        found.map_err(|source| RegistryError::Keychain { registry: self.registry(), source })
    }

    /// Makes the header of credentials and stores it: a bearer token of the token server, or a header that holds the
    /// credentials themselves.
    ///
    /// # Errors
    /// The failure of the token server, or the reason why the credentials don't fit the challenge.
    async fn use_login(
        &self,
        state: &mut State,
        challenge: &Challenge,
        scope: &str,
        login: &Login,
    ) -> Result<HeaderValue, HttpFailure> {
        let header = match (challenge, &login.credential) {
            (_, Credential::RegistryToken(token)) => secret_header(&format!("Bearer {}", token.expose())),
            (Challenge::Bearer { .. }, credential) => {
                return self.fetch(state, challenge, scope, Some(credential)).await;
            }
            (
                Challenge::Basic,
                Credential::Basic { username, password }
                | Credential::IdentityToken { fallback: Some((username, password)), .. },
            ) => basic_header(username, password),
            (Challenge::Basic, Credential::IdentityToken { fallback: None, .. }) => {
                Err("the registry wants a name and a password, and the login is a refresh token")
            }
        };
        let header = header.map_err(|reason| HttpFailure::protocol(Method::GET, &self.base, reason))?;
        let token = Token { header: header.clone(), good_until: Instant::now() + DIRECT_KEPT, anonymous: false };
        state.direct = Some((login.clone(), token));
        Ok(header)
    }

    /// Gets a token from the registry's token server and stores it under `scope`. Without `credential` the token is
    /// anonymous. Scopes that the challenge adds for other repositories are requested after the client's own.
    async fn fetch(
        &self,
        state: &mut State,
        challenge: &Challenge,
        scope: &str,
        credential: Option<&Credential>,
    ) -> Result<HeaderValue, HttpFailure> {
        let Challenge::Bearer { realm, service, more, stated } = challenge else {
            return Err(HttpFailure::protocol(Method::GET, &self.base, "the challenge names no token server"));
        };
        // A scope names a resource and actions. The scope of a mount is two scopes, separated by a space.
        let resource = |scope: &str| scope.rsplit_once(':').map_or(scope, |(resource, _)| resource).to_owned();
        let own: Vec<String> = scope.split(' ').map(resource).collect();
        let foreign = more.iter().filter(|more| !own.contains(&resource(more))).cloned();
        // Servers that read one scope only read the first.
        let first = stated.iter().filter(|_| state.stated_scopes).cloned();
        let mut scopes: Vec<String> = Vec::new();
        for scope in first.chain(scope.split(' ').map(str::to_owned)).chain(foreign) {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        let token = self.server.token(realm, service.as_deref(), &scopes, credential).await?;
        let header = token.header.clone();
        state.tokens.insert(scope.to_owned(), token);
        Ok(header)
    }
}

/// Returns whether a credential can be sent at all: a refresh token alone is no name and password.
fn fits(challenge: &Challenge, credential: &Credential) -> bool {
    !matches!((challenge, credential), (Challenge::Basic, Credential::IdentityToken { fallback: None, .. }))
}

#[cfg(feature = "workspace-tests")]
#[cfg(test)]
mod tests;
