//! The registry's token server (distribution's token specification): exchanges a login for a short-lived bearer token.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION},
};
use serde::Deserialize;
use serde_json::Value;

use super::keychain::Credential;
use crate::{
    http::{self, HttpFailure, Secret},
    registry::{clients::Clients, redirect},
    retry::{Failure, RetryPolicy},
};

/// Lifetime of a token when the server gives none (token specification).
const DEFAULT_LIFE: Duration = Duration::from_mins(1);
/// A token is renewed at half of its lifetime, so that a long request starts with a token that is still valid for long.
/// A short-lived token is used longer, up to this time before it expires.
const LEAST_LEFT: Duration = Duration::from_secs(15);
/// Longest wait for a token.
const ANSWER_PATIENCE: Duration = Duration::from_mins(1);
/// Largest answer that is read, in bytes. Tokens of some registries have several kilobytes.
const ANSWER_MAX_BYTES: usize = 1 << 20;
/// Largest number of redirects of one request.
const REDIRECTS_MAX: usize = 5;
/// The name under which the client introduces itself to token servers (`client_id`).
const CLIENT_ID: &str = "modelcar";

/// A bearer token as a header, and until when requests may start with it.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// `Bearer` and the token, or another value of `Authorization`. Marked as sensitive, so that `Debug` hides it.
    pub(super) header: HeaderValue,
    /// Until when a request may start with the token. The token itself expires later.
    pub(super) good_until: Instant,
    /// Whether the token was requested without a login.
    pub(super) anonymous: bool,
}

/// The client of token servers.
#[derive(Debug)]
pub(in crate::registry) struct TokenServer {
    /// The clients that the registry's requests use, too.
    pub(in crate::registry) clients: Clients,
    /// The retry policy, whose budget the registry's requests share.
    pub(in crate::registry) retry: Arc<RetryPolicy>,
}

/// The answer of a token server. `token` and `access_token` mean the same; a server sends one of them or both.
#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    /// Lifetime in seconds, as a number or as text.
    #[serde(default)]
    expires_in: Value,
}

impl TokenServer {
    /// Gets a token for `scopes`, the most important first: some servers read only the first one.
    ///
    /// A refresh token is exchanged by POST. If the server does not support that, the token is requested by GET with
    /// the name and password that belong to the refresh token. Without `credential` the token is anonymous.
    ///
    /// # Errors
    /// The failure of the last try, with the secrets of `credential` masked. [`is_refusal`] tells refused credentials
    /// from a server that failed.
    pub(super) async fn token(
        &self,
        realm: &Url,
        service: Option<&str>,
        scopes: &[String],
        credential: Option<&Credential>,
    ) -> Result<Token, HttpFailure> {
        let basic = match credential {
            Some(Credential::IdentityToken { token, fallback }) => {
                let exchanged = self.exchange(realm, service, scopes, token).await;
                match (exchanged, fallback) {
                    (Err(failure), Some((username, password))) if knows_no_exchange(&failure) => {
                        Some((username, password))
                    }
                    (result, _) => return result,
                }
            }
            Some(Credential::Basic { username, password }) => Some((username, password)),
            Some(Credential::RegistryToken(_)) | None => None,
        };
        let mut url = realm.clone();
        url.query_pairs_mut()
            .extend_pairs(service.map(|service| ("service", service)))
            .extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
        let authorization = basic.map(|(username, password)| basic_header(username, password)).transpose();
        let authorization = authorization.map_err(|reason| HttpFailure::protocol(Method::GET, realm, reason))?;
        let secrets = basic.map_or_else(Vec::new, |(username, password)| {
            vec![password.expose().to_owned(), form(password.expose()), basic_text(username, password)]
        });
        let asked = self.ask(Method::GET, &url, &secrets, |at| {
            let request = self.clients.to(at).get(at.clone());
            // A login goes to the token server that the challenge names, and to no other.
            match authorization.as_ref().filter(|_| redirect::same_origin(realm, at)) {
                Some(header) => request.header(AUTHORIZATION, header),
                None => request,
            }
        });
        Ok(Token { anonymous: authorization.is_none(), ..asked.await? })
    }

    /// Exchanges a refresh token for a bearer token (RFC 6749, section 6).
    async fn exchange(
        &self,
        realm: &Url,
        service: Option<&str>,
        scopes: &[String],
        token: &Secret,
    ) -> Result<Token, HttpFailure> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", CLIENT_ID)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("refresh_token", token.expose())
            .extend_pairs(service.map(|service| ("service", service)))
            .finish();
        let secrets = [token.expose().to_owned(), form(token.expose())];
        self.ask(Method::POST, realm, &secrets, |at| {
            let content_type = "application/x-www-form-urlencoded";
            self.clients.to(at).post(at.clone()).header(CONTENT_TYPE, content_type).body(body.clone())
        })
        .await
    }

    /// Sends the requests that `request` makes until one succeeds or the retry policy ends. A GET is redirected as the
    /// redirect policy permits. `secrets` are masked in failures, because a server may repeat them in its answer.
    async fn ask(
        &self,
        method: Method,
        from: &Url,
        secrets: &[String],
        request: impl Fn(&Url) -> RequestBuilder,
    ) -> Result<Token, HttpFailure> {
        let (mut attempt, mut hops, mut realm) = (1, 0, from.clone());
        loop {
            let begun = Instant::now();
            let span = http::log::request(&method, &realm, attempt, 0);
            let failure = match http::log::answered(span, request(&realm).timeout(ANSWER_PATIENCE).send()).await {
                Ok(response) if is_redirect(&method, &response) && hops < REDIRECTS_MAX => {
                    realm = redirected(from, &realm, &response).await?;
                    hops += 1;
                    continue;
                }
                Ok(response) if response.status().is_success() => {
                    match http::read_limited(response, ANSWER_MAX_BYTES).await {
                        Ok(body) => {
                            return read(&body, begun).map_err(|reason| HttpFailure::protocol(method, &realm, reason));
                        }
                        Err(error) => HttpFailure::transport(method.clone(), &realm, error),
                    }
                }
                Ok(response) => HttpFailure::from_masked(method.clone(), response, secrets).await,
                Err(error) => HttpFailure::transport(method.clone(), &realm, error),
            };
            let tried = Failure::from(&failure).outage(failure.is_outage());
            if !self.retry.next_attempt("get a token", attempt, begun.elapsed(), tried).await {
                return Err(failure);
            }
            attempt += 1;
        }
    }
}

/// Returns whether an answer sends a GET elsewhere. A POST holds a login in its body and is sent nowhere else.
fn is_redirect(method: &Method, response: &Response) -> bool {
    method == Method::GET && response.status().is_redirection() && response.headers().contains_key(LOCATION)
}

/// Returns where an answer from `at` sends the client, if the redirect policy permits that. `from` is the address that
/// the challenge named, with the request's query.
///
/// # Errors
/// The host, and why the client does not go there.
async fn redirected(from: &Url, at: &Url, response: &Response) -> Result<Url, HttpFailure> {
    let refused = |(host, reason)| {
        HttpFailure::protocol(Method::GET, at, format!("the token server redirects to `{host}`: {reason}"))
    };
    let location = http::header(response, "location").unwrap_or_default();
    let target = redirect::follow(at, &location).map_err(refused)?;
    redirect::check_addresses(from, &target).await.map_err(refused)?;
    Ok(target)
}

/// Returns whether a failure may mean that the server supports no refresh tokens. Servers answer this in many ways.
fn knows_no_exchange(failure: &HttpFailure) -> bool {
    let statuses =
        [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED, StatusCode::UNAUTHORIZED, StatusCode::BAD_REQUEST];
    failure.status.is_some_and(|status| statuses.contains(&status) || status == StatusCode::NOT_IMPLEMENTED)
}

/// Returns whether a failure means that the server refuses the login.
pub(super) fn is_refusal(failure: &HttpFailure) -> bool {
    // RFC 6749 defines 400 for an expired refresh token.
    let statuses = [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
    failure.status.is_some_and(|status| statuses.contains(&status))
}

/// Reads the answer of a token server. `begun` is the start of the request, from which the token's lifetime is counted:
/// the server may have made the token at any time after it.
fn read(body: &[u8], begun: Instant) -> Result<Token, &'static str> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| "the answer is not that of a token server")?;
    let given = |token: Option<String>| token.filter(|token| !token.is_empty());
    let value = given(answer.token).or_else(|| given(answer.access_token)).ok_or("the answer holds no token")?;
    let life = life(&answer.expires_in);
    let usable = (life / 2).max(life.saturating_sub(LEAST_LEFT).min(LEAST_LEFT));
    let header = secret_header(&format!("Bearer {value}"))?;
    Ok(Token { header, good_until: begun + usable, anonymous: false })
}

/// Parses `expires_in`, which some servers write as text and others leave out. The result is more than zero and at most
/// one day.
fn life(expires_in: &Value) -> Duration {
    let seconds = match expires_in {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let told = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).filter(|life| !life.is_zero());
    // A limit of a day keeps sums with a time from overflowing.
    told.unwrap_or(DEFAULT_LIFE).min(Duration::from_hours(24))
}

/// Makes the value of `Authorization` for a name and a password (RFC 7617).
///
/// # Errors
/// The reason why there is no such header.
pub(super) fn basic_header(username: &str, password: &Secret) -> Result<HeaderValue, &'static str> {
    secret_header(&format!("Basic {}", basic_text(username, password)))
}

/// Returns name and password as base64.
fn basic_text(username: &str, password: &Secret) -> String {
    STANDARD.encode(format!("{username}:{}", password.expose()))
}

/// Returns `text` encoded as in a URL-encoded form.
fn form(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Makes a header that neither the HTTP client nor `Debug` prints.
///
/// # Errors
/// The reason, when `text` holds a control character.
pub(super) fn secret_header(text: &str) -> Result<HeaderValue, &'static str> {
    let mut header =
        HeaderValue::from_str(text).map_err(|_| "the token contains a character that an HTTP header can't carry")?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_leniently_and_never_shown() {
        let begun = Instant::now();
        let check = |json: &str, bearer: &str, usable: u64| {
            let token = read(json.as_bytes(), begun).unwrap();
            assert_eq!(token.header, format!("Bearer {bearer}"), "{json}");
            assert_eq!(token.good_until - begun, Duration::from_secs(usable), "{json}");
            assert!(!format!("{token:?}").contains(bearer), "{token:?}");
        };
        check(r#"{"token":"opaque+/=~","expires_in":300}"#, "opaque+/=~", 150);
        check(r#"{"access_token":"aaa","expires_in":3600}"#, "aaa", 1800);
        check(r#"{"token":"ttt","access_token":"aaa","expires_in":60}"#, "ttt", 30);
        check(r#"{"token":"","access_token":"aaa","expires_in":"120"}"#, "aaa", 60);
        check(r#"{"token":null,"access_token":"aaa"}"#, "aaa", 30);
        check(r#"{"token":"ttt","expires_in":0}"#, "ttt", 30);
        check(r#"{"token":"ttt","expires_in":-5}"#, "ttt", 30);
        check(r#"{"token":"ttt","expires_in":20}"#, "ttt", 10);
        check(r#"{"token":"ttt","expires_in":1e300}"#, "ttt", 30);
        check(r#"{"token":"ttt","expires_in":99999999999,"issued_at":"yesterday","more":[]}"#, "ttt", 43200);
        for bad in ["", "[]", "<html>", "{}", r#"{"token":""}"#, r#"{"token":5}"#, "{\"token\":\"a\\nb: c\"}"] {
            assert!(read(bad.as_bytes(), begun).is_err(), "{bad}");
        }
    }
}
