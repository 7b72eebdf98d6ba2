//! `modelcar doctor`: what it finds, what it advises, and its exit status.

use modelcar_testkit::Auth;

use super::*;

const PASSWORD: &str = "hunter2-never-shown";

impl Env {
    pub(super) fn with_registry(config: RegistryConfig) -> Self {
        Self { registry: FakeRegistry::start_blocking(config), ..Self::new() }
    }

    pub(super) fn log_in(&self, user: &str, password: &str) {
        let folder = self.dir.path().join(".docker");
        fs::create_dir_all(&folder).unwrap();
        let auths = json!({"auths": {self.registry.host(): {"username": user, "password": password}}});
        fs::write(folder.join("config.json"), auths.to_string()).unwrap();
    }

    /// Returns exit status and answer, in both forms.
    fn doctor(&self, image: &str) -> (Option<i32>, String, Value) {
        let shown = self.run(&["doctor", image]);
        let json = self.run(&["doctor", image, "--format", "json"]);
        assert_eq!(shown.status, json.status);
        let verdict = match shown.status.code() {
            Some(0) => "a push can work",
            Some(1) => "a push would fail",
            _ => "whether a push would work is unknown",
        };
        assert_eq!(text(&shown.stdout).lines().last(), Some(verdict));
        let all = [&shown.stdout, &shown.stderr, &json.stdout, &json.stderr].map(|bytes| text(bytes)).concat();
        assert!(!all.contains(PASSWORD) && !all.contains("token-"), "{all}");
        (shown.status.code(), text(&shown.stdout), serde_json::from_slice(&json.stdout).unwrap())
    }
}

fn verdict<'a>(document: &'a Value, name: &str) -> &'a str {
    let checks = document["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name);
    check.map_or("", |check| check["verdict"].as_str().unwrap())
}

#[test]
fn a_registry_that_takes_a_push() {
    let env = Env::with_registry(RegistryConfig { auth: Auth::bearer("robot", PASSWORD), ..RegistryConfig::default() });
    env.log_in("robot", PASSWORD);
    let (status, shown, document) = env.doctor(&env.image("a/b:v1"));
    assert_eq!(status, Some(0), "{shown}");
    assert_eq!(document["ok"], true);
    for name in ["name", "reach", "login", "push", "tag", "read", "limits"] {
        assert_eq!(verdict(&document, name), "ok", "{document}");
    }
    assert!(shown.contains(".docker/config.json") && shown.contains("`v1` is free"), "{shown}");
    assert_eq!(env.registry.open_sessions(), []);

    env.answer(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"]);
    let (status, shown, _) = env.doctor(&env.image("a/b:v1"));
    assert_eq!(status, Some(0), "a tag that is moved is no failure");
    assert!(shown.contains("tag     warning  `v1` points to `sha256:"), "{shown}");
}

#[test]
fn registries_that_take_none() {
    let denied = || RegistryAction::error(403, "DENIED");
    let cases: Vec<(Auth, Option<RegistryAction>, &str, &str)> = vec![
        (Auth::bearer("robot", "another"), None, "push", "log in"),
        (Auth::bearer("robot", PASSWORD), Some(denied()), "push", "grant it write access"),
        (Auth::None, Some(RegistryAction::error(404, "NAME_UNKNOWN")), "push", "create the repository"),
        (Auth::None, Some(RegistryAction::error(400, "NAME_INVALID")), "push", "correct the name"),
        (Auth::None, Some(RegistryAction::error(405, "UNSUPPORTED")), "push", "it takes no uploads"),
    ];
    for (auth, fault, check, advice) in cases {
        let env = Env::with_registry(RegistryConfig { auth, ..RegistryConfig::default() });
        env.log_in("robot", PASSWORD);
        if let Some(action) = fault {
            env.registry.fault(FaultRule::new("/blobs/uploads/", action).method("POST"));
        }
        let (status, shown, document) = env.doctor(&env.image("a/b:v1"));
        assert_eq!(status, Some(1), "{shown}");
        assert_eq!(verdict(&document, check), "no", "{document}");
        assert!(shown.contains(advice), "{shown}");
        assert_eq!(document["ok"], false);
    }
}

#[test]
fn what_can_not_be_checked() {
    let env = Env::new();
    // Nothing listens on port 1.
    let (status, shown, document) = env.doctor("127.0.0.1:1/a/b:v1");
    assert_eq!(status, Some(2), "{shown}");
    assert_eq!(verdict(&document, "reach"), "unknown");
    assert!(shown.contains("gives no answer"), "{shown}");

    fs::create_dir(env.dir.path().join(".docker")).unwrap();
    fs::write(env.dir.path().join(".docker/config.json"), "{").unwrap();
    let (status, shown, _) = env.doctor(&env.image("a/b:v1"));
    assert_eq!(status, Some(1), "{shown}");
    assert!(shown.contains("config.json"), "{shown}");
}

#[test]
fn the_model_and_the_base_are_looked_at_too() {
    let env = Env::new();
    let image = env.image("a/b:v1");
    let ask = |arguments: &[&str]| {
        let asked = [&["doctor"], arguments, &[&image]].concat();
        let shown = env.run(&asked);
        let json = env.run(&[&asked[..], &["--format", "json"]].concat());
        assert_eq!(shown.status, json.status);
        (shown.status.code(), text(&shown.stdout), serde_json::from_slice::<Value>(&json.stdout).unwrap())
    };
    let (status, shown, document) = ask(&[MODEL, "--base", "scratch"]);
    assert_eq!(status, Some(0), "{shown}");
    assert_eq!((verdict(&document, "model"), verdict(&document, "base")), ("ok", "ok"), "{document}");
    assert_eq!(document["checks"][0]["code"], "model-readable");
    assert!(shown.contains(&format!("model   ok       {MODEL}@")), "{shown}");
    assert!(!env.registry.requests().iter().any(|request| request.method == "PATCH"), "nothing is uploaded");

    let (status, shown, document) = ask(&["acme/nothing", "--base", "oci:nowhere"]);
    assert_eq!(status, Some(1), "{shown}");
    assert_eq!((verdict(&document, "model"), verdict(&document, "base")), ("no", "no"), "{document}");
    assert_eq!(verdict(&document, "push"), "ok", "the registry is asked all the same");
    assert!(document["checks"][0]["advice"].is_string(), "{document}");

    let broken = env.dir.path().join("broken");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("config.json"), "{}").unwrap();
    fs::write(broken.join("model.safetensors"), "version https://git-lfs.github.com/spec/v1\n").unwrap();
    let (status, shown, _) = ask(&[broken.to_str().unwrap(), "--base", "scratch"]);
    assert_eq!(status, Some(1), "{shown}");
    env.refused(&["doctor", &format!("{image}@sha256:{}", "0".repeat(64))], &["modelcar inspect"]);
}

#[test]
fn a_name_that_the_registry_can_not_have() {
    let env = Env::new();
    env.refused(
        &["push", MODEL, "europe-docker.pkg.dev/project/repository:v1", "--base", "scratch"],
        &["PROJECT/REPOSITORY/IMAGE", "hint:"],
    );
    env.refused(
        &["push", MODEL, "europe-docker.pkg.dev/p/r/i:v1", "--base", "scratch", "--chunk-size", "64MiB"],
        &["Artifact Registry takes no uploads in chunks", "leave out --chunk-size"],
    );
}

#[test]
fn the_login_that_was_taken_is_named() {
    let env = Env::with_registry(RegistryConfig { auth: Auth::bearer("robot", PASSWORD), ..RegistryConfig::default() });
    env.log_in("robot", PASSWORD);
    let image = env.image("a/b:v1");
    let mut command = env.command(&["doctor", &image]);
    command.env("MODELCAR_REGISTRY_USERNAME", "robot").env("MODELCAR_REGISTRY_PASSWORD", "an old one");
    let shown = text(&command.output().unwrap().stdout);
    let login = shown.lines().find(|line| line.starts_with("login")).unwrap();
    assert!(login.contains("ok") && login.contains(".docker/config.json"), "{shown}");
}

#[test]
fn a_registry_that_does_not_tell_of_tags() {
    let env = Env::new();
    env.registry.fault(FaultRule::new("/manifests/v1", RegistryAction::error(403, "DENIED")).method("GET"));
    let (status, shown, document) = env.doctor(&env.image("a/b:v1"));
    assert_eq!(status, Some(0), "{shown}");
    assert_eq!(verdict(&document, "tag"), "warning", "{document}");
}

#[test]
fn a_tag_that_can_not_be_read_and_a_login_that_may_not_read() {
    let schema1 = ("content-type".to_owned(), "application/vnd.docker.distribution.manifest.v1+json".to_owned());
    for (action, said) in [
        (RegistryAction::status(400), "status 400"),
        (RegistryAction::status(500), "status 500"),
        (RegistryAction::Status { code: 200, headers: vec![schema1], body: "{}".to_owned() }, "Docker schema 1 image"),
    ] {
        let env = Env::new();
        env.registry.fault(FaultRule::new("/manifests/v1", action).method("GET"));
        let (status, shown, document) = env.doctor(&env.image("a/b:v1"));
        assert_eq!(status, Some(0), "{shown}");
        assert_eq!((verdict(&document, "tag"), verdict(&document, "read")), ("warning", "ok"), "{document}");
        assert!(shown.contains(said) && shown.contains("a push replaces it"), "{shown}");
    }
    let env = Env::new();
    env.registry.fault(FaultRule::new("/v2/a/", RegistryAction::error(403, "DENIED")).method("GET"));
    let (status, shown, document) = env.doctor(&env.image("a/b:v1"));
    assert_eq!(status, Some(1), "{shown}");
    assert_eq!(verdict(&document, "read"), "no", "{document}");
    assert!(shown.contains("--no-verify-push"), "{shown}");
}
