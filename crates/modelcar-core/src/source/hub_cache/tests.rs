//! Tests of the cache as a source.

use std::{fs, os::unix::fs::symlink, sync::Mutex};

use tempfile::TempDir;

use super::*;
use crate::progress::{NoProgress, from_fn};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A cache with one model, `acme/tiny`.
struct Cached {
    dir: TempDir,
    cache: HubCache,
}

impl Cached {
    /// Caches `files` at the branch `main`.
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        let cached = Self { cache: HubCache::new(dir.path().join("hub")), dir };
        fs::create_dir_all(cached.model().join("blobs")).unwrap();
        fs::create_dir_all(cached.snapshot()).unwrap();
        fs::create_dir_all(cached.model().join("refs/refs/pr")).unwrap();
        fs::write(cached.model().join("refs/main"), COMMIT).unwrap();
        fs::write(cached.model().join("refs/refs/pr/1"), COMMIT).unwrap();
        for (path, text) in files {
            cached.add(path, text);
        }
        cached
    }

    fn model(&self) -> PathBuf {
        self.cache.folder.join("models--acme--tiny")
    }

    fn snapshot(&self) -> PathBuf {
        self.model().join("snapshots").join(COMMIT)
    }

    fn add(&self, path: &str, text: &str) {
        let blob = crate::Digest::of(text).hex();
        fs::write(self.model().join("blobs").join(&blob), text).unwrap();
        self.link(path, &format!("blobs/{blob}"));
    }

    /// Links a file of the snapshot to a place in the model's folder.
    fn link(&self, path: &str, to: &str) {
        let link = self.snapshot().join(path);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(format!("../../{}{to}", "../".repeat(path.matches('/').count())), link).unwrap();
    }

    async fn open(&self, name: &str) -> Result<OpenSource, SourceError> {
        self.cache.open(&name.parse().unwrap(), &(Arc::new(NoProgress) as _)).await
    }

    async fn refused(&self) -> String {
        self.open("hf-cache://acme/tiny").await.unwrap_err().to_string()
    }
}

const WHOLE: [(&str, &str); 3] =
    [("README.md", "---\nlicense: mit\n---\n"), ("config.json", "{}"), ("model.safetensors", "weights")];

#[tokio::test]
async fn a_cached_model_has_the_origin_and_the_hashes_of_the_hub() {
    let cached = Cached::new(&WHOLE);
    cached.add("sub/deep/a.txt", "a");
    let warned = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&warned);
    let progress: Arc<dyn Progress> = Arc::new(from_fn(move |event| {
        if let Event::Warning { message } = event {
            kept.lock().unwrap().push(message.clone());
        }
    }));
    let open = cached.cache.open(&"hf-cache://acme/tiny".parse().unwrap(), &progress).await.unwrap();
    assert_eq!(open.name.to_string(), format!("hf-cache://acme/tiny@{COMMIT}"));
    let text = |text: &str| Some(text.to_owned());
    let origin = Origin {
        title: text("acme/tiny"),
        url: text("https://huggingface.co/acme/tiny"),
        version: text("main"),
        commit: text(COMMIT),
        license: text("mit"),
    };
    assert_eq!(open.source.origin(), &origin);
    let files = open.source.list().await.unwrap();
    assert_eq!(files.len(), 4);
    let weights = files.iter().find(|file| file.path.as_str() == "model.safetensors").unwrap();
    assert_eq!(weights.content, Some(crate::Digest::of("weights").into()));
    let warned = warned.lock().unwrap();
    assert!(warned.len() == 1 && warned[0].contains("not proven"), "{warned:?}");
}

#[tokio::test]
async fn revisions_are_branches_refs_and_commits() {
    let cached = Cached::new(&WHOLE);
    for name in ["acme/tiny", "acme/tiny@main", "acme/tiny@refs/pr/1", &format!("acme/tiny@{COMMIT}")] {
        let open = cached.open(name).await.unwrap();
        assert_eq!(open.name.to_string(), format!("acme/tiny@{COMMIT}"), "{name}");
    }
    let other = format!("acme/tiny@{}", "f".repeat(40));
    for name in ["acme/tiny@v2", "acme/tiny@../refs/main", "acme/tiny@refs/../main", &other] {
        let error = cached.open(name).await.unwrap_err();
        assert!(matches!(error, SourceError::NotCached { .. }), "{name}: {error}");
        let said = error.to_string();
        assert!(said.ends_with(&format!("in it: `main ({COMMIT})`, `refs/pr/1 ({COMMIT})`")), "{said}");
    }
    let said = cached.open("acme/other").await.unwrap_err().to_string();
    assert!(said.ends_with("in it: no revision of the model"), "{said}");
    assert!(matches!(cached.open("./acme/tiny").await, Err(SourceError::Unknown(_))));
}

#[tokio::test]
async fn a_snapshot_without_links_is_read_too() {
    let cached = Cached::new(&[]);
    for (path, text) in WHOLE {
        fs::write(cached.snapshot().join(path), text).unwrap();
    }
    let open = cached.open("acme/tiny").await.unwrap();
    let files = open.source.list().await.unwrap();
    assert!(files.iter().all(|file| file.content.is_none()));
    let files = open.source.identify(files).await.unwrap();
    assert!(files.iter().all(|file| file.content.is_some()), "{files:?}");
}

#[tokio::test]
async fn what_is_known_to_be_missing_is_named() {
    let index = r#"{"metadata": {"total_size": 2}, "weight_map": {"a": "part-a.bin", "b": "part-b.bin", "c": 1}}"#;
    let sharded = ("pytorch_model.bin.index.json", index);
    for (files, missing) in [
        (vec![WHOLE[2]], "`config.json`"),
        (vec![WHOLE[1]], "`any file of weights`"),
        (vec![WHOLE[1], sharded, ("part-a.bin", "a")], "`part-b.bin`"),
        (vec![("part-a.bin", "a"), sharded], "`config.json`, `part-b.bin`"),
        (vec![("d/m-00002-of-00003.gguf", "a")], "`d/m-00001-of-00003.gguf`, `d/m-00003-of-00003.gguf`"),
    ] {
        let said = Cached::new(&files).refused().await;
        assert!(said.ends_with(&format!("missing: {missing}")), "{said}");
    }
    // Fetched with the patterns `*.json` and `*.safetensors`: nobody wanted the other format.
    Cached::new(&[&WHOLE[..], &[sharded]].concat()).open("acme/tiny").await.unwrap();
    let said = Cached::new(&[WHOLE[1], ("x.bin.index.json", "[")]).refused().await;
    assert!(said.contains("x.bin.index.json` is not the index") || said.contains("is not the index"), "{said}");
}

#[tokio::test]
async fn downloads_that_did_not_end_are_named() {
    let cached = Cached::new(&WHOLE);
    let blob = crate::Digest::of("weights").hex();
    let blobs = cached.model().join("blobs");
    fs::write(blobs.join(format!("{blob}.1a2b.incomplete")), "we").unwrap();
    cached.open("acme/tiny").await.unwrap();
    fs::write(blobs.join("ab.incomplete"), "").unwrap();
    let said = cached.refused().await;
    assert!(said.contains("ab.incomplete` is an unfinished file"), "{said}");
    fs::remove_file(blobs.join("ab.incomplete")).unwrap();
    fs::remove_file(blobs.join(blob)).unwrap();
    let said = cached.refused().await;
    assert!(said.contains("model.safetensors") && said.contains("not there"), "{said}");
}

#[tokio::test]
async fn links_do_not_lead_out_of_the_cache() {
    let cached = Cached::new(&WHOLE);
    let secret = cached.dir.path().join("secret");
    fs::write(&secret, "x").unwrap();
    cached.link("a.txt", "../../secret");
    assert!(cached.refused().await.contains("leaves"));
    fs::remove_file(cached.snapshot().join("a.txt")).unwrap();
    symlink(&secret, cached.model().join("blobs/ab")).unwrap();
    cached.link("a.txt", "blobs/ab");
    assert!(cached.refused().await.contains("leaves"));

    let cached = Cached::new(&[]);
    fs::remove_dir(cached.snapshot()).unwrap();
    symlink(cached.dir.path(), cached.snapshot()).unwrap();
    assert!(cached.refused().await.contains("leaves the Hugging Face cache"));
}

#[tokio::test]
async fn an_address_with_a_password_is_refused_and_not_shown() {
    let mut cached = Cached::new(&WHOLE);
    cached.cache.endpoint = "https://u:p@h".to_owned();
    let said = cached.refused().await;
    assert!(said.contains("not one of a Hub") && !said.contains("u:p"), "{said}");
}
