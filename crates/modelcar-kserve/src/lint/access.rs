//! Who may read a file of an image.

use super::tree::{Entry, Kind};

/// A user with the group that a container runtime gives a user without an entry in `/etc/passwd`: 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reader {
    /// The user; `None` for one that owns no file of the image.
    pub(super) user: Option<u64>,
}

impl Reader {
    /// Returns whether the entry's mode lets the user do what `bits` (4 read, 2 write, 1 execute) say.
    ///
    /// The kernel asks owner, group and others in this order, and the first that is the user's decides. root may read
    /// and enter everything, and execute what anybody may.
    pub(super) fn may(self, bits: u32, entry: &Entry) -> bool {
        let executes = entry.kind != Kind::Folder && bits & 1 != 0;
        if self.user == Some(0) {
            return !executes || entry.mode & 0o111 != 0;
        }
        let given = match self.user {
            Some(user) if user == entry.owner => entry.mode >> 6,
            _ if entry.group == 0 => entry.mode >> 3,
            _ => entry.mode,
        };
        given & bits == bits
    }

    /// Returns whether the user may open the entry: list and enter a folder, read a file.
    pub(super) fn may_open(self, entry: &Entry) -> bool {
        self.may(if entry.kind == Kind::Folder { 5 } else { 4 }, entry)
    }
}
