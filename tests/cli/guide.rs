//! The commands of the guide, run as they stand on its pages.
//!
//! A fenced block below the line `<!-- run: NAME -->` is run by a test here. The blocks of a page that have the same name
//! are one script. The Hub and the registries are fakes. The digest of the default base is pinned, so that no fake can give
//! it: the scripts run with another default base.

use std::{
    collections::BTreeSet,
    env,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use modelcar_testkit::ConnectProxy;

use super::{Command, Env, FakeRegistry, MODEL, Output, RegistryConfig, Stdio, fs, text};

/// The page and the name of every script that a test runs.
const SCRIPTS: [(&str, &str); 4] = [
    ("first-push.md", "push"),
    ("first-token.md", "render"),
    ("air-gapped.md", "connected"),
    ("air-gapped.md", "inside"),
];

/// A user's machine: the fakes, a folder to work in, and a way to the internet that leads nowhere.
struct Machine {
    env: Env,
    proxy: ConnectProxy,
    bases: FakeRegistry,
}

impl Machine {
    fn new() -> Self {
        let env = Env::new();
        let bases = FakeRegistry::start_blocking(RegistryConfig::default());
        bases.add_base_image("docker/library/busybox", "1.37.0-musl", &["linux/amd64", "linux/arm64"]);
        let proxy = ConnectProxy::start(&[], None);
        fs::create_dir(env.dir.path().join("bin")).unwrap();
        symlink(env!("CARGO_BIN_EXE_modelcar"), env.dir.path().join("bin/modelcar")).unwrap();
        Self { env, proxy, bases }
    }

    /// Runs a script of a page with what the page asks the reader to set.
    fn run(&self, (page, name): (&str, &str), variables: &[(&str, &str)], is_connected: bool) -> Output {
        assert!(SCRIPTS.contains(&(page, name)), "{page}, {name}");
        let path = format!("{}:{}", self.env.dir.path().join("bin").display(), env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &script(page, name)]).current_dir(self.env.dir.path());
        command.stdin(Stdio::null()).env_clear().env("HOME", self.env.dir.path()).env("PATH", path);
        command.envs(variables.iter().copied());
        if is_connected {
            command.env("HF_ENDPOINT", self.env.hub.endpoint()).env("HTTPS_PROXY", self.proxy.url());
            command.env("MODELCAR_BASE", format!("{}/docker/library/busybox:1.37.0-musl", self.bases.host()));
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{page}, {name}:\n{}\n{}", text(&output.stdout), text(&output.stderr));
        output
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.env.dir.path().join(name)).unwrap()
    }
}

#[test]
fn the_first_push_and_the_first_manifest_work_as_their_pages_say() {
    let machine = Machine::new();
    let image = machine.env.image("models/qwen");
    let output = machine.run(("first-push.md", "push"), &[("MODEL", MODEL), ("IMAGE", &format!("{image}:v1"))], true);
    assert!(!machine.bases.requests().is_empty() && machine.proxy.asked().is_empty(), "{:?}", machine.proxy.asked());
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let tags = machine.env.registry.tags();
    let [(_, tag, digest)] = &tags[..] else { panic!("{tags:?}") };
    assert_eq!(tag, "v1");
    let pinned = format!("{image}@{digest}");
    assert!(stdout.matches(&pinned).count() >= 2, "{stdout}");
    assert!(stderr.contains("nothing sent"), "{stderr}");
    assert!(machine.file("qwen.lock.json").contains("\"layers\""));

    machine.run(("first-token.md", "render"), &[("PINNED", &pinned)], true);
    assert!(machine.file("qwen.yaml").contains(&format!("storageUri: oci://{pinned}")));
}

#[test]
fn a_model_crosses_an_air_gap_as_the_page_says() {
    let machine = Machine::new();
    machine.run(("air-gapped.md", "connected"), &[("MODEL", MODEL)], true);
    let asked = machine.env.hub.requests().len();
    let (base, image) = (machine.env.image("mirror/busybox:1.37.0-musl"), machine.env.image("models/qwen:v1"));
    machine.env.registry.add_base_image("mirror/busybox", "1.37.0-musl", &["linux/amd64"]);
    let variables = [("MODEL", MODEL), ("BASE", &base), ("IMAGE", &image)];
    let output = machine.run(("air-gapped.md", "inside"), &variables, false);
    assert!(text(&output.stdout).contains("models/qwen@sha256:"), "{}", text(&output.stdout));
    assert_eq!(machine.env.hub.requests().len(), asked, "the Hub was asked");
    assert!(
        machine.env.registry.tags().iter().any(|(repository, tag, _)| (&**repository, &**tag) == ("models/qwen", "v1"))
    );
}

#[test]
fn every_marked_block_of_the_guide_is_run() {
    let mut marked = BTreeSet::new();
    for page in fs::read_dir(docs()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let name = page.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&page).unwrap();
        marked.extend(text.lines().filter_map(marker).map(|script| (name.clone(), script.to_owned())));
    }
    let run: BTreeSet<_> = SCRIPTS.iter().map(|(page, name)| ((*page).to_owned(), (*name).to_owned())).collect();
    assert_eq!(marked, run);
}

/// Returns the blocks of a page that are marked with a name.
fn script(page: &str, name: &str) -> String {
    let text = fs::read_to_string(docs().join(page)).unwrap();
    let (mut script, mut is_wanted, mut is_inside) = (String::new(), false, false);
    for line in text.lines() {
        if line.starts_with("```") {
            is_wanted &= !is_inside;
            is_inside = !is_inside;
        } else if is_inside && is_wanted {
            script.extend([line, "\n"]);
        } else if !is_inside && !line.is_empty() {
            is_wanted = marker(line) == Some(name);
        }
    }
    assert!(!script.is_empty(), "{page} has no block {name}");
    script
}

fn marker(line: &str) -> Option<&str> {
    line.strip_prefix("<!-- run: ")?.strip_suffix(" -->")
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").exists())
        .unwrap()
        .join("docs")
}
