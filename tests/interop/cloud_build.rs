//! `recipes/cloud-build.yaml` where it is meant for: a container that holds the static binary and nothing else.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use modelcar_testkit::{FakeGoogle, FakeHub, FaultRule, GoogleCall, HubAction, HubConfig, Logins, ModelTree};
use tempfile::TempDir;

use crate::{
    auth::{GOOGLE_HOST, Site, docker_config, text},
    fixture,
    parts::{Part, available, command, repository, static_binary},
    pinned_digest,
};

const SIZE_MAX_BYTES: u64 = 20 << 20;
const TOKEN_USER: &str = "oauth2accesstoken";

#[test]
fn the_static_binary_is_small_and_needs_nobody() {
    if !available(&[Part::Static]) {
        return;
    }
    let size = fs::metadata(static_binary()).unwrap().len();
    assert!(size <= SIZE_MAX_BYTES, "{size} bytes");
    let ldd = command("ldd").arg(static_binary()).output().unwrap();
    let said = format!("{}{}", text(&ldd.stdout), text(&ldd.stderr));
    assert!(said.contains("statically linked") || said.contains("not a dynamic executable"), "{said}");
    assert!(command(static_binary()).arg("--version").stdout(Stdio::null()).status().unwrap().success());
    eprintln!("static binary: {size} bytes");
}

/// The folder that a step sees as `/`.
struct Step {
    root: TempDir,
}

impl Step {
    fn new(site: &Site) -> Self {
        let step = Self { root: TempDir::new().unwrap() };
        for folder in ["etc", "builder/home/.docker", "builder/outputs", "workspace"] {
            fs::create_dir_all(step.path(folder)).unwrap();
        }
        fs::copy(static_binary(), step.path("modelcar")).unwrap();
        fs::write(step.path("etc/hosts"), format!("127.0.0.1 localhost {GOOGLE_HOST}\n")).unwrap();
        fs::write(step.path("etc/ca.pem"), site.ca.pem()).unwrap();
        step
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.root.path().join(inside)
    }

    /// Replaces the login file in one go, as Cloud Build does.
    fn log_in(&self, host: &str, password: &str) {
        let new = self.path("builder/home/.docker/new");
        fs::write(&new, docker_config(host, TOKEN_USER, password)).unwrap();
        fs::rename(new, self.path("builder/home/.docker/config.json")).unwrap();
    }

    /// The environment of Cloud Build, with the fakes in place of what it reaches.
    fn command(&self, arguments: &[String]) -> Command {
        let mut chroot = Command::new("chroot");
        chroot.arg(self.root.path()).arg("/modelcar").args(arguments).env_clear();
        chroot.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/builder/home");
        chroot.env("BUILDER_OUTPUT", "/builder/outputs").stdin(Stdio::null());
        chroot.stdout(Stdio::piped()).stderr(Stdio::piped());
        chroot
    }
}

/// The arguments of the example's step, with the substitutions of `gcloud builds submit`.
fn example_arguments(substitutions: &[(&str, &str)]) -> Vec<String> {
    let example = fs::read_to_string(repository().join("recipes/cloud-build.yaml")).unwrap();
    let step = example.split_once("    args:\n").unwrap().1;
    let arguments = step.lines().map_while(|line| line.strip_prefix("      - "));
    let mut arguments: Vec<String> = arguments.map(str::to_owned).collect();
    for argument in &mut arguments {
        for (name, value) in substitutions {
            *argument = argument.replace(&format!("${{{name}}}"), value);
        }
        assert!(!argument.contains('$'), "{argument}");
    }
    arguments
}

/// Waits until `happened`, which the push that runs beside brings about.
fn wait_for(push: &mut Child, happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() {
        let ended = push.try_wait().unwrap().is_some() || start.elapsed() > Duration::from_mins(2);
        if ended {
            push.kill().ok();
            let mut said = String::new();
            push.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("the push came to its end before:\n{said}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_example_pushes_from_an_empty_container() {
    if !available(&[Part::Static, Part::Registry, Part::Nginx, Part::Root]) {
        return;
    }
    let google = FakeGoogle::start_blocking(Duration::from_secs(2));
    let logins: Logins = google.logins();
    let site = Site::start(&logins, Duration::from_secs(2), |address| format!("{GOOGLE_HOST}:{}", address.port()));
    let hub = FakeHub::start_blocking(HubConfig { tokens: vec!["hf_secret".into()], ..HubConfig::default() });
    hub.add_repo("acme/tiny", "main", ModelTree::from_dir(&fixture(), 20_000).unwrap());
    let stall = HubAction::Stall { at: 1000, pause: Duration::from_secs(6) };
    hub.fault(FaultRule::new("model.safetensors", stall).method("GET").times(1));

    let host = format!("{GOOGLE_HOST}:{}", site.address.port());
    let name = format!("{host}/p/models/tiny");
    let image = format!("{name}:v1");
    let arguments = example_arguments(&[("_MODEL", "acme/tiny"), ("_IMAGE", &image), ("_BASE", "scratch")]);
    let step = Step::new(&site);
    // The file that Cloud Build wrote an hour ago: only the metadata server knows a token that works.
    step.log_in(&host, "ya29.an-hour-ago");
    let mut push = step.command(&arguments);
    push.env("HF_ENDPOINT", hub.endpoint()).env("HF_TOKEN", "hf_secret");
    push.env("GCE_METADATA_HOST", google.host()).env("SSL_CERT_FILE", "/etc/ca.pem");
    let mut push = push.spawn().unwrap();
    wait_for(&mut push, || hub.requests().iter().any(|request| request.path.contains("model.safetensors")));
    let tokens_before = google.calls().len();
    // In the middle of the layer Cloud Build renews the file, and the metadata server breaks down.
    logins.add(TOKEN_USER, "ya29.renewed", Duration::from_hours(1));
    step.log_in(&host, "ya29.renewed");
    google.fail(u32::MAX);
    let output = push.wait_with_output().unwrap();

    assert!(output.status.success(), "{}", text(&output.stderr));
    let digest = pinned_digest(&text(&output.stdout), &name);
    assert_eq!(fs::read_to_string(step.path("builder/outputs/output")).unwrap(), format!("{digest}\n"));
    assert!(tokens_before >= 1 && google.calls().iter().all(|call| *call == GoogleCall::Metadata));
    assert_eq!(google.calls().len(), tokens_before, "the renewed file served the rest");
    for secret in ["hf_secret", "ya29."] {
        assert!(!text(&output.stderr).contains(secret), "{}", text(&output.stderr));
    }
    eprintln!("{}", text(&output.stdout).trim());
    // Nothing was left in the container but the digest.
    let left: Vec<_> =
        fs::read_dir(step.path("workspace")).unwrap().chain(fs::read_dir(step.path("")).unwrap()).collect();
    assert_eq!(left.len(), 4, "{left:?}");
}

/// The authorities of the web are in the binary: a private one is unknown to them, and none of them is missing.
#[test]
fn an_empty_container_trusts_public_authorities_alone() {
    if !available(&[Part::Static, Part::Registry, Part::Nginx, Part::Root]) {
        return;
    }
    let site =
        Site::start(&Logins::default(), Duration::from_mins(1), |address| format!("{GOOGLE_HOST}:{}", address.port()));
    let step = Step::new(&site);
    assert!(!Path::new(&step.path("etc/ssl")).exists());
    let image = format!("{GOOGLE_HOST}:{}/p/models/tiny:v1", site.address.port());
    let output = step.command(&["inspect".to_owned(), image]).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("UnknownIssuer") && stderr.contains("hint: the certificate is not from"), "{stderr}");
}
