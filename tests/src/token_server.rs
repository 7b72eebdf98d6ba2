//! Owns a token server for a real registry: signed tokens as the CNCF distribution wants them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::body::Incoming;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use crate::logins::Logins;
use crate::server::{self, Hangup, Query, Reply, ServerGuard, reply};

/// How long after its end the distribution still takes a token.
const LEEWAY_SECS: u64 = 60;
const ISSUER: &str = "modelcar-testkit";

/// A running token server.
#[derive(Debug)]
pub struct TokenServer {
    state: Arc<State>,
    addr: SocketAddr,
    _server: ServerGuard,
}

#[derive(Debug)]
struct State {
    logins: Logins,
    lifetime: Duration,
    /// How many scopes of a request the token is for; some servers read the first alone (`cesanta/docker_auth` 275).
    scopes_max: usize,
    certificate: String,
    certificate_der: Vec<u8>,
    key: EcdsaKeyPair,
    asked: Mutex<Vec<String>>,
}

impl TokenServer {
    /// Starts one that knows `logins` and whose tokens the registry takes for `lifetime`.
    pub fn start(logins: Logins, lifetime: Duration) -> Self {
        Self::start_for(logins, lifetime, usize::MAX)
    }

    /// As [`TokenServer::start`], but a token is good for the first `scopes_max` scopes that are asked for.
    pub fn start_for(logins: Logins, lifetime: Duration, scopes_max: usize) -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::new(vec![ISSUER.to_owned()]).expect("the name is one");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
        let certificate = params.self_signed(&key).expect("a certificate can be made");
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let signer = EcdsaKeyPair::from_pkcs8(algorithm, &key.serialize_der(), &SystemRandom::new());
        let bound = server::bind(0);
        let addr = bound.addr;
        let state = Arc::new(State {
            logins,
            lifetime,
            scopes_max,
            certificate: certificate.pem(),
            certificate_der: certificate.der().to_vec(),
            key: signer.expect("rcgen's keys are P-256"),
            asked: Mutex::default(),
        });
        let server = server::serve(bound, Arc::clone(&state), handle);
        Self { state, addr, _server: server }
    }

    /// Where it listens; the path is `/token`.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The configuration of docker-registry that trusts it; `certificates` is the file that gets
    /// [`TokenServer::certificate`].
    pub fn registry_config(&self, realm: &str, certificates: &std::path::Path) -> String {
        let service = "docker-registry";
        format!(
            "auth:\n  token:\n    realm: {realm}\n    service: {service}\n    issuer: {ISSUER}\n    rootcertbundle: {}\n",
            certificates.display()
        )
    }

    /// Its certificate in PEM form.
    pub fn certificate(&self) -> &str {
        &self.state.certificate
    }

    /// The user of each request so far; `-` is nobody.
    pub fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn handle(state: Arc<State>, request: Request<Incoming>) -> Result<Reply, Hangup> {
    let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let login = header.and_then(|text| STANDARD.decode(text.strip_prefix("Basic ")?).ok());
    let login = login.and_then(|login| String::from_utf8(login).ok());
    let login = login.as_deref().and_then(|login| login.split_once(':'));
    let user = login.map_or("-", |(user, _)| user);
    state.asked.lock().unwrap_or_else(PoisonError::into_inner).push(user.to_owned());
    if login.is_some_and(|(user, password)| !state.logins.works(user, password)) {
        return Ok(reply(401, "application/json", r#"{"errors":[{"code":"UNAUTHORIZED","message":"unknown login"}]}"#));
    }
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let access: Vec<_> =
        query.all("scope").take(state.scopes_max).filter_map(|scope| access(scope, login.is_some())).collect();
    let token = state.sign(user, query.get("service").unwrap_or_default(), &access);
    let answer = json!({"token": token, "access_token": token, "expires_in": state.lifetime.as_secs()});
    Ok(reply(200, "application/json", answer.to_string()))
}

/// What a scope comes to: everything for a known user, nothing for nobody.
fn access(scope: &str, known: bool) -> Option<Value> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let actions: Vec<&str> = actions.split(',').filter(|_| known).collect();
    Some(json!({"type": kind, "name": name, "actions": actions}))
}

impl State {
    fn sign(&self, user: &str, service: &str, access: &[Value]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(&self.certificate_der)]});
        let claims = json!({
            "iss": ISSUER,
            "sub": user,
            "aud": service,
            "exp": now + self.lifetime.as_secs() - LEEWAY_SECS.min(now),
            "nbf": now - LEEWAY_SECS,
            "iat": now,
            "jti": format!("{now}"),
            "access": access,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).expect("the key signs");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}
