//! What the user can do about a file, named on the command line, that can't be read or written.

use std::io::{self, ErrorKind};

use super::Failure;

impl Failure {
    /// Makes a failure to read a file while doing `act`. `missing` says what to do where there is no such file.
    pub(crate) fn of_read(error: io::Error, act: impl Into<String>, missing: &str) -> Self {
        let hint = match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => missing,
            ErrorKind::PermissionDenied => "this user may not read the file: change its rights, or name another one",
            ErrorKind::IsADirectory => "name a file, not a folder",
            ErrorKind::FileTooLarge => "name another file: this one is too large to be the right one",
            ErrorKind::InvalidData => "name a file of text in UTF-8",
            _ => "name a regular file that can be read",
        };
        Self::new(error, act).unless_hinted(hint)
    }

    /// Makes a failure to write a file while doing `act`.
    pub(crate) fn of_write(error: io::Error, act: impl Into<String>) -> Self {
        let hint = match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => {
                "the folder of the file is not there: make it first, or name another file"
            }
            ErrorKind::PermissionDenied => "this user may not write there: name another file",
            ErrorKind::ReadOnlyFilesystem => "the disk can't be written to: name a file on another one",
            ErrorKind::IsADirectory => "name a file, not a folder",
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on the disk, or name a file on another one",
            _ => "name a file that can be written",
        };
        Self::new(error, act).unless_hinted(hint)
    }

    /// Adds a hint if there is none: too many open files have one of their own.
    fn unless_hinted(self, hint: &str) -> Self {
        if self.hints.is_empty() { self.hint(hint) } else { self }
    }
}
