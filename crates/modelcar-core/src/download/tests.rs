//! Tests of downloads, with models in memory.

use std::{fs, os::unix::fs::symlink};

use tempfile::TempDir;

use super::*;
use crate::{
    Digest,
    source::{MemorySource, Origin, SourceRef, UNFINISHED},
};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn weights() -> Vec<u8> {
    (0..3_000_000_u32).map(|at| u8::try_from(at.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect()
}

/// A model of the Hub with a large file, an empty one, one in a folder, and two of equal content.
fn model() -> OpenSource {
    let files = [
        ("w.safetensors", weights()),
        ("sub/config.json", b"{}".to_vec()),
        ("empty", Vec::new()),
        ("copy.json", b"{}".to_vec()),
    ];
    let source = MemorySource::new(files.map(|(path, bytes)| (path.parse::<ModelPath>().unwrap(), bytes)));
    let text = |text: &str| Some(text.to_owned());
    let origin = Origin { commit: text(COMMIT), version: text("refs/pr/1"), ..Origin::default() };
    let name = SourceRef::Hub(format!("acme/tiny@{COMMIT}").parse().unwrap());
    OpenSource::new(name, Arc::new(source.with_origin(origin)))
}

async fn bring(source: &OpenSource, folder: &Path, layout: DownloadLayout) -> Result<Downloaded, DownloadError> {
    let options = DownloadOptions { layout, ..DownloadOptions::default() };
    download(source, folder, &options, &BuildOptions::default()).await
}

async fn flat(folder: &Path) -> Result<Downloaded, DownloadError> {
    bring(&model(), folder, DownloadLayout::Flat).await
}

/// Returns where the unfinished weights lie.
fn partial(folder: &Path) -> PathBuf {
    let place = &Digest::of("w.safetensors").hex()[..16];
    let name = format!("w.safetensors.{place}.{}.incomplete", Digest::of(weights()).hex());
    fs::create_dir_all(folder.join(UNFINISHED)).unwrap();
    folder.join(UNFINISHED).join(name)
}

const ALL: u64 = 3_000_000 + 2 + 2;

#[tokio::test]
async fn a_second_download_brings_nothing() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("a/b");
    let first = flat(&folder).await.unwrap();
    assert_eq!((first.bytes_fetched, first.files.len(), &first.folder), (ALL, 4, &folder));
    assert_eq!(fs::read(folder.join("w.safetensors")).unwrap(), weights());
    assert_eq!(fs::read(folder.join("sub/config.json")).unwrap(), b"{}");
    assert!(!folder.join(".cache").exists());
    let second = flat(&folder).await.unwrap();
    assert_eq!(second.bytes_fetched, 0);
    assert!(second.files.iter().all(|file| !file.fetched) && first.files.iter().all(|file| file.fetched));
    fs::write(folder.join("w.safetensors"), "other").unwrap();
    assert_eq!(flat(&folder).await.unwrap().bytes_fetched, 3_000_000);
    assert_eq!(fs::read(folder.join("w.safetensors")).unwrap(), weights());
}

#[tokio::test]
async fn an_unfinished_file_goes_on_and_a_wrong_one_starts_over() {
    for (there, fetched) in [(1_000_000, ALL - 1_000_000), (3_000_000, ALL - 3_000_000), (0, ALL)] {
        let dir = TempDir::new().unwrap();
        fs::write(partial(dir.path()), &weights()[..there]).unwrap();
        assert_eq!(flat(dir.path()).await.unwrap().bytes_fetched, fetched, "{there}");
        assert_eq!(fs::read(dir.path().join("w.safetensors")).unwrap(), weights());
        assert!(!dir.path().join(".cache").exists());
    }
    let dir = TempDir::new().unwrap();
    fs::write(partial(dir.path()), vec![1; 1_000_000]).unwrap();
    assert_eq!(flat(dir.path()).await.unwrap().bytes_fetched, ALL - 1_000_000 + 3_000_000);
    assert_eq!(fs::read(dir.path().join("w.safetensors")).unwrap(), weights());
}

#[tokio::test]
async fn no_link_is_followed() {
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("mine"), "mine").unwrap();
    for (link, to) in [("sub", "."), ("w.safetensors", "mine"), (".cache", "."), ("empty", "not-there")] {
        let dir = TempDir::new().unwrap();
        symlink(outside.path().join(to), dir.path().join(link)).unwrap();
        let error = flat(dir.path()).await.unwrap_err();
        assert!(matches!(error, DownloadError::Link { .. }), "{link}: {error}");
    }
    let dir = TempDir::new().unwrap();
    symlink(outside.path().join("mine"), partial(dir.path())).unwrap();
    assert!(matches!(flat(dir.path()).await, Err(DownloadError::Link { .. })));
    fs::create_dir_all(dir.path().join("w.safetensors")).unwrap();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(fs::read(outside.path().join("mine")).unwrap(), b"mine");
}

#[tokio::test]
async fn a_cache_has_blobs_links_and_revisions() {
    let dir = TempDir::new().unwrap();
    let layout = DownloadLayout::HubCache;
    let done = bring(&model(), dir.path(), layout).await.unwrap();
    let home = dir.path().join("models--acme--tiny");
    assert_eq!(done.folder, home.join("snapshots").join(COMMIT));
    assert_eq!(done.bytes_fetched, ALL - 2, "equal files are one blob");
    let link = fs::read_link(done.folder.join("sub/config.json")).unwrap();
    assert_eq!(link, Path::new(&format!("../../../blobs/{}", Digest::of("{}").hex())));
    assert_eq!(fs::read(done.folder.join("w.safetensors")).unwrap(), weights());
    assert_eq!(fs::read_to_string(home.join("refs/refs/pr/1")).unwrap(), COMMIT);
    assert_eq!(bring(&model(), dir.path(), layout).await.unwrap().bytes_fetched, 0);

    let local = OpenSource::new(SourceRef::Dir("x".into()), Arc::new(MemorySource::default()));
    let other = MemorySource::new([("a".parse::<ModelPath>().unwrap(), "a")]);
    let local = OpenSource::new(local.name, Arc::new(other));
    assert!(matches!(bring(&local, dir.path(), layout).await, Err(DownloadError::NotOfTheHub(_))));
}

#[tokio::test]
async fn files_are_chosen() {
    let dir = TempDir::new().unwrap();
    let choose = async |include: &[&str], exclude: &[&str]| {
        let [include, exclude] = [include, exclude].map(|list| list.iter().map(ToString::to_string).collect());
        let options = DownloadOptions { include, exclude, ..DownloadOptions::default() };
        download(&model(), dir.path(), &options, &BuildOptions::default()).await.map(|done| done.files.len())
    };
    assert_eq!(choose(&["*.json"], &["sub/"]).await.unwrap(), 1);
    assert!(matches!(choose(&["x"], &[]).await, Err(DownloadError::NoFiles(_))));
    assert!(matches!(choose(&["["], &[]).await, Err(DownloadError::BadPattern { .. })));
}

#[tokio::test]
async fn a_folder_has_one_download_at_a_time_and_keeps_its_own_place() {
    let dir = TempDir::new().unwrap();
    let lock = fs::File::open(dir.path()).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert!(matches!(flat(dir.path()).await, Err(DownloadError::Busy { .. })));
    drop(lock);
    let hidden = MemorySource::new([(format!("{UNFINISHED}/a").parse::<ModelPath>().unwrap(), "a")]);
    let hidden = OpenSource::new(SourceRef::Other("x".to_owned()), Arc::new(hidden));
    let error = bring(&hidden, dir.path(), DownloadLayout::Flat).await.unwrap_err();
    assert!(matches!(error, DownloadError::Reserved { .. }), "{error}");
}
