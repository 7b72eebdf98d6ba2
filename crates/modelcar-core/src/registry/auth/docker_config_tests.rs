//! Login files and helpers as they lie on real machines.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Instant};

use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;

use super::*;

fn basic(username: &str, password: &str) -> Credential {
    Credential::Basic { username: username.into(), password: password.into() }
}

fn identity(token: &str) -> Credential {
    Credential::IdentityToken { token: token.into(), fallback: None }
}

async fn look_up(config: &Value, image: &str) -> Result<Option<Credential>, KeychainError> {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("config.json");
    fs::write(&file, config.to_string()).unwrap();
    let keychain = DockerConfig::new(vec![dir.path().join("missing"), "/dev/null/config.json".into(), file]);
    let found = keychain.resolve(&image.parse().unwrap(), &Refused::default()).await?;
    Ok(found.map(|login| login.credential))
}

#[tokio::test]
async fn a_login_is_found_where_it_may_stand() {
    let key = "_json_key:{\"a\": \"b:c\"}";
    let auth = STANDARD.encode(key);
    let unpadded = auth.trim_end_matches('=');
    let both = json!({"identitytoken": "x", "auth": STANDARD.encode("u:p")});
    let with_fallback = Credential::IdentityToken { token: "x".into(), fallback: Some(("u".into(), "p".into())) };
    let no_password = json!({"identitytoken": "x", "auth": STANDARD.encode("00000000-0000:")});
    let cases = [
        (json!({}), None),
        (json!({"auths": {"r.io:5000": {}}}), None),
        (json!({"auths": {"r.io": {"identitytoken": "other port"}}}), None),
        (json!({"auths": {"r.io:5000": {"auth": auth}}}), Some(basic("_json_key", "{\"a\": \"b:c\"}"))),
        (json!({"auths": {"r.io:5000": {"auth": unpadded}}}), Some(basic("_json_key", "{\"a\": \"b:c\"}"))),
        (json!({"auths": {"r.io:5000": {"auth": STANDARD.encode("<token>:x")}}}), Some(identity("x"))),
        (json!({"auths": {"https://r.io:5000/v1/": {"username": "u", "password": "p"}}}), Some(basic("u", "p"))),
        (
            json!({"auths": {"r.io:5000": {"registrytoken": "x", "identitytoken": "y"}}}),
            Some(Credential::RegistryToken("x".into())),
        ),
        (json!({"auths": {"r.io:5000": {"auth": STANDARD.encode("ü:ключ")}}}), Some(basic("ü", "ключ"))),
        (json!({"auths": {"r.io:5000": {"identitytoken": "", "auth": STANDARD.encode("u:p")}}}), Some(basic("u", "p"))),
        (json!({"auths": {"r.io:5000": both}}), Some(with_fallback)),
        (json!({"auths": {"r.io:5000": no_password}}), Some(identity("x"))),
        (
            json!({"auths": {"r.io:5000": {"identitytoken": "x"}, "r.io:5000/a": {"identitytoken": "y"}}}),
            Some(identity("y")),
        ),
        (
            json!({"auths": {"r.io:5000/a/b": {"identitytoken": "z"}, "r.io:5000/a": {"identitytoken": "y"}}}),
            Some(identity("z")),
        ),
        (
            json!({"auths": {"r.io:5000/a/b/c": {"identitytoken": "below"}, "r.io:5000/ab": {"identitytoken": "y"}}}),
            None,
        ),
    ];
    for (config, expected) in cases {
        assert_eq!(look_up(&config, "r.io:5000/a/b:v1").await.unwrap(), expected, "{config}");
    }
    let hub = json!({"auths": {DOCKER_HUB_LOGIN: {"identitytoken": "x"}}});
    assert_eq!(look_up(&hub, "docker.io/library/busybox").await.unwrap(), Some(identity("x")));
}

#[test]
fn helpers_go_first_and_stores_last() {
    let image: ImageRef = "r.io:5000/a/b:v1".parse().unwrap();
    let config = json!({
        "credHelpers": {"r.io:5000": "gcloud", "other.io": "no"},
        "credsStore": "desktop",
        "auths": {"r.io:5000": {"identitytoken": "x"}},
    });
    let helper = |helper: &str| Found::Helper { helper: helper.into(), server: "r.io:5000".into() };
    let entry = Found::Entry { key: "r.io:5000".into(), entry: &config["auths"]["r.io:5000"] };
    assert_eq!(find(&config, &image), [helper("gcloud"), entry, helper("desktop")]);
    let store = json!({"credsStore": "desktop"});
    let hub: ImageRef = "docker.io/library/busybox".parse().unwrap();
    assert_eq!(find(&store, &hub), [Found::Helper { helper: "desktop".into(), server: DOCKER_HUB_LOGIN.into() }]);
}

#[tokio::test]
async fn what_is_broken_is_named_and_never_shown() {
    let secret = "hunter2-in-clear";
    for (auth, said) in [
        (format!("§{secret}"), "not base64"),
        (STANDARD.encode(secret), "without a colon"),
        (STANDARD.encode(b"\xff\xfe:x"), "not UTF-8"),
    ] {
        let error = look_up(&json!({"auths": {"r.io": {"auth": auth}}}), "r.io/a").await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(said) && shown.contains("entry `r.io`"), "{shown}");
        assert!(!shown.contains(secret) && !shown.contains(&auth), "{shown}");
    }
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("config.json");
    for (text, said) in [(format!("{{\"auths\": {secret}"), "is not JSON (line 1)"), ("[]".into(), "not a JSON object")]
    {
        fs::write(&file, text).unwrap();
        let keychain = DockerConfig::new(vec![file.clone()]);
        let error = keychain.resolve(&"r.io/a".parse().unwrap(), &Refused::default()).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(said) && shown.contains("config.json") && !shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn a_file_is_read_each_time_and_a_refused_login_is_passed_over() {
    let dir = TempDir::new().unwrap();
    let (docker, podman) = (dir.path().join("config.json"), dir.path().join("auth.json"));
    let keychain = DockerConfig::new(vec![docker.clone(), podman.clone()]);
    let image: ImageRef = "r.io/a".parse().unwrap();
    let write = |file: &Path, password: &str| {
        let config = json!({"auths": {"r.io": {"username": "u", "password": password}}});
        fs::write(file, config.to_string()).unwrap();
    };
    let mut refused = Refused::default();
    assert_eq!(keychain.resolve(&image, &refused).await.unwrap(), None);
    write(&podman, "podman's");
    write(&docker, "first");
    let login = keychain.resolve(&image, &refused).await.unwrap().unwrap();
    assert_eq!(login.credential, basic("u", "first"));
    assert_eq!(login.origin, format!("entry `r.io` of `{}`", docker.display()));
    assert!(!format!("{login:?}").contains("first"));
    refused.add(login.credential);
    assert_eq!(keychain.resolve(&image, &refused).await.unwrap().unwrap().credential, basic("u", "podman's"));
    write(&docker, "second");
    assert_eq!(keychain.resolve(&image, &refused).await.unwrap().unwrap().credential, basic("u", "second"));
}

/// Makes a helper that runs `script` and returns what asking it leads to. Helpers are found through `PATH`, which a
/// test can't change, so the program is named by its suffix in a folder that `sh` is given.
async fn helper(script: &str, patience: Duration) -> Result<Option<Credential>, KeychainError> {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("docker-credential-test");
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    helper::ask_program(file.to_str().unwrap(), "r.io", patience).await
}

#[tokio::test]
async fn a_helper_answers_or_says_why_not() {
    let patience = Duration::from_secs(20);
    let asked = r#"read server; test "$server" = r.io && test "$1" = get || exit 9"#;
    let answer = |user: &str| format!(r#"{asked}; echo '{{"ServerURL":"r.io","Username":"{user}","Secret":"s"}}'"#);
    assert_eq!(helper(&answer("u"), patience).await.unwrap(), Some(basic("u", "s")));
    assert_eq!(helper(&answer("<token>"), patience).await.unwrap(), Some(identity("s")));
    let none = format!("echo '{}'; exit 1", helper::NOT_FOUND);
    assert_eq!(helper(&none, patience).await.unwrap(), None);
    for (script, said) in [
        ("echo 'no active account'; exit 1", "failed: no active account"),
        (r#"echo '{"Username":"u","Secret":"hunter2"}'; exit 1"#, "failed without saying why"),
        ("echo hunter2 >&2; exit 1", "failed without saying why"),
        (
            "echo 'token=hunter2-ya29.A0ARrdaM8Qq0 of r.io in /home/me/.config/gcloud/access0.db has expired'; exit 1",
            "failed: [secret] of r.io in /home/me/.config/gcloud/access0.db has expired",
        ),
        ("head -c 9000000 /dev/zero | tr '\\0' x; exit 1", "failed: xxx"),
        ("head -c 9000000 /dev/zero >&2; exit 1", "failed without saying why"),
        ("echo hunter2", "answered no JSON"),
        ("head -c 2000000 /dev/zero; exit 0", "answered no JSON"),
    ] {
        let error = helper(script, patience).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(said) && !shown.contains("hunter2"), "{script}: {shown}");
        assert!(shown.len() < 1200, "{script}: {} bytes", shown.len());
    }
}

#[tokio::test]
async fn a_helper_that_hangs_is_killed_with_all_it_started() {
    let dir = TempDir::new().unwrap();
    let mark = dir.path().join("pid");
    let start = Instant::now();
    let script = format!("(echo $$ >{0}.parent; sh -c 'echo $$ >{0}; exec sleep 600') & wait", mark.display());
    let error = helper(&script, Duration::from_millis(500)).await.unwrap_err();
    assert!(error.to_string().contains("gave no answer for 0.5 s"), "{error}");
    assert!(start.elapsed() < Duration::from_mins(5));
    let pid = fs::read_to_string(&mark).unwrap();
    for _ in 0..100 {
        let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the helper's child {pid} lives on");
}

#[tokio::test]
async fn a_helper_that_is_missing_is_passed_over_and_named() {
    let error = look_up(&json!({"credsStore": "../../bin/sh"}), "r.io/a").await.unwrap_err().to_string();
    assert!(error.contains("is not the name of a program"), "{error}");
    let (dir, image) = (TempDir::new().unwrap(), "r.io/a".parse().unwrap());
    let files = ["first.json", "second.json"].map(|name| dir.path().join(name));
    fs::write(&files[0], r#"{"credsStore":"modelcar-has-no-such-helper"}"#).unwrap();
    fs::write(&files[1], r#"{"auths":{"r.io":{"auth":"dTpw"}}}"#).unwrap();
    let keychain = DockerConfig::new(files.to_vec());
    let login = keychain.resolve(&image, &Refused::default()).await.unwrap().unwrap();
    assert_eq!(login.credential, basic("u", "p"), "the next place");
    let missing = "`docker-credential-modelcar-has-no-such-helper` (which is not installed)".to_owned();
    assert!(keychain.places(&image).contains(&missing), "{:?}", keychain.places(&image));
}

#[tokio::test]
async fn any_url_is_a_key_and_line_ends_are_passed_over() {
    for key in ["https://r.io/v1", "https://r.io/v2", "http://r.io/v1/", "https://r.io/p/r", "https://R.io/x"] {
        let config = json!({"auths": {key: {"auth": "dT\npw\r\n"}}});
        assert_eq!(look_up(&config, "r.io/a").await.unwrap(), Some(basic("u", "p")), "{key}");
        assert_eq!(look_up(&config, "r.io:443/a").await.unwrap(), None, "{key}");
    }
    let config = json!({"auths": {"localhost:5000": {"auth": "dTpw"}}});
    assert_eq!(look_up(&config, "LOCALHOST:5000/a").await.unwrap(), Some(basic("u", "p")));
}
