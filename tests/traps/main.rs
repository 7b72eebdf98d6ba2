//! What a program that embeds the library can get wrong: each mistake gives an error of a named kind, or a right result.
//! Mistakes that do not compile stand beside the types as `compile_fail` examples.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a mistake that is not noticed is a failed test")]

use std::{fs, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use modelcar_core::{
    BuildOptions, Built, Digest, Error, ErrorKind, OtherError, Plan, Result, Tag,
    base::Base,
    blob::{Blob, VerifiedBlob},
    build,
    http::Network,
    layout::{ArchiveSink, LayoutSink},
    plan::{Layering, LockFile, PlanOptions, Selection},
    progress::{Event, Progress},
    sink::{ExistingBlob, ManifestBlob, Published, Sink},
    source::{ByteStream, DirSource, Extent, Origin, ReadBudget, Source, SourceError, SourceFile},
};

/// Longer than any of them takes; what comes to no end fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// A source that misbehaves in one way.
#[derive(Debug)]
struct Odd(Origin, Vec<SourceFile>, &'static str);

#[async_trait]
impl Source for Odd {
    fn origin(&self) -> &Origin {
        &self.0
    }

    async fn list(&self) -> Result<Vec<SourceFile>, SourceError> {
        Ok(self.1.clone())
    }

    async fn identify(&self, files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        Ok(files)
    }

    fn read(&self, extents: Vec<Extent>, _budget: &ReadBudget) -> ByteStream {
        let total = usize::try_from(extents.iter().map(|extent| extent.len).sum::<u64>()).unwrap();
        let zeros = |len: usize| Ok(Bytes::from(vec![0; len]));
        match self.2 {
            "endless" => stream::repeat_with(move || zeros(65_536)).boxed(),
            "short" => stream::iter([zeros(total / 2)]).boxed(),
            "empty chunks" => stream::iter((0..1000).map(move |_| zeros(0)).chain([zeros(total)])).boxed(),
            "panic" => panic!("in read"),
            "later panic" => stream::once(async { panic!("in the stream") }).boxed(),
            "error" => {
                let error = OtherError::new("read s3://models/x", ErrorKind::RateLimited, "503 slow down");
                stream::iter([Err(error.retryable(Some(Duration::from_secs(7))).into())]).boxed()
            }
            _ => stream::iter([zeros(total)]).boxed(),
        }
    }
}

fn odd(how: &'static str, files: &[(&str, u64)]) -> Arc<Odd> {
    let file = |(path, size): &(&str, u64)| SourceFile { path: path.parse().unwrap(), size: *size, content: None };
    Arc::new(Odd(Origin::default(), files.iter().map(file).collect(), how))
}

/// A sink that misbehaves in one way; it keeps nothing.
#[derive(Debug)]
struct Careless(&'static str);

#[async_trait]
impl Sink for Careless {
    fn max_jobs(&self) -> usize {
        if self.0 == "no jobs" { 0 } else { 4 }
    }

    async fn has_blob(&self, _digest: &Digest, _size: u64) -> Result<bool> {
        Ok(false)
    }

    async fn mount_or_find(&self, _blob: &ExistingBlob) -> Result<bool> {
        Ok(false)
    }

    async fn write_blob(&self, body: &dyn Blob, _restarted: &(dyn Fn(String) + Send + Sync)) -> Result<VerifiedBlob> {
        let mut open = body.open();
        if self.0 == "unread" {
            drop(open.stream);
            return open.verified.await;
        }
        while let Some(bytes) = open.stream.next().await {
            bytes?;
        }
        open.verified.await
    }

    async fn write_manifest(&self, _manifest: &ManifestBlob) -> Result<()> {
        Ok(())
    }

    async fn publish(&self, _index: &ManifestBlob) -> Result<()> {
        Ok(())
    }

    fn published(&self) -> Option<Published> {
        None
    }

    async fn abandon(&self) {}
}

#[derive(Debug)]
struct Panics;

impl Progress for Panics {
    fn report(&self, event: &Event) {
        assert!(!matches!(event, Event::LayerAdvanced { .. }), "in report");
    }
}

async fn plan(source: &dyn Source) -> Plan {
    let files = source.list().await.unwrap();
    Plan::new(source.origin(), files, &Base::scratch().image, &PlanOptions::default()).unwrap()
}

/// Builds in a task, as a server does, so that a panic of the program's own code is seen.
async fn built(source: Arc<dyn Source>, sink: Arc<dyn Sink>, options: BuildOptions) -> Result<Built> {
    let task = tokio::spawn(async move {
        let plan = plan(&*source).await;
        build(&plan, source, &Base::scratch(), &*sink, &options).await
    });
    let ended = tokio::time::timeout(PATIENCE, task).await.unwrap_or_else(|_| panic!("it came to no end"));
    ended.unwrap_or_else(|error| Err(Error::from(error)))
}

async fn model(dir: &Path) -> Arc<DirSource> {
    fs::write(dir.join("config.json"), "{}").unwrap();
    fs::write(dir.join("weights.bin"), vec![7; 300_000]).unwrap();
    Arc::new(DirSource::open(dir).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_misbehaves_gives_an_error_of_a_kind() {
    let files = [("a.bin", 1_000_000), ("b/empty", 0), ("config.json", 100)];
    for (how, kind) in [
        ("endless", Some(ErrorKind::Integrity)),
        ("short", Some(ErrorKind::Integrity)),
        ("panic", Some(ErrorKind::Internal)),
        ("later panic", Some(ErrorKind::Internal)),
        ("error", Some(ErrorKind::RateLimited)),
        ("empty chunks", None),
        ("none", None),
    ] {
        let outcome = built(odd(how, &files), Arc::new(Careless("no")), BuildOptions::default()).await;
        assert_eq!(outcome.as_ref().err().map(Error::kind), kind, "{how}: {outcome:?}");
        if how == "error" {
            let error = outcome.unwrap_err();
            assert_eq!((error.is_retryable(), error.retry_after()), (true, Some(Duration::from_secs(7))));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_or_progress_that_misbehaves_gives_no_image() {
    let dir = tempfile::tempdir().unwrap();
    let source = model(dir.path()).await;
    let outcome = built(source.clone(), Arc::new(Careless("unread")), BuildOptions::default()).await;
    assert!(outcome.is_err(), "{outcome:?}");
    assert!(built(source.clone(), Arc::new(Careless("no jobs")), BuildOptions::default()).await.is_ok());
    let options = BuildOptions { progress: Arc::new(Panics), ..BuildOptions::default() };
    let outcome = built(source, Arc::new(Careless("no")), options).await;
    assert_eq!(outcome.as_ref().err().map(Error::kind), Some(ErrorKind::Internal), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_without_sense_change_speed_alone() {
    let dir = tempfile::tempdir().unwrap();
    let source = model(dir.path()).await;
    let expected = built(source.clone(), Arc::new(Careless("no")), BuildOptions::default()).await.unwrap().digest;
    let most = usize::MAX;
    for (jobs, connections, read_ahead_bytes) in [(0, 1, 1), (1, 0, 1), (1, 1, 0), (most, most, u64::MAX), (1, most, 1)]
    {
        let options = BuildOptions { jobs, connections, read_ahead_bytes, ..BuildOptions::default() };
        assert_eq!(built(source.clone(), Arc::new(Careless("no")), options).await.unwrap().digest, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_base_or_source_than_the_plans_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let source = model(dir.path()).await;
    let plan = plan(&*source).await;
    fs::remove_file(dir.path().join("weights.bin")).unwrap();
    let options = BuildOptions::default();
    let outcome = build(&plan, source, &Base::scratch(), &Careless("no"), &options).await;
    assert!(
        matches!(outcome.as_ref().map_err(Error::kind), Err(ErrorKind::NotFound | ErrorKind::Integrity)),
        "{outcome:?}"
    );
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("config.json"), "[]").unwrap();
    let other = Arc::new(DirSource::open(other.path()).await.unwrap());
    let outcome = build(&plan, other, &Base::scratch(), &Careless("no"), &options).await;
    assert_eq!(outcome.as_ref().err().map(Error::kind), Some(ErrorKind::NotFound), "{outcome:?}");
}

/// Any image can be a base; this one has layers.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_not_built_on_another_base() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("model")).unwrap();
    let source = model(&dir.path().join("model")).await;
    let layout = Arc::new(LayoutSink::create(&dir.path().join("base"), None).await.unwrap());
    built(source.clone(), layout, BuildOptions::default()).await.unwrap();
    let base = Base::from_layout(&dir.path().join("base"), None).await.unwrap();
    let files = source.list().await.unwrap();
    let plan = Plan::new(source.origin(), files, &base.image, &PlanOptions::default()).unwrap();
    let options = BuildOptions::default();
    let outcome = build(&plan, source, &Base::scratch(), &Careless("no"), &options).await;
    assert_eq!(outcome.as_ref().err().map(Error::kind), Some(ErrorKind::InvalidInput), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_used_twice_holds_a_whole_image_or_says_why_not() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("model")).unwrap();
    let source = model(&dir.path().join("model")).await;
    let archive: Arc<dyn Sink> = Arc::new(ArchiveSink::create(&dir.path().join("a.tar"), None).await.unwrap());
    let layout: Arc<dyn Sink> = Arc::new(LayoutSink::create(&dir.path().join("layout"), None).await.unwrap());
    for sink in [archive, layout] {
        let first = built(source.clone(), Arc::clone(&sink), BuildOptions::default()).await.unwrap();
        match built(source.clone(), sink, BuildOptions::default()).await {
            Ok(again) => assert_eq!(again.digest, first.digest),
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_deleted_meanwhile_makes_no_image() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("model");
    fs::create_dir(&folder).unwrap();
    let source = model(&folder).await;
    let layout: Arc<dyn Sink> = Arc::new(LayoutSink::create(&dir.path().join("layout"), None).await.unwrap());
    fs::remove_dir_all(&folder).unwrap();
    let error = built(source, layout, BuildOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    let index = fs::read_to_string(dir.path().join("layout/index.json")).unwrap_or_default();
    assert!(!index.contains("sha256:"), "{index}");
}

#[test]
fn a_listing_that_makes_no_image_is_refused() {
    let refused = |files: &[(&str, u64)], options: &PlanOptions| {
        let files = odd("none", files).1.clone();
        let outcome = Plan::new(&Origin::default(), files, &Base::scratch().image, options);
        assert!(outcome.is_err(), "{outcome:?}");
    };
    let plain = PlanOptions::default();
    refused(&[], &plain);
    refused(&[("a", 1), ("a", 1)], &plain);
    refused(&[("a", u64::MAX), ("b", u64::MAX)], &plain);
    refused(&[("a", 1), ("a/b", 1)], &plain);
    refused(&[("A", 1), ("a", 1)], &plain);
    let select = |include: &[&str], exclude: &[&str]| {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let selection = Selection { include: texts(include), exclude: texts(exclude), ..Selection::default() };
        PlanOptions { selection, ..PlanOptions::default() }
    };
    refused(&[("a", 1)], &select(&["["], &[]));
    refused(&[("a", 1)], &select(&[], &["*"]));
    refused(&[("a", 1)], &select(&["nothing"], &[]));
    refused(&[("a", 1)], &PlanOptions { mtime: u64::MAX, ..PlanOptions::default() });
}

#[test]
fn layers_without_sense_hold_every_file_once() {
    for (own_layer_bytes, bundle_bytes, max_layers) in
        [(0, 0, 0), (0, 0, 1), (1, 1, 1), (0, 0, usize::MAX), (u64::MAX, u64::MAX, 2), (u64::MAX, 0, 3)]
    {
        let layering = Layering { own_layer_bytes, bundle_bytes, max_layers };
        let options = PlanOptions { layering, ..PlanOptions::default() };
        let files = odd("none", &[("a", 1), ("b", 0), ("c/d", 100_000), ("e", 7)]).1.clone();
        let plan = Plan::new(&Origin::default(), files, &Base::scratch().image, &options).unwrap();
        let held: Vec<_> = plan.layers().iter().flat_map(|layer| &layer.files).map(|file| file.path.as_str()).collect();
        assert_eq!(held.len(), 4, "{held:?}");
    }
}

#[test]
fn texts_that_are_none_are_refused_before_any_request() {
    assert!("v 1!".parse::<Tag>().is_err());
    for proxy in ["", "::"] {
        assert!(Network::default().with_proxies(Some(proxy), None, "").is_err(), "{proxy:?}");
    }
    assert!(Network::default().with_roots(b"x").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_file_of_another_kind_is_refused_everywhere() {
    let files = odd("none", &[("a", 1)]).1.clone();
    let content = files
        .into_iter()
        .map(|file| SourceFile { content: Some(format!("sha256:{}", "7".repeat(64)).parse().unwrap()), ..file });
    let plan =
        Plan::new(&Origin::default(), content.collect(), &Base::scratch().image, &PlanOptions::default()).unwrap();
    let lock = LockFile::new("./model".parse().unwrap(), "scratch".parse().unwrap(), plan.clone()).to_json();
    let recipe = plan.layers()[0].recipe.unwrap().to_string();
    let size = format!("\"size\": {}", plan.layers()[0].size);
    for (what, is) in [
        (recipe.as_str(), Digest::of("another").to_string()),
        (size.as_str(), "\"size\": 1".to_owned()),
        ("\"schemaVersion\": 2", "\"schemaVersion\": 99".to_owned()),
    ] {
        let forged = lock.replace(what, &is);
        assert_ne!(forged, lock, "{what}");
        assert!(LockFile::parse(forged.as_bytes()).is_err(), "{what}");
        assert!(serde_json::from_str::<LockFile>(&forged).is_err(), "{what}");
        let value: serde_json::Value = serde_json::from_str(&forged).unwrap();
        let is_plan_forged = !what.contains("schemaVersion");
        assert_eq!(serde_json::from_value::<Plan>(value["plan"].clone()).is_err(), is_plan_forged, "{what}");
    }
}
