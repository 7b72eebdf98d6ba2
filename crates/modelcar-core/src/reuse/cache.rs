//! The local cache: remembers which recipe gave which layer, and which repositories have the layer. It holds no bytes
//! of a model, so that it stays small.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use tokio::task;

use super::seal::Seal;
use crate::{Digest, files};

/// Name of the folder with the entries. The number is raised when the form or meaning of the entries changes; older
/// folders are left alone.
const VERSION: &str = "recipes-v1";
/// Name of the file beside that folder with the key of the entries' seals.
const KEY: &str = "recipes.key";
/// Largest number of entries. The oldest entries are removed first.
const ENTRIES_MAX: usize = 4096;
/// Largest entry that is read, in bytes. A larger file counts as missing.
const ENTRY_MAX_BYTES: u64 = 64 << 10;
/// Largest number of repositories in one entry.
const REPOSITORIES_MAX: usize = 8;

/// The local cache: a folder with a small file for each recipe.
///
/// Any number of processes may share the folder: entries are replaced atomically, and an entry that can't be read
/// counts as missing. Before a layer of the cache is used, the registry is asked whether it has the layer.
#[derive(Debug, Clone)]
pub struct Cache {
    /// The folder of the entries.
    dir: PathBuf,
}

/// What is known of the layer of one recipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Known {
    /// Digest of the layer.
    pub(super) digest: Digest,
    /// Size of the layer, in bytes.
    pub(super) size: u64,
    /// Repositories that got the layer, as `registry/repository`, the newest first.
    pub(super) repositories: Vec<String>,
    /// Shows that a run of the same user has written recipe, digest and size.
    seal: Digest,
}

impl Cache {
    /// Uses `dir`. The folder is made when there is something to store; nothing is read yet.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.join(VERSION) }
    }

    /// Returns the file of a recipe.
    fn path(&self, recipe: &Digest) -> PathBuf {
        self.dir.join(format!("{}.json", recipe.hex()))
    }

    /// Returns the file of the key that seals the entries.
    fn key(&self) -> PathBuf {
        self.dir.with_file_name(KEY)
    }

    /// Returns the entry of a recipe, unless somebody else has written it. Reads a small file on the calling thread.
    pub(super) fn get(&self, recipe: &Digest) -> Option<Known> {
        let path = self.path(recipe);
        let known: Known = serde_json::from_slice(&files::read(&path, ENTRY_MAX_BYTES).ok()?).ok()?;
        let seal = Seal::read(&self.key())?.of(recipe, &known.digest, known.size);
        (known.seal == seal).then_some(known)
    }

    /// Stores that `repository` has the layers, each given by recipe, digest, size in bytes, and whether this run knows
    /// the layer's bytes. A layer whose bytes are unknown makes no new entry: annotations of an image could be false.
    /// An entry that exists and agrees is updated. Failures are ignored, because a missing entry costs only time.
    pub(super) async fn note(&self, layers: Vec<(Digest, Digest, u64, bool)>, repository: String) {
        let cache = self.clone();
        // A cache that can't be written costs time at most.
        let _only_slower = task::spawn_blocking(move || {
            for (recipe, digest, size, proven) in layers {
                cache.note_one(&recipe, digest, size, proven, &repository)?;
            }
            cache.prune()
        })
        .await;
    }

    /// Stores one layer. The file is written under a temporary name and renamed, so that no reader sees a half-written
    /// entry.
    fn note_one(&self, recipe: &Digest, digest: Digest, size: u64, proven: bool, repository: &str) -> io::Result<()> {
        let mut repositories = match self.get(recipe) {
            Some(known) if known.digest == digest && known.size == size => known.repositories,
            _ if proven => Vec::new(),
            _ => return Ok(()),
        };
        if repositories.first().is_some_and(|first| first == repository) {
            return Ok(());
        }
        repositories.retain(|known| known != repository);
        repositories.insert(0, repository.to_owned());
        repositories.truncate(REPOSITORIES_MAX);
        fs::create_dir_all(&self.dir)?;
        let key = self.key();
        let seal = Seal::read_or_make(&key, &key.with_file_name(unique()))?.of(recipe, &digest, size);
        let json = serde_json::to_vec(&Known { digest, size, repositories, seal })?;
        let temporary = self.dir.join(unique());
        let written = fs::write(&temporary, json).and_then(|()| fs::rename(&temporary, self.path(recipe)));
        if written.is_err() {
            drop(fs::remove_file(&temporary));
        }
        written
    }

    /// Removes the oldest entries above the limit. Temporary files that a killed run left behind count as entries; files
    /// with other names are somebody else's.
    fn prune(&self) -> io::Result<()> {
        let mut entries: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if !entry.file_name().to_str().is_some_and(is_ours) {
                continue;
            }
            // Another run may have removed it meanwhile.
            let Ok(changed) = entry.metadata().and_then(|found| found.modified()) else { continue };
            entries.push((changed, entry.path()));
        }
        entries.sort();
        let over = entries.len().saturating_sub(ENTRIES_MAX);
        for (_, path) in entries.iter().take(over) {
            drop(fs::remove_file(path));
        }
        Ok(())
    }
}

/// Returns whether the cache gives a file that name: an entry, or one that was never finished.
fn is_ours(name: &str) -> bool {
    let is_entry = name.strip_suffix(".json").is_some_and(|hex| format!("sha256:{hex}").parse::<Digest>().is_ok());
    let numbers = name.strip_prefix('.').and_then(|name| name.strip_suffix(PARTIAL));
    let is_partial = numbers.is_some_and(|numbers| {
        numbers.split('-').count() == 3
            && numbers.split('-').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    });
    is_entry || is_partial
}

/// Ending of a file that is not finished.
const PARTIAL: &str = ".partial";

/// Returns the name of a temporary file that no other process or thread uses.
fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!(".{}-{time}-{count}{PARTIAL}", std::process::id())
}
