//! Every public future is `Send`: a server awaits them in spawned tasks, and boxes them. A future that is not does not
//! compile here.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use tokio::sync::oneshot;

use crate::{
    BuildOptions, ImageRef, Plan, Tag,
    base::{Base, BaseRef},
    blob::Blob,
    build, conformance,
    facts::ModelFacts,
    inspect,
    layout::{ArchiveSink, LayoutSink},
    progress::{NoProgress, Progress},
    push::{Connections, Contents, Push},
    registry::{Access, RegistrySink, Repository},
    sink::{ManifestBlob, MemorySink, Sink},
    source::{
        DirSource, HubOptions, HubSource, MemorySource, Reach, ReadBudget, Source, SourceFile, SourceRef, hash_files,
    },
};

/// Takes a future as `tokio::spawn` and a boxed handler take one.
fn is_send(future: impl Future + Send) {
    drop(future);
}

/// What the futures are of; never called, since the compiler is the one who checks.
fn from_sources(source: Arc<dyn Source>, plan: Plan, dir: DirSource, files: Vec<SourceFile>, connections: Connections) {
    is_send(async move {
        let progress: Arc<dyn Progress> = Arc::new(NoProgress);
        let packed: Vec<_> = plan.layers().iter().flat_map(|layer| &layer.files).collect();
        drop(source.list().await);
        drop(ModelFacts::read(&*source, &packed, &[]).await);
        drop(dir.identify(files).await);
        drop(HubSource::resolve(&"owner/name".parse().unwrap(), HubOptions::default()).await);
        drop(DirSource::open(PathBuf::new()).await);
        drop(SourceRef::Dir(PathBuf::new()).open(Reach::default(), &progress).await);
        drop(BaseRef::Scratch.open(&connections.registries, &progress).await);
    });
}

fn in_a_push(
    push: Push,
    contents: Contents,
    connections: Connections,
    sink: RegistrySink,
    stop: oneshot::Receiver<()>,
) {
    is_send(async move {
        let progress: Arc<dyn Progress> = Arc::new(NoProgress);
        drop(push.clone().preview().await);
        drop(push.clone().prepare().await.unwrap().run().await);
        drop(push.prepare_until(stop).await.unwrap().run_until(async {}).await);
        let planned = contents.plan(&connections, &progress).await.unwrap().described().await.unwrap();
        drop(planned.build(&sink, &BuildOptions::default()).await);
    });
}

fn to_sinks(plan: Plan, source: Arc<dyn Source>, base: Base, sink: RegistrySink) {
    is_send(async move {
        let options = BuildOptions::default();
        drop(build(&plan, Arc::clone(&source), &base, &sink, &options).await);
        sink.abandon().await;
        drop(LayoutSink::create(&PathBuf::new(), None).await);
        drop(ArchiveSink::create(&PathBuf::new(), None).await);
        drop(conformance::sink(async || MemorySink::default()).await);
        drop(conformance::source(async || MemorySource::default(), &BTreeMap::new()).await);
        drop(hash_files(&*source, Vec::new(), &ReadBudget::sequential()).await);
    });
}

fn from_images(repository: Repository, image: ImageRef, path: PathBuf) {
    is_send(async move {
        drop(Base::from_registry(&repository, &image).await);
        drop(Base::from_layout(&path, None).await);
        drop(Base::from_binary(&path).await);
        drop(inspect::registry(&repository, &image).await);
        drop(inspect::layout(&path, None).await);
    });
}

fn in_registries(repository: Repository, manifest: ManifestBlob, body: Arc<dyn Blob>) {
    is_send(async move {
        drop(repository.check_push().await);
        drop(repository.taken_tag(&Tag::latest()).await);
        drop(repository.examine(&Tag::latest()).await);
        drop(repository.blob_exists(Access::Push, &manifest.digest, 1).await);
        let _ = repository.mount(&manifest.digest, "other").await;
        drop(repository.put_manifest(&manifest, "v1").await);
        drop(repository.manifest("v1").await);
        drop(repository.upload(&*body, &|_| ()).await);
    });
}

#[test]
fn every_public_future_is_send() {
    // They are compiled because they are named.
    let _ = (from_sources, in_a_push, to_sinks, from_images, in_registries);
}
