//! Recognizes by its first bytes a file that is not what its name promises: empty, a git-lfs pointer or an HTML page.

use super::flaw::Flaw;
use crate::source::SourceFile;

/// Number of bytes at the beginning of a file that are read.
pub(super) const LOOKED_AT_BYTES: u64 = 512;
/// The first line of a git-lfs pointer (git-lfs, docs/spec.md).
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
/// Largest file that may be a git-lfs pointer, in bytes. A pointer has three short lines.
pub(super) const POINTER_MAX_BYTES: u64 = 1024;

/// How a file begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// The file is empty.
    Nothing,
    /// The file is a git-lfs pointer.
    Pointer,
    /// The file is an HTML page, which a proxy or a sign-in form sent in place of the file.
    Page,
    /// Anything else.
    Other,
}

impl Begin {
    /// Recognizes the kind of a file by the file's first bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let text = bytes.trim_ascii_start();
        let starts = |tag: &[u8]| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
        if bytes.is_empty() {
            Self::Nothing
        } else if bytes.starts_with(POINTER) {
            Self::Pointer
        } else if starts(b"<!doctype html") || starts(b"<html") || starts(b"<head") {
            Self::Page
        } else {
            Self::Other
        }
    }

    /// Returns the flaw of a weight file that begins like this.
    pub(super) fn flaw(self, file: &SourceFile) -> Option<Flaw> {
        let file = file.path.clone();
        match self {
            Self::Nothing => Some(Flaw::EmptyFile { file }),
            Self::Pointer => Some(Flaw::LfsPointer { file }),
            Self::Page => Some(Flaw::WebPage { file }),
            Self::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_what_is_no_weights() {
        for (bytes, begin) in [
            (&b""[..], Begin::Nothing),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", Begin::Pointer),
            (b"\n<!DOCTYPE HTML>", Begin::Page),
            (b"<html lang=en>", Begin::Page),
            (b"<htm", Begin::Other),
            (b"PK\x03\x04", Begin::Other),
        ] {
            assert_eq!(Begin::of(bytes), begin);
        }
    }
}
