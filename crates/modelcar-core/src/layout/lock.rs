//! A lock shared by all builds of one layout, so that a failing build does not delete a blob that another build refers to.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::Duration,
};

/// How often, and how many times, a share is asked for while somebody who is alone clears up.
const WAIT: Duration = Duration::from_millis(50);
const WAITS: u32 = 100;

/// A build's share of a layout, for as long as it lives.
///
/// Every build holds a shared lock on the layout's folder of blobs. Whoever gets the exclusive one is alone: nobody
/// who runs relies on what it takes away. Where there are no locks, nobody ever knows to be alone.
#[derive(Debug)]
pub(super) struct Share {
    blobs: File,
    locks: bool,
}

impl Share {
    /// Takes a share in the layout whose folder of blobs is `blobs`; `if_alone` runs before when no other build has
    /// one. `None` when somebody stays alone in it.
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

    /// Returns whether `blobs` is still the folder that this is a share in. Another build that was alone may have
    /// removed it meanwhile.
    pub(super) fn is_of(&self, blobs: &Path) -> bool {
        let same = |held: fs::Metadata, there: fs::Metadata| (held.dev(), held.ino()) == (there.dev(), there.ino());
        self.blobs.metadata().and_then(|held| Ok(same(held, fs::metadata(blobs)?))).unwrap_or(false)
    }

    /// Gives the share up; `if_alone` runs when no other build has one, and none can begin before its end.
    pub(super) fn give_up(self, if_alone: impl FnOnce()) {
        if self.locks && self.blobs.unlock().is_ok() && self.blobs.try_lock().is_ok() {
            if_alone();
        }
    }
}

/// Tells a file from another one that takes its name later. The number of a file that is gone may come back, its time
/// does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    file: (u64, u64),
    modified: (i64, i64),
}

impl Seen {
    /// Returns what is at `path`, if anything is.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self { file: (found.dev(), found.ino()), modified: (found.mtime(), found.mtime_nsec()) })
    }
}
