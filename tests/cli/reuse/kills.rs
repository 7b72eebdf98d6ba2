//! Pushes that are killed, and pushes that meet.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use modelcar_testkit::{Storage, synthetic_model};

use super::*;

/// Number of kills; more of them where there is time for it.
const KILLS: &str = "MODELCAR_TEST_KILLS";
const KILLS_DEFAULT: u64 = 6;
const SHARDS: usize = 4;

/// Looks at every tag, all the time, until it is dropped.
struct Watcher {
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicUsize>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watcher {
    fn of(registry: &Arc<FakeRegistry>) -> Self {
        let (stop, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (registry, stopped, counted) = (Arc::clone(registry), Arc::clone(&stop), Arc::clone(&looks));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                check_tags(&registry);
                counted.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(2));
            }
        });
        Self { stop, looks, thread: Some(thread) }
    }

    /// Ends the watch and returns how often it looked.
    fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().expect("every tag was whole at every look");
        self.looks.load(Ordering::Relaxed)
    }
}

fn start_all() -> (Env, Arc<FakeRegistry>) {
    let env = Env::new();
    env.hub.add_repo(MODEL, "main", synthetic_model(SHARDS, SHARD));
    let config = RegistryConfig { storage: Storage::Count, ..RegistryConfig::default() };
    (env, Arc::new(FakeRegistry::start_blocking(config)))
}

/// The finishing step of the splitmix64 generator.
fn random(seed: u64) -> u64 {
    let mut value = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Waits until the registry has read what the killed push left in its connections.
fn settle(registry: &FakeRegistry) {
    let seen = || (registry.requests().len(), registry.bytes_received());
    let mut before = seen();
    loop {
        thread::sleep(Duration::from_millis(100));
        let now = seen();
        if now == before {
            return;
        }
        before = now;
    }
}

#[test]
fn a_killed_push_goes_on_from_the_finished_layers() {
    let kills: u64 = std::env::var(KILLS).ok().map_or(KILLS_DEFAULT, |text| text.parse().unwrap());
    let (env, registry) = start_all();
    let watcher = Watcher::of(&registry);
    let push = |image: &str| ["push", MODEL, image, "--base", "scratch", "--jobs", "2"].map(str::to_owned);
    let run = |repository: &str, home: &Path| {
        let args = push(&format!("{}/{repository}:v1", registry.host()));
        modelcar(&env, home, &args.each_ref().map(String::as_str)).output().unwrap()
    };
    let begun = Instant::now();
    let clean = succeeded(&run("clean/push", empty_home().path()));
    let whole = begun.elapsed();
    let (total, digest) = (registry.bytes_received(), clean.split_once('@').unwrap().1.to_owned());
    let (mut cut, mut resent, mut worst) = (0, 0, 0);
    for kill in 0..kills {
        let repository = format!("killed/push{kill}");
        registry.clear_requests();
        let before = registry.bytes_received();
        let home = empty_home();
        let args = push(&format!("{}/{repository}:v1", registry.host()));
        let mut first = start(&env, home.path(), &args.each_ref().map(String::as_str));
        let moment = whole.mul_f64(f64::from(u16::try_from(random(kill) % 1000).unwrap()) / 950.0);
        thread::sleep(moment);
        cut += u32::from(first.try_wait().unwrap().is_none());
        first.kill().unwrap();
        first.wait().unwrap();
        settle(&registry);
        let patches = registry.requests().iter().filter(|request| request.method == "PATCH").count();
        // The trial is no layer's.
        let is_layers = |tag: &&String| tag.starts_with(CHECKPOINT) && *tag != TRIAL;
        let checkpoints = names(&registry, &repository).0.iter().filter(is_layers).count();
        let published = names(&registry, &repository).0.iter().any(|tag| tag == "v1");
        let again = succeeded(&run(&repository, empty_home().path()));
        assert_eq!(again.split_once('@').unwrap().1, digest, "kill {kill} after {moment:?}");
        let (tags, manifests) = names(&registry, &repository);
        assert_eq!((tags, manifests), (vec!["v1".to_owned()], 3), "kill {kill}: checkpoints stay");
        let more = (registry.bytes_received() - before).saturating_sub(total);
        let in_flight = if published { 0 } else { patches.saturating_sub(checkpoints) as u64 };
        assert!(
            more <= in_flight * (SHARD + 65536) + 65536,
            "kill {kill}: {more} bytes again, {in_flight} layers in flight"
        );
        resent += more;
        worst = worst.max(more);
    }
    let looks = watcher.end();
    println!("{kills} kills, {cut} of them before the end; {looks} looks of the watcher");
    println!("a push sends {total} bytes; sent again: {} on average, {worst} at most", resent / kills.max(1));
}

#[test]
fn three_pushes_at_once_end_in_one_whole_image() {
    let (env, registry) = start_all();
    let watcher = Watcher::of(&registry);
    let image = format!("{}/a/b:v1", registry.host());
    let args = ["push", MODEL, &image, "--base", "scratch"];
    let homes = [empty_home(), empty_home(), empty_home()];
    let pushes = homes.each_ref().map(|home| start(&env, home.path(), &args));
    let answers = pushes.map(|push| succeeded(&push.wait_with_output().unwrap()));
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let looks = watcher.end();
    let (tags, manifests) = names(&registry, "a/b");
    assert_eq!((tags, manifests), (vec!["v1".to_owned()], 3));
    println!("all answer {}; {looks} looks of the watcher", answers[0]);
}

/// Two revisions take turns at one tag, and each push is killed. The tag never points to an image that is not whole, and
/// a push that is not killed sets the tag to the revision that was asked for.
#[test]
fn a_tag_is_whole_at_every_moment_while_pushes_of_two_revisions_are_killed() {
    let (env, registry) = start_all();
    env.hub.add_repo(MODEL, "next", synthetic_model(SHARDS, SHARD).file("NOTES.md", "the next revision"));
    let image = format!("{}/a/b:v1", registry.host());
    let revisions = ["main", "next"].map(|revision| format!("{MODEL}@{revision}"));
    let push = |source: &str, image: &str| {
        let home = empty_home();
        let output = modelcar(&env, home.path(), &["push", source, image, "--base", "scratch"]).output().unwrap();
        succeeded(&output).split_once('@').unwrap().1.to_owned()
    };
    let begun = Instant::now();
    let wanted = revisions.each_ref().map(|source| push(source, &format!("{}/clean/b:v1", registry.host())));
    let whole = begun.elapsed() / 2;
    assert_ne!(wanted[0], wanted[1]);

    let watcher = Watcher::of(&registry);
    for kill in 0..2 * KILLS_DEFAULT {
        let source = &revisions[usize::from(kill % 2 == 1)];
        let home = empty_home();
        let mut first = start(&env, home.path(), &["push", source, &image, "--base", "scratch"]);
        thread::sleep(whole.mul_f64(f64::from(u16::try_from(random(kill) % 1000).unwrap()) / 950.0));
        first.kill().unwrap();
        first.wait().unwrap();
    }
    settle(&registry);
    for (source, digest) in revisions.iter().zip(&wanted) {
        assert_eq!(push(source, &image), *digest);
        assert_eq!(registry.manifest("a/b", "v1").unwrap().digest, *digest);
    }
    println!("{} looks of the watcher", watcher.end());
}

/// What a push leaves at a registry whose deletes are limited, and what it says.
fn left_behind(limit: impl FnOnce(&mut RegistryConfig)) -> (Vec<String>, String) {
    let mut env = Env::new();
    env.hub.add_repo(MODEL, "main", synthetic_model(2, SHARD));
    let mut config = RegistryConfig { storage: Storage::Count, tagged_deletes: false, ..RegistryConfig::default() };
    limit(&mut config);
    env.registry = FakeRegistry::start_blocking(config);
    let output = env.run(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"]);
    succeeded(&output);
    (names(&env.registry, "a/b").0, text(&output.stderr))
}

#[test]
fn a_registry_that_keeps_tagged_manifests_loses_the_tags_first() {
    let (tags, said) = left_behind(|_| ());
    assert_eq!(tags, ["v1"]);
    assert!(!said.contains("checkpoint"), "{said}");
}

#[test]
fn a_registry_that_keeps_tags_gets_one_trial() {
    let (tags, said) = left_behind(|config| config.tag_deletes = false);
    assert_eq!(tags, ["modelcar-part-trial", "v1"]);
    assert!(said.contains("no checkpoints at") && said.contains("remains as `modelcar-part-trial`"), "{said}");
}

#[test]
fn a_registry_whose_tags_outlive_manifests_loses_the_tags_afterwards() {
    let outlive = |config: &mut RegistryConfig| config.tags_go = false;
    let (tags, said) = left_behind(outlive);
    assert_eq!(tags, ["v1"]);
    assert!(!said.contains("checkpoint"), "{said}");
    let (tags, said) = left_behind(|config| {
        outlive(config);
        config.tag_deletes = false;
    });
    assert_eq!(tags, ["modelcar-part-trial", "v1"]);
    assert!(said.contains("remains as `modelcar-part-trial`: the registry keeps the tag"), "{said}");
}

#[test]
fn a_registry_that_deletes_nothing_gets_no_checkpoint() {
    let mut env = Env::new();
    env.hub.add_repo(MODEL, "main", synthetic_model(2, SHARD));
    let config = RegistryConfig { storage: Storage::Count, deletes: false, ..RegistryConfig::default() };
    env.registry = FakeRegistry::start_blocking(config);
    let output = env.run(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"]);
    succeeded(&output);
    assert!(text(&output.stderr).contains("no checkpoints at"), "{}", text(&output.stderr));
    let puts = env.registry.requests().into_iter().filter(|request| request.method == "PUT");
    assert!(!puts.into_iter().any(|request| request.path.contains(CHECKPOINT)));
}

#[test]
fn a_registry_that_refuses_deletes_gets_the_image_and_one_warning() {
    for action in [
        RegistryAction::error(403, "DENIED"),
        RegistryAction::error(405, "UNSUPPORTED"),
        RegistryAction::error(429, "TOOMANYREQUESTS"),
        RegistryAction::StatusAfterBody(202),
    ] {
        let mut env = Env::new();
        env.hub.add_repo(MODEL, "main", synthetic_model(2, SHARD));
        let config = RegistryConfig { storage: Storage::Count, ..RegistryConfig::default() };
        env.registry = FakeRegistry::start_blocking(config);
        env.registry.fault(FaultRule::new("/manifests/", action.clone()).method("DELETE"));
        let output = env.run(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"]);
        succeeded(&output);
        let stderr = text(&output.stderr);
        let warnings = stderr.lines().filter(|line| line.starts_with("warning: ")).count();
        assert!(warnings <= 1 && stderr.contains("checkpoints"), "{action:?}: {stderr}");
        let tags = names(&env.registry, "a/b").0;
        assert!(tags.len() <= 2 && tags.last().is_some_and(|tag| tag == "v1"), "{action:?}: {tags:?}");
    }
}

#[test]
fn a_directory_goes_on_from_the_finished_layers_whose_files_are_the_same() {
    let mut env = Env::new();
    let config = RegistryConfig { storage: Storage::Count, ..RegistryConfig::default() };
    env.registry = FakeRegistry::start_blocking(config);
    let dir = env.dir.path().join("model");
    let model = synthetic_model(2, SHARD);
    model.write_to(&dir).unwrap();
    let shard = model.files().find(|(_, file)| file.lfs).unwrap().0.to_owned();
    let push = |image: &str| {
        env.registry.clear_requests();
        env.run(&["push", "./model", &env.image(image), "--base", "scratch", "--jobs", "1", "--no-cache"])
    };
    let uploads = || {
        let requests = env.registry.requests();
        requests.iter().filter(|request| request.method == "PATCH").count()
    };
    let digest = |output: &Output| succeeded(output).split_once('@').unwrap().1.to_owned();
    // Stops a push when all of its layers are there and the image is not.
    let stop = |image: &str| {
        let refusal = RegistryAction::error(403, "DENIED");
        env.registry.fault(FaultRule::new("/manifests/v1", refusal).method("PUT").times(1));
        assert_eq!(push(image).status.code(), Some(2));
        uploads()
    };
    let clean = digest(&push("clean/a:v1"));
    assert_eq!(uploads(), 3);

    assert_eq!(stop("a/b:v1"), 3);
    assert_eq!(names(&env.registry, "a/b").0.iter().filter(|tag| tag.starts_with(CHECKPOINT)).count(), 3);
    assert_eq!(digest(&push("a/b:v1")), clean);
    assert_eq!(uploads(), 0, "the finished layers are not sent again");
    assert_eq!(names(&env.registry, "a/b").0, ["v1"]);

    // The same size and another content: the checkpoint of the shape is there, and is not believed.
    assert_eq!(stop("a/c:v1"), 3);
    let mut bytes = fs::read(dir.join(&shard)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(dir.join(&shard), bytes).unwrap();
    assert_eq!(stop("a/c:v1"), 1, "the changed layer alone is sent");
    let resumed = digest(&push("a/c:v1"));
    assert_eq!(uploads(), 0);
    assert_eq!(names(&env.registry, "a/c").0, ["v1"]);
    let changed = digest(&push("clean/b:v1"));
    assert_eq!(resumed, changed);
    assert_ne!(changed, clean);
}
