//! The program `push` at a registry of Google's name, and stopped in each way.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use modelcar_testkit::{
    Auth, ConnectProxy, FakeGoogle, FakeHub, FakeRegistry, FaultRule, GoogleCall, HubAction, HubConfig, LocationStyle,
    PrivateCa, RegistryAction, RegistryConfig, TlsFront, tiny_model,
};
use tempfile::TempDir;

const HOST: &str = "europe-docker.pkg.dev";
const IMAGE: &str = "europe-docker.pkg.dev/project/models/tiny:v1";

/// A Hub, a registry of Google's name behind TLS and a proxy, and Google's sign-in.
struct Site {
    home: TempDir,
    hub: FakeHub,
    registry: FakeRegistry,
    google: FakeGoogle,
    proxy: ConnectProxy,
    _front: TlsFront,
}

impl Site {
    fn start() -> Self {
        let home = TempDir::new().unwrap();
        let hub = FakeHub::start_blocking(HubConfig::default());
        hub.add_repo("acme/tiny", "main", tiny_model());
        let google = FakeGoogle::start_blocking(Duration::from_hours(1));
        let auth = Auth::Logins(google.logins());
        let location = LocationStyle::Relative;
        let registry = FakeRegistry::start_blocking(RegistryConfig { auth, location, ..RegistryConfig::default() });
        let upstream: SocketAddr = registry.host().parse().unwrap();
        let ca = PrivateCa::new();
        let front = TlsFront::start(upstream, &ca.certify(&[HOST]));
        let proxy = ConnectProxy::start(&[(&format!("{HOST}:443"), front.addr())], None);
        fs::write(home.path().join("ca.pem"), ca.pem()).unwrap();
        fs::write(home.path().join("adc.json"), google.authorized_user().to_string()).unwrap();
        Self { home, hub, registry, google, proxy, _front: front }
    }

    /// Starts the program with `seconds` to its deadline.
    fn push(&self, seconds: u64) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_push"));
        command.args(["acme/tiny", IMAGE, "scratch", &seconds.to_string()]).env_clear();
        command.env("HOME", self.home.path()).env("HF_ENDPOINT", self.hub.endpoint());
        command.env("HTTPS_PROXY", self.proxy.url()).env("SSL_CERT_FILE", self.home.path().join("ca.pem"));
        command.env("GOOGLE_APPLICATION_CREDENTIALS", self.home.path().join("adc.json"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Returns the digest that the program printed.
    fn pushed(&self, output: &Output) -> String {
        let (answer, log) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{log}");
        let digest = answer.trim().strip_prefix(&format!("{HOST}/project/models/tiny@")).unwrap().to_owned();
        let tags = self.registry.tags();
        assert_eq!(tags, [("project/models/tiny".to_owned(), "v1".to_owned(), digest.clone())]);
        digest
    }

    /// What a push that was stopped leaves: no tag, no upload.
    fn is_clean(&self, output: &Output) {
        let log = text(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{log}");
        assert!(log.contains("(Stopped)"), "{log}");
        assert_eq!((self.registry.tags(), self.registry.open_sessions()), (vec![], vec![]));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_program_is_short() {
    let lines = include_str!("../src/bin/push.rs").lines().count();
    assert!(lines <= 60, "{lines} lines");
}

#[test]
fn google_lets_the_program_in() {
    let site = Site::start();
    let digest = site.pushed(&site.push(600).wait_with_output().unwrap());
    assert!(digest.starts_with("sha256:"));
    assert_eq!(site.google.calls(), [GoogleCall::Refresh]);
    assert!(site.proxy.asked().iter().all(|name| *name == format!("{HOST}:443")), "{:?}", site.proxy.asked());
}

#[test]
fn a_hub_that_is_overloaded_is_asked_again_later() {
    let site = Site::start();
    // As often as the library tries by itself: only the program's own second try gets through.
    let rule = FaultRule::new("/api/models/acme/tiny", HubAction::status(503)).times(5);
    site.hub.fault(rule);
    site.pushed(&site.push(600).wait_with_output().unwrap());
}

#[test]
fn the_deadline_ends_a_push_and_nothing_is_left() {
    let site = Site::start();
    let pause = Duration::from_hours(1);
    site.hub.fault(FaultRule::new("model-00001", HubAction::Stall { at: 10, pause }));
    site.is_clean(&site.push(2).wait_with_output().unwrap());
}

#[test]
fn ctrl_c_ends_a_push_and_nothing_is_left() {
    let site = Site::start();
    let stall = RegistryAction::Stall { at: 1000, pause: Duration::from_hours(1) };
    site.registry.fault(FaultRule::new("/blobs/uploads/", stall));
    let child = site.push(600);
    while !site.registry.requests().iter().any(|request| request.body_bytes_received >= 1000) {
        thread::sleep(Duration::from_millis(10));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    site.is_clean(&child.wait_with_output().unwrap());
}
