//! One row: a registry, its faults, a push, and what must come of it.

use std::{
    fs, io,
    iter::successors,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use modelcar_core::{
    BuildOptions, ImageRef,
    base::BaseRef,
    plan::{Layering, PlanOptions},
    progress::{Event, Progress},
    push::{Connections, ModelContents, Push},
    registry::{Credential, HostLogin, Login, Registries, RegistryOptions},
    source::SourceRef,
};
use modelcar_testkit::{FakeRegistry, FaultRule, RegistryAction, RegistryConfig, RegistryRequest};
use tempfile::TempDir;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

pub(crate) const USER: &str = "robot";
pub(crate) const PASSWORD: &str = "hunter2-never-shown";
const REPOSITORY: &str = "team/models/tiny";
/// Sizes of the model's files; each is a layer.
pub(crate) const LARGE: u64 = 6 << 20;
const SMALL: u64 = 600 << 10;
/// No row may take longer.
const PATIENCE: Duration = Duration::from_mins(1);

/// What must come of a row.
pub(crate) enum Expect {
    /// The clean digest.
    Survives,
    /// An error that says this.
    Fails(&'static str),
}

type Check = Box<dyn Fn(&Seen) -> Result<(), String>>;

/// A row of the table.
pub(crate) struct Row {
    pub(crate) area: &'static str,
    pub(crate) fault: String,
    pub(crate) expect: Expect,
    pub(crate) config: RegistryConfig,
    pub(crate) rules: Vec<FaultRule<RegistryAction>>,
    pub(crate) options: RegistryOptions,
    pub(crate) credential: Credential,
    pub(crate) repository: &'static str,
    /// Tag that points to another image before the push.
    pub(crate) taken: bool,
    /// Whether the registry can't delete sessions.
    pub(crate) keeps_sessions: bool,
    /// Whether the image is published although the push fails.
    stays_published: bool,
    /// Layers side by side.
    pub(crate) jobs: usize,
    /// Address to push to, for a server that is no fake registry.
    pub(crate) host: Option<String>,
    pub(crate) checks: Vec<Check>,
}

impl Row {
    pub(crate) fn survives(area: &'static str, fault: impl Into<String>) -> Self {
        Self::new(area, fault, Expect::Survives)
    }

    pub(crate) fn fails(area: &'static str, fault: impl Into<String>, says: &'static str) -> Self {
        Self::new(area, fault, Expect::Fails(says))
    }

    fn new(area: &'static str, fault: impl Into<String>, expect: Expect) -> Self {
        let options = RegistryOptions {
            retry_base: Duration::from_millis(4),
            answer_timeout: Duration::from_secs(1),
            stall_timeout: Duration::from_millis(600),
            commit_patience: Duration::from_secs(1),
            ..RegistryOptions::default()
        };
        Self {
            area,
            fault: fault.into(),
            expect,
            config: RegistryConfig::default(),
            rules: Vec::new(),
            options,
            credential: Credential::Basic { username: USER.to_owned(), password: PASSWORD.into() },
            repository: REPOSITORY,
            taken: false,
            keeps_sessions: false,
            stays_published: false,
            jobs: 2,
            host: None,
            checks: Vec::new(),
        }
    }

    /// Changes the registry.
    pub(crate) fn config(mut self, change: impl FnOnce(&mut RegistryConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes the client's options.
    pub(crate) fn options(mut self, change: impl FnOnce(&mut RegistryOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Adds a fault of requests of this method to places that contain `path`.
    pub(crate) fn fault(self, method: &str, path: &str, times: usize, action: RegistryAction) -> Self {
        self.rule(FaultRule::new(path, action).method(method).times(times))
    }

    pub(crate) fn rule(mut self, rule: FaultRule<RegistryAction>) -> Self {
        self.rules.push(rule);
        self
    }

    /// Uploads the layers one after the other, the largest first, so that it is known which one a fault meets.
    pub(crate) fn in_order(mut self) -> Self {
        self.jobs = 1;
        self
    }

    /// A session may stay that nobody knows, or that the registry does not let be deleted.
    pub(crate) fn keeps_sessions(mut self) -> Self {
        self.keeps_sessions = true;
        self
    }

    /// The push fails after the image was published.
    pub(crate) fn stays_published(mut self) -> Self {
        self.stays_published = true;
        self
    }

    /// Demands something of what was seen.
    pub(crate) fn check(mut self, check: impl Fn(&Seen) -> Result<(), String> + 'static) -> Self {
        self.checks.push(Box::new(check));
        self
    }

    /// Demands that no more than so many bytes reached the registry.
    pub(crate) fn at_most(self, bytes: u64) -> Self {
        self.check(move |seen| demand(seen.received <= bytes, || format!("{} bytes were sent", seen.received)))
    }

    /// Demands that no byte of the weights was sent.
    pub(crate) fn before_weights(self) -> Self {
        self.check(|seen| demand(!seen.all("PATCH").any(|_| true), || "weights were sent".to_owned()))
    }
}

pub(crate) fn demand(holds: bool, problem: impl Fn() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

/// What the registry and the watcher saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<RegistryRequest>,
    pub(crate) received: u64,
    pub(crate) warnings: Vec<String>,
}

impl Seen {
    pub(crate) fn all(&self, method: &'static str) -> impl Iterator<Item = &RegistryRequest> {
        self.requests.iter().filter(move |request| request.method == method)
    }
}

/// How a row ended.
pub(crate) struct Run {
    pub(crate) digest: Option<String>,
    pub(crate) millis: u128,
    error: Option<String>,
    expect: Expect,
    problems: Vec<String>,
}

impl Run {
    /// The row's last column.
    pub(crate) fn outcome(&self, clean: &str) -> String {
        match (&self.digest, &self.error) {
            (Some(digest), _) if digest == clean => "same digest".to_owned(),
            (Some(digest), _) => format!("OTHER DIGEST {digest}"),
            (None, error) => format!("nothing published: {}", error.as_deref().unwrap_or_default()),
        }
    }

    /// What is not as it must be.
    pub(crate) fn wrong(self, clean: &str) -> impl Iterator<Item = String> {
        let outcome = match (&self.expect, &self.digest, &self.error) {
            (Expect::Survives, Some(digest), _) if digest == clean => None,
            (Expect::Survives, digest, error) => Some(format!("must survive: {digest:?} {error:?}")),
            (Expect::Fails(says), None, Some(error)) if error.contains(says) => None,
            (Expect::Fails(says), digest, error) => Some(format!("must fail with {says:?}: {digest:?} {error:?}")),
        };
        outcome.into_iter().chain(self.problems)
    }
}

#[derive(Debug, Default)]
struct Watcher(Mutex<Vec<String>>);

impl Progress for Watcher {
    fn report(&self, event: &Event) {
        match event {
            Event::Warning { message } => self.0.lock().unwrap().push(message.clone()),
            Event::LayerRestarted { reason, .. } => self.0.lock().unwrap().push(format!("restarted: {reason}")),
            Event::Retrying { what, reason, .. } => self.0.lock().unwrap().push(format!("{what}: {reason}")),
            _ => {}
        }
    }
}

/// All that the library logs, down to the last detail.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Listens from here on. Rows run one after the other, so that each can be told from the next.
    fn listen() -> Self {
        let log = Self::default();
        let writer = log.clone();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
        let targets = Targets::new().with_target("modelcar_core", tracing_subscriber::filter::LevelFilter::TRACE);
        tracing_subscriber::registry().with(targets).with(layer).init();
        log
    }

    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The model that every row pushes.
pub(crate) struct Model {
    log: Log,
    runtime: tokio::runtime::Runtime,
    dir: TempDir,
}

impl Model {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        for (name, size, seed) in [("a.bin", LARGE, 7_u64), ("b.bin", SMALL, 11)] {
            let bytes: Vec<u8> = (0..size).map(|at| (at.wrapping_mul(seed) >> 3).to_le_bytes()[0]).collect();
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        fs::write(dir.path().join("config.json"), "{}").unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { log: Log::listen(), runtime, dir }
    }

    /// Size of the image's config in bytes.
    pub(crate) const CONFIG: u64 = 674;

    pub(crate) fn run(&self, row: Row) -> Run {
        let registry = FakeRegistry::start_blocking(row.config.clone());
        for rule in &row.rules {
            registry.fault(rule.clone());
        }
        let other = row.taken.then(|| {
            let index = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
            registry.add_manifest(row.repository, "v1", "application/vnd.oci.image.index.v1+json", index)
        });
        let watcher = Arc::new(Watcher::default());
        let begun = Instant::now();
        let pushing = self.push(&row, &registry, Arc::clone(&watcher) as _);
        let result = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, pushing).await });
        let millis = begun.elapsed().as_millis();
        let mut problems = Vec::new();
        let result = result.unwrap_or_else(|_| Err(("it did not end".to_owned(), String::new())));
        let (digest, error) = match result {
            Ok(digest) => (Some(digest), None),
            Err((shown, debug)) => {
                problems.extend(leaks(&format!("{shown} {debug}")));
                (None, Some(shown))
            }
        };
        let warnings = watcher.0.lock().unwrap().clone();
        problems.extend(leaks(&warnings.join(" ")));
        let log = self.log.take();
        problems.extend(leaks(&log));
        if !registry.requests().is_empty() && !log.contains("request{method=") {
            problems.push("no request is in the log".to_owned());
        }
        problems.extend(published(&row, &registry, digest.as_deref(), other.as_deref()));
        let seen = Seen { requests: registry.requests(), received: registry.bytes_received(), warnings };
        problems.extend(row.checks.iter().filter_map(|check| check(&seen).err()));
        if !problems.is_empty() {
            problems.push(format!("{:?}", seen.warnings));
        }
        Run { digest, millis, error, expect: row.expect, problems }
    }

    async fn push(
        &self,
        row: &Row,
        registry: &FakeRegistry,
        progress: Arc<dyn Progress>,
    ) -> Result<String, (String, String)> {
        let told = |error: &dyn std::error::Error| (chain(error), format!("{error:?}"));
        let layering = Layering { own_layer_bytes: 500 << 10, ..Layering::default() };
        let options = PlanOptions { layering, ..PlanOptions::default() };
        let contents = ModelContents::new(SourceRef::Dir(self.dir.path().into()));
        let host = row.host.clone().unwrap_or_else(|| registry.host());
        let image: ImageRef = format!("{host}/{}:v1", row.repository).parse().unwrap();
        let login = Login { credential: row.credential.clone(), origin: "the table".to_owned() };
        let keychain = Arc::new(HostLogin::new(image.registry(), login));
        let connections = Connections::new(Registries::new(keychain, row.options.clone())).with_hub(None);
        let push = Push::new(contents.with_base(BaseRef::Scratch).with_options(options), image, connections)
            .with_reuse(None)
            .with_build_options(BuildOptions { jobs: row.jobs, progress, ..BuildOptions::default() });
        let prepared = push.prepare().await.map_err(|error| told(&error))?;
        assert_eq!(prepared.plan().layers().len(), 3);
        let pushed = prepared.run().await.map_err(|error| told(&error))?;
        Ok(pushed.built.digest.to_string())
    }
}

/// What lies in the registry and should not, or should and does not.
fn published(row: &Row, registry: &FakeRegistry, digest: Option<&str>, other: Option<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    let tags: Vec<String> = registry.tags().into_iter().map(|(_, _, digest)| digest).collect();
    let expected: Vec<String> = digest.or(other).into_iter().map(str::to_owned).collect();
    if tags != expected && !row.stays_published {
        problems.push(format!("the tags are {tags:?}"));
    }
    let is_index = |media_type: &str| media_type.ends_with("index.v1+json");
    let indexes = registry.manifests().into_iter().map(|(_, manifest)| manifest);
    let indexes: Vec<_> = indexes.filter(|manifest| is_index(&manifest.media_type)).collect();
    if digest.is_none() && !row.stays_published && indexes.iter().any(|index| Some(index.digest.as_str()) != other) {
        problems.push("an index was published".to_owned());
    }
    if !row.keeps_sessions && !registry.open_sessions().is_empty() {
        problems.push(format!("{} sessions are open", registry.open_sessions().len()));
    }
    problems
}

fn leaks(text: &str) -> Option<String> {
    let encoded = "cm9ib3Q6aHVudGVyMi1uZXZlci1zaG93bg";
    let leaked = [PASSWORD, encoded, "token-", "_state=", "AAAAAAAA"].into_iter().find(|secret| text.contains(secret));
    leaked.map(|secret| format!("{secret:?} is shown: {text}"))
}

/// Returns the error and its causes on one line. None may say what its cause says.
fn chain(error: &dyn std::error::Error) -> String {
    let texts: Vec<String> = successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
    for pair in texts.windows(2) {
        assert!(!pair[0].contains(&pair[1]), "said twice: {} of {texts:?}", pair[1]);
    }
    texts.join(": ")
}
