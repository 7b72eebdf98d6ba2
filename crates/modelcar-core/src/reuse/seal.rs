//! The seal of the local cache's entries: by it a user knows the entries that this user's own runs have written.
//!
//! Whoever else may write to the folder knows no seal, and can so put no other bytes under the name of a layer.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use sha2::Digest as _;

use crate::{Digest, files};

const KEY_BYTES: usize = 32;

/// A secret of one user.
pub(super) struct Seal([u8; KEY_BYTES]);

impl Seal {
    /// Reads the key at `path`; `None` when there is none, or another user has put it there.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let file = files::open(path).ok()?;
        let about = file.metadata().ok()?;
        // No rights for the group and for others.
        let is_own = about.uid() == rustix::process::geteuid().as_raw() && about.mode().trailing_zeros() >= 6;
        let key = is_own.then(|| files::bounded(file, KEY_BYTES as u64).ok()).flatten()?;
        key.try_into().ok().map(Self)
    }

    /// As [`read`](Self::read), and makes a key where there is none. `temporary` is a name that nobody else uses.
    pub(super) fn read_or_make(path: &Path, temporary: &Path) -> io::Result<Self> {
        if let Some(seal) = Self::read(path) {
            return Ok(seal);
        }
        let mut key = [0; KEY_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
        // A link and no rename: of two runs that make a key the first one counts, for both.
        let made = file.write_all(&key).and_then(|()| fs::hard_link(temporary, path));
        fs::remove_file(temporary)?;
        match Self::read(path) {
            Some(seal) => Ok(seal),
            None => Err(made.err().unwrap_or_else(|| io::Error::other("the key is not one of this user"))),
        }
    }

    /// Returns the seal of an entry.
    pub(super) fn of(&self, recipe: &Digest, digest: &Digest, size: u64) -> Digest {
        let inner = sha2::Sha256::new_with_prefix(self.0).chain_update(format!("{recipe} {digest} {size}")).finalize();
        Digest::from(<[u8; 32]>::from(sha2::Sha256::new_with_prefix(self.0).chain_update(inner).finalize()))
    }
}
