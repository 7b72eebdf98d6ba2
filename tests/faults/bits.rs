//! One bit that flips anywhere in any file, on the way or on the disk, is never published: a thousand flips and more.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, symlink},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use modelcar_core::{
    BuildOptions, Digest,
    base::BaseRef,
    progress::{NoProgress, Progress},
    push::{Connections, ModelContents, PlannedImage},
    registry::{KeychainChain, Registries, RegistryOptions},
    sink::{MemorySink, Sink},
    source::{HubCache, HubOptions, StoreOptions},
};
use modelcar_testkit::{FakeHub, FakeStore, FaultRule, HubAction, HubConfig, ModelTree, StoreAction, StoreConfig};
use tempfile::TempDir;

/// Flips of each way that the bytes of a model come.
const FLIPS: usize = 300;
/// Whoever prints a seed can give it back.
const SEED: &str = "MODELCAR_BITS_SEED";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The files, all of which are packed.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |len: usize, step: usize| (0..len).map(|at| ((at * step) >> 3).to_le_bytes()[0]).collect();
    vec![
        ("config.json", br#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}"#.to_vec()),
        ("a/vocab.txt", bytes(300, 11)),
        ("w.bin", bytes(40_000, 7)),
        ("x.bin", bytes(5_000, 13)),
    ]
}

/// Random numbers that a seed gives again (xorshift).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 8).unwrap() % bound
    }
}

/// A bit of a file.
#[derive(Debug, Clone)]
struct Flip {
    path: &'static str,
    at: u64,
    bit: u8,
}

impl Flip {
    /// Draws one bit of all: large files have the most.
    fn draw(random: &mut Random, files: &[(&'static str, Vec<u8>)]) -> Self {
        let (path, bytes) = &files[random.below(files.len())];
        let (at, bit) = (random.below(bytes.len()) as u64, u8::try_from(random.below(8)).unwrap());
        Self { path, at, bit }
    }

    /// Flips the bit of a file on the disk; a second time brings it back. With `quietly` the file's time stays.
    fn on_disk(&self, place: &Path, quietly: bool) {
        let file = File::options().read(true).write(true).open(place).unwrap();
        let time = file.metadata().unwrap().modified().unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, self.at).unwrap();
        file.write_all_at(&[byte[0] ^ (1 << self.bit)], self.at).unwrap();
        if quietly {
            file.set_modified(time).unwrap();
        }
    }
}

/// Where the model is, in all four places.
struct Places {
    hub: FakeHub,
    store: FakeStore,
    dir: TempDir,
    cache: TempDir,
}

impl Places {
    fn new(files: &[(&'static str, Vec<u8>)]) -> Self {
        let hub = FakeHub::start_blocking(HubConfig::default());
        let tree = files.iter().fold(ModelTree::new(), |tree, (path, bytes)| match bytes.len() {
            0..1000 => tree.file(path, bytes.clone()),
            _ => tree.lfs(path, bytes.clone()),
        });
        let store = FakeStore::start(StoreConfig::default());
        store.put_model("tiny", &tree);
        let (dir, cache) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        tree.write_to(dir.path()).unwrap();
        let places = Self { hub, store, dir, cache };
        for (path, bytes) in files {
            let blob = places.blob(bytes);
            fs::create_dir_all(blob.parent().unwrap()).unwrap();
            fs::write(&blob, bytes).unwrap();
            let link = places.cache.path().join(format!("models--acme--tiny/snapshots/{COMMIT}/{path}"));
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(blob.canonicalize().unwrap(), link).unwrap();
        }
        places.hub.add_repo("acme/tiny", "main", tree);
        places
    }

    fn blob(&self, bytes: &[u8]) -> std::path::PathBuf {
        self.cache.path().join("models--acme--tiny/blobs").join(Digest::of(bytes).hex())
    }

    fn connections(&self) -> Connections {
        let endpoint = self.store.endpoint();
        let settings =
            [("aws_endpoint_url", endpoint.as_str()), ("aws_allow_http", "true"), ("aws_skip_signature", "true")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.into())).into();
        let stores = StoreOptions { settings, attempts: 1, ..StoreOptions::default() };
        let hub = HubOptions { endpoint: self.hub.endpoint(), attempts: 1, ..HubOptions::default() };
        let registries = Registries::new(Arc::new(KeychainChain::new(Vec::new())), RegistryOptions::default());
        Connections::new(registries).with_hub(Some(hub)).with_stores(Some(stores))
    }

    /// Plans an image of the model at one of the places.
    async fn plan(&self, way: &str) -> modelcar_core::Result<PlannedImage> {
        let progress: Arc<dyn Progress> = Arc::new(NoProgress);
        let contents = match way {
            "hub" => ModelContents::new("acme/tiny".parse()?),
            "store" => ModelContents::new("s3://models/tiny".parse()?),
            "dir" => ModelContents::new(self.dir.path().to_str().unwrap().parse()?).identified(),
            _ => {
                let name = format!("hf-cache://acme/tiny@{COMMIT}").parse()?;
                let source = HubCache::new(self.cache.path()).open(&name, &progress).await?;
                ModelContents::from_source(source)
            }
        };
        contents.with_base(BaseRef::Scratch).plan(&self.connections(), &progress).await?.described().await
    }
}

/// Builds the image; returns the digests of its layers, and none where it failed with nothing published.
async fn build(planned: modelcar_core::Result<PlannedImage>) -> Option<Vec<Digest>> {
    let sink = MemorySink::new(["v1"]);
    let built = planned.ok()?.build(&sink, &BuildOptions::default()).await;
    assert!(built.is_ok() || sink.published().is_none(), "something was published");
    Some(built.ok()?.layers.iter().map(|layer| layer.digest).collect())
}

/// Flips a bit and builds. The bit is as before when this returns.
async fn with_flip(places: &Places, way: &str, flip: &Flip, random: &mut Random, bytes: &[u8]) -> Option<Vec<Digest>> {
    let Flip { path, at, bit } = flip.clone();
    match way {
        "hub" => {
            places.hub.fault(FaultRule::new(format!("/{path}"), HubAction::Flip { at, bit }));
            let built = build(places.plan(way).await).await;
            places.hub.clear_faults();
            built
        }
        // Of the reads of an object one is wrong: the first one, or one behind it.
        "store" => {
            let rule = FaultRule::new(format!("/{path}"), StoreAction::Flip(at, bit)).after(random.below(3)).times(1);
            places.store.fault(rule);
            let built = build(places.plan(way).await).await;
            places.store.clear_faults();
            built
        }
        "dir" => {
            let planned = places.plan(way).await;
            let (place, quietly) = (places.dir.path().join(path), random.below(2) == 0);
            flip.on_disk(&place, quietly);
            let built = build(planned).await;
            flip.on_disk(&place, false);
            built
        }
        _ => {
            let place = places.blob(bytes);
            flip.on_disk(&place, random.below(2) == 0);
            let built = build(places.plan(way).await).await;
            flip.on_disk(&place, false);
            built
        }
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the seed of a case that failed")]
fn a_flipped_bit_is_never_published() {
    let given = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or(0x9e37_79b9_7f4a_7c15);
    let (files, begun) = (files(), Instant::now());
    let places = Places::new(&files);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let clean = runtime.block_on(async { build(places.plan("hub").await).await }).unwrap();
    let mut caught = 0;
    for way in ["hub", "cache", "store", "dir"] {
        for case in 0..FLIPS {
            // Every case has a seed of its own, so that it can be run alone.
            let own = given.unwrap_or(seed ^ (case as u64 + 1).wrapping_mul(0x2545_f491_4f6c_dd1d));
            let mut random = Random(own.max(1));
            let flip = Flip::draw(&mut random, &files);
            let bytes = &files.iter().find(|(path, _)| *path == flip.path).unwrap().1;
            let building = async {
                let flipped = with_flip(&places, way, &flip, &mut random, bytes);
                tokio::time::timeout(Duration::from_mins(1), flipped).await
            };
            let built = runtime.block_on(building).expect("it ends");
            match built {
                None => caught += 1,
                Some(layers) => assert_eq!(layers, clean, "{way}: {flip:?} was published; run it with {SEED}={own}"),
            }
        }
    }
    println!("{} flips in {:?}: {caught} end in an error, the others were not in the way", 4 * FLIPS, begun.elapsed());
    assert!(caught > 3 * FLIPS, "{caught} of {} were noticed", 4 * FLIPS);
}
