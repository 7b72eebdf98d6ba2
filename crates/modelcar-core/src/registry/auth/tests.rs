//! Logins against the fake registry and its token server.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use modelcar_testkit::{self as kit, FakeRegistry, FaultRule, RegistryAction, RegistryConfig, RegistryRequest};

use crate::{
    Digest, ErrorKind, ImageRef, ModelcarError,
    progress::NoProgress,
    registry::{
        Access, Credential, HostLogin, Keychain, KeychainChain, Login, RegistryError, RegistryOptions, Repository,
    },
    sink::{Blob, BytesBlob, OpenBlob},
};

const PASSWORD: &str = "hunter2";

fn basic(password: &str) -> Credential {
    Credential::Basic { username: "me".into(), password: password.into() }
}

fn identity(token: &str, fallback: Option<&str>) -> Credential {
    Credential::IdentityToken {
        token: token.into(),
        fallback: fallback.map(|password| ("me".to_owned(), password.into())),
    }
}

/// Tokens that work for `lifetime` whatever is said of them.
fn bearer(lifetime: Duration, expires_in: Option<u64>) -> kit::Auth {
    let refresh_token = Some("refresh".to_owned());
    let (user, password) = ("me".to_owned(), PASSWORD.to_owned());
    kit::Auth::Bearer { user, password, refresh_token, lifetime, expires_in, anonymous_pull: true }
}

async fn registry(auth: kit::Auth) -> FakeRegistry {
    FakeRegistry::start(RegistryConfig { auth, ..RegistryConfig::default() }).await
}

/// A repository to which the logins are offered one after the other.
fn repository(registry: &FakeRegistry, credentials: &[Credential]) -> Repository {
    let image: ImageRef = format!("{}/acme/model:v1", registry.host()).parse().unwrap();
    let offer = |(at, credential): (usize, &Credential)| -> Arc<dyn Keychain> {
        let login = Login { credential: credential.clone(), origin: format!("place {at}") };
        Arc::new(HostLogin::new(image.registry(), login))
    };
    let keychain = KeychainChain::new(credentials.iter().enumerate().map(offer).collect());
    let options = RegistryOptions { retry_base: Duration::from_millis(1), ..RegistryOptions::default() };
    Repository::new(&image, Arc::new(keychain), options, Arc::new(NoProgress)).unwrap()
}

fn token_requests(registry: &FakeRegistry) -> Vec<RegistryRequest> {
    registry.requests().into_iter().filter(|request| request.path == "/token").collect()
}

/// What an error shows in any form.
fn shown(error: &RegistryError) -> String {
    let mut text = format!("{error:?} {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn many_requests_share_one_token_that_asks_to_push_first() {
    let registry = registry(bearer(Duration::from_mins(5), Some(300))).await;
    let repository = repository(&registry, &[basic(PASSWORD)]);
    repository.check_push().await.unwrap();
    let pushes = (0..16).map(|_| repository.check_push());
    futures_util::future::try_join_all(pushes).await.unwrap();
    let asked = token_requests(&registry);
    assert_eq!(asked.len(), 1, "{asked:#?}");
    assert_eq!(asked[0].query, "service=fake-registry&scope=repository%3Aacme%2Fmodel%3Apull%2Cpush");
    assert!(!format!("{repository:?}").contains(PASSWORD));
}

#[tokio::test]
async fn the_scope_of_the_challenge_is_asked_for_after_a_refusal() {
    for (refusals, works) in [(1, true), (2, true), (999, false)] {
        let registry = registry(bearer(Duration::from_mins(5), Some(300))).await;
        // A registry behind a proxy that knows the repository by another name.
        let challenge = format!(
            "Bearer realm=\"http://{}/token\",service=\"fake-registry\",scope=\"repository:local/acme/model:pull,push\"",
            registry.host()
        );
        let headers = vec![("www-authenticate".to_owned(), challenge)];
        let refusal = RegistryAction::Status { code: 401, headers, body: String::new() };
        registry.fault(FaultRule::new("/blobs/uploads/", refusal).method("POST").times(refusals));
        let pushed = repository(&registry, &[basic(PASSWORD)]).check_push().await;
        assert_eq!(pushed.is_ok(), works, "{pushed:?}");

        let own = "scope=repository%3Aacme%2Fmodel%3Apull%2Cpush";
        let both = format!("scope=repository%3Alocal%2Facme%2Fmodel%3Apull%2Cpush&{own}");
        let mut asked = token_requests(&registry).into_iter().map(|request| request.query);
        assert_eq!(asked.next().unwrap(), format!("service=fake-registry&{own}"), "its own scope comes first");
        let again: Vec<String> = asked.collect();
        assert!(again.iter().all(|query| *query == format!("service=fake-registry&{both}")), "{again:?}");
        assert!(if works { again.len() + 1 == refusals } else { (1..=3).contains(&again.len()) }, "{again:?}");
    }
}

#[tokio::test]
async fn tokens_that_are_revoked_together_are_renewed_once() {
    let registry = registry(bearer(Duration::from_mins(5), Some(300))).await;
    let repository = repository(&registry, &[basic(PASSWORD)]);
    repository.check_push().await.unwrap();
    registry.revoke_tokens();
    futures_util::future::try_join_all((0..16).map(|_| repository.check_push())).await.unwrap();
    assert_eq!(token_requests(&registry).len(), 2);
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_or_its_password_is_used() {
    let registry = registry(bearer(Duration::from_mins(5), None)).await;
    repository(&registry, &[identity("refresh", None)]).check_push().await.unwrap();
    for status in [400, 401, 404, 405] {
        registry.fault(FaultRule::new("/token", RegistryAction::status(status)).method("POST").times(1));
        repository(&registry, &[identity("refresh", Some(PASSWORD))]).check_push().await.unwrap();
    }
    let asked: Vec<_> = token_requests(&registry).into_iter().map(|request| request.method).collect();
    assert_eq!(asked, ["POST", "POST", "GET", "POST", "GET", "POST", "GET", "POST", "GET"]);

    let error = repository(&registry, &[identity("spent", None)]).check_push().await.unwrap_err();
    assert!(matches!(error, RegistryError::LoginRefused { .. }), "{error:?}");
}

#[tokio::test]
async fn token_servers_may_fail_for_a_while() {
    let registry = registry(bearer(Duration::from_mins(5), Some(300))).await;
    registry.fault(FaultRule::new("/token", RegistryAction::status(503)).times(2));
    registry.fault(FaultRule::new("/token", RegistryAction::LostReply).times(1));
    registry.fault(FaultRule::new("/token", RegistryAction::status(429)).times(1));
    repository(&registry, &[basic(PASSWORD)]).check_push().await.unwrap();
    assert_eq!(token_requests(&registry).len(), 5);
}

#[tokio::test]
async fn a_token_server_that_repeats_what_it_was_sent_is_not_quoted() {
    let registry = registry(bearer(Duration::from_mins(5), Some(300))).await;
    let token = "1//refresh+token/of a user";
    let password = "pass word/of+a user";
    let in_form = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let login = "bWU6cGFzcyB3b3JkL29mK2EgdXNlcg==";
    for sent in [token, password, &in_form(token), &in_form(password), login] {
        let refusal = RegistryAction::Status { code: 401, headers: Vec::new(), body: format!("{sent} is no good") };
        registry.clear_faults();
        registry.fault(FaultRule::new("/token", refusal));
        for credential in [identity(token, None), basic(password)] {
            let of_token = sent.contains("refresh");
            if of_token != matches!(credential, Credential::IdentityToken { .. }) {
                continue;
            }
            let error = repository(&registry, &[credential]).check_push().await.unwrap_err();
            let shown = shown(&error);
            assert!(shown.contains("[secret] is no good") && !shown.contains(sent), "{shown}");
        }
    }
}

#[tokio::test]
async fn a_token_server_that_talks_nonsense_is_quoted_shortly() {
    let registry = registry(bearer(Duration::from_mins(5), Some(300))).await;
    let answer = |body: String| RegistryAction::Status { code: 200, headers: Vec::new(), body };
    for body in [String::new(), "<html>".to_owned(), "x".repeat(3 << 20), "{\"token\":\"\"}".to_owned()] {
        registry.fault(FaultRule::new("/token", answer(body)).times(1));
        let error = repository(&registry, &[basic(PASSWORD)]).check_push().await.unwrap_err();
        let shown = shown(&error);
        assert!(shown.contains("token") && shown.len() < 1000 && !shown.contains(PASSWORD), "{shown}");
    }
}

#[tokio::test]
async fn a_refused_login_gives_way_to_the_next_and_never_to_nobody() {
    for auth in [bearer(Duration::from_mins(5), Some(300)), kit::Auth::basic("me", PASSWORD)] {
        let registry = registry(auth).await;
        repository(&registry, &[basic("expired"), basic(PASSWORD)]).check_push().await.unwrap();
        registry.clear_requests();
        let digest = crate::Digest::of("x");
        let poor = repository(&registry, &[basic("expired"), basic("wrong")]);
        // Pulls are for everybody at the one with tokens, and still the login is not passed over in silence.
        let error = poor.blob_exists(Access::Push, &digest, 1).await.unwrap_err();
        let RegistryError::LoginRefused { origin, .. } = &error else { panic!("{error:?}") };
        assert_eq!((origin.as_str(), error.kind()), ("place 1", ErrorKind::Auth));
        assert!(!shown(&error).contains("expired") && !shown(&error).contains("wrong\""), "{}", shown(&error));
        assert!(token_requests(&registry).iter().all(|request| request.authorization.is_some()));
    }
}

#[tokio::test]
async fn without_a_login_the_places_are_named() {
    for auth in
        [kit::Auth::bearer("me", PASSWORD), bearer(Duration::from_mins(5), None), kit::Auth::basic("me", PASSWORD)]
    {
        let registry = registry(auth).await;
        let elsewhere = HostLogin::new("other.io", Login { credential: basic(PASSWORD), origin: "a file".into() });
        let image: ImageRef = format!("{}/acme/model:v1", registry.host()).parse().unwrap();
        let files = crate::registry::DockerConfig::new(vec!["/nowhere/config.json".into()]);
        let keychain = KeychainChain::new(vec![Arc::new(elsewhere), Arc::new(files)]);
        let repository =
            Repository::new(&image, Arc::new(keychain), RegistryOptions::default(), Arc::new(NoProgress)).unwrap();
        let error = repository.check_push().await.unwrap_err();
        let RegistryError::NoLogin { looked, .. } = &error else { panic!("{error:?}") };
        assert_eq!(looked, "`/nowhere/config.json`");
        assert!(registry.requests().iter().all(|request| request.authorization.as_deref() != Some("Basic")));
    }
}

#[tokio::test]
async fn the_best_of_several_challenges_is_taken() {
    let registry = registry(bearer(Duration::from_mins(5), Some(300))).await;
    let bearer = format!("Bearer realm=\"http://{}/token\",service=\"fake-registry\"", registry.host());
    let headers = vec![("www-authenticate".to_owned(), format!("Negotiate, Basic realm=\"x\", {bearer}"))];
    let challenge = RegistryAction::Status { code: 401, headers, body: String::new() };
    registry.fault(FaultRule::new("/uploads/", challenge).times(1));
    repository(&registry, &[basic(PASSWORD)]).check_push().await.unwrap();
    assert_eq!(token_requests(&registry).len(), 1);
}

#[tokio::test]
async fn a_registry_token_is_sent_as_it_is() {
    let registry = registry(bearer(Duration::from_mins(5), Some(300))).await;
    let token = Credential::RegistryToken("not one of this registry".into());
    repository(&registry, &[token, basic(PASSWORD)]).check_push().await.unwrap();
    let posts = registry.requests().into_iter().filter(|request| request.method == "POST");
    assert_eq!(posts.map(|request| request.status).collect::<Vec<_>>(), [401, 401, 202]);
}

/// A body whose digest is known only at its end, as a layer's is.
#[derive(Debug)]
struct LayerLike(BytesBlob);

impl LayerLike {
    fn new(size: usize) -> Self {
        Self(BytesBlob::new("a layer", vec![7; size]))
    }
}

impl Blob for LayerLike {
    fn title(&self) -> String {
        self.0.title()
    }

    fn size(&self) -> u64 {
        self.0.size()
    }

    fn digest(&self) -> Option<Digest> {
        None
    }

    fn reread(&self, range: Range<u64>) -> BoxStream<'static, crate::Result<Bytes>> {
        self.0.reread(range)
    }

    fn open(&self) -> OpenBlob {
        self.0.open()
    }
}

/// The registry gives tokens of one second, says that they live for five minutes, and takes longer for a PATCH.
#[tokio::test]
async fn a_token_that_runs_out_inside_a_layer_is_renewed_for_the_commit() {
    for auth in [bearer(Duration::from_secs(1), Some(300)), bearer(Duration::from_secs(1), None)] {
        let registry = registry(auth).await;
        let slow = RegistryAction::DelayReply(Duration::from_millis(1300));
        registry.fault(FaultRule::new("/uploads/", slow.clone()).method("PATCH").times(1));
        let repository = repository(&registry, &[basic(PASSWORD)]);
        let verified = repository
            .upload(&LayerLike::new(100_000), &|reason| panic!("it should not start over: {reason}"))
            .await
            .unwrap();
        assert_eq!(registry.blobs(), [("acme/model".to_owned(), verified.digest.to_string(), 100_000)]);
        let puts = registry.requests().into_iter().filter(|request| request.method == "PUT");
        assert_eq!(puts.map(|request| request.status).collect::<Vec<_>>(), [401, 201]);
        assert_eq!(registry.open_sessions(), []);
    }
}

#[tokio::test]
async fn a_401_at_the_body_starts_the_layer_over_with_a_fresh_token() {
    let registry = registry(bearer(Duration::from_mins(5), Some(300))).await;
    // As some proxies answer: without a challenge.
    registry.fault(FaultRule::new("/uploads/", RegistryAction::status(401)).method("PATCH").times(1));
    let repository = repository(&registry, &[basic(PASSWORD)]);
    let verified = repository.upload(&LayerLike::new(100), &|_| {}).await.unwrap();
    assert_eq!(registry.blobs().len(), 1, "{verified:?}");
    assert_eq!(token_requests(&registry).len(), 2);
}

#[tokio::test]
async fn short_tokens_are_renewed_before_they_run_out() {
    // Sixty-second tokens are used for thirty: here each is good for half a second of one.
    let registry = registry(bearer(Duration::from_mins(5), Some(1))).await;
    let repository = repository(&registry, &[basic(PASSWORD)]);
    for _ in 0..3 {
        repository.check_push().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    assert_eq!(token_requests(&registry).len(), 3);
    assert_eq!(registry.requests().iter().filter(|request| request.status == 401).count(), 1, "only the first");
}
