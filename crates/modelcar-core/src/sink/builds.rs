//! Who else is building into a layout: what one build has written, another may name.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

/// A build's share of a layout, for as long as it lives.
///
/// Every build holds a shared lock on the layout's folder of blobs. Whoever gets the exclusive one is alone: nobody
/// relies on what it takes away. A file system without locks is treated as if nobody else were there.
#[derive(Debug)]
pub(super) struct Share {
    blobs: File,
    locks: bool,
}

impl Share {
    /// Takes a share in the layout whose folder of blobs is `blobs`; `if_alone` runs before when no other build has
    /// one.
    pub(super) fn take(blobs: &Path, if_alone: impl FnOnce()) -> io::Result<Self> {
        let blobs = File::open(blobs)?;
        match blobs.try_lock() {
            Ok(()) => {
                if_alone();
                blobs.unlock()?;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(_)) => return Ok(Self { blobs, locks: false }),
        }
        blobs.lock_shared()?;
        Ok(Self { blobs, locks: true })
    }

    /// Returns whether `blobs` is still the folder that this is a share in. Another build that was alone may have
    /// removed it meanwhile.
    pub(super) fn is_of(&self, blobs: &Path) -> bool {
        let same = |held: fs::Metadata, there: fs::Metadata| (held.dev(), held.ino()) == (there.dev(), there.ino());
        self.blobs.metadata().and_then(|held| Ok(same(held, fs::metadata(blobs)?))).unwrap_or(false)
    }

    /// Gives the share up; `if_alone` runs when no other build has one, and none can begin before its end.
    pub(super) fn give_up(self, if_alone: impl FnOnce()) {
        if !self.locks || (self.blobs.unlock().is_ok() && self.blobs.try_lock().is_ok()) {
            if_alone();
        }
    }
}
