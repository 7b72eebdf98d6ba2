//! Reads a lock file that is named on the command line.

use std::path::Path;

use modelcar_core::{files, plan::LockFile};
use serde_json::Value;

use crate::hint::Failure;

/// Largest lock file that is read, in bytes: more than a model with the most files has.
const FILE_MAX_BYTES: u64 = 256 << 20;

/// Reads a lock file, or the lock file inside a JSON answer of `plan`.
///
/// # Errors
/// When the file can't be read, is no lock file, or is an answer that lacks a file's content id.
pub(super) fn read(file: &Path) -> Result<LockFile, Failure> {
    let json = files::read(file, FILE_MAX_BYTES)
        .map_err(|error| Failure::new(error, format!("read lock file `{}`", file.display())))?;
    let act = || format!("use lock file `{}`", file.display());
    let answer = in_answer(&json);
    let lock = LockFile::parse(answer.as_ref().unwrap_or(&json)).map_err(|error| Failure::from(error).during(act()))?;
    let mut files = lock.plan.layers().iter().flat_map(|layer| &layer.files);
    match files.find(|file| file.content.is_none()) {
        Some(file) if answer.is_some() => {
            Err(Failure::new(format!("it does not pin the content of `{}`", file.path), act()).hint(
                "files of a directory are read for a lock file alone: write it with `modelcar plan SOURCE --output`",
            ))
        }
        _ => Ok(lock),
    }
}

/// Returns the lock file inside a JSON answer of `plan`; `None` if the document is no such answer.
fn in_answer(json: &[u8]) -> Option<Vec<u8>> {
    let mut answer: Value = serde_json::from_slice(json).ok()?;
    let lock = answer.as_object_mut()?.remove("lock")?;
    Some(lock.to_string().into_bytes())
}
