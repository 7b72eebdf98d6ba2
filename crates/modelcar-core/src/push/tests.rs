//! Pushes from a directory to a registry that runs here.

use std::{fs, sync::Mutex, time::Duration};

use modelcar_testkit::{FakeRegistry, FaultRule, RegistryAction, RegistryConfig};

use super::*;
use crate::{
    Digest, Error, ErrorKind,
    base::{BaseError, BaseRef, copy_image},
    plan::LockFile,
    progress::{Event, Progress, from_fn},
    registry::KeychainChain,
    source::SourceRef,
};

fn model() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), r#"{"model_type":"tiny"}"#).unwrap();
    fs::write(dir.path().join("weights.bin"), vec![7; 100_000]).unwrap();
    dir
}

fn connections() -> Connections {
    let keychain = Arc::new(KeychainChain::default());
    Connections::new(Registries::new(keychain, RegistryOptions::default())).with_hub(None)
}

fn contents(dir: &tempfile::TempDir) -> ModelContents {
    ModelContents::new(SourceRef::Dir(dir.path().into())).with_base(BaseRef::Scratch)
}

fn push(registry: &FakeRegistry, contents: impl Into<Contents>) -> Push {
    let image = format!("{}/a/b:v1", registry.host()).parse().unwrap();
    Push::new(contents, image, connections())
}

#[tokio::test]
async fn a_push_says_what_it_will_do_and_does_it_once() {
    let (dir, registry) = (model(), FakeRegistry::start(RegistryConfig::default()).await);
    let tags = ["v1", "v2", "v2"].map(|tag| tag.parse().unwrap());
    let prepared = push(&registry, contents(&dir)).with_tags(tags.clone()).prepare().await.unwrap();
    assert_eq!(registry.tags(), [], "nothing has a name yet");
    assert_eq!((prepared.bytes_to_fetch(), prepared.is_published()), (100_021, false));
    let pushed = prepared.run().await.unwrap();
    assert_eq!(pushed.image.digest(), Some(&pushed.built.digest));
    assert_eq!(pushed.tags, tags[..2]);
    let names: Vec<_> = registry.tags().into_iter().map(|(_, tag, digest)| (tag, digest)).collect();
    let digest = pushed.built.digest.to_string();
    assert_eq!(names, ["v1", "v2"].map(|tag| (tag.to_owned(), digest.clone())));

    let again = push(&registry, contents(&dir)).with_tags(tags).prepare().await.unwrap();
    assert_eq!((again.bytes_to_fetch(), again.bytes_to_send(), again.is_published()), (0, 0, true));
    assert_eq!(again.run().await.unwrap().built.digest, pushed.built.digest);
}

#[tokio::test]
async fn a_push_that_is_stopped_leaves_nothing() {
    let (dir, registry) = (model(), FakeRegistry::start(RegistryConfig::default()).await);
    let is_stopped = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::Stopped);
        assert!(matches!(error.downcast(), Ok(PushError::Stopped { published: None })));
    };
    is_stopped(push(&registry, contents(&dir)).prepare_until(async {}).await.unwrap_err());
    let prepared = push(&registry, contents(&dir)).prepare().await.unwrap();
    is_stopped(prepared.run_until(async {}).await.unwrap_err());
    assert_eq!((registry.tags(), registry.open_sessions()), (vec![], vec![]));
}

#[tokio::test]
async fn a_lock_file_gives_the_same_image_and_refuses_another_model() {
    let (dir, registry) = (model(), FakeRegistry::start(RegistryConfig::default()).await);
    let prepared = push(&registry, contents(&dir).identified()).prepare().await.unwrap();
    let lock = LockFile::parse(prepared.lock().to_json().as_bytes()).unwrap();
    let digest = prepared.run().await.unwrap().built.digest;
    let replayed = push(&registry, Contents::from_lock(lock.clone())).with_reuse(None).prepare().await.unwrap();
    assert_eq!(replayed.run().await.unwrap().built.digest, digest);

    let other = model();
    fs::write(other.path().join("config.json"), "{}").unwrap();
    let contents = Contents::from_lock_and_source(lock, SourceRef::Dir(other.path().into()));
    let error = push(&registry, contents).prepare().await.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(PushError::OtherFiles { others: 0, .. })), "{error}");
}

#[tokio::test]
async fn what_can_be_refused_without_a_request_is() {
    let (dir, registry) = (model(), FakeRegistry::start(RegistryConfig::default()).await);
    let image = format!("{}/a/b@{}", registry.host(), crate::Digest::of("x")).parse().unwrap();
    let error = Push::new(contents(&dir), image, connections()).prepare().await.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(PushError::DigestAsTarget(_))), "{error}");
    assert_eq!(registry.requests().len(), 0);
}

/// A program may leave tokio one thread for blocking work: what lasts as long as a layer has its own.
#[test]
fn one_thread_and_one_blocking_thread_are_enough() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let (dir, registry) = (model(), FakeRegistry::start(RegistryConfig::default()).await);
        let layering = crate::plan::Layering { own_layer_bytes: 10, ..crate::plan::Layering::default() };
        for name in ["a", "b", "c", "d"] {
            fs::write(dir.path().join(name), name.repeat(5000)).unwrap();
        }
        let options = crate::plan::PlanOptions { layering, ..crate::plan::PlanOptions::default() };
        let contents = contents(&dir).with_options(options);
        let pushed = push(&registry, contents.clone()).prepare().await.unwrap().run().await.unwrap();
        assert!(pushed.built.layers.len() >= 4);
        let planned = contents.plan(&connections(), &BuildOptions::default().progress).await.unwrap();
        let sink = crate::layout::LayoutSink::create(&dir.path().with_extension("layout"), None).await.unwrap();
        let built = planned.described().await.unwrap().build(&sink, &BuildOptions::default()).await.unwrap();
        assert_eq!(built.digest, pushed.built.digest);
        fs::remove_dir_all(dir.path().with_extension("layout")).unwrap();
    });
}

/// A base whose places are `good` and those before it.
fn known(good: &FakeRegistry, before: &[String]) -> KnownBase {
    let digest = good.add_base_image("mirror/box", "1", &["linux/amd64", "linux/arm64"]).parse().unwrap();
    let places = before.iter().cloned().chain([good.host()]);
    let places = places.map(|host| format!("{host}/mirror/box").parse().unwrap()).collect();
    KnownBase { name: "registry.test/box".to_owned(), digest, places }
}

/// Pushes on a known base. Returns the digest and the warnings.
async fn push_on(known: &KnownBase, dir: &tempfile::TempDir, to: &FakeRegistry) -> (Result<Digest>, Vec<String>) {
    let name = format!("{}@{}", known.name, known.digest);
    let contents = ModelContents::new(SourceRef::Dir(dir.path().into())).with_base(name.parse().unwrap());
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&told);
    let progress: Arc<dyn Progress> = Arc::new(from_fn(move |event| {
        if let Event::Warning { message } = event {
            noted.lock().unwrap().push(message.clone());
        }
    }));
    let image = format!("{}/a/b:v1", to.host()).parse().unwrap();
    let mut connections = connections().with_known_base(Some(known.clone()));
    connections.registries.options.answer_timeout = Duration::from_secs(5);
    let push = Push::new(contents, image, connections)
        .with_build_options(BuildOptions { progress, ..BuildOptions::default() });
    let pushed = async { Ok(push.prepare().await?.run().await?.built.digest) }.await;
    let warnings = told.lock().unwrap().clone();
    (pushed, warnings)
}

#[tokio::test]
async fn a_known_base_is_taken_from_the_first_place_that_gives_the_right_bytes() {
    let dir = model();
    let [good, empty, limited, silent, wrong, first, second] =
        futures_util::future::join_all([(); 7].map(|()| FakeRegistry::start(RegistryConfig::default())))
            .await
            .try_into()
            .unwrap();
    limited.fault(FaultRule::new("/manifests/", RegistryAction::error(429, "TOOMANYREQUESTS")));
    silent.fault(FaultRule::new("/manifests/", RegistryAction::DelayReply(Duration::from_mins(10))));
    let hosts: Vec<String> = ["127.0.0.1:1".to_owned()]
        .into_iter()
        .chain([&empty, &limited, &silent, &wrong].map(FakeRegistry::host))
        .collect();
    let all = known(&good, &hosts);
    let other = RegistryAction::Status {
        code: 200,
        headers: vec![("content-type".to_owned(), "application/vnd.oci.image.index.v1+json".to_owned())],
        body: r#"{"schemaVersion":2,"manifests":[]}"#.to_owned(),
    };
    wrong.fault(FaultRule::new("/manifests/", other));
    let begun = tokio::time::Instant::now();
    let (digest, warnings) = push_on(&all, &dir, &first).await;
    assert!(begun.elapsed() < Duration::from_mins(10), "a silent place does not hold up the push");
    let (alone, none) = push_on(&known(&good, &[]), &dir, &second).await;
    assert_eq!((digest.unwrap(), none), (alone.unwrap(), Vec::<String>::new()), "the place is not part of the image");
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    for host in &hosts {
        assert!(warning.contains(&format!("`{host}/mirror/box`: ")), "{warning}");
    }
    for said in ["429", "no answer for", "the same bytes"] {
        assert!(warning.contains(said), "{warning}");
    }
    assert_eq!(limited.requests().len(), 1, "each place is asked once");
}

#[tokio::test]
async fn without_any_place_one_error_names_all_of_them_and_nothing_is_written() {
    let (dir, good, target) = (
        model(),
        FakeRegistry::start(RegistryConfig::default()).await,
        FakeRegistry::start(RegistryConfig::default()).await,
    );
    let mut known = known(&good, &["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()]);
    known.places.truncate(2);
    let (failed, _) = push_on(&known, &dir, &target).await;
    let error = failed.unwrap_err();
    let Some(PushError::Base { source: BaseError::NoPlace { tried, .. }, .. }) = error.downcast_ref() else {
        panic!("{error}")
    };
    assert_eq!(
        tried.iter().map(|failure| failure.place.registry()).collect::<Vec<_>>(),
        ["127.0.0.1:1", "127.0.0.1:2"]
    );
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Network, true));
    assert_eq!((target.tags(), target.open_sessions(), target.blobs()), (vec![], vec![], vec![]));
    assert!(target.requests().iter().all(|request| !request.path.contains("/manifests/v1") || request.method == "GET"));

    // The next base is used, and a warning names the one that is passed over.
    let name: BaseRef = format!("{}@{}", known.name, known.digest).parse().unwrap();
    let contents = contents(&dir).with_base(name).or_base(BaseRef::Scratch);
    let (connections, progress) = (connections().with_known_base(Some(known)), BuildOptions::default().progress);
    assert_eq!(contents.plan(&connections, &progress).await.unwrap().base(), &BaseRef::Scratch);
}

#[tokio::test]
async fn a_copy_of_an_image_has_its_digest_and_everything_that_it_lists() {
    let (from, to) =
        (FakeRegistry::start(RegistryConfig::default()).await, FakeRegistry::start(RegistryConfig::default()).await);
    let platforms = ["linux/amd64", "linux/arm64/v8", "linux/s390x"];
    let digest = from.add_base_image("box", "1", &platforms);
    let progress = BuildOptions::default().progress;
    let repository = |registry: &FakeRegistry, name: &str| {
        let image = format!("{}/{name}", registry.host()).parse().unwrap();
        connections().registries.repository(&image, &progress).unwrap()
    };
    let (source, target) = (repository(&from, "box"), repository(&to, "mirror/box"));
    let tags = vec!["1".parse().unwrap()];
    let copied = copy_image(&source, "1", &target, tags.clone(), &progress).await.unwrap();
    assert_eq!((copied.digest.to_string(), copied.manifests), (digest.clone(), 3));
    assert_eq!(to.tags(), [("mirror/box".to_owned(), "1".to_owned(), digest.clone())]);
    assert_eq!(to.manifest("mirror/box", "1").unwrap().bytes, from.manifest("box", "1").unwrap().bytes);
    let again = copy_image(&source, &digest, &target, tags, &progress).await.unwrap();
    assert_eq!((again.bytes_sent, copied.bytes_sent > 0), (0, true));

    let lost = copied_manifest(&from);
    from.fault(FaultRule::new(&lost, RegistryAction::status(404)));
    let other = repository(&to, "other/box");
    let error = copy_image(&source, "1", &other, vec!["1".parse().unwrap()], &progress).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(to.tags().len(), 1, "an image that is not whole gets no name");
}

/// Returns the path of the last manifest that the index of the image lists.
fn copied_manifest(from: &FakeRegistry) -> String {
    let index: serde_json::Value = serde_json::from_slice(&from.manifest("box", "1").unwrap().bytes).unwrap();
    format!("/manifests/{}", index["manifests"][2]["digest"].as_str().unwrap())
}
