//! Every source and every sink of the library keeps the contract of its trait, as [`modelcar_core::conformance`] checks
//! it. `tests/tidy` sees to it that no implementation is left out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken set-up is a failed test")]

mod ocipkg;

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use modelcar_core::{
    ModelPath,
    conformance::{self, Violation},
    layout::{ArchiveSink, LayoutSink},
    progress::{NoProgress, Progress},
    registry::{KeychainChain, RegistryOptions, RegistrySink, Repository},
    sink::MemorySink,
    source::{DirSource, HubCache, HubCacheSource, HubOptions, HubSource, MemorySource, StoreOptions, StoreSource},
};
use modelcar_testkit::{FakeHub, FakeRegistry, FakeStore, HubConfig, ModelTree, RegistryConfig, StoreConfig};
use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, memory::InMemory, path::Path};
use tempfile::TempDir;

/// Files from none to several MiB, in folders and beside them. Files of more than a kilobyte are in LFS on the Hub.
fn files() -> BTreeMap<ModelPath, Bytes> {
    let sizes =
        [("config.json", 2), ("empty.txt", 0), ("onnx/model.bin", 5000), ("weights.safetensors", (2 << 20) + 77)];
    let file = |(path, size): (&str, u32)| {
        let bytes: Bytes = (0..size).map(|at| u8::try_from(at.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
        (path.parse().unwrap(), bytes)
    };
    sizes.into_iter().map(file).collect()
}

/// Folders that no other sink has.
struct Places {
    dir: TempDir,
    count: AtomicUsize,
}

impl Places {
    fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), count: AtomicUsize::new(0) }
    }

    fn number(&self) -> usize {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(self.number().to_string())
    }
}

/// Fails with the names of the rows that break a rule.
fn judge<const N: usize>(rows: [(&str, Result<(), Violation>); N]) {
    let chain = |violation: Violation| modelcar_core::Error::from(violation).chain();
    let broken: Vec<String> = rows
        .into_iter()
        .filter_map(|(name, outcome)| outcome.err().map(|violation| format!("{name}: {}", chain(violation))))
        .collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

async fn dir_source(files: &BTreeMap<ModelPath, Bytes>) -> Result<(), Violation> {
    let dir = TempDir::new().unwrap();
    for (path, bytes) in files {
        let path = dir.path().join(path.as_str());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    conformance::source(async || DirSource::open(dir.path()).await.unwrap(), files).await
}

/// Lays the files out as the Hugging Face tools keep them.
async fn hub_cache_source(files: &BTreeMap<ModelPath, Bytes>) -> Result<(), Violation> {
    let dir = TempDir::new().unwrap();
    let commit = "0123456789".repeat(4);
    let model = dir.path().join("models--acme--tiny");
    fs::create_dir_all(model.join("blobs")).unwrap();
    for (path, bytes) in files {
        let blob = modelcar_core::Digest::of(bytes).hex();
        fs::write(model.join("blobs").join(&blob), bytes).unwrap();
        let link = model.join("snapshots").join(&commit).join(path.as_str());
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        let up = "../".repeat(path.ancestors().count());
        std::os::unix::fs::symlink(format!("../../{up}blobs/{blob}"), link).unwrap();
    }
    let (cache, name) = (HubCache::new(dir.path()), format!("acme/tiny@{commit}").parse().unwrap());
    let progress: Arc<dyn Progress> = Arc::new(NoProgress);
    conformance::source(async || HubCacheSource::open(&cache, &name, &progress).await.unwrap(), files).await
}

async fn hub_source(files: &BTreeMap<ModelPath, Bytes>) -> Result<(), Violation> {
    let tree = files.iter().fold(ModelTree::new(), |tree, (path, bytes)| match bytes.len() {
        0..1000 => tree.file(path.as_str(), bytes.clone()),
        _ => tree.lfs(path.as_str(), bytes.clone()),
    });
    let hub = FakeHub::start(HubConfig::default()).await;
    hub.add_repo("acme/tiny", "main", tree);
    let make = async || {
        let options = HubOptions { endpoint: hub.endpoint(), ..HubOptions::default() };
        HubSource::resolve(&"acme/tiny".parse().unwrap(), options).await.unwrap()
    };
    conformance::source(make, files).await
}

/// Puts the files below a folder of `store`, beside others.
async fn store_source(store: Arc<dyn ObjectStore>, files: &BTreeMap<ModelPath, Bytes>) -> Result<(), Violation> {
    for (path, bytes) in files {
        store.put(&Path::from(format!("team/tiny/{path}")), bytes.clone().into()).await.unwrap();
    }
    store.put(&Path::from("team/tiny-2/config.json"), "{}".into()).await.unwrap();
    let make = async || {
        let store = Arc::clone(&store);
        StoreSource::from_store(store, "mem://team/tiny", "team/tiny", &StoreOptions::default()).await.unwrap()
    };
    conformance::source(make, files).await
}

/// Reads from a server that speaks S3's language.
async fn s3_source(files: &BTreeMap<ModelPath, Bytes>) -> Result<(), Violation> {
    let store = FakeStore::start(StoreConfig { page_size: 2, ..StoreConfig::default() });
    for (path, bytes) in files {
        store.put(&format!("tiny/{path}"), bytes.clone());
    }
    let endpoint = store.endpoint();
    let settings =
        [("aws_endpoint_url", endpoint.as_str()), ("aws_allow_http", "true"), ("aws_skip_signature", "true")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.into())).into();
    let options = StoreOptions { settings, ..StoreOptions::default() };
    let url = "s3://models/tiny".parse().unwrap();
    conformance::source(async || StoreSource::open(&url, &options).await.unwrap(), files).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sources() {
    let folder = TempDir::new().unwrap();
    let local = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    let files = files();
    judge([
        ("DirSource", dir_source(&files).await),
        ("HubCacheSource", hub_cache_source(&files).await),
        ("HubSource", hub_source(&files).await),
        ("StoreSource", store_source(Arc::new(InMemory::new()), &files).await),
        ("StoreSource of a folder", store_source(Arc::new(local), &files).await),
        ("StoreSource of S3", s3_source(&files).await),
        ("MemorySource", conformance::source(async || MemorySource::new(files.clone()), &files).await),
    ]);
}

async fn registry_sink(tags: &[&str]) -> Result<(), Violation> {
    let registry = FakeRegistry::start(RegistryConfig::default()).await;
    let places = Places::new();
    let make = async || {
        let image = format!("{}/team/model-{}", registry.host(), places.number()).parse().unwrap();
        let options = RegistryOptions { retry_base: Duration::from_millis(4), ..RegistryOptions::default() };
        let keychain = Arc::new(KeychainChain::default());
        let repository = Repository::new(&image, keychain, options, Arc::new(NoProgress)).unwrap();
        RegistrySink::new(repository, tags.iter().map(|tag| tag.parse().unwrap()).collect())
    };
    conformance::sink(make).await?;
    assert_eq!(registry.open_sessions(), []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sinks() {
    let places = Places::new();
    judge([
        ("LayoutSink", conformance::sink(async || LayoutSink::create(&places.path(), None).await.unwrap()).await),
        ("ArchiveSink", conformance::sink(async || ArchiveSink::create(&places.path(), None).await.unwrap()).await),
        ("RegistrySink", registry_sink(&["v1", "latest"]).await),
        ("RegistrySink without a tag", registry_sink(&[]).await),
        ("MemorySink", conformance::sink(async || MemorySink::new(["latest"])).await),
        ("MemorySink without a name", conformance::sink(async || MemorySink::default()).await),
    ]);
}
