//! Ctrl-C and its like: a command ends at once, and nothing of it stays in the registry or on the disk.

use std::{
    process::Child,
    thread,
    time::{Duration, Instant},
};

use modelcar_testkit::{RegistryRequest, Storage, synthetic_model};

use super::*;

/// How long a command may take to come to the moment of the signal, on however slow a machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// What a command that does not end at once waits for: a server that pauses.
const PAUSE: Duration = Duration::from_mins(1);

impl Env {
    fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Pushes, interrupts when `reached` says so, and checks that nothing was published.
    fn interrupted(&self, reached: impl Fn(&FakeRegistry) -> bool) {
        let stderr = self.stopped(&["push", MODEL, &self.image("a/b:v1"), "--base", "scratch"], reached);
        assert!(stderr.contains("interrupted: nothing was published"), "{stderr}");
        assert_eq!(self.registry.tags(), []);
        assert_eq!(self.registry.manifests().len(), 0);
    }

    /// Runs, interrupts when `reached` says so, checks how it ends and returns what it says.
    fn stopped(&self, args: &[&str], reached: impl Fn(&FakeRegistry) -> bool) -> String {
        self.signalled("-INT", args, || reached(&self.registry))
    }

    fn signalled(&self, signal: &str, args: &[&str], reached: impl Fn() -> bool) -> String {
        let stderr = self.ended(signal, args, reached);
        assert_eq!(self.registry.open_sessions(), []);
        stderr
    }

    /// Runs, sends the signal when `reached` says so, and returns what is said. Sessions may be left in the registry.
    fn ended(&self, signal: &str, args: &[&str], reached: impl Fn() -> bool) -> String {
        let push = self.start(args);
        let begun = Instant::now();
        while !reached() {
            assert!(begun.elapsed() < PATIENCE, "the push does not come so far: {:?}", self.registry.requests());
            thread::sleep(Duration::from_millis(5));
        }
        let pressed = Instant::now();
        let interrupt = Command::new("kill").args([signal, &push.id().to_string()]).status().unwrap();
        assert!(interrupt.success());
        let output = push.wait_with_output().unwrap();
        let took = pressed.elapsed();
        assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
        assert!(took < PAUSE / 2, "{took:?}");
        assert_eq!(text(&output.stdout), "");
        text(&output.stderr)
    }
}

#[test]
fn in_the_middle_of_a_layer() {
    let env = Env::new();
    let stall = RegistryAction::Stall { at: 1000, pause: PAUSE };
    env.registry.fault(FaultRule::new("/blobs/uploads/", stall).method("PATCH"));
    env.interrupted(|registry| {
        registry.requests().iter().any(|request| request.method == "PATCH" && request.body_bytes_received >= 1000)
    });
}

/// The registry itself ends sessions that nobody goes on with.
#[test]
fn in_the_middle_of_a_layer_at_a_registry_that_ends_no_session() {
    for action in [RegistryAction::status(500), RegistryAction::DelayReply(PAUSE)] {
        let env = Env::new();
        let stall = RegistryAction::Stall { at: 1000, pause: PAUSE };
        env.registry.fault(FaultRule::new("/blobs/uploads/", stall).method("PATCH"));
        env.registry.fault(FaultRule::new("/blobs/uploads/", action).method("DELETE"));
        let has_begun = |request: &RegistryRequest| request.method == "PATCH" && request.body_bytes_received >= 1000;
        let args = ["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"];
        let stderr = env.ended("-INT", &args, || env.registry.requests().iter().any(has_begun));
        assert!(stderr.contains("interrupted: nothing was published"), "{stderr}");
        assert_eq!((env.registry.tags().len(), env.registry.manifests().len()), (0, 0));
    }
}

/// What ends the jobs of a CI.
#[test]
fn in_the_middle_of_a_layer_by_sigterm() {
    let env = Env::new();
    let stall = RegistryAction::Stall { at: 1000, pause: PAUSE };
    env.registry.fault(FaultRule::new("/blobs/uploads/", stall).method("PATCH"));
    let has_begun = |request: &RegistryRequest| request.method == "PATCH" && request.body_bytes_received >= 1000;
    let args = ["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"];
    let stderr = env.signalled("-TERM", &args, || env.registry.requests().iter().any(has_begun));
    assert!(stderr.contains("interrupted: nothing was published"), "{stderr}");
    assert_eq!((env.registry.tags().len(), env.registry.manifests().len()), (0, 0));
}

/// A push of three layers, two of them of a shard each: the second shard stalls when the others are done.
#[test]
fn when_some_of_the_layers_are_done() {
    let config = RegistryConfig { storage: Storage::Count, ..RegistryConfig::default() };
    let env = Env { registry: FakeRegistry::start_blocking(config), ..Env::new() };
    env.hub.add_repo("acme/two", "main", synthetic_model(2, 64 << 20));
    env.hub.fault(FaultRule::new("model-00002", HubAction::Stall { at: 2 << 20, pause: PAUSE }));
    let image = env.image("a/b:v1");
    let push = ["push", "acme/two", &image, "--base", "scratch", "--no-cache"];
    let checkpoints = |registry: &FakeRegistry| {
        let tags = registry.tags();
        tags.iter().filter(|(_, tag, _)| tag.starts_with("modelcar-part-") && tag != "modelcar-part-trial").count()
    };
    let answered = |registry: &FakeRegistry| checkpoints(registry) == 2;
    let stderr = env.stopped(&push, answered);
    assert!(stderr.contains("interrupted: nothing was published; "), "{stderr}");
    // The answer to the second checkpoint may not have arrived.
    let told = |kept: &str| stderr.contains(&format!("{kept} kept: the same command goes on from there"));
    assert!(told("2 of 3 layers are") || told("1 of 3 layers is"), "{stderr}");

    env.hub.clear_faults();
    env.registry.fault(FaultRule::new("/manifests/v1", RegistryAction::error(403, "DENIED")).method("PUT"));
    let output = env.run(&push);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let told = "hint: nothing was published; 3 of 3 layers are kept: the same command goes on from there";
    assert!(stderr.contains(told), "{stderr}");

    env.registry.clear_faults();
    let stderr = text(&env.run(&push).stderr);
    assert!(stderr.contains("(3 reused); nothing sent"), "{stderr}");
    assert_eq!(checkpoints(&env.registry), 0);
}

#[test]
fn by_a_terminal_that_is_closed() {
    let env = Env::new();
    let stall = RegistryAction::Stall { at: 1000, pause: PAUSE };
    env.registry.fault(FaultRule::new("/blobs/uploads/", stall).method("PATCH"));
    let stderr = env.signalled("-HUP", &["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"], || {
        let requests = env.registry.requests();
        requests.iter().any(|request| request.method == "PATCH" && request.body_bytes_received >= 1000)
    });
    assert!(stderr.contains("interrupted: nothing was published"), "{stderr}");
}

#[test]
fn while_a_session_is_being_opened() {
    let env = Env::new();
    let late = RegistryAction::DelayReply(Duration::from_millis(100));
    env.registry.fault(FaultRule::new("/blobs/uploads/", late).method("POST").after(1));
    env.interrupted(|registry| registry.requests().iter().filter(|request| request.method == "POST").count() > 1);
}

#[test]
fn during_the_checks_before_a_push() {
    let env = Env::new();
    let late = RegistryAction::DelayReply(Duration::from_millis(100));
    env.registry.fault(FaultRule::new("/blobs/uploads/", late).method("POST"));
    env.interrupted(|registry| registry.requests().iter().any(|request| request.method == "POST"));
}

#[test]
fn between_two_tags() {
    let env = Env::new();
    let late = RegistryAction::DelayReply(Duration::from_mins(1));
    env.registry.fault(FaultRule::new("/manifests/second", late).method("PUT"));
    let args = ["push", MODEL, &env.image("a/b:v1"), "--tag", "second", "--tag", "third", "--base", "scratch"];
    let stderr = env.stopped(&args, |registry| registry.tags().len() == 2);
    let digest = env.registry.tags()[0].2.clone();
    let said = format!("interrupted: `v1` points to `{digest}` already; `second` may point to `{digest}` by now");
    assert!(stderr.contains(&said), "{stderr}");
}

#[test]
fn while_the_right_to_push_is_tried_out() {
    let env = Env::new();
    let late = RegistryAction::DelayReply(Duration::from_millis(100));
    env.registry.fault(FaultRule::new("/blobs/uploads/", late).method("POST"));
    env.stopped(&["doctor", &env.image("a/b:v1")], |registry| {
        registry.requests().iter().any(|request| request.method == "POST")
    });
}

/// Another process keeps the layout to itself, so that the sink can't be opened for a while.
#[test]
fn while_the_output_is_being_opened() {
    let env = Env::new();
    let build = ["build", MODEL, "--base", "scratch", "--output", "oci:lay"];
    env.answer(&build);
    let index = std::fs::read(env.dir.path().join("lay/index.json")).unwrap();
    let blobs = std::fs::File::open(env.dir.path().join("lay/blobs/sha256")).unwrap();
    blobs.lock().unwrap();
    let again = env.start(&["build", MODEL, "--base", "scratch", "--output", "oci:lay:again"]);
    let signal = || Command::new("kill").args(["-TERM", &again.id().to_string()]).status().unwrap();
    // It listens for signals before it opens anything.
    let open_files = format!("/proc/{}/fd", again.id());
    let is_waiting = || {
        let files = std::fs::read_dir(&open_files).into_iter().flatten().flatten();
        files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|file| file.ends_with("lay/blobs/sha256"))
    };
    while !is_waiting() {
        thread::sleep(Duration::from_millis(10));
    }
    assert!(signal().success());
    thread::sleep(Duration::from_millis(300));
    blobs.unlock().unwrap();
    let output = again.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert_eq!(std::fs::read(env.dir.path().join("lay/index.json")).unwrap(), index);
}

#[test]
fn a_container_that_is_told_to_end_leaves_no_half_layout() {
    let env = Env::new();
    let stall = HubAction::Stall { at: 5, pause: PAUSE };
    env.hub.fault(FaultRule::new("1_Pooling/config.json", stall));
    let layout = env.dir.path().join("new");
    let args = ["build", MODEL, "--base", "scratch", "--output", "oci:new"];
    let stderr = env.signalled("-TERM", &args, || layout.join("oci-layout").exists());
    assert!(stderr.contains("interrupted: nothing was published"), "{stderr}");
    assert!(!layout.exists());
}
