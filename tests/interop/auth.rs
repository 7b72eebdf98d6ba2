//! Logins at Debian's registry: htpasswd, signed tokens, TLS of a private authority, and Google's accounts.

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use modelcar_testkit::{
    ConnectProxy, FakeGoogle, FakeHub, FaultRule, GoogleCall, HubAction, HubConfig, Logins, ModelTree, PrivateCa,
    TokenServer,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    fixture,
    nginx::Nginx,
    parts::{Part, available, modelcar, run},
    pinned_digest,
    registry::Registry,
    reuse::ways,
};

pub(crate) const PASSWORD: &str = "correct horse";
/// `PASSWORD` as htpasswd keeps it.
pub(crate) const HTPASSWD: &str = "me:$2b$04$k7PQZM2WZ7kQ9o2g9RUiW.OMOXB3v2XVLpPLpfvaGvWRgn99EW2Nu";
/// A registry of Google's, as far as its name goes.
pub(crate) const GOOGLE_HOST: &str = "europe-docker.pkg.dev";
const LONG: Duration = Duration::from_hours(1);

/// Docker's registry with tokens, behind nginx with TLS, under Google's name through a proxy.
pub(crate) struct Site {
    pub(crate) tokens: TokenServer,
    pub(crate) address: SocketAddr,
    pub(crate) ca: PrivateCa,
    proxy: ConnectProxy,
    _nginx: Nginx,
    _registry: Registry,
    dir: TempDir,
}

impl Site {
    /// Starts one whose tokens work for `lifetime`, and whose token server is at `host` of its address.
    pub(crate) fn start(logins: &Logins, lifetime: Duration, host: impl Fn(SocketAddr) -> String) -> Self {
        // Between the choice of a port and nginx's bind another process may take it.
        (0..5).find_map(|_| Self::try_start(logins.clone(), lifetime, &host)).expect("nginx answers")
    }

    fn try_start(logins: Logins, lifetime: Duration, host: &impl Fn(SocketAddr) -> String) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let ca = PrivateCa::new();
        let tokens = TokenServer::start(logins, lifetime);
        let certificates = dir.path().join("token-server.pem");
        fs::write(&certificates, tokens.certificate()).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let realm = format!("https://{}/v2/token", host(address));
        let registry = Registry::start_with(&tokens.registry_config(&realm, &certificates));
        let identity = ca.certify(&[GOOGLE_HOST, "registry.test"]);
        let nginx = Nginx::try_start(address, &identity, registry.address(), tokens.addr())?;
        let names = [(&*format!("{GOOGLE_HOST}:443"), address), ("registry.test:443", address)];
        let proxy = ConnectProxy::start(&names, None);
        Some(Self { tokens, address, ca, proxy, _nginx: nginx, _registry: registry, dir })
    }

    pub(crate) fn google(logins: &Logins, lifetime: Duration) -> Self {
        Self::start(logins, lifetime, |_| GOOGLE_HOST.to_owned())
    }

    /// The program with a home of its own, this site's authority and proxy.
    fn modelcar(&self, home: &Path) -> Command {
        let mut modelcar = modelcar(home);
        self.reach(&mut modelcar);
        modelcar
    }

    /// A program that runs modelcar, with nothing in its environment but a home of its own, this site's authority and
    /// proxy.
    pub(crate) fn modelcar_as(&self, program: &str, home: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", home).stdin(Stdio::null());
        self.reach(&mut command);
        command
    }

    fn reach(&self, command: &mut Command) {
        let ca = self.dir.path().join("ca.pem");
        fs::write(&ca, self.ca.pem()).unwrap();
        command.env("HTTPS_PROXY", self.proxy.url()).env("SSL_CERT_FILE", ca);
    }
}

/// Pushes the fixture to `image`; `modelcar` may hold further arguments before.
fn push(modelcar: &mut Command, image: &str) -> Output {
    modelcar.arg("push").arg(fixture()).args([image, "--base", "scratch"]).output().unwrap()
}

fn pushed(modelcar: &mut Command, image: &str) -> String {
    let output = push(modelcar, image);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for secret in FakeGoogle::secrets().iter().map(String::as_str).chain([PASSWORD]) {
        assert!(!text(&output.stderr).contains(secret), "{}", text(&output.stderr));
    }
    pinned_digest(&text(&output.stdout), image.rsplit_once(':').unwrap().0)
}

fn refused(modelcar: &mut Command, image: &str, said: &[&str]) {
    let output = push(modelcar, image);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(text(&output.stdout), "");
    for said in said {
        assert!(stderr.contains(said), "{said:?} is not in:\n{stderr}");
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn docker_config(host: &str, user: &str, password: &str) -> String {
    json!({"auths": {host: {"username": user, "password": password}}}).to_string()
}

fn with_stdin(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_password_opens_a_registry_with_htpasswd() {
    if !available(&[Part::Registry]) {
        return;
    }
    let home = TempDir::new().unwrap();
    let file = home.path().join("htpasswd");
    fs::write(&file, HTPASSWD).unwrap();
    let registry = Registry::start_with(&format!("auth:\n  htpasswd:\n    realm: x\n    path: {}\n", file.display()));
    let image = |name: &str| format!("{}/{name}:v1", registry.address());
    let program = || modelcar(home.path());
    let config = home.path().join("config.json");

    refused(&mut program(), &image("none"), &["wants a login and none was found", "config.json", "hint: log in"]);
    let env = |password: &str| {
        let mut program = program();
        program.env("MODELCAR_REGISTRY_USERNAME", "me").env("MODELCAR_REGISTRY_PASSWORD", password);
        program
    };
    let digest = pushed(&mut env(PASSWORD), &image("env"));
    refused(&mut env("wrong"), &image("wrong"), &["refuses the login from MODELCAR_REGISTRY_USERNAME"]);
    refused(program().env("MODELCAR_REGISTRY_USERNAME", "me"), &image("half"), &["only one of"]);

    let mut flags = program();
    flags.arg("push").arg(fixture()).args([
        &image("flags"),
        "--base",
        "scratch",
        "--username",
        "me",
        "--password-stdin",
    ]);
    let output = with_stdin(flags, &format!("{PASSWORD}\n"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains(&digest));

    fs::write(&config, docker_config(&registry.address().to_string(), "me", PASSWORD)).unwrap();
    assert_eq!(pushed(&mut program(), &image("file")), digest);
    let mut inspect = program();
    let output = inspect.args(["inspect", &image("file")]).output().unwrap();
    assert!(text(&output.stdout).contains(&digest), "{}", text(&output.stderr));
    fs::write(&config, docker_config(&registry.address().to_string(), "me", "wrong")).unwrap();
    refused(&mut program(), &image("file2"), &["refuses the login from entry", "config.json"]);
    fs::write(&config, r#"{"credsStore":"modelcar-test-none"}"#).unwrap();
    refused(
        &mut program(),
        &image("helper"),
        &["docker-credential-modelcar-test-none", "which is not installed", "hint: log in"],
    );
}

#[test]
fn a_private_authority_is_trusted_when_told_to() {
    if !available(&[Part::Registry, Part::Nginx]) {
        return;
    }
    let home = TempDir::new().unwrap();
    let logins = Logins::default();
    logins.add("me", PASSWORD, LONG);
    let site = Site::google(&logins, LONG);
    let program = || {
        let mut program = modelcar(home.path());
        program.env("HTTPS_PROXY", site.proxy.url());
        program
    };
    fs::write(home.path().join("config.json"), docker_config("registry.test", "me", PASSWORD)).unwrap();
    let image = "registry.test/team/model:v1";
    refused(&mut program(), image, &["certificate", "hint: the certificate is not from an authority", "--ca-file"]);
    assert_eq!(site.tokens.asked().len(), 0, "no login went to a server that nobody knows");

    let ca = home.path().join("ca.pem");
    fs::write(&ca, site.ca.pem()).unwrap();
    let digest = pushed(program().env("SSL_CERT_FILE", &ca), image);
    let with = |arguments: &[&str]| {
        let mut program = program();
        let image = ["push", fixture().to_str().unwrap(), image, "--base", "scratch"].map(str::to_owned);
        program.args(image).args(arguments).output().unwrap()
    };
    let output = with(&["--ca-file", ca.to_str().unwrap()]);
    assert!(text(&output.stdout).contains(&digest), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("NOT checked"));
    let output = with(&["--insecure-skip-tls-verify", "--progress", "none"]);
    assert!(text(&output.stdout).contains(&digest), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("NOT checked"), "{}", text(&output.stderr));
    let output = with(&["--ca-file", home.path().join("config.json").to_str().unwrap()]);
    assert!(text(&output.stderr).contains("holds no readable certificate"), "{}", text(&output.stderr));

    // Without the proxy, and for names that need none, the name leads nowhere.
    let mut direct = program();
    direct.env("SSL_CERT_FILE", &ca).env("NO_PROXY", "x.io,.test");
    let before = site.proxy.asked().len();
    refused(&mut direct, image, &["registry.test"]);
    assert_eq!(site.proxy.asked().len(), before);
}

#[test]
fn signed_tokens_of_a_token_server_open_a_registry() {
    if !available(&[Part::Registry, Part::Nginx]) {
        return;
    }
    let home = TempDir::new().unwrap();
    let logins = Logins::default();
    logins.add("me", PASSWORD, LONG);
    let site = Site::google(&logins, LONG);
    let config = home.path().join("config.json");
    let image = "registry.test/team/model:v1";
    refused(&mut site.modelcar(home.path()), image, &["`registry.test` wants a login and none was found"]);
    fs::write(&config, docker_config("registry.test", "me", "wrong")).unwrap();
    refused(&mut site.modelcar(home.path()), image, &["refuses the login from entry `registry.test`", "401"]);
    fs::write(&config, docker_config("registry.test", "me", PASSWORD)).unwrap();
    let before = site.tokens.asked().len();
    pushed(&mut site.modelcar(home.path()), image);
    // One for each right: to read, to push, to delete what a push leaves behind.
    let asked = site.tokens.asked().split_off(before);
    assert!((1..=4).contains(&asked.len()) && asked.iter().all(|name| name == "me"), "{asked:?}");

    // podman's file, by repository, and Docker's keys with a scheme.
    fs::remove_file(&config).unwrap();
    for key in ["registry.test/team/model", "registry.test/team", "https://registry.test/v2/"] {
        let file = home.path().join("auth.json");
        fs::write(&file, docker_config(key, "me", PASSWORD)).unwrap();
        pushed(site.modelcar(home.path()).env("REGISTRY_AUTH_FILE", &file), image);
    }
}

/// For a mount two repositories are asked for; the second is not granted, so that the layers are sent.
#[test]
fn a_token_server_that_reads_one_scope_opens_a_registry() {
    if !available(&[Part::Registry]) {
        return;
    }
    let (home, logins) = (TempDir::new().unwrap(), Logins::default());
    logins.add("me", PASSWORD, LONG);
    let hub = FakeHub::start_blocking(HubConfig::default());
    hub.add_repo("acme/tiny", "main", ModelTree::from_dir(&fixture(), 20_000).unwrap());
    for (scopes_max, way) in [(usize::MAX, "mount"), (1, "upload")] {
        let tokens = TokenServer::start_for(logins.clone(), LONG, scopes_max);
        let certificates = home.path().join("token-server.pem");
        fs::write(&certificates, tokens.certificate()).unwrap();
        let realm = format!("http://{}/token", tokens.addr());
        let registry = Registry::start_with(&tokens.registry_config(&realm, &certificates));
        let host = registry.address().to_string();
        fs::write(home.path().join("config.json"), docker_config(&host, "me", PASSWORD)).unwrap();
        // For the second push the cache in this home knows where the layers are.
        let answers = ["first", "second"].map(|name| {
            let mut push = modelcar(home.path());
            push.env("HF_ENDPOINT", hub.endpoint()).args(["push", "acme/tiny", &format!("{host}/team/{name}:v1")]);
            let answer = run(push.args(["--base", "scratch", "--format", "json"]));
            (serde_json::from_str::<Value>(&answer).unwrap()["digest"].clone(), ways(&answer))
        });
        assert_eq!(answers[0].0, answers[1].0);
        assert_eq!(answers[1].1, [way], "{scopes_max}");
    }
}

#[test]
fn every_kind_of_google_account_pushes() {
    use GoogleCall::{Federation, Impersonation, Key, Metadata, Refresh};
    if !available(&[Part::Registry, Part::Nginx]) {
        return;
    }
    let google = FakeGoogle::start_blocking(LONG);
    let site = Site::google(&google.logins(), LONG);
    let cases: [(&str, Option<Value>, &[GoogleCall]); 6] = [
        ("metadata", None, &[Metadata]),
        ("service-account", Some(google.service_account()), &[Key]),
        ("authorized-user", Some(google.authorized_user()), &[Refresh]),
        ("external-account", Some(google.external_account(false)), &[Federation]),
        ("external-account-impersonated", Some(google.external_account(true)), &[Federation, Impersonation]),
        ("impersonated", Some(google.impersonated()), &[Refresh, Impersonation]),
    ];
    let mut digests = Vec::new();
    for (kind, file, calls) in cases {
        let home = TempDir::new().unwrap();
        let mut program = site.modelcar(home.path());
        match file {
            Some(file) => {
                let path = home.path().join("key.json");
                fs::write(&path, file.to_string()).unwrap();
                program.env("GOOGLE_APPLICATION_CREDENTIALS", path);
            }
            None => {
                program.env("GCE_METADATA_HOST", google.host());
            }
        }
        let before = google.calls().len();
        digests.push(pushed(&mut program, &format!("{GOOGLE_HOST}/p/models/{kind}:v1")));
        assert_eq!(&google.calls()[before..], calls, "{kind}");
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);
    assert!(site.tokens.asked().iter().all(|user| user == "oauth2accesstoken"), "{:?}", site.tokens.asked());
}

#[test]
fn an_entry_that_ran_out_gives_way_to_the_machines_account() {
    if !available(&[Part::Registry, Part::Nginx]) {
        return;
    }
    let home = TempDir::new().unwrap();
    let google = FakeGoogle::start_blocking(LONG);
    let site = Site::google(&google.logins(), LONG);
    let config = docker_config(GOOGLE_HOST, "oauth2accesstoken", "ya29.an-hour-ago");
    fs::write(home.path().join("config.json"), config).unwrap();
    let image = format!("{GOOGLE_HOST}/p/models/qwen:v1");
    pushed(site.modelcar(home.path()).env("GCE_METADATA_HOST", google.host()), &image);
    assert_eq!(google.calls(), [GoogleCall::Metadata]);
}

/// Registry tokens of two seconds and Google's of three, and a layer that takes five.
#[test]
fn tokens_that_run_out_inside_a_layer_are_renewed() {
    if !available(&[Part::Registry, Part::Nginx]) {
        return;
    }
    let home = TempDir::new().unwrap();
    let google = FakeGoogle::start_blocking(Duration::from_secs(3));
    let site = Site::google(&google.logins(), Duration::from_secs(2));
    let hub = FakeHub::start_blocking(HubConfig::default());
    hub.add_repo("acme/tiny", "main", ModelTree::from_dir(&fixture(), 20_000).unwrap());
    hub.fault(
        FaultRule::new("model-00001", HubAction::Stall { at: 1000, pause: Duration::from_secs(5) })
            .method("GET")
            // A redirect and the content, for planning and for the layer.
            .times(4),
    );
    let start = Instant::now();
    let mut program = site.modelcar(home.path());
    program.env("HF_ENDPOINT", hub.endpoint()).env("GCE_METADATA_HOST", google.host());
    let image = format!("{GOOGLE_HOST}/p/models/slow:v1");
    let output = program.args(["push", "acme/tiny", &image, "--base", "scratch"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(start.elapsed() > Duration::from_secs(5), "the layer has to outlive the tokens");
    assert!(!text(&output.stderr).contains("starts over"), "{}", text(&output.stderr));
    assert!(google.calls().len() >= 2, "{:?}", google.calls());
}

#[test]
fn nginx_asks_for_a_certificate_of_the_client() {
    if !available(&[Part::Registry, Part::Nginx]) {
        return;
    }
    let (ca, other, home) = (PrivateCa::new(), PrivateCa::new(), TempDir::new().unwrap());
    let registry = Registry::start();
    let nginx = Nginx::for_clients(registry.address(), &ca.certify(&["127.0.0.1"]), &ca);
    let (client, foreign) = (ca.certify_client("ci"), other.certify_client("ci"));
    for (name, content) in [
        ("ca.pem", ca.pem()),
        ("client.pem", &client.certificate),
        ("client.key", &client.key),
        ("foreign.pem", &foreign.certificate),
        ("foreign.key", &foreign.key),
    ] {
        fs::write(home.path().join(name), content).unwrap();
    }
    let image = format!("{}/team/clients:v1", nginx.address());
    let modelcar = |certificate: Option<&str>| {
        let file = |ending: &str| home.path().join(format!("{}.{ending}", certificate.unwrap_or_default()));
        let mut modelcar = modelcar(home.path());
        modelcar.env("SSL_CERT_FILE", home.path().join("ca.pem"));
        if certificate.is_some() {
            modelcar.env("MODELCAR_REGISTRY_CLIENT_CERT", file("pem"));
            modelcar.env("MODELCAR_REGISTRY_CLIENT_KEY", file("key"));
        }
        modelcar
    };
    // nginx ends no handshake: it answers each request with a page of status 400.
    refused(&mut modelcar(None), &image, &["No required SSL certificate was sent", "--client-cert FILE"]);
    refused(&mut modelcar(Some("foreign")), &image, &["The SSL certificate error", "--client-cert FILE"]);
    let digest = pushed(&mut modelcar(Some("client")), &image);
    assert!(registry.request("GET", &format!("/v2/team/clients/manifests/{digest}")).0.starts_with("HTTP/1.1 200"));
}
