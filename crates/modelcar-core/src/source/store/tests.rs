//! Tests of a store as a source, over stores in memory.

use std::sync::Mutex;

use object_store::{ObjectStoreExt, memory::InMemory};

use super::*;
use crate::{
    ContentId,
    progress::{Event, from_fn},
};

/// A store whose folder `m` holds these files.
async fn store(files: &[(&str, &str)]) -> Arc<InMemory> {
    let store = Arc::new(InMemory::new());
    for (path, text) in files {
        store.put(&Path::parse(format!("m/{path}")).unwrap(), (*text).to_owned().into()).await.unwrap();
    }
    store
}

async fn open(store: &Arc<InMemory>, options: &StoreOptions) -> Result<StoreSource, SourceError> {
    StoreSource::from_store(Arc::clone(store) as _, "mem://b/m", "m", options).await
}

fn paths(files: &[SourceFile]) -> Vec<&str> {
    files.iter().map(|file| file.path.as_str()).collect()
}

#[tokio::test]
async fn the_files_are_those_of_the_folder_and_the_licence_is_that_of_the_card() {
    let store = store(&[
        ("README.md", "---\nlicense: mit\n---\n"),
        (".git/config", "x"),
        (".cache/huggingface/x", "x"),
        ("a", ""),
        ("a/b", "x"),
        ("w.bin", "weights"),
    ])
    .await;
    let source = open(&store, &StoreOptions::default()).await.unwrap();
    let files = source.files();
    assert_eq!(paths(&files), ["README.md", "a/b", "w.bin"], "`a` stands in the place of a folder");
    assert!(files.iter().all(|file| file.content.is_none()));
    assert_eq!(source.origin(), &Origin { license: Some("mit".to_owned()), ..Origin::default() });

    let error = StoreSource::from_store(store, "mem://b/n", "n", &StoreOptions::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "`mem://b/n` holds no objects");
    assert_eq!(error.kind(), crate::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_path_that_can_not_be_in_a_model_is_refused_or_passed_over() {
    let store = store(&[("a\\b", "x"), ("w.bin", "x")]).await;
    let error = open(&store, &StoreOptions::default()).await.unwrap_err();
    assert!(matches!(&error, SourceError::HostileListing { entry: Some(_), .. }), "{error}");
    let unwanted = super::super::Unwanted::all();
    let source = open(&store, &StoreOptions { unwanted, ..StoreOptions::default() }).await.unwrap();
    assert_eq!(paths(&source.files()), ["w.bin"]);
}

#[tokio::test]
async fn what_was_read_once_is_not_read_again_until_it_changes() {
    let cache = tempfile::tempdir().unwrap();
    let told = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&told);
    let progress: Arc<dyn Progress> = Arc::new(from_fn(move |event| {
        if let Event::HashStarted { .. } | Event::HashDone = event {
            kept.lock().unwrap().push(format!("{event:?}"));
        }
    }));
    let contents = Some(Contents::new(cache.path()));
    let options = StoreOptions { contents, progress, ..StoreOptions::default() };
    let store = store(&[("w.bin", "weights"), ("x.bin", ""), ("other.txt", "not wanted")]).await;
    let source = open(&store, &options).await.unwrap();
    let wanted: Vec<_> = source.files().into_iter().filter(|file| file.path.as_str() != "other.txt").collect();
    let known = source.identify(wanted.clone()).await.unwrap();
    assert_eq!(known[0].content, Some(ContentId::from(Digest::of("weights"))));
    assert_eq!(known[1].content, Some(ContentId::from(Digest::of(""))));
    assert_eq!(*told.lock().unwrap(), ["HashStarted { files: 2, bytes: 7 }", "HashDone"]);

    told.lock().unwrap().clear();
    let again = open(&store, &options).await.unwrap();
    let listed = again.list().await.unwrap();
    let contents: Vec<_> = listed.iter().map(|file| (file.path.as_str(), file.content.is_some())).collect();
    assert_eq!(contents, [("other.txt", false), ("w.bin", true), ("x.bin", true)]);
    assert_eq!(again.identify(known.clone()).await.unwrap(), known);
    assert_eq!(told.lock().unwrap().len(), 0);

    store.put(&Path::from("m/w.bin"), "Weights".into()).await.unwrap();
    let changed = open(&store, &options).await.unwrap();
    assert_eq!(changed.files()[1].content, None, "another version");
    let elsewhere = StoreSource::from_store(Arc::clone(&store) as _, "mem://c/m", "m", &options).await.unwrap();
    assert!(elsewhere.files().iter().all(|file| file.content.is_none()), "another bucket");
    let error = again.identify(wanted).await.unwrap_err();
    assert!(matches!(error, SourceError::Changed { .. }), "{error}");
    assert!(error.to_string().starts_with("`mem://b/m/w.bin` changed while it was read"), "{error}");
}

#[test]
fn options_show_no_secret() {
    let settings = vec![("aws_secret_access_key".to_owned(), "hunter2".into())];
    let options = StoreOptions { settings, ..StoreOptions::default() };
    assert!(!format!("{options:?}").contains("hunter2"));
    assert_eq!(options.secrets().as_ref(), ["hunter2"]);
}

#[tokio::test]
async fn settings_that_do_not_fit_are_said() {
    for (url, settings, said) in [
        ("s3://b/m", vec![("aws_access_key_id", "id")], "Missing SecretAccessKey"),
        ("gs://b/m", vec![("google_service_account", "/nowhere.json")], "/nowhere.json"),
        ("s3://b/m", vec![("aws_endpoint_url", "http://127.0.0.1:9"), ("aws_skip_signature", "true")], "URL scheme"),
    ] {
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let options = StoreOptions { settings, attempts: 1, ..StoreOptions::default() };
        let error = StoreSource::open(&url.parse().unwrap(), &options).await.unwrap_err();
        let error = crate::Error::from(error);
        assert!(error.chain().contains(said), "{}", error.chain());
        assert!(!error.is_retryable());
    }
}
