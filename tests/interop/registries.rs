//! Pushes to the CNCF distribution 3 and to go-containerregistry's registry, and what crane and oras read there.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use modelcar_testkit::{CuttingProxy, FakeHub, FakeRegistry, HubConfig, RegistryConfig, tiny_model};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    files,
    parts::{Part, available, command, modelcar, registry_program, run},
    registry::{Program, Registry},
    reuse::ways,
    upload::{self, MIB, uploaded, wait_for},
};

const REPOSITORY: &str = "team/model";

/// A registry, and a Hub with the tiny model.
struct Site {
    hub: FakeHub,
    registry: Registry,
    work: TempDir,
}

impl Site {
    fn start(program: Program) -> Self {
        let hub = FakeHub::start_blocking(HubConfig::default());
        hub.add_repo("acme/tiny", "main", tiny_model());
        Self { hub, registry: Registry::start_program(program), work: TempDir::new().unwrap() }
    }

    fn image(&self, repository: &str) -> String {
        format!("{}/{repository}:v1", self.registry.address())
    }

    /// Runs `modelcar` on a machine that knows of no earlier push, and returns its answer.
    fn modelcar(&self, arguments: &[&str]) -> Value {
        let home = TempDir::new().unwrap();
        let mut modelcar = modelcar(home.path());
        modelcar.env("HF_ENDPOINT", self.hub.endpoint()).args(arguments);
        serde_json::from_str(&run(modelcar.args(["--base", "scratch", "--format", "json"]))).unwrap()
    }

    fn push(&self, repository: &str, more: &[&str]) -> Value {
        self.modelcar(&[&["push", "acme/tiny", &self.image(repository)], more].concat())
    }

    /// Pushes, and returns the image's name with its digest.
    fn pushed(&self) -> String {
        let answer = self.push(REPOSITORY, &[]);
        format!("{}/{REPOSITORY}@{}", self.registry.address(), digest(&answer))
    }

    /// crane or oras, with a home of its own.
    fn reader(&self, part: Part) -> Command {
        let mut reader = command(registry_program(part));
        reader.env("HOME", self.work.path()).env("DOCKER_CONFIG", self.work.path());
        reader
    }

    /// A command of oras, over plain HTTP.
    fn oras(&self, subcommand: &str) -> Command {
        let mut oras = self.reader(Part::Oras);
        oras.args(subcommand.split(' ')).arg("--plain-http");
        oras
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }
}

fn digest(answer: &Value) -> String {
    answer["digest"].as_str().expect("the answer has a digest").to_owned()
}

fn sent(answer: &Value) -> u64 {
    answer["bytesSent"].as_u64().expect("the answer says how many bytes were sent")
}

#[test]
fn distribution_3_gets_the_image_of_a_layout_once() {
    gets_the_image_of_a_layout_once(Program::Distribution, "mount");
}

/// It keeps the blobs of all repositories together, so what one has is there for the others too.
#[test]
fn go_containerregistry_gets_the_image_of_a_layout_once() {
    gets_the_image_of_a_layout_once(Program::GoContainerregistry, "reuse");
}

fn gets_the_image_of_a_layout_once(program: Program, elsewhere: &str) {
    if !available(&[program.part()]) {
        return;
    }
    let site = Site::start(program);
    let layout = format!("oci:{}", site.path("layout").display());
    let built = site.modelcar(&["build", "acme/tiny", "--output", &layout]);
    let first = site.push(REPOSITORY, &[]);
    assert_eq!(digest(&first), digest(&built));
    assert!(sent(&first) > 0, "{first}");
    let second = site.push(REPOSITORY, &[]);
    assert_eq!((digest(&second), sent(&second)), (digest(&built), 0), "{second}");
    assert!(ways(&second.to_string()).iter().all(|way| way == "reuse"), "{second}");
    let other = site.push("other/model", &["--reuse-from", &site.image(REPOSITORY)]);
    assert_eq!((digest(&other), sent(&other)), (digest(&built), 0), "{other}");
    assert!(ways(&other.to_string()).iter().all(|way| way == elsewhere), "{other}");
    assert_eq!(site.registry.tags(REPOSITORY), ["v1"], "nothing else is left behind");
}

#[test]
fn debians_registry_gets_a_copy_of_a_base() {
    gets_a_copy_of_a_base(Program::Debian);
}

#[test]
fn distribution_3_gets_a_copy_of_a_base() {
    gets_a_copy_of_a_base(Program::Distribution);
}

fn gets_a_copy_of_a_base(program: Program) {
    if !available(&[program.part()]) {
        return;
    }
    let site = Site::start(program);
    let source = FakeRegistry::start_blocking(RegistryConfig::default());
    let digest = source.add_base_image("box", "1", &["linux/amd64", "linux/arm64/v8", "linux/s390x"]);
    let (from, to) = (format!("{}/box:1", source.host()), format!("{}/mirror/box", site.registry.address()));
    let copy = |from: &str, to: &str| {
        let home = TempDir::new().unwrap();
        run(modelcar(home.path()).args(["base", from, "--copy-to", to])).trim().to_owned()
    };
    let pinned = copy(&from, &format!("{to}:1"));
    assert_eq!((pinned, site.registry.tags("mirror/box")), (format!("{to}@{digest}"), vec!["1".to_owned()]));
    // The copy is whole: it can be copied again without the first registry.
    drop(source);
    let again = format!("{}/other/box", site.registry.address());
    assert_eq!(copy(&format!("{to}:1"), &again), format!("{again}@{digest}"));
}

#[test]
fn crane_and_oras_read_what_was_pushed_to_distribution_3() {
    crane_and_oras_read_what_was_pushed(Program::Distribution);
}

#[test]
fn crane_and_oras_read_what_was_pushed_to_go_containerregistry() {
    crane_and_oras_read_what_was_pushed(Program::GoContainerregistry);
}

fn crane_and_oras_read_what_was_pushed(program: Program) {
    if !available(&[program.part(), Part::Crane, Part::Oras]) {
        return;
    }
    let site = Site::start(program);
    let image = site.pushed();
    let (_, digest) = image.split_once('@').unwrap();
    let crane = || site.reader(Part::Crane);
    run(crane().args(["validate", "--fast", "--remote", &image]));

    let layout = site.path("pulled");
    run(crane().args(["pull", "--format=oci", &image]).arg(&layout));
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"][0]["digest"], digest);

    let export = site.path("export.tar");
    run(crane().args(["export", "--platform", "linux/amd64", &image]).arg(&export));
    let unpacked = site.path("unpacked");
    fs::create_dir(&unpacked).unwrap();
    run(command("tar").arg("-xpf").arg(&export).arg("-C").arg(&unpacked));
    let model = site.path("model");
    tiny_model().write_to(&model).unwrap();
    files::assert_unpacked(&model, &unpacked.join("models"));

    let manifest = site.path("manifest");
    run(site.oras("manifest fetch").arg("--output").arg(&manifest).arg(&image));
    let hash = run(command("sha256sum").arg(&manifest));
    assert_eq!(format!("sha256:{}", hash.split(' ').next().unwrap()), digest);

    // docs/registries.md says which check fails, and why: when crane reads such layers, the line can go.
    let whole = crane().args(["validate", "--remote", &image]).output().unwrap();
    let stderr = String::from_utf8_lossy(&whole.stderr);
    assert!(!whole.status.success() && stderr.contains("gzip: invalid header"), "{stderr}");
}

#[test]
fn what_others_attach_stays_in_the_list_of_referrers() {
    what_others_attach_stays(Program::GoContainerregistry, "v1.1-referrers-api", &["v1", "v2"]);
}

/// The registry has no list of referrers, so oras keeps one below the tag that the specification names for it.
#[test]
fn what_others_attach_stays_below_the_fallback_tag() {
    what_others_attach_stays(Program::Distribution, "v1.1-referrers-tag", &[FALLBACK, "v1", "v2"]);
}

/// Stands for the tag that is made from the image's digest.
const FALLBACK: &str = "sha256-…";

/// modelcar writes no referrers: a push may not take away those of others. `way` is how oras keeps them.
fn what_others_attach_stays(program: Program, way: &str, tags: &[&str]) {
    if !available(&[program.part(), Part::Oras]) {
        return;
    }
    let site = Site::start(program);
    let image = site.pushed();
    let (_, digest) = image.split_once('@').unwrap();
    let kind = "application/vnd.example.approval";
    let approval = site.path("approval.json");
    fs::write(&approval, "{}").unwrap();
    let mut attach = site.oras("attach --disable-path-validation");
    run(attach
        .args(["--distribution-spec", way, "--artifact-type", kind, &image])
        .arg(format!("{}:application/json", approval.display())));
    let discovered = || -> Value {
        serde_json::from_str(&run(site.oras("discover --format json").args(["--distribution-spec", way, &image])))
            .unwrap()
    };
    let attached = discovered();
    assert_eq!(attached["referrers"].as_array().map(Vec::len), Some(1), "{attached}");

    let again = site.push(REPOSITORY, &["--tag", "v2"]);
    assert_eq!((again["digest"].as_str(), sent(&again)), (Some(digest), 0), "{again}");
    assert_eq!(discovered(), attached);
    let wanted: Vec<_> = tags.iter().map(|tag| tag.replace(FALLBACK, &digest.replace(':', "-"))).collect();
    let mut found = site.registry.tags(REPOSITORY);
    found.sort();
    assert_eq!(found, wanted);

    // Nor does what is attached keep a push from its way: with the artifact in the tag's place, by its digest too.
    let artifact = format!("{}/{REPOSITORY}", site.registry.address());
    let artifact = format!("{artifact}@{}", attached["referrers"][0]["digest"].as_str().unwrap());
    run(site.oras("tag").args([&artifact, "v1"]));
    let over = site.push(REPOSITORY, &[]);
    assert_eq!(over["digest"], digest);
    assert_eq!(discovered(), attached);
}

/// A connection is cut three times inside of a layer: distribution 3 keeps what came, and the upload goes on from there.
#[test]
fn distribution_3_resumes_inside_a_layer_after_a_cut_connection() {
    if !available(&[Part::Distribution]) {
        return;
    }
    let size = 128 * MIB;
    let (model, work) = (upload::model(size), TempDir::new().unwrap());
    let registry = Registry::start_program(Program::Distribution);
    let proxy = CuttingProxy::start(registry.address(), &[20 * MIB, 30 * MIB, 40 * MIB]);
    let image = format!("{}/{REPOSITORY}:v1", proxy.addr());
    let output = upload::push(model.path(), &image, work.path()).output().unwrap();
    let resumed = Resumed::new(&output);
    assert_eq!((proxy.cuts_left(), resumed.over), (0, 0), "{}", resumed.stderr);
    // The registry holds what passed, less what it had not read yet: with the connection its unread bytes go too. So each
    // piece moves the upload on, how far depends on the machine.
    for (before, passed) in [(0, 20), (20, 50), (50, 90)] {
        let moved_on = |held: &u64| *held > before * MIB && *held <= passed * MIB;
        assert!(resumed.held.iter().any(moved_on), "{passed}: {:?}", resumed.held);
    }
    resumed.check(size);
}

/// SIGKILL inside of a layer, three times, each time followed by a start on the same store.
#[test]
fn distribution_3_resumes_inside_a_layer_after_its_own_death() {
    if !available(&[Part::Distribution]) {
        return;
    }
    let size = 512 * MIB;
    let (model, work) = (upload::model(size), TempDir::new().unwrap());
    let mut registry = Registry::start_program(Program::Distribution);
    let image = format!("{}/{REPOSITORY}:v1", registry.address());
    let mut pushing = upload::push(model.path(), &image, work.path());
    let pushing = pushing.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for percent in [15, 40, 65] {
        wait_for(|| uploaded(&registry.store()).is_some_and(|bytes| bytes >= size / 100 * percent));
        registry.kill();
        registry.start_again();
    }
    let resumed = Resumed::new(&pushing.wait_with_output().unwrap());
    assert_eq!((resumed.held.len(), resumed.over), (3, 0), "{}", resumed.stderr);
    resumed.check(size);
}

/// A push that succeeded after its upload broke.
struct Resumed {
    /// What the registry held each time the upload went on inside of the layer.
    held: Vec<u64>,
    /// How often the layer started over.
    over: usize,
    /// Bytes that were sent more than once.
    again: u64,
    stderr: String,
}

impl Resumed {
    fn new(output: &Output) -> Self {
        let stderr = String::from_utf8(output.stderr.clone()).unwrap();
        assert!(output.status.success(), "{stderr}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let layers = answer["layers"].as_array().unwrap();
        let layer_bytes: u64 = layers.iter().map(|layer| layer["size"].as_u64().unwrap()).sum();
        let held = |line: &str| line.split_once(" holds ")?.1.split_once(" bytes of layer 1")?.0.parse().ok();
        Self {
            held: stderr.lines().filter_map(held).collect(),
            over: stderr.lines().filter(|line| line.contains("starts over")).count(),
            again: sent(&answer) - layer_bytes,
            stderr,
        }
    }

    /// Checks that less than the layer was sent again: what was under way, which depends on the buffers of the sockets.
    fn check(&self, size: u64) {
        assert!(self.again < size, "{} bytes were sent again", self.again);
        println!("of {size} bytes the registry held {:?}; {} bytes were sent again", self.held, self.again);
    }
}
