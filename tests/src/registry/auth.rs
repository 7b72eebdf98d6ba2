//! Owns authentication: the challenges, the token endpoint and the checks.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde_json::json;

use super::config::Auth;
use super::{Call, Refusal, State, error};
use crate::content::mix;
use crate::server::{Query, Reply, reply, set_header};

/// The service name in challenges and token requests.
const SERVICE: &str = "fake-registry";

/// The bearer tokens handed out.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<Issued>);

#[derive(Debug, Default)]
struct Issued {
    counter: u64,
    tokens: HashMap<String, Token>,
}

#[derive(Debug)]
struct Token {
    expires: Instant,
    /// Repository and action.
    grants: Vec<(String, String)>,
}

impl Tokens {
    pub(super) fn revoke(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).tokens.clear();
    }

    fn issue(&self, lifetime: Duration, grants: Vec<(String, String)>) -> String {
        let mut issued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        issued.counter += 1;
        let name = format!("token-{:016x}", mix(issued.counter ^ 0x746f_6b65_6e00));
        issued.tokens.insert(name.clone(), Token { expires: Instant::now() + lifetime, grants });
        name
    }

    /// `None` when the token is unknown or expired, else whether it grants the action.
    fn grants(&self, token: &str, wanted: Option<(&str, &str)>) -> Option<bool> {
        let issued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let token = issued.tokens.get(token).filter(|token| Instant::now() < token.expires)?;
        let granted = |(repo, action): (&str, &str)| {
            token.grants.iter().any(|grant| grant.0 == repo && (grant.1 == action || grant.1 == "*"))
        };
        Some(wanted.is_none_or(granted))
    }
}

/// Refuses a request whose credentials do not allow `wanted` (repository and action).
pub(super) fn check(state: &State, call: &Call, wanted: Option<(&str, &str)>) -> Result<(), Reply> {
    let problem = match &state.config.auth {
        Auth::None => return Ok(()),
        Auth::Basic { user, password } => {
            if is_basic(call, user, password) {
                return Ok(());
            }
            return Err(challenge("Basic realm=\"fake registry\""));
        }
        Auth::Logins(logins) => {
            let given = call.header("authorization").and_then(|text| text.strip_prefix("Basic "));
            let login = given.and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
            let works = login
                .as_deref()
                .and_then(|login| login.split_once(':'))
                .map(|(user, password)| logins.works(user, password));
            if works == Some(true) {
                return Ok(());
            }
            return Err(challenge("Basic realm=\"fake registry\""));
        }
        Auth::Bearer { .. } => match bearer(call).map(|token| state.tokens.grants(token, wanted)) {
            Some(Some(true)) => return Ok(()),
            Some(Some(false)) => ",error=\"insufficient_scope\"",
            Some(None) => ",error=\"invalid_token\"",
            None => "",
        },
    };
    let scope = wanted.map_or_else(String::new, |(repo, action)| {
        let actions = if action == "push" { "pull,push" } else { action };
        format!(",scope=\"repository:{repo}:{actions}\"")
    });
    let realm = format!("http://{}/token", state.host);
    Err(challenge(&format!("Bearer realm=\"{realm}\",service=\"{SERVICE}\"{scope}{problem}")))
}

/// Whether the request's credentials allow an action on another repository.
pub(super) fn grants(state: &State, call: &Call, repo: &str, action: &str) -> bool {
    check(state, call, Some((repo, action))).is_ok()
}

fn challenge(text: &str) -> Reply {
    let mut answer = error(401, "UNAUTHORIZED", "authentication required");
    set_header(&mut answer, "www-authenticate", text);
    answer
}

fn bearer(call: &Call) -> Option<&str> {
    call.header("authorization")?.strip_prefix("Bearer ")
}

fn is_basic(call: &Call, user: &str, password: &str) -> bool {
    let given = call.header("authorization").and_then(|text| text.strip_prefix("Basic "));
    given == Some(STANDARD.encode(format!("{user}:{password}")).as_str())
}

/// `/token`: GET with Basic credentials, or POST with a refresh token or password.
pub(super) async fn token(state: &State, call: &Call, body: Incoming) -> Result<Reply, Refusal> {
    let Auth::Bearer { user, password, refresh_token, lifetime, expires_in, anonymous_pull } = &state.config.auth
    else {
        return Err(error(404, "UNSUPPORTED", "this registry issues no tokens").into());
    };
    let refused = || error(401, "UNAUTHORIZED", "incorrect username or password");
    let form;
    let (fields, known) = if call.method == Method::POST {
        let body = Limited::new(body, 64 << 10).collect().await.map_err(|_| Refusal::Hangup)?;
        form = Query::parse(&String::from_utf8_lossy(&body.to_bytes()));
        let known = match form.get("grant_type") {
            Some("refresh_token") => refresh_token.is_some() && form.get("refresh_token") == refresh_token.as_deref(),
            Some("password") => form.get("username") == Some(user) && form.get("password") == Some(password),
            _ => false,
        };
        if !known {
            return Err(refused().into());
        }
        (&form, true)
    } else {
        let known = call.headers.contains_key("authorization");
        if known && !is_basic(call, user, password) || !known && !anonymous_pull {
            return Err(refused().into());
        }
        (&call.query, known)
    };
    if fields.get("service") != Some(SERVICE) {
        return Err(error(400, "UNSUPPORTED", "the service parameter is missing or wrong").into());
    }
    let mut granted = Vec::new();
    for scope in fields.all("scope").flat_map(|scopes| scopes.split(' ')) {
        let parts = scope.strip_prefix("repository:").and_then(|rest| rest.rsplit_once(':'));
        let Some((repo, actions)) = parts else { continue };
        let actions = actions.split(',').filter(|action| known || *action == "pull");
        granted.extend(actions.map(|action| (repo.to_owned(), action.to_owned())));
    }
    let token = state.tokens.issue(*lifetime, granted);
    let mut answer = json!({"access_token": token});
    if call.method == Method::GET {
        answer["token"] = json!(token);
    }
    if let Some(seconds) = expires_in {
        answer["expires_in"] = json!(seconds);
    }
    Ok(reply(200, "application/json", answer.to_string()))
}
