//! A lock shared by all builds that write to one layout, so that a failing build does not delete a blob that another
//! build refers to.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::Duration,
};

/// Pause between two tries to get the shared lock while another build holds the exclusive lock.
const WAIT: Duration = Duration::from_millis(50);
/// Number of tries to get the shared lock: together with [`WAIT`] five seconds.
const WAITS: u32 = 100;

/// A build's shared lock on a layout, held until the value is dropped.
///
/// Every build holds a shared lock on the layout's folder of blobs. Only a build that gets the exclusive lock may
/// remove files: no other build is running then that could rely on them. On a file system without locks no build ever
/// gets the exclusive lock, so nothing is removed there.
#[derive(Debug)]
pub(super) struct Share {
    /// The open folder of blobs. The lock goes away when the handle is closed, also when the process is killed.
    blobs: File,
    /// Whether the file system has locks.
    locks: bool,
}

impl Share {
    /// Takes a shared lock on `blobs`, the layout's folder of blobs. `None` when another build keeps the exclusive
    /// lock for five seconds.
    ///
    /// If no other build has a lock, `if_alone` runs first, under the exclusive lock. The thread sleeps while it
    /// waits.
    pub(super) fn take(blobs: &Path, if_alone: impl FnOnce()) -> io::Result<Option<Self>> {
        let blobs = File::open(blobs)?;
        match blobs.try_lock() {
            Ok(()) => {
                if_alone();
                blobs.unlock()?;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(_)) => return Ok(Some(Self { blobs, locks: false })),
        }
        for _ in 0..WAITS {
            match blobs.try_lock_shared() {
                Ok(()) => return Ok(Some(Self { blobs, locks: true })),
                Err(TryLockError::WouldBlock) => thread::sleep(WAIT),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Returns whether the folder at `blobs` is still the folder that is locked. Another build that was alone may have
    /// removed the folder, and a third one may have made a new one.
    pub(super) fn is_of(&self, blobs: &Path) -> bool {
        let same = |held: fs::Metadata, there: fs::Metadata| (held.dev(), held.ino()) == (there.dev(), there.ino());
        self.blobs.metadata().and_then(|held| Ok(same(held, fs::metadata(blobs)?))).unwrap_or(false)
    }

    /// Gives the shared lock up. If no other build has a lock, `if_alone` runs, and no other build can begin before it
    /// ends.
    pub(super) fn give_up(self, if_alone: impl FnOnce()) {
        if self.locks && self.blobs.unlock().is_ok() && self.blobs.try_lock().is_ok() {
            if_alone();
        }
    }
}

/// Identifies a file, so that another file which takes its name later is recognized as another one.
///
/// A file system may give the inode number of a removed file to a new file. The new file then has another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Device and inode number.
    file: (u64, u64),
    /// Time of the last change of the content: seconds since 1970, and nanoseconds.
    modified: (i64, i64),
}

impl Seen {
    /// Returns the identity of the file at `path`; `None` if there is none, or it can't be looked at.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self { file: (found.dev(), found.ino()), modified: (found.mtime(), found.mtime_nsec()) })
    }
}
