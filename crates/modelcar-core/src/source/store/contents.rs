//! The local cache of what objects hold: the SHA-256 of a first read, by the version of the object. It holds no bytes of a
//! model.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use crate::{ContentId, Digest};

/// Name of the folder with the entries. The number is raised when the form or meaning of the entries changes.
const VERSION: &str = "contents-v1";
/// Largest number of entries. The oldest ones are removed first.
const ENTRIES_MAX: usize = 32_768;
/// Length of an entry, in bytes: a hash in hexadecimal digits.
const ENTRY_BYTES: u64 = 64;

/// A folder with a small file for each object that was read once.
///
/// Any number of processes may share the folder: entries are replaced at once, and one that can't be read counts as
/// missing. A wrong entry can't make a wrong image: whoever frames a layer compares what comes with it.
#[derive(Debug, Clone)]
pub struct Contents {
    dir: PathBuf,
}

impl Contents {
    /// Uses `dir`. The folder is made when there is something to store; nothing is read yet.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.join(VERSION) }
    }

    /// Returns the file of an object.
    fn path(&self, key: &Digest) -> PathBuf {
        self.dir.join(key.hex())
    }

    /// Returns what is known of an object. Reads a small file on the calling thread.
    pub(super) fn get(&self, key: &Digest) -> Option<ContentId> {
        let path = self.path(key);
        let is_entry = fs::metadata(&path).is_ok_and(|found| found.len() == ENTRY_BYTES);
        let text = is_entry.then(|| fs::read_to_string(path).ok()).flatten()?;
        ContentId::sha256_from_hex(&text)
    }

    /// Stores the hash of an object, in hexadecimal digits.
    ///
    /// # Errors
    /// Those of the file system. A missing entry costs a read, and nothing else.
    pub(super) fn put(&self, key: &Digest, hash: &str) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let temporary = self.dir.join(unique());
        let written = fs::write(&temporary, hash).and_then(|()| fs::rename(&temporary, self.path(key)));
        if written.is_err() {
            drop(fs::remove_file(&temporary));
        }
        written
    }

    /// Removes the oldest files above the limit, those that a killed run left behind among them.
    pub(super) fn prune(&self) -> io::Result<()> {
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

/// Returns the name of a temporary file that no other process or thread uses.
fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!(".{}-{time}-{count}.partial", std::process::id())
}
