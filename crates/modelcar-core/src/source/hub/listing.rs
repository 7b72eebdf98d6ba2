//! Checks the Hub's listing of a model's files.
//!
//! The listing is untrusted: the owner of the repository chooses the paths, and the paths become paths in an image. A
//! listing with a bad entry is refused as a whole, and never repaired.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::lenient::{AtMost, Short, Size};
use crate::{
    ContentId, ModelPath,
    source::{Answerer, SourceError, SourceFile, Unwanted},
    text,
};

/// Largest file, and largest sum of all files, in bytes. JSON numbers are exact up to this number, and no file is as
/// large.
const MAX_FILE_BYTES: u64 = 1 << 53;

/// Most files and folders of a listing. A longer listing is refused.
pub(super) const MAX_ENTRIES: usize = 100_000;

/// The entries of a page, or of a whole listing.
pub(super) type Entries = AtMost<MAX_ENTRIES, TreeEntry>;

/// An entry of the Hub's `tree` listing, or of `siblings` in a model's description, where the same fields have other
/// names.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct TreeEntry {
    #[serde(rename = "type", default = "file")]
    kind: Short,
    #[serde(alias = "rfilename")]
    pub(super) path: Short,
    #[serde(default, alias = "blobId")]
    oid: Option<Short>,
    #[serde(default)]
    size: Size,
    #[serde(default)]
    lfs: Option<Lfs>,
}

/// The content of a file in git-lfs.
#[derive(Debug, Clone, Deserialize)]
struct Lfs {
    /// SHA-256 of the content.
    #[serde(alias = "sha256")]
    oid: Short,
    #[serde(default)]
    size: Option<Size>,
}

/// The kind of an entry without `type`: `siblings` lists only files.
fn file() -> Short {
    Short("file".to_owned())
}

/// Turns the entries of `repo`, which `by` has listed, into files. An entry that can't be a file of a model is skipped
/// if it is `unwanted`.
///
/// # Errors
/// [`SourceError::HostileListing`], and [`SourceError::NoHash`] for a file without a hash.
pub(super) fn check(
    repo: &str,
    by: &Answerer,
    entries: Vec<TreeEntry>,
    unwanted: &Unwanted,
) -> Result<Vec<SourceFile>, SourceError> {
    let mut files = Vec::with_capacity(entries.len());
    let mut total = 0_u64;
    for entry in entries {
        if entry.kind.0 == "directory" {
            continue;
        }
        let file = match to_file(repo, by, &entry) {
            Ok(file) => file,
            Err(_) if unwanted.has(&entry.path.0) => continue,
            Err(error) => return Err(error),
        };
        total = total
            .checked_add(file.size)
            .filter(|sum| *sum <= MAX_FILE_BYTES)
            .ok_or_else(|| refused(repo, "its files add up to an absurd size"))?;
        files.push(file);
    }
    if files.is_empty() {
        return Err(refused(repo, "it holds no file"));
    }
    refuse_repetitions(repo, &files)?;
    Ok(files)
}

/// Turns an entry into a file. The content id is the SHA-256 of the content for a file in git-lfs, and the SHA-1 of the
/// git blob for any other file.
fn to_file(repo: &str, by: &Answerer, entry: &TreeEntry) -> Result<SourceFile, SourceError> {
    let path: ModelPath = entry.path.0.parse().map_err(|error| SourceError::HostileListing {
        source_name: repo.to_owned(),
        reason: "it holds a path that can't stand in a model".to_owned(),
        entry: Some(text::excerpt(&entry.path.0)),
        source: Some(Box::new(error)),
    })?;
    if entry.kind.0 != "file" {
        return Err(unusable(repo, &path, "is neither a file nor a directory"));
    }
    let size = entry.size.0.ok_or_else(|| unusable(repo, &path, "has no usable size"))?;
    if size > MAX_FILE_BYTES {
        return Err(unusable(repo, &path, "has an absurd size"));
    }
    let content = match &entry.lfs {
        Some(lfs) => {
            if lfs.size.is_some_and(|other| other.0 != Some(size)) {
                return Err(unusable(repo, &path, "has two sizes"));
            }
            ContentId::sha256_from_hex(lfs.oid.0.strip_prefix("sha256:").unwrap_or(&lfs.oid.0))
        }
        None => entry.oid.as_ref().and_then(|oid| ContentId::git_sha1_from_hex(&oid.0)),
    };
    let content = content.ok_or_else(|| SourceError::NoHash {
        path: path.to_string(),
        by: by.clone(),
        hash: if entry.lfs.is_some() { "SHA-256" } else { "hash" },
    })?;
    Ok(SourceFile { path, size, content: Some(content) })
}

/// Refuses a listing with the same path twice. Paths that collide only on some file systems are refused by the plan, if
/// the files are packed.
fn refuse_repetitions(repo: &str, files: &[SourceFile]) -> Result<(), SourceError> {
    let mut seen = BTreeSet::new();
    match files.iter().find(|file| !seen.insert(&file.path)) {
        Some(twice) => Err(refused(repo, format!("`{}` is listed twice", twice.path))),
        None => Ok(()),
    }
}

/// The error of a listing that is refused as a whole.
pub(super) fn refused(repo: &str, reason: impl Into<String>) -> SourceError {
    SourceError::HostileListing { source_name: repo.to_owned(), reason: reason.into(), entry: None, source: None }
}

/// The error of a listing that is refused because of one entry.
fn unusable(repo: &str, path: &ModelPath, why: &str) -> SourceError {
    SourceError::HostileListing {
        source_name: repo.to_owned(),
        reason: format!("`{path}` {why}"),
        entry: Some(path.to_string()),
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn oid() -> String {
        "ab".repeat(20)
    }

    fn file(path: &str) -> Value {
        json!({"type": "file", "path": path, "size": 3, "oid": oid()})
    }

    fn checked(entries: Value) -> Result<Vec<SourceFile>, SourceError> {
        check(
            "o/n",
            &Answerer::Mirror("m.test".into()),
            serde_json::from_value(entries).unwrap(),
            &Unwanted::by(|name| name.starts_with("un")),
        )
    }

    #[test]
    fn a_listing_becomes_files() {
        let sha = "cd".repeat(32);
        let files = checked(json!([
            {"type": "directory", "path": "sub", "oid": oid(), "size": 0},
            file("sub/config.json"),
            file("un\\wanted"),
            {"type": "submodule", "path": "un", "oid": oid()},
            {"type": "file", "path": "w.safetensors", "size": 9, "oid": oid(), "xetHash": "x",
             "lfs": {"oid": sha, "size": 9, "pointerSize": 130}},
            {"type": "file", "path": "empty", "size": 0, "oid": oid(), "lfs": null},
        ]))
        .unwrap();
        let seen: Vec<_> = files.iter().map(|f| (f.path.as_str(), f.size, f.content)).collect();
        let git = ContentId::git_sha1_from_hex(&oid());
        assert_eq!(
            seen,
            [("sub/config.json", 3, git), ("w.safetensors", 9, ContentId::sha256_from_hex(&sha)), ("empty", 0, git)]
        );
    }

    #[test]
    fn hostile_listings_are_refused_with_their_own_reason() {
        let sized = |size: Value| json!({"type": "file", "path": "a", "size": size, "oid": oid()});
        let large = |path: &str| json!({"type": "file", "path": path, "size": 1_u64 << 53, "oid": oid()});
        let lfs = |lfs: Value| json!([{"type": "file", "path": "a", "size": 3, "oid": oid(), "lfs": lfs}]);
        for (entries, reason) in [
            (json!([]), "no file"),
            (json!([{"type": "directory", "path": "sub"}]), "no file"),
            (json!([file("/etc/passwd")]), "can't stand"),
            (json!([file("../a")]), "can't stand"),
            (json!([file("a/../../b")]), "can't stand"),
            (json!([file("a\u{7}b")]), "can't stand"),
            (json!([file("a\\b")]), "can't stand"),
            (json!([file("")]), "can't stand"),
            (json!([file("a"), file("a")]), "listed twice"),
            (json!([sized(json!(-1))]), "no usable size"),
            (json!([sized(json!(1.5))]), "no usable size"),
            (json!([sized(json!(null))]), "no usable size"),
            (json!([sized(json!(u64::MAX))]), "absurd size"),
            (json!([large("a"), large("b")]), "add up"),
            (lfs(json!({"oid": "cd".repeat(32), "size": 4})), "two sizes"),
            (lfs(json!({"oid": "cd".repeat(20), "size": 3})), "so that it can't be verified"),
            (json!([{"type": "file", "path": "a", "size": 3}]), "so that it can't be verified"),
            (json!([{"type": "file", "path": "a", "size": 3, "oid": "xyz"}]), "so that it can't be verified"),
            (json!([{"type": "submodule", "path": "a", "size": 3, "oid": oid()}]), "neither"),
        ] {
            let error = checked(entries.clone()).unwrap_err().to_string();
            assert!(error.contains(reason), "{entries}: {error}");
        }
    }
}
