//! Pushes from a directory to a registry that runs here.

use std::fs;

use modelcar_testkit::{FakeRegistry, RegistryConfig};

use super::*;
use crate::{Error, ErrorKind, base::BaseRef, plan::LockFile, registry::KeychainChain, source::SourceRef};

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
