//! Reads a lock file that is named on the command line.

use std::{io, path::Path};

use modelcar_core::{
    files,
    plan::{LockFile, PlanError},
};
use serde::{Deserialize, de::IgnoredAny};

use crate::hint::Failure;

/// Largest lock file that is read, in bytes. A manifest names every file and has at most 4 MiB: the lock file of 26,500 files
/// with short names has 4.6 MB, and an answer of `plan` with it 5.9 MB.
const FILE_MAX_BYTES: u64 = 16 << 20;

/// The part of an answer of `plan` that is the lock file. The other parts are passed over: a document that is no answer may
/// have anything there.
#[derive(Deserialize)]
struct Answer {
    lock: LockFile,
}

/// Whether a document is an answer of `plan`.
#[derive(Deserialize)]
struct Kind {
    lock: Option<IgnoredAny>,
}

/// Reads a lock file, or the lock file inside a JSON answer of `plan`.
///
/// # Errors
/// When the file can't be read, is no lock file, or is an answer that lacks a file's content id.
pub(super) fn read(file: &Path) -> Result<LockFile, Failure> {
    let json = files::read(file, FILE_MAX_BYTES).map_err(|error| {
        let act = format!("read lock file `{}`", file.display());
        if error.kind() == io::ErrorKind::FileTooLarge {
            return Failure::new(error, act).hint(
                "the lock file of an image is smaller: name the file that `modelcar plan SOURCE --output FILE` wrote",
            );
        }
        Failure::of_read(error, act, "write the lock file first: `modelcar plan SOURCE --output FILE`")
    })?;
    let act = || format!("use lock file `{}`", file.display());
    let is_answer = serde_json::from_slice(&json).is_ok_and(|kind: Kind| kind.lock.is_some());
    let lock = if is_answer {
        serde_json::from_slice(&json).map(|answer: Answer| answer.lock).map_err(PlanError::BadLock)
    } else {
        LockFile::parse(&json)
    };
    let lock = lock.map_err(|error| Failure::from(error).during(act()))?;
    let mut files = lock.plan.layers().iter().flat_map(|layer| &layer.files);
    match files.find(|file| file.content.is_none()) {
        Some(file) if is_answer => Err(Failure::new(format!("it does not pin the content of `{}`", file.path), act())
            .hint(
                "files of a directory are read for a lock file alone: write it with `modelcar plan SOURCE --output`",
            )),
        _ => Ok(lock),
    }
}
