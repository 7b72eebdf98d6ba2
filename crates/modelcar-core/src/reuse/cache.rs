//! The local cache: which recipe made which layer. It holds no bytes of a model.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use tokio::task;

use crate::Digest;

/// Raised when the entries' form or meaning changes; older folders are left alone.
const VERSION: &str = "recipes-v1";
/// Most entries; the oldest go first.
const ENTRIES_MAX: usize = 4096;
/// Largest entry that is read.
const ENTRY_MAX_BYTES: u64 = 64 << 10;
/// Most repositories that an entry names.
const REPOSITORIES_MAX: usize = 8;

/// A folder with a small file for each recipe. Any number of runs may share it: entries are replaced in one step, and
/// one that can't be read is one that is not there.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
}

/// What is known of a recipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Known {
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// Where it was put, as `registry/repository`, the newest first.
    pub(super) repositories: Vec<String>,
}

impl Cache {
    /// Uses `dir`, which is made when there is something to keep.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.join(VERSION) }
    }

    fn path(&self, recipe: &Digest) -> PathBuf {
        self.dir.join(format!("{}.json", recipe.hex()))
    }

    pub(super) fn get(&self, recipe: &Digest) -> Option<Known> {
        let path = self.path(recipe);
        let small = fs::metadata(&path).is_ok_and(|found| found.len() <= ENTRY_MAX_BYTES);
        small.then(|| fs::read(&path).ok()).flatten().and_then(|json| serde_json::from_slice(&json).ok())
    }

    /// Notes that `repository` has the layer. `proven` says whether this run knows the layer's bytes; what an image's
    /// annotations merely say is not noted, but confirms what is.
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
        let json = serde_json::to_vec(&Known { digest, size, repositories })?;
        fs::create_dir_all(&self.dir)?;
        let temporary = self.dir.join(unique());
        let written = fs::write(&temporary, json).and_then(|()| fs::rename(&temporary, self.path(recipe)));
        if written.is_err() {
            drop(fs::remove_file(&temporary));
        }
        written
    }

    /// Removes the oldest files above the limit; what a killed run left unfinished counts as one.
    fn prune(&self) -> io::Result<()> {
        let mut entries: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
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

fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!(".{}-{time}-{count}.partial", std::process::id())
}
