//! From a challenge to an `Authorization` header: Basic, or a token from the registry's token server
//! (distribution's token specification).

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, Url, header::HeaderValue};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{
    error::RegistryError,
    keychain::{Credential, Keychain},
    place,
};
use crate::{
    ImageRef,
    http::{HttpFailure, Secret},
};

/// Life of a token whose server does not say (token specification).
const DEFAULT_LIFE: Duration = Duration::from_mins(1);
/// A token with less left is not begun with.
const LEAST_LEFT: Duration = Duration::from_secs(15);
const CLIENT_ID: &str = "modelcar";

/// What the registry asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

#[derive(Debug, Clone)]
struct Token {
    value: Secret,
    good_until: Instant,
}

/// The state of the login at one repository.
#[derive(Debug, Default)]
struct State {
    challenge: Option<Challenge>,
    tokens: BTreeMap<String, Token>,
}

/// Makes `Authorization` headers for one repository.
#[derive(Debug)]
pub(super) struct Auth {
    image: ImageRef,
    keychain: Arc<dyn Keychain>,
    client: reqwest::Client,
    state: Mutex<State>,
}

impl Auth {
    pub(super) fn new(image: ImageRef, keychain: Arc<dyn Keychain>, client: reqwest::Client) -> Self {
        Self { image, keychain, client, state: Mutex::default() }
    }

    /// Returns the header for requests in `scope`, or `None` before any challenge. The lock is held while a token is
    /// fetched, so that many layers ask for one token together.
    pub(super) async fn header(&self, scope: &str) -> Result<Option<HeaderValue>, RegistryError> {
        let mut state = self.state.lock().await;
        let Some(challenge) = state.challenge.clone() else { return Ok(None) };
        if let Some(token) = state.tokens.get(scope)
            && token.good_until > Instant::now()
        {
            return Ok(secret_header(&format!("Bearer {}", token.value.expose())));
        }
        let credential = self.credential().await?;
        match (&challenge, credential) {
            (_, Credential::RegistryToken(token)) => Ok(secret_header(&format!("Bearer {}", token.expose()))),
            (Challenge::Basic, Credential::Basic { username, password }) => Ok(basic(&username, &password)),
            (Challenge::Basic, _) => Ok(None),
            (Challenge::Bearer { realm, service }, credential) => {
                let token = self.fetch(realm, service.as_deref(), scope, &credential).await?;
                let header = secret_header(&format!("Bearer {}", token.value.expose()));
                state.tokens.insert(scope.to_owned(), token);
                Ok(header)
            }
        }
    }

    /// Takes note of a 401: forgets the tokens and learns the challenge. Returns whether another try makes sense.
    pub(super) async fn challenged(&self, base: &Url, headers: &[String]) -> Result<bool, RegistryError> {
        let Some(challenge) = choose(base, headers).map_err(|(place, reason)| RegistryError::RefusedPlace {
            repository: self.repository(),
            place,
            reason,
        })?
        else {
            return Ok(false);
        };
        if let Challenge::Bearer { realm, .. } = &challenge {
            let refused =
                |(place, reason)| RegistryError::RefusedPlace { repository: self.repository(), place, reason };
            place::check_addresses(base, realm).await.map_err(refused)?;
        }
        let mut state = self.state.lock().await;
        state.tokens.clear();
        state.challenge = Some(challenge);
        Ok(true)
    }

    fn repository(&self) -> String {
        format!("{}/{}", self.image.registry(), self.image.repository())
    }

    async fn credential(&self) -> Result<Credential, RegistryError> {
        let registry = self.image.registry().to_owned();
        self.keychain.resolve(&self.image).await.map_err(|source| RegistryError::Keychain { registry, source })
    }

    async fn fetch(
        &self,
        realm: &Url,
        service: Option<&str>,
        scope: &str,
        credential: &Credential,
    ) -> Result<Token, RegistryError> {
        let begun = Instant::now();
        if let Credential::IdentityToken(token) = credential {
            let mut form = vec![
                ("grant_type", "refresh_token"),
                ("client_id", CLIENT_ID),
                ("scope", scope),
                ("refresh_token", token.expose()),
            ];
            form.extend(service.map(|service| ("service", service)));
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            let request =
                self.client.post(realm.clone()).header("content-type", "application/x-www-form-urlencoded").body(body);
            return self.token(request, Method::POST, realm, begun).await;
        }
        let mut url = realm.clone();
        {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(service.map(|service| ("service", service)));
            // "scope … is specified multiple times if there is more than one" (distribution's token specification).
            query.extend_pairs(scope.split(' ').map(|scope| ("scope", scope)));
        }
        let mut request = self.client.get(url);
        if let Credential::Basic { username, password } = credential
            && let Some(header) = basic(username, password)
        {
            request = request.header("authorization", header);
        }
        self.token(request, Method::GET, realm, begun).await
    }

    async fn token(
        &self,
        request: reqwest::RequestBuilder,
        method: Method,
        realm: &Url,
        begun: Instant,
    ) -> Result<Token, RegistryError> {
        let failed = |failure| RegistryError::Request {
            act: format!("get a token from `{}`", realm.host_str().unwrap_or("?")),
            repository: self.repository(),
            source: Box::new(failure),
        };
        let response = request
            .timeout(Duration::from_mins(1))
            .send()
            .await
            .map_err(|error| failed(HttpFailure::transport(method.clone(), realm, error)))?;
        if !response.status().is_success() {
            return Err(failed(HttpFailure::from_response(method, response).await));
        }
        let unusable = || failed(HttpFailure::protocol(method.clone(), realm, "the answer holds no token"));
        let body = crate::http::read_limited(response, 1 << 20).await;
        let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|_| unusable())?;
        let value = answer.token.or(answer.access_token).filter(|token| !token.is_empty()).ok_or_else(unusable)?;
        let life = answer.expires_in.map_or(DEFAULT_LIFE, Duration::from_secs);
        // Half of its life, so that a long request begins with a young token.
        let usable = (life / 2).max(life.saturating_sub(LEAST_LEFT).min(LEAST_LEFT));
        Ok(Token { value: value.into(), good_until: begun + usable })
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

fn basic(username: &str, password: &Secret) -> Option<HeaderValue> {
    secret_header(&format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.expose()))))
}

fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Chooses among the challenges of all `WWW-Authenticate` headers: Bearer before Basic.
pub(super) fn choose(base: &Url, headers: &[String]) -> Result<Option<Challenge>, (String, &'static str)> {
    let mut basic = None;
    for header in headers {
        for challenge in http_auth::parse_challenges(header).unwrap_or_default() {
            let param = |name: &str| {
                let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = param("realm")
            {
                let realm = place::follow(base, &realm)?;
                return Ok(Some(Challenge::Bearer { realm, service: param("service") }));
            }
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
        }
    }
    Ok(basic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_goes_before_basic_and_a_realm_must_be_safe() {
        let base: Url = "https://r.io/v2/".parse().unwrap();
        let choose = |headers: &[&str]| choose(&base, &headers.iter().map(ToString::to_string).collect::<Vec<_>>());
        let realm: Url = "https://auth.r.io/token".parse().unwrap();
        let bearer = Challenge::Bearer { realm, service: Some("r.io".into()) };
        let header = r#"Bearer realm="https://auth.r.io/token",service="r.io",scope="repository:a:pull""#;
        assert_eq!(choose(&[r#"Basic realm="x""#, header]), Ok(Some(bearer.clone())));
        assert_eq!(choose(&[&format!(r#"Basic realm="x", {header}"#)]), Ok(Some(bearer)));
        assert_eq!(choose(&[r#"Basic realm="x""#]), Ok(Some(Challenge::Basic)));
        assert_eq!(choose(&["Negotiate", ""]), Ok(None));
        assert!(choose(&[r#"Bearer realm="http://auth.r.io/t""#]).is_err());
        assert!(choose(&[r#"Bearer realm="https://169.254.169.254/t""#]).is_err());
    }
}
