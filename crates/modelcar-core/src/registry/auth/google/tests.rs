//! Google's accounts against a stand-in of its sign-in.

use std::{fs, net::TcpListener};

use modelcar_testkit::{FakeGoogle, GoogleCall};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::ModelcarError;

const IMAGE: &str = "europe-docker.pkg.dev/p/r/i:v1";

fn google() -> FakeGoogle {
    FakeGoogle::start_blocking(Duration::from_hours(1))
}

/// A keychain that finds `file`, and no metadata server unless one is given.
struct Machine {
    dir: TempDir,
    options: GoogleOptions,
}

impl Machine {
    fn new(file: Option<&Value>, metadata_host: Option<String>) -> Self {
        let dir = TempDir::new().unwrap();
        let mut options = GoogleOptions { metadata_host, ..GoogleOptions::default() };
        if let Some(file) = file {
            let path = dir.path().join("credentials.json");
            fs::write(&path, file.to_string()).unwrap();
            options.credentials_file = Some(path);
        }
        Self { dir, options }
    }

    fn keychain(&self) -> GoogleKeychain {
        GoogleKeychain::new(self.options.clone()).unwrap()
    }
}

async fn resolve(keychain: &GoogleKeychain) -> Result<Option<Login>, KeychainError> {
    keychain.resolve(&IMAGE.parse().unwrap(), &Refused::default()).await
}

fn works(google: &FakeGoogle, login: &Login) -> bool {
    let Credential::Basic { username, password } = &login.credential else { panic!("{login:?}") };
    google.logins().works(username, password.expose())
}

fn shows_no_secret(text: &str) {
    for secret in FakeGoogle::secrets() {
        assert!(!text.contains(&secret), "`{secret}` in {text}");
    }
}

#[tokio::test]
async fn each_kind_of_credential_gets_a_token() {
    use GoogleCall::{Federation, Impersonation, Key, Metadata, Refresh};
    let google = google();
    let cases: [(Option<Value>, &[GoogleCall], &str); 6] = [
        (None, &[Metadata], "metadata server"),
        (Some(google.service_account()), &[Key], "service_account of"),
        (Some(google.authorized_user()), &[Refresh], "authorized_user of"),
        (Some(google.external_account(false)), &[Federation], "external_account of"),
        (Some(google.external_account(true)), &[Federation, Impersonation], "external_account of"),
        (Some(google.impersonated()), &[Refresh, Impersonation], "impersonated_service_account of"),
    ];
    let mut before = 0;
    for (file, calls, origin) in cases {
        let machine = Machine::new(file.as_ref(), Some(google.host()));
        let keychain = machine.keychain();
        let login = resolve(&keychain).await.unwrap().unwrap();
        assert!(works(&google, &login), "{login:?}");
        assert_eq!(&google.calls()[before..], calls);
        assert!(login.origin.starts_with(origin), "{}", login.origin);
        shows_no_secret(&format!("{login:?} {keychain:?}"));
        // Others wait for the same one, and registries of others get none.
        assert_eq!(resolve(&keychain).await.unwrap().unwrap(), login);
        let foreign: ImageRef = "docker.io/library/busybox".parse().unwrap();
        assert_eq!(keychain.resolve(&foreign, &Refused::default()).await.unwrap(), None);
        assert_eq!(google.calls().len(), before + calls.len());
        before = google.calls().len();
    }
}

#[tokio::test]
async fn a_token_that_was_refused_or_is_old_is_fetched_anew() {
    let google = google();
    let keychain = Machine::new(None, Some(google.host())).keychain();
    let image: ImageRef = IMAGE.parse().unwrap();
    let first = resolve(&keychain).await.unwrap().unwrap();
    let mut refused = Refused::default();
    refused.add(first.credential.clone());
    let second = keychain.resolve(&image, &refused).await.unwrap().unwrap();
    assert_ne!(first, second);

    // The metadata server hands out tokens with five minutes left; those are not kept.
    let spent = FakeGoogle::start_blocking(Duration::from_mins(5));
    let keychain = Machine::new(None, Some(spent.host())).keychain();
    assert_ne!(resolve(&keychain).await.unwrap(), resolve(&keychain).await.unwrap());
    assert_eq!(spent.calls().len(), 2);
}

#[tokio::test]
async fn a_token_that_can_not_be_renewed_is_used_while_it_lives() {
    // So little is left of it that it is renewed each time.
    let google = FakeGoogle::start_blocking(Duration::from_mins(5));
    let keychain = Machine::new(None, Some(google.host())).keychain();
    let first = resolve(&keychain).await.unwrap().unwrap();
    google.fail(u32::MAX);
    assert_eq!(resolve(&keychain).await.unwrap().unwrap(), first);
    let mut refused = Refused::default();
    refused.add(first.credential);
    let image: ImageRef = IMAGE.parse().unwrap();
    let error = keychain.resolve(&image, &refused).await.unwrap_err();
    assert!(matches!(error, KeychainError::Google { passing: true, .. }), "{error:?}");
    let error = RegistryError::Keychain { registry: "r.io".to_owned(), source: error };
    assert!(error.is_retryable());

    let short = FakeGoogle::start_blocking(Duration::from_secs(1));
    let keychain = Machine::new(None, Some(short.host())).keychain();
    resolve(&keychain).await.unwrap().unwrap();
    short.fail(u32::MAX);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    resolve(&keychain).await.unwrap_err();
}

#[tokio::test]
async fn many_wait_for_one_token() {
    let google = google();
    let file = google.service_account();
    let machine = Machine::new(Some(&file), None);
    let keychain = machine.keychain();
    futures_util::future::try_join_all((0..16).map(|_| resolve(&keychain))).await.unwrap();
    assert_eq!(google.calls(), [GoogleCall::Key]);
}

#[tokio::test]
async fn passing_failures_pass() {
    let google = google();
    for file in [None, Some(google.service_account()), Some(google.authorized_user())] {
        google.fail(2);
        let machine = Machine::new(file.as_ref(), Some(google.host()));
        assert!(works(&google, &resolve(&machine.keychain()).await.unwrap().unwrap()));
    }
}

#[tokio::test]
async fn the_users_file_is_taken_where_none_is_named() {
    let google = google();
    let mut machine = Machine::new(None, Some(google.host()));
    let path = machine.dir.path().join("application_default_credentials.json");
    machine.options.user_file = Some(path.clone());
    resolve(&machine.keychain()).await.unwrap().unwrap();
    fs::write(&path, google.authorized_user().to_string()).unwrap();
    resolve(&machine.keychain()).await.unwrap().unwrap();
    assert_eq!(google.calls(), [GoogleCall::Metadata, GoogleCall::Refresh]);
}

#[tokio::test]
async fn what_fails_is_named_and_never_shown() {
    let google = google();
    let changed = |file: Value, key: &str, value: &str| {
        let mut file = file;
        file[key] = json!(value);
        file
    };
    let secret = "hunter2-hunter2";
    let cases = [
        (json!({"type": "gdch_service_account"}), "`gdch_service_account` are not supported"),
        (json!({"client_secret": secret}), "has no `type`"),
        (json!("text"), "has no `type`"),
        (json!({"type": "authorized_user", "client_secret": secret}), "missing field"),
        (changed(google.authorized_user(), "refresh_token", secret), "invalid_grant"),
        (changed(google.service_account(), "private_key", secret), "private key"),
        (changed(google.service_account(), "client_email", "x"), "claims are wrong"),
        (changed(google.service_account(), "token_uri", "http://127.0.0.1:1/token"), "no answer"),
        (changed(google.external_account(false), "audience", "x"), "invalid_target"),
    ];
    for (file, said) in cases {
        let machine = Machine::new(Some(&file), Some(google.host()));
        let error = resolve(&machine.keychain()).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(said) && shown.contains("credentials.json"), "{shown}");
        shows_no_secret(&shown);
        assert!(!shown.contains(secret), "{shown}");
    }
    let mut machine = Machine::new(None, Some(google.host()));
    machine.options.credentials_file = Some("/nowhere/key.json".into());
    let error = resolve(&machine.keychain()).await.unwrap_err().to_string();
    assert!(error.contains("/nowhere/key.json"), "{error}");
    assert_eq!(google.calls(), [], "a file that is named and missing is not passed over");
}

#[test]
#[cfg(feature = "gcp")]
fn what_a_sign_in_repeats_is_masked_wherever_it_stands() {
    let told = "bad: subject_token=abc.def&subject_token_type=jwt {\"refresh_token\": \"1//x\"} assertion=";
    let masked = "bad: subject_token=[secret]&subject_token_type=jwt {\"refresh_token\": \"[secret]\"} assertion=";
    assert_eq!(file::mask_parameters(told), masked);
}

#[tokio::test]
async fn a_machine_without_metadata_server_is_not_held_up() {
    let start = Instant::now();
    let machine = Machine::new(None, None);
    let keychain = machine.keychain();
    assert_eq!(resolve(&keychain).await.unwrap(), None);
    assert_eq!(resolve(&keychain).await.unwrap(), None);
    assert!(start.elapsed() < Duration::from_mins(1), "{:?}", start.elapsed());
    assert_eq!(keychain.places(&IMAGE.parse().unwrap()), ["metadata server `metadata.google.internal`"]);
}

#[tokio::test]
async fn a_metadata_server_that_is_named_has_to_answer() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (host, said) in [(closed.to_string(), "no answer"), ("not a host".to_owned(), "is not written HOST")] {
        let error = resolve(&Machine::new(None, Some(host.clone())).keychain()).await.unwrap_err().to_string();
        assert!(error.contains(&host) && error.contains(said), "{error}");
    }
}
