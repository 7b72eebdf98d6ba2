//! A reader that is not ours, ocipkg, finds in our layouts and archives what was put in.

use std::{collections::BTreeMap, io::Read, sync::Arc};

use modelcar_core::{
    BuildOptions, Built, Digest, ModelPath, Plan,
    base::Base,
    blob::BytesBlob,
    build,
    layout::{ArchiveSink, LayoutSink},
    plan::PlanOptions,
    sink::{ManifestBlob, MemorySink, Sink},
    source::{MemorySource, Source},
};
use ocipkg::{
    image::{Image, OciArchive, OciDir},
    oci_spec::image::{ImageIndex, ImageManifest},
};
use tempfile::TempDir;

/// A name that ocipkg takes for a reference.
const NAME: &str = "registry.example/team/tiny:v1";
/// Folder of the files in an image.
const MODELS: &str = "models";

async fn built(sink: &dyn Sink) -> Built {
    let (source, base) = (MemorySource::new(super::files()), Base::scratch());
    let plan = Plan::new(source.origin(), source.list().await.unwrap(), &base.image, &PlanOptions::default()).unwrap();
    build(&plan, Arc::new(source), &base, sink, &BuildOptions::default()).await.unwrap()
}

/// Reads a blob and checks that it has the digest it was asked for by.
fn blob(image: &mut impl Image, digest: &impl ToString) -> Vec<u8> {
    let digest = digest.to_string();
    let bytes = image.get_blob(&digest.parse().unwrap()).unwrap();
    assert_eq!(Digest::of(&bytes).to_string(), digest);
    bytes
}

/// Returns the files in a layer, each with the digest of its bytes.
fn unpacked(layer: &[u8]) -> BTreeMap<ModelPath, Digest> {
    let mut archive = tar::Archive::new(layer);
    let entries = archive.entries().unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.header().entry_type().is_file()).map(|mut entry| {
        let path = entry.path().unwrap().strip_prefix(MODELS).unwrap().to_str().unwrap().parse().unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (path, Digest::of(bytes))
    });
    files.collect()
}

/// Checks that the layers of a manifest are those that were built, and hold the model's files.
fn check_manifest(image: &mut impl Image, manifest: &ImageManifest, built: &Built) {
    let expected: Vec<_> = built.layers.iter().map(|layer| (layer.digest.to_string(), layer.size)).collect();
    let found: Vec<_> = manifest.layers().iter().map(|layer| (layer.digest().to_string(), layer.size())).collect();
    assert_eq!(found, expected);
    blob(image, manifest.config().digest());
    let packed: Vec<_> = built.layers.iter().flat_map(|layer| &layer.files).map(|file| &file.path).collect();
    assert!(packed.len() >= 3, "{packed:?}");
    let expected = super::files().into_iter().filter(|(path, _)| packed.contains(&path));
    let expected: BTreeMap<_, _> = expected.map(|(path, bytes)| (path, Digest::of(bytes))).collect();
    let files = manifest.layers().iter().flat_map(|layer| unpacked(&blob(image, layer.digest())));
    assert_eq!(files.collect::<BTreeMap<_, _>>(), expected);
}

/// Checks an image whose index ocipkg reads as a blob: the first entry of `index.json` must be a manifest for
/// `Image::get_manifest`, where ours is the index of all platforms.
fn check_index(image: &mut impl Image, built: &Built) {
    assert_eq!(image.get_name().unwrap().to_string(), NAME);
    assert!(image.get_manifest().is_err());
    let index: ImageIndex = serde_json::from_slice(&blob(image, &built.digest)).unwrap();
    let listed: Vec<_> = index.manifests().iter().map(|manifest| manifest.digest().to_string()).collect();
    assert_eq!(listed, built.manifests.iter().map(|manifest| manifest.digest.to_string()).collect::<Vec<_>>());
    for digest in listed {
        let manifest = serde_json::from_slice(&blob(image, &digest)).unwrap();
        check_manifest(image, &manifest, built);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_reads_a_layout_and_an_archive() {
    let dir = TempDir::new().unwrap();
    let (layout, archive) = (dir.path().join("layout"), dir.path().join("image.tar"));
    let image = built(&LayoutSink::create(&layout, Some(NAME.to_owned())).await.unwrap()).await;
    check_index(&mut OciDir::new(&layout).unwrap(), &image);
    let same = built(&ArchiveSink::create(&archive, Some(NAME.to_owned())).await.unwrap()).await;
    assert_eq!(same.digest, image.digest);
    check_index(&mut OciArchive::new(&archive).unwrap(), &image);
}

/// Publishes the manifest of one platform alone, without an index.
async fn one_platform(from: &MemorySink, manifest: &ManifestBlob, sink: &dyn Sink) {
    for digest in from.blobs() {
        let body = BytesBlob::new("a blob", from.blob(&digest).unwrap());
        sink.write_blob(&body, &|_reason| ()).await.unwrap();
    }
    sink.publish(manifest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_reads_the_manifest_of_an_image_without_an_index() {
    let memory = MemorySink::new([NAME]);
    let image = built(&memory).await;
    let manifest = memory.manifest(&image.manifests[0].digest.to_string()).unwrap();
    let dir = TempDir::new().unwrap();
    let name = || Some(NAME.to_owned());
    let path = |name: &str| dir.path().join(name);
    one_platform(&memory, &manifest, &LayoutSink::create(&path("layout"), name()).await.unwrap()).await;
    one_platform(&memory, &manifest, &ArchiveSink::create(&path("image.tar"), name()).await.unwrap()).await;
    whole(OciDir::new(&path("layout")).unwrap(), &image);
    whole(OciArchive::new(&path("image.tar")).unwrap(), &image);
}

fn whole(mut reader: impl Image, built: &Built) {
    assert_eq!(reader.get_name().unwrap().to_string(), NAME);
    let manifest = reader.get_manifest().unwrap();
    check_manifest(&mut reader, &manifest, built);
}
