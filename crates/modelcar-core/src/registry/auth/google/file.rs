//! Google's credential files: keys of service accounts, logins of users, federated identities, impersonation.
//!
//! The package google-cloud-auth knows the kinds of files and their exchanges. For the key of a service account the
//! package gives a token that it signs itself, which Google's APIs accept; registries document only tokens of Google's
//! token server. For this kind the package signs the assertion, and this file exchanges it (RFC 7523).

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use google_cloud_auth::{
    credentials::{AccessTokenCredentials, external_account, impersonated, service_account, user_account},
    errors::CredentialsError,
};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::access_token::AccessToken;
use crate::{
    error::{ModelcarError, chain},
    http::{self, HttpFailure},
    progress::NoProgress,
    registry::error::KeychainError,
    retry::{Failure, RetryPolicy},
    text,
};

/// The OAuth scope of the token: Google's registries accept this one.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// URL of Google's token server, for a key without `token_uri`.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// Lifetime of the assertion that a key signs. Google's token server refuses longer ones.
const ASSERTION_LIFE: Duration = Duration::from_mins(10);
/// Time limit of one exchange.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest number of exchanges for one token, the first one included.
const TRIES: u32 = 4;
/// Upper bound of the wait before the second exchange.
const RETRY_BASE: Duration = Duration::from_millis(500);
/// Largest answer that is read, in bytes.
const ANSWER_MAX_BYTES: usize = 1 << 20;
/// Members of a credential file that are secrets.
const SECRETS: [&str; 4] = ["private_key", "client_secret", "refresh_token", "quota_token"];

/// Parameters of sign-in requests whose values are secrets.
const PARAMETERS: [&str; 5] = ["subject_token", "actor_token", "refresh_token", "client_secret", "assertion"];

/// A failed exchange: the reason, whether another try may succeed, and how long the server asks to wait.
struct Failed {
    /// Why there is no token. Secrets of the file are not masked yet.
    reason: String,
    /// Whether another try may succeed.
    passing: bool,
    /// How long the server asks to wait.
    retry_after: Option<Duration>,
}

/// Gets an access token with the credential file at `path`, whose content is `text`.
///
/// # Errors
/// [`KeychainError::Invalid`] when the file is not JSON or has no `type`; [`KeychainError::Google`] when Google gives
/// no token, with the secrets of the file masked.
pub(super) async fn token(path: &Path, text: &[u8], client: &reqwest::Client) -> Result<AccessToken, KeychainError> {
    let invalid = |reason: String| KeychainError::Invalid { path: path.to_owned(), reason };
    let json: Value =
        serde_json::from_slice(text).map_err(|error| invalid(format!("is not JSON (line {})", error.line())))?;
    let kind = json.get("type").and_then(Value::as_str).ok_or_else(|| invalid("has no `type`".to_owned()))?;
    let origin = format!("{kind} of `{}`", path.display());
    let retry = RetryPolicy::new(TRIES, RETRY_BASE, Arc::new(NoProgress));
    let mut attempt = 1;
    loop {
        let exchange = async {
            match kind {
                "service_account" => exchange(&json, client).await,
                _ => library_token(kind, &json).await,
            }
        };
        let failed = match timeout(PATIENCE, exchange).await {
            Ok(Ok((value, life))) => return Ok(AccessToken { value: value.into(), life, origin }),
            Ok(Err(failed)) => failed,
            Err(_) => {
                let reason = format!("no token came within {} s", PATIENCE.as_secs());
                Failed { reason, passing: true, retry_after: None }
            }
        };
        let (reason, passing) = (masked(&failed.reason, &json), failed.passing);
        let error = KeychainError::Google { origin: origin.clone(), reason, passing };
        let failure = Failure::from(&error).retry_after(failed.retry_after);
        if !retry.next_attempt("get an access token", attempt, Duration::ZERO, failure).await {
            return Err(error);
        }
        attempt += 1;
    }
}

/// Masks the secrets of the credential file in `reason`: a server may repeat what it was sent.
fn masked(reason: &str, json: &Value) -> String {
    let objects = [Some(json), json.get("source_credentials")].into_iter().flatten();
    http::mask(reason, objects.flat_map(|object| SECRETS.iter().filter_map(|name| object.get(name)?.as_str())))
}

/// Gets a token with the package google-cloud-auth. The token's lifetime is unknown, because the package does not give
/// it.
async fn library_token(kind: &str, json: &Value) -> Result<(String, Option<Duration>), Failed> {
    // The package's HTTP clients panic where no certificate authority is installed, and can't be replaced.
    if reqwest::Client::builder().build().is_err() {
        return Err(lasting("this system has no certificate authorities; name a file of them in SSL_CERT_FILE"));
    }
    let credentials = credentials(kind, json.clone())?;
    // A task of its own, because the package panics on some answers.
    match AbortOnDropHandle::new(tokio::spawn(async move { credentials.access_token().await })).await {
        Ok(Ok(token)) => Ok((token.token, None)),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(lasting("the sign-in server sent an unknown answer")),
    }
}

/// Makes the package's credentials of the kind that the file names.
fn credentials(kind: &str, json: Value) -> Result<AccessTokenCredentials, Failed> {
    let scopes = [SCOPE];
    match kind {
        "authorized_user" => user_account::Builder::new(json).with_scopes(scopes).build_access_token_credentials(),
        "external_account" => external_account::Builder::new(json).with_scopes(scopes).build_access_token_credentials(),
        "impersonated_service_account" => {
            impersonated::Builder::new(json).with_scopes(scopes).build_access_token_credentials()
        }
        other => return Err(lasting(&format!("credentials of the kind `{other}` are not supported"))),
    }
    .map_err(|error| lasting(&text::chain(&error)))
}

/// Makes a failure that another try would not change.
fn lasting(reason: &str) -> Failed {
    Failed { reason: reason.to_owned(), passing: false, retry_after: None }
}

/// Makes the failure of an error of the package, without secrets.
fn failed(error: &CredentialsError) -> Failed {
    let reason = text::excerpt(&mask_parameters(&chain(error)));
    Failed { reason, passing: error.is_transient(), retry_after: None }
}

/// Masks the secret parameters that a sign-in server repeats from a request of the package. Some of them, such as the
/// federated identity, are in no credential file.
pub(super) fn mask_parameters(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some((start, parameter)) =
        PARAMETERS.iter().filter_map(|name| Some((rest.find(name)?, name))).min_by_key(|(at, _)| *at)
    {
        let name_end = start + parameter.len();
        let value = rest[name_end..].trim_start_matches(['"', ':', '=', ' ', '\\']);
        let (before, value) = rest.split_at(rest.len() - value.len());
        masked.push_str(before);
        rest = value;
        // The parameter `subject_token_type` is not secret.
        let is_whole = before[name_end..].contains([':', '=']);
        let end = rest.find(['&', '"', ' ', '\\', '\n', ',', '}']).unwrap_or(rest.len());
        if is_whole && end > 0 {
            masked.push_str("[secret]");
            rest = &rest[end..];
        }
    }
    masked + rest
}

/// The token server's answer: the token, and its lifetime in seconds.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<u64>,
}

/// Exchanges the assertion that a service account's key signs for an access token.
async fn exchange(json: &Value, client: &reqwest::Client) -> Result<(String, Option<Duration>), Failed> {
    let uri = json.get("token_uri").and_then(Value::as_str).unwrap_or(TOKEN_URI);
    let url: Url = uri.parse().map_err(|_| lasting("its `token_uri` is not a URL"))?;
    let assertion = assertion(json, uri).await?;
    let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let body_bytes = body.len() as u64;
    let request =
        client.post(url.clone()).header("content-type", "application/x-www-form-urlencoded").body(body).send();
    let tell = |failure: &HttpFailure| Failed {
        reason: Told(failure).to_string(),
        passing: failure.is_retryable(),
        retry_after: failure.retry_after,
    };
    let sending = http::log::answered(http::log::request(&Method::POST, &url, 1, body_bytes), request);
    let response = sending.await.map_err(|error| tell(&HttpFailure::transport(Method::POST, &url, error)))?;
    if !response.status().is_success() {
        return Err(tell(&HttpFailure::from_masked(Method::POST, response, std::slice::from_ref(&assertion)).await));
    }
    let body = http::read_limited(response, ANSWER_MAX_BYTES).await;
    let body = body.map_err(|error| tell(&HttpFailure::transport(Method::POST, &url, error)))?;
    let answer: Answer = serde_json::from_slice(&body).map_err(|_| lasting("the answer holds no token"))?;
    Ok((answer.access_token, answer.expires_in.map(Duration::from_secs)))
}

/// A failure with its cause.
struct Told<'a>(&'a HttpFailure);

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0.cause {
            Some(cause) => write!(f, "{}: {}", self.0, text::chain(cause)),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Makes the signed assertion that the token server exchanges.
async fn assertion(json: &Value, audience: &str) -> Result<String, Failed> {
    let signer =
        service_account::Builder::new(json.clone()).build_signer().map_err(|error| lasting(&text::chain(&error)))?;
    let email = json.get("client_email").and_then(Value::as_str).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": json.get("private_key_id")});
    let claims = json!({
        "iss": email,
        "scope": SCOPE,
        "aud": audience,
        "iat": now,
        "exp": now + ASSERTION_LIFE.as_secs(),
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claim = format!("{}.{}", part(&header), part(&claims));
    let signature = signer.sign(&claim).await.map_err(|error| lasting(&text::chain(&error)))?;
    Ok(format!("{claim}.{}", URL_SAFE_NO_PAD.encode(&signature)))
}
