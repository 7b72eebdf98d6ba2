//! The parts of a push by themselves: framing with both hashes, the plan, the ranged reader.
//!
//! `cargo bench -p modelcar-benches`, or with a part's name behind `--`.

use std::sync::Arc;

use async_trait::async_trait;
use divan::{Bencher, counter::BytesCount};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use modelcar_core::{
    BuildOptions, ContentId, Digest, Plan, Result,
    base::Base,
    blob::{Blob, VerifiedBlob},
    build,
    plan::PlanOptions,
    sink::{ExistingBlob, ManifestBlob, Published, Sink},
    source::{ByteStream, Extent, HubOptions, HubSource, Origin, ReadBudget, Source, SourceError, SourceFile},
};
use modelcar_testkit::{FakeHub, HubConfig, ModelTree, synthetic_model};
use tokio::runtime::Runtime;

const FILE_BYTES: u64 = 64 << 20;

fn main() {
    divan::main();
}

/// A sink that reads every layer to its end and keeps nothing.
#[derive(Debug)]
struct Discard;

#[async_trait]
impl Sink for Discard {
    fn max_jobs(&self) -> usize {
        usize::MAX
    }

    async fn has_blob(&self, _: &Digest, _: u64) -> Result<bool> {
        Ok(false)
    }

    async fn mount_or_find(&self, _: &ExistingBlob) -> Result<bool> {
        Ok(false)
    }

    async fn write_blob(&self, body: &dyn Blob, _: &(dyn Fn(String) + Send + Sync)) -> Result<VerifiedBlob> {
        let open = body.open();
        open.stream.try_for_each(|_| std::future::ready(Ok(()))).await?;
        open.verified.await
    }

    async fn write_manifest(&self, _: &ManifestBlob) -> Result<()> {
        Ok(())
    }

    async fn publish(&self, _: &ManifestBlob) -> Result<()> {
        Ok(())
    }

    fn published(&self) -> Option<Published> {
        None
    }

    async fn abandon(&self) {}
}

/// A source that has its files in memory.
#[derive(Debug)]
struct Memory {
    origin: Origin,
    tree: ModelTree,
}

impl Memory {
    fn new(tree: ModelTree) -> Arc<Self> {
        tree.warm_up();
        Arc::new(Self { origin: Origin::default(), tree })
    }

    fn files(&self) -> Vec<SourceFile> {
        let files = self.tree.files().map(|(path, file)| SourceFile {
            path: path.parse().unwrap(),
            size: file.size(),
            content: match file.lfs {
                true => ContentId::sha256_from_hex(file.sha256()),
                false => ContentId::git_sha1_from_hex(file.git_oid()),
            },
        });
        files.collect()
    }
}

#[async_trait]
impl Source for Memory {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn list(&self) -> std::result::Result<Vec<SourceFile>, SourceError> {
        Ok(self.files())
    }

    async fn identify(&self, files: Vec<SourceFile>) -> std::result::Result<Vec<SourceFile>, SourceError> {
        Ok(files)
    }

    fn read(&self, extents: Vec<Extent>, _: &ReadBudget) -> ByteStream {
        let chunks = extents.into_iter().flat_map(|extent| {
            let file = self.tree.get(extent.file.path.as_str()).unwrap();
            file.content.read(extent.offset, extent.len).map(std::result::Result::unwrap).collect::<Vec<_>>()
        });
        stream::iter(chunks.map(Ok).collect::<Vec<_>>()).boxed()
    }
}

fn push(bencher: Bencher, runtime: &Runtime, source: Arc<dyn Source>, options: &BuildOptions) {
    let files = runtime.block_on(source.list()).unwrap();
    let base = Base::scratch();
    let plan = Plan::new(source.origin(), files, &base.image, &PlanOptions::default()).unwrap();
    bencher
        .counter(BytesCount::new(plan.content_bytes()))
        .bench_local(|| runtime.block_on(build(&plan, Arc::clone(&source), &base, &Discard, options)).unwrap());
}

/// Tar framing, the layer's hash and the content's: of one layer, then of two at a time.
#[divan::bench(args = ["sha256", "git-sha1", "two x sha256"], sample_count = 20)]
fn frame_and_hash(bencher: Bencher, kind: &str) {
    let content = || synthetic_model(1, FILE_BYTES).files().find(|(_, file)| file.lfs).unwrap().1.content.clone();
    let tree = match kind {
        "git-sha1" => ModelTree::new().file("model.safetensors", content()),
        "sha256" => ModelTree::new().lfs("model.safetensors", content()),
        _ => ModelTree::new().lfs("a.safetensors", content()).lfs("b.safetensors", content()),
    };
    push(bencher, &Runtime::new().unwrap(), Memory::new(tree), &BuildOptions::default());
}

/// The ranged reader: one file from the fake Hub over so many connections. The Hub shares the cores.
#[divan::bench(args = [1, 4, 8], sample_count = 10)]
fn ordered_window(bencher: Bencher, connections: usize) {
    let runtime = Runtime::new().unwrap();
    let hub = FakeHub::start_blocking(HubConfig::default());
    let tree = synthetic_model(1, FILE_BYTES);
    tree.warm_up();
    hub.add_repo("acme/one", "main", tree);
    let options = HubOptions { endpoint: hub.endpoint(), ..HubOptions::default() };
    let source = runtime.block_on(HubSource::resolve(&"acme/one".parse().unwrap(), options)).unwrap();
    push(bencher, &runtime, Arc::new(source), &BuildOptions { connections, ..BuildOptions::default() });
}

/// The plan of a model with 10,000 files; the target is less than 100 ms.
#[divan::bench(sample_count = 20)]
fn plan_of_10000_files(bencher: Bencher) {
    let file = |number: usize| SourceFile {
        path: format!("layers/{:03}/model-{number:05}.safetensors", number % 200).parse().unwrap(),
        size: 1_000 + number as u64 * 7_919,
        content: Some(ContentId::Sha256([u8::try_from(number % 251).unwrap(); 32])),
    };
    let files: Vec<SourceFile> = (0..10_000).map(file).collect();
    let base = Base::scratch();
    bencher
        .with_inputs(|| files.clone())
        .bench_values(|files| Plan::new(&Origin::default(), files, &base.image, &PlanOptions::default()).unwrap());
}
