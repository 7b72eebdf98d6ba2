//! Tests of the sinks on disk.

use std::{
    collections::BTreeMap,
    fs,
    future::poll_fn,
    io::Read,
    ops::Range,
    path::Path,
    pin::pin,
    sync::atomic::{AtomicU32, Ordering},
    task::Poll,
};

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    read::{BLOBS, REF_NAME},
    *,
};
use crate::{
    Digest, Error, ModelcarError,
    blob::{Blob, BytesBlob, OpenBlob},
    error::ErrorKind,
    registry::RegistryError,
    sink::{ManifestBlob, Sink},
    source::SourceError,
};

/// A body that goes wrong the first `failures` times: in the middle of the stream, or after it.
#[derive(Debug)]
struct Flaky {
    inner: BytesBlob,
    failures: AtomicU32,
    in_stream: bool,
}

impl Flaky {
    fn new(bytes: &'static [u8], failures: u32, in_stream: bool) -> Self {
        Self { inner: BytesBlob::new("layer 1", bytes), failures: failures.into(), in_stream }
    }
}

fn broken() -> Error {
    RegistryError::Stalled { act: "get".to_owned(), repository: "h/a".to_owned(), seconds: 1 }.into()
}

fn wrong() -> Error {
    SourceError::Changed { path: "a".into(), reason: "its hash differs".to_owned() }.into()
}

impl Blob for Flaky {
    fn title(&self) -> String {
        self.inner.title()
    }

    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn digest(&self) -> Option<Digest> {
        None
    }

    fn reread(&self, range: Range<u64>) -> BoxStream<'static, crate::Result<Bytes>> {
        self.inner.reread(range)
    }

    fn open(&self) -> OpenBlob {
        let mut open = self.inner.open();
        let fails = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails && self.in_stream {
            open.stream = stream::iter([Ok(Bytes::from_static(&[7; 3000])), Err(broken())]).boxed();
        } else if fails {
            open.verified = std::future::ready(Err(wrong())).boxed();
        }
        open
    }
}

fn manifest(text: &str) -> ManifestBlob {
    ManifestBlob {
        bytes: text.to_owned().into(),
        media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
        digest: Digest::of(text),
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn index_json(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join("index.json")).unwrap()).unwrap()
}

async fn fill(sink: &dyn Sink, layer: &'static [u8], index: &str) -> crate::Result<()> {
    sink.write_blob(&BytesBlob::new("layer 1", layer), &|_| {}).await?;
    sink.write_manifest(&manifest("{}")).await?;
    sink.publish(&manifest(index)).await
}

async fn layout(dir: &Path, name: Option<&str>) -> LayoutSink {
    LayoutSink::create(dir, name.map(str::to_owned)).await.unwrap()
}

#[tokio::test]
async fn a_layout_holds_what_was_written() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("a/b");
    let sink = layout(&dir, Some("v1")).await;
    fill(&sink, b"weights", "{\"a\":1}").await.unwrap();
    sink.abandon().await;

    assert_eq!(names(&dir), ["blobs", "index.json", "oci-layout"]);
    assert_eq!(fs::read_to_string(dir.join("oci-layout")).unwrap(), r#"{"imageLayoutVersion":"1.0.0"}"#);
    let digest = Digest::of("{\"a\":1}");
    let expected = format!(
        r#"{{"manifests":[{{"annotations":{{"{REF_NAME}":"v1"}},"digest":"{digest}","mediaType":"application/vnd.oci.image.index.v1+json","size":7}}],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}}"#
    );
    assert_eq!(fs::read_to_string(dir.join("index.json")).unwrap(), expected);
    assert_eq!(fs::read(dir.join(BLOBS).join(Digest::of("weights").hex())).unwrap(), b"weights");
    assert!(sink.has_blob(&Digest::of("weights"), 7).await.unwrap());
    assert!(!sink.has_blob(&Digest::of("weights"), 8).await.unwrap());

    let open = Layout::open(&dir).await.unwrap();
    assert_eq!(open.pick(None).await.unwrap().digest, digest);
    assert_eq!(open.read(&digest).await.unwrap(), "{\"a\":1}");
}

#[tokio::test]
async fn a_second_image_is_added_and_a_name_moves() {
    let temp = TempDir::new().unwrap();
    for (name, index) in [(Some("v1"), "1"), (Some("v2"), "2"), (None, "3"), (None, "3"), (Some("v1"), "4")] {
        fill(&layout(temp.path(), name).await, b"weights", index).await.unwrap();
    }
    let listed: Vec<_> = index_json(temp.path())["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["annotations"][REF_NAME].as_str().map(str::to_owned), entry["digest"].clone()))
        .collect();
    let expected = [(Some("v2"), "2"), (None, "3"), (Some("v1"), "4")];
    let expected = expected.map(|(name, index)| (name.map(str::to_owned), json!(Digest::of(index).to_string())));
    assert_eq!(listed, expected);

    let open = Layout::open(temp.path()).await.unwrap();
    assert_eq!(open.pick(Some("v2")).await.unwrap().digest, Digest::of("2"));
    let error = open.pick(None).await.unwrap_err();
    assert!(error.to_string().ends_with("has 3 images, name one: `v2`, `v1`"), "{error}");
    assert_eq!(open.pick(Some("v9")).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_wrong_body_leaves_nothing() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("new");
    let sink = layout(&dir, None).await;
    let error = sink.write_blob(&Flaky::new(b"weights", 9, false), &|_| panic!("not transient")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);
    assert_eq!(names(&dir.join(BLOBS)), [""; 0]);
    sink.abandon().await;
    assert!(!dir.exists());

    // What was there before stays as it was.
    fill(&layout(&dir, None).await, b"old", "1").await.unwrap();
    let before = (names(&dir), names(&dir.join(BLOBS)), index_json(&dir));
    let sink = layout(&dir, None).await;
    sink.write_blob(&BytesBlob::new("layer 1", &b"new"[..]), &|_| {}).await.unwrap();
    sink.write_blob(&BytesBlob::new("layer 2", &b"old"[..]), &|_| {}).await.unwrap();
    sink.abandon().await;
    assert_eq!(before, (names(&dir), names(&dir.join(BLOBS)), index_json(&dir)));
}

#[tokio::test]
async fn a_broken_body_is_started_over() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("layout");
    let file = temp.path().join("archive.tar");
    let sinks: [Box<dyn Sink>; 2] =
        [Box::new(layout(&dir, None).await), Box::new(ArchiveSink::create(&file, None).await.unwrap())];
    for sink in &sinks {
        let told = AtomicU32::new(0);
        let count = |_| {
            told.fetch_add(1, Ordering::SeqCst);
        };
        let verified = sink.write_blob(&Flaky::new(b"weights", 2, true), &count).await.unwrap();
        assert_eq!((verified.digest, told.into_inner()), (Digest::of("weights"), 2));
        sink.write_blob(&Flaky::new(b"never", 9, true), &|_| {}).await.unwrap_err();
        sink.publish(&manifest("{}")).await.unwrap();
    }
    assert_eq!(names(&dir.join(BLOBS)).len(), 2);
    assert_eq!(entries(&file).len(), 6);
}

#[tokio::test]
async fn what_is_not_a_layout_is_not_touched() {
    let temp = TempDir::new().unwrap();
    fs::write(temp.path().join("photo"), "x").unwrap();
    let error = LayoutSink::create(temp.path(), None).await.unwrap_err();
    assert!(matches!(error, LayoutError::NotALayout { .. }), "{error}");
    fs::write(temp.path().join("oci-layout"), r#"{"imageLayoutVersion":"2"}"#).unwrap();
    let error = LayoutSink::create(temp.path(), None).await.unwrap_err();
    assert!(error.to_string().ends_with("layout version `2` is not known"), "{error}");
    assert_eq!(names(temp.path()), ["oci-layout", "photo"]);
    let error = LayoutSink::create(&temp.path().join("photo/x"), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[tokio::test]
async fn a_corrupt_blob_is_noticed() {
    let temp = TempDir::new().unwrap();
    fill(&layout(temp.path(), None).await, b"weights", "{}").await.unwrap();
    let digest = Digest::of("weights");
    let open = Layout::open(temp.path()).await.unwrap();
    let copy = temp.path().join("copy");
    let body = open.body("layer".to_owned(), digest, 7);
    assert_eq!(layout(&copy, None).await.write_blob(&*body, &|_| {}).await.unwrap().digest, digest);

    fs::write(temp.path().join(BLOBS).join(digest.hex()), "weightz").unwrap();
    let sink = layout(&temp.path().join("other"), None).await;
    let error = sink.write_blob(&*body, &|_| {}).await.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(LayoutError::Corrupt { .. })), "{error}");
    let longer = open.body("layer".to_owned(), digest, 8);
    let error = sink.write_blob(&*longer, &|_| {}).await.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(LayoutError::WrongSize { found: 7, expected: 8, .. })), "{error}");
    let error = open.read(&digest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);

    let OpenBlob { stream, verified } = body.open();
    drop(stream);
    assert!(verified.await.is_err());
}

#[tokio::test]
async fn a_build_mends_a_corrupt_blob() {
    let temp = TempDir::new().unwrap();
    let blob = temp.path().join(BLOBS).join(Digest::of("weights").hex());
    for _again in 0..2 {
        let sink = layout(temp.path(), None).await;
        assert!(!sink.has_blob(&Digest::of("weights"), 7).await.unwrap());
        fill(&sink, b"weights", "{}").await.unwrap();
        assert!(sink.has_blob(&Digest::of("weights"), 7).await.unwrap());
        assert_eq!(fs::read(&blob).unwrap(), b"weights");
        fs::write(&blob, "weightz").unwrap();
    }
}

#[tokio::test]
async fn a_build_that_fails_takes_nothing_from_another_one() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("layout");
    let failing = layout(&dir, None).await;
    failing.write_blob(&BytesBlob::new("layer 1", &b"weights"[..]), &|_| {}).await.unwrap();
    let other = layout(&dir, None).await;
    assert!(other.has_blob(&Digest::of("weights"), 7).await.unwrap());
    failing.abandon().await;
    other.publish(&manifest("{}")).await.unwrap();
    assert!(other.has_blob(&Digest::of("weights"), 7).await.unwrap());
    assert_eq!(names(&dir), ["blobs", "index.json", "oci-layout"]);
    drop(other);

    // Nor from one that began later and has ended before; a name that it took again counts too.
    for round in 0..3 {
        let failing = layout(&dir, None).await;
        failing.write_blob(&BytesBlob::new("layer 1", vec![round]), &|_| {}).await.unwrap();
        let other = layout(&dir, Some("v1")).await;
        assert!(other.has_blob(&Digest::of([round]), 1).await.unwrap());
        other.publish(&manifest("{}")).await.unwrap();
        drop(other);
        failing.abandon().await;
        assert!(layout(&dir, None).await.has_blob(&Digest::of([round]), 1).await.unwrap());
    }
    let fresh = temp.path().join("fresh");
    let (first, second) = (layout(&fresh, None).await, layout(&fresh, None).await);
    fill(&first, b"weights", "{}").await.unwrap();
    drop(first);
    second.abandon().await;
    assert_eq!(names(&fresh), ["blobs", "index.json", "oci-layout"]);
    let alone = layout(&fresh, None).await;
    alone.write_blob(&BytesBlob::new("layer 1", &b"new"[..]), &|_| {}).await.unwrap();
    alone.abandon().await;
    assert_eq!(names(&fresh.join(BLOBS)).len(), 2);
}

#[tokio::test]
async fn what_only_looks_like_the_beginning_of_a_layout_is_not_touched() {
    for taken in [".notes.partial", "blobs/photo", "blobs/sha256/photo", ".1-2.partial", "blobs/sha256/.x-1-2.partial"]
    {
        let temp = TempDir::new().unwrap();
        let file = temp.path().join(taken);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "x").unwrap();
        let error = LayoutSink::create(temp.path(), None).await.unwrap_err();
        assert!(matches!(error, LayoutError::NotALayout { .. }), "{taken}: {error}");
        assert!(file.exists(), "{taken}");
    }
}

#[tokio::test]
async fn what_a_killed_build_has_left_is_cleared_once_nobody_builds() {
    let temp = TempDir::new().unwrap();
    let blobs = temp.path().join(BLOBS);
    fs::create_dir_all(&blobs).unwrap();
    let left = |dir: &Path| fs::write(dir.join(".1-2-3.partial"), "half").unwrap();
    left(temp.path());
    left(&blobs);
    let sink = layout(temp.path(), None).await;
    assert_eq!((names(temp.path()), names(&blobs).len()), (vec!["blobs".to_owned(), "oci-layout".to_owned()], 0));
    left(&blobs);
    drop(layout(temp.path(), None).await);
    assert_eq!(names(&blobs), [".1-2-3.partial"], "it may belong to the build that runs");
    drop(sink);
    drop(layout(temp.path(), None).await);
    assert_eq!(names(&blobs).len(), 0);
}

/// Polls `future` so many times and drops it then: `at_once`, while what it waits for is under way, or when that is done.
async fn stopped<F: Future>(future: F, polls: usize, at_once: bool) -> Option<F::Output> {
    let (mut future, mut left) = (pin!(future), polls);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 && at_once => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_stopped_at_any_moment_leaves_all_or_nothing() {
    let temp = TempDir::new().unwrap();
    let mut ends = [0, 0];
    for round in 0.. {
        let dir = temp.path().join(round.to_string());
        let sink = layout(&dir, None).await;
        let filled = stopped(fill(&sink, b"weights", "[]"), round / 4, round % 2 == 0).await;
        let is_whole = filled.map(Result::unwrap).is_some();
        sink.abandon().await;
        assert_eq!(dir.exists(), sink.published().is_some(), "{round}");
        if dir.exists() {
            assert_eq!(names(&dir), ["blobs", "index.json", "oci-layout"]);
            assert_eq!(names(&dir.join(BLOBS)).len(), 3);
        }
        ends[usize::from(dir.exists())] += 1;
        // Every number of polls was tried, up to one that is enough.
        if is_whole && round % 4 == 3 {
            break;
        }
    }
    assert!(ends[0] >= 4, "{ends:?}");
}

fn entries(file: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(fs::File::open(file).unwrap());
    let read = |entry: std::io::Result<tar::Entry<'_, fs::File>>| {
        let mut entry = entry.unwrap();
        let header = entry.header();
        let mode = if header.entry_type().is_dir() { 0o755 } else { 0o644 };
        assert_eq!((header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (mode, 0, 0));
        assert_eq!(header.mtime().unwrap(), 0);
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (name, content)
    };
    archive.entries().unwrap().map(read).collect()
}

#[tokio::test]
async fn an_archive_is_a_layout_in_a_tar_file() {
    let temp = TempDir::new().unwrap();
    let write = async |name: &str| {
        let file = temp.path().join(name);
        let sink = ArchiveSink::create(&file, Some("v1".to_owned())).await.unwrap();
        // A longer body that fails must leave nothing behind the shorter one that follows.
        sink.write_blob(&Flaky::new(&[9; 5000], 1, false), &|_| {}).await.unwrap_err();
        assert!(sink.has_blob(&Digest::of("weights"), 7).await.is_ok_and(|has| !has));
        for _ in 0..2 {
            sink.write_blob(&BytesBlob::new("layer 1", &b"weights"[..]), &|_| {}).await.unwrap();
        }
        assert!(!file.exists());
        assert!(ArchiveSink::create(&file, None).await.is_err_and(|error| matches!(error, LayoutError::Busy { .. })));
        fill(&sink, b"weights", "{\"a\":1}").await.unwrap();
        sink.abandon().await;
        assert!(sink.publish(&manifest("{}")).await.is_err());
        file
    };
    let file = write("one.tar").await;
    let found = entries(&file);
    let order: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    let blob = |content: &str| format!("blobs/sha256/{}", Digest::of(content).hex());
    let expected =
        ["oci-layout", "blobs/", "blobs/sha256/", &blob("weights"), &blob("{}"), &blob("{\"a\":1}"), "index.json"];
    assert_eq!(order, expected);
    let contents: BTreeMap<_, _> = found.iter().cloned().collect();
    assert_eq!(contents[&blob("weights")], b"weights");

    let bytes = fs::read(&file).unwrap();
    assert!(bytes.len().is_multiple_of(512) && bytes.ends_with(&[0; 1024]));
    assert_eq!(bytes, fs::read(write("two.tar").await).unwrap());
    assert_eq!(names(temp.path()), ["one.tar", "two.tar"]);

    // Unpacked, it reads as a layout.
    let dir = temp.path().join("unpacked");
    tar::Archive::new(&bytes[..]).unpack(&dir).unwrap();
    assert_eq!(Layout::open(&dir).await.unwrap().pick(Some("v1")).await.unwrap().digest, Digest::of("{\"a\":1}"));
}

#[tokio::test]
async fn an_abandoned_archive_is_gone() {
    let temp = TempDir::new().unwrap();
    let file = temp.path().join("image.tar");
    fs::write(&file, "older").unwrap();
    let sink = ArchiveSink::create(&file, None).await.unwrap();
    sink.write_blob(&BytesBlob::new("layer 1", &b"weights"[..]), &|_| {}).await.unwrap();
    sink.abandon().await;
    assert_eq!(names(temp.path()), ["image.tar"]);
    assert_eq!(fs::read(&file).unwrap(), b"older");
    std::os::unix::fs::symlink("/dev/null", temp.path().join("link.tar")).unwrap();
    for taken in ["/dev/null".into(), temp.path().to_owned(), temp.path().join("link.tar")] {
        let error = ArchiveSink::create(&taken, None).await.unwrap_err();
        assert!(matches!(error, LayoutError::NotAFile { .. }), "{error}");
    }
    assert_eq!(names(temp.path()), ["image.tar", "link.tar"]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_named() {
    use std::io;

    let start = || fs::File::options().write(true).open("/dev/full");
    let body = BytesBlob::new("layer 1", vec![1; 100_000]);
    let error = super::copy::copy(body.open(), start).await.unwrap_err();
    let error = error.explain(&body, Path::new("out/blobs"));
    let Some(LayoutError::Io { source, .. }) = error.downcast_ref() else { panic!("{error}") };
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    assert_eq!(error.to_string(), "write to `out/blobs`");
}

/// A number that no integer of 64 bits holds comes back from JSON as a fraction, and has to be the same one each time
/// (found by fuzzing).
#[test]
fn an_index_with_a_large_number_stays_as_it_is() {
    let bytes = format!(r#"{{"manifests":[],"schemaVersion":2{}}}"#, "4".repeat(65));
    let written = |bytes: &[u8]| super::read::canonical(super::read::parse_index(bytes, "index.json".into()).unwrap());
    let once = written(bytes.as_bytes());
    assert_eq!(written(&once), once);
}
