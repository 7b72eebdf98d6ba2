//! Owns the stand-in of Google's sign-in: metadata server, token endpoint, security token service, impersonation.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{Method, Request};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::logins::Logins;
use crate::server::{self, Hangup, Query, Reply, ServerGuard, reply, set_header};

/// The user as whom registries take access tokens.
const TOKEN_USER: &str = "oauth2accesstoken";
const REFRESH_TOKEN: &str = "1//refresh-token-of-a-user";
const CLIENT_SECRET: &str = "client-secret-of-gcloud";
const SUBJECT_TOKEN: &str = "oidc-token-of-a-job";
const AUDIENCE: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// A key that was made for these tests and opens nothing, as PKCS#8 in base64.
const SERVICE_ACCOUNT_KEY: &str = include_str!("service_account_key.txt");

/// One way to a token that was gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoogleCall {
    /// The metadata server gave one.
    Metadata,
    /// A user's refresh token was exchanged.
    Refresh,
    /// What a service account's key had signed was exchanged.
    Key,
    /// A foreign identity was exchanged.
    Federation,
    /// A service account was impersonated.
    Impersonation,
}

/// A running stand-in; every token it gives works for a while in [`FakeGoogle::logins`].
#[derive(Debug)]
pub struct FakeGoogle {
    state: Arc<State>,
    _server: ServerGuard,
}

#[derive(Debug)]
struct State {
    host: String,
    lifetime: Duration,
    logins: Logins,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    calls: Vec<GoogleCall>,
    issued: u64,
    failures: u32,
}

impl FakeGoogle {
    /// Starts one whose tokens work for `lifetime`.
    pub fn start_blocking(lifetime: Duration) -> Self {
        let bound = server::bind(0);
        let state = Arc::new(State {
            host: bound.addr.to_string(),
            lifetime,
            logins: Logins::default(),
            seen: Mutex::default(),
        });
        let server = server::serve(bound, Arc::clone(&state), handle);
        Self { state, _server: server }
    }

    /// `127.0.0.1:<port>`, for `GCE_METADATA_HOST`.
    pub fn host(&self) -> String {
        self.state.host.clone()
    }

    /// Who a registry has to let in: `oauth2accesstoken` with each token.
    pub fn logins(&self) -> Logins {
        self.state.logins.clone()
    }

    /// The tokens that were given, by the way they were given.
    pub fn calls(&self) -> Vec<GoogleCall> {
        self.state.seen().calls.clone()
    }

    /// Answers the next `count` requests with 503.
    pub fn fail(&self, count: u32) {
        self.state.seen().failures = count;
    }

    /// What `gcloud auth application-default login` writes.
    pub fn authorized_user(&self) -> Value {
        json!({
            "type": "authorized_user",
            "client_id": "764086051850.apps.googleusercontent.com",
            "client_secret": CLIENT_SECRET,
            "refresh_token": REFRESH_TOKEN,
            "token_uri": format!("http://{}/token", self.state.host),
        })
    }

    /// The key file of a service account.
    pub fn service_account(&self) -> Value {
        let key = SERVICE_ACCOUNT_KEY.trim();
        json!({
            "type": "service_account",
            "project_id": "p",
            "private_key_id": "k1",
            // In two parts: no key of anybody's, and no alarm of those who look for some.
            "private_key": format!("-----BEGIN {0}-----\n{key}\n-----END {0}-----\n", "PRIVATE KEY"),
            "client_email": "builder@p.iam.gserviceaccount.com",
            "token_uri": format!("http://{}/token", self.state.host),
        })
    }

    /// Workload identity federation as a CI system has it; `impersonate` goes on to a service account.
    pub fn external_account(&self, impersonate: bool) -> Value {
        let mut file = json!({
            "type": "external_account",
            "audience": AUDIENCE,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("http://{}/sts", self.state.host),
            "credential_source": {
                "url": format!("http://{}/subject?audience=x", self.state.host),
                "headers": {"Authorization": "Bearer request-token-of-a-job"},
                "format": {"type": "json", "subject_token_field_name": "value"},
            },
        });
        if impersonate {
            file["service_account_impersonation_url"] = self.impersonation_url();
        }
        file
    }

    /// A user who impersonates a service account.
    pub fn impersonated(&self) -> Value {
        json!({
            "type": "impersonated_service_account",
            "service_account_impersonation_url": self.impersonation_url(),
            "delegates": [],
            "source_credentials": self.authorized_user(),
        })
    }

    fn impersonation_url(&self) -> Value {
        let account = "builder@p.iam.gserviceaccount.com";
        json!(format!("http://{}/v1/projects/-/serviceAccounts/{account}:generateAccessToken", self.state.host))
    }

    /// Everything in these files that nobody may see.
    pub fn secrets() -> Vec<String> {
        let key = SERVICE_ACCOUNT_KEY.lines().map(str::to_owned);
        [REFRESH_TOKEN, CLIENT_SECRET, SUBJECT_TOKEN, "request-token-of-a-job", "ya29."]
            .map(str::to_owned)
            .into_iter()
            .chain(key)
            .collect()
    }
}

impl State {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn issue(&self, call: GoogleCall) -> String {
        let mut seen = self.seen();
        seen.calls.push(call);
        seen.issued += 1;
        let token = format!("ya29.token-{}-{}", seen.issued, self.host);
        self.logins.add(TOKEN_USER, &token, self.lifetime);
        token
    }
}

async fn handle(state: Arc<State>, request: Request<Incoming>) -> Result<Reply, Hangup> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, 1 << 20).collect().await.map_err(|_| Hangup)?.to_bytes();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let failing = {
        let mut seen = state.seen();
        let failing = seen.failures > 0;
        seen.failures = seen.failures.saturating_sub(1);
        failing
    };
    if failing {
        return Ok(reply(503, "text/plain", "try later"));
    }
    let path = parts.uri.path();
    let answer = match path {
        "/computeMetadata/v1/instance/service-accounts/default/token" => metadata(&state, header("metadata-flavor")),
        "/subject" if header("authorization") == "Bearer request-token-of-a-job" => Ok(json!({"value": SUBJECT_TOKEN})),
        "/token" if parts.method == Method::POST => token(&state, header("content-type"), &body),
        "/sts" if parts.method == Method::POST => federation(&state, &Query::parse(&String::from_utf8_lossy(&body))),
        _ if path.ends_with(":generateAccessToken") => impersonation(&state, header("authorization"), &body),
        _ => Err("not an endpoint"),
    };
    // As the real ones do not: what was sent is repeated, so that a client that shows it is found out.
    let mut answer = match answer {
        Ok(answer) => reply(200, "application/json", answer.to_string()),
        Err(reason) => {
            let sent = String::from_utf8_lossy(&body).into_owned();
            reply(400, "application/json", json!({"error": format!("{reason}: {sent}")}).to_string())
        }
    };
    set_header(&mut answer, "metadata-flavor", "Google");
    Ok(answer)
}

fn metadata(state: &State, flavor: &str) -> Result<Value, &'static str> {
    if flavor != "Google" {
        return Err("the Metadata-Flavor header is missing");
    }
    let token = state.issue(GoogleCall::Metadata);
    Ok(json!({"access_token": token, "expires_in": state.lifetime.as_secs(), "token_type": "Bearer"}))
}

fn token(state: &State, content_type: &str, body: &[u8]) -> Result<Value, &'static str> {
    let call = if content_type.starts_with("application/json") {
        let form: Value = serde_json::from_slice(body).map_err(|_| "no JSON")?;
        let given =
            ["grant_type", "refresh_token", "client_secret"].map(|name| form[name].as_str().unwrap_or_default());
        if given != ["refresh_token", REFRESH_TOKEN, CLIENT_SECRET] {
            return Err("invalid_grant");
        }
        GoogleCall::Refresh
    } else {
        let form = Query::parse(&String::from_utf8_lossy(body));
        if form.get("grant_type") != Some("urn:ietf:params:oauth:grant-type:jwt-bearer") {
            return Err("unsupported_grant_type");
        }
        check_assertion(state, form.get("assertion").unwrap_or_default())?;
        GoogleCall::Key
    };
    Ok(json!({"access_token": state.issue(call), "expires_in": state.lifetime.as_secs(), "token_type": "Bearer"}))
}

/// Checks what a key has signed as Google's token server does.
fn check_assertion(state: &State, assertion: &str) -> Result<(), &'static str> {
    let (signed, signature) = assertion.rsplit_once('.').ok_or("no JWT")?;
    let (header, claims) = signed.split_once('.').ok_or("no JWT")?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "no base64url");
    let pkcs8 = STANDARD.decode(SERVICE_ACCOUNT_KEY.replace('\n', "")).map_err(|_| "no key")?;
    let key = RsaKeyPair::from_pkcs8(&pkcs8).map_err(|_| "no key")?;
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public().as_ref())
        .verify(signed.as_bytes(), &decode(signature)?)
        .map_err(|_| "the signature is wrong")?;
    let header: Value = serde_json::from_slice(&decode(header)?).map_err(|_| "no JSON")?;
    let claims: Value = serde_json::from_slice(&decode(claims)?).map_err(|_| "no JSON")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (issued, ends) = (claims["iat"].as_u64().unwrap_or_default(), claims["exp"].as_u64().unwrap_or_default());
    let good = header["alg"] == "RS256"
        && claims["iss"] == "builder@p.iam.gserviceaccount.com"
        && claims["aud"] == format!("http://{}/token", state.host)
        && claims["scope"] == SCOPE
        && issued <= now
        && now < ends
        && ends <= issued + 3600;
    if good { Ok(()) } else { Err("the claims are wrong") }
}

fn federation(state: &State, form: &Query) -> Result<Value, &'static str> {
    let given = ["grant_type", "audience", "subject_token"].map(|name| form.get(name).unwrap_or_default());
    if given != ["urn:ietf:params:oauth:grant-type:token-exchange", AUDIENCE, SUBJECT_TOKEN] {
        return Err("invalid_target");
    }
    Ok(json!({
        "access_token": state.issue(GoogleCall::Federation),
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": state.lifetime.as_secs(),
    }))
}

fn impersonation(state: &State, authorization: &str, body: &[u8]) -> Result<Value, &'static str> {
    let request: Value = serde_json::from_slice(body).map_err(|_| "no JSON")?;
    let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
    if !state.logins.works(TOKEN_USER, token) || request["scope"] != json!([SCOPE]) {
        return Err("not allowed");
    }
    let expires = "2999-01-01T00:00:00Z";
    Ok(json!({"accessToken": state.issue(GoogleCall::Impersonation), "expireTime": expires}))
}
