//! Finds the snapshot of a revision in the Hugging Face cache, and lists the revisions of a model that the cache has.

use std::{
    fs,
    path::{Path, PathBuf},
};

use hf_hub::{Cache, Repo};

use crate::{
    ModelPath,
    source::{ModelId, SourceError, model_id::is_commit},
};

use super::read_up_to;

/// Most bytes that are read of a file in `refs`, which holds a commit of 40 digits.
const REF_MAX_BYTES: u64 = 64;
/// Most folders below `refs` that are entered one inside the other, to find revisions such as `refs/pr/1`.
const REF_DEPTH: usize = 8;

/// A commit of a model in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedSnapshot {
    /// The commit.
    pub commit: String,
    /// Absolute path, without links, of the folder with the files or with links to the files.
    pub folder: PathBuf,
}

impl CachedSnapshot {
    /// Returns the folder of the model: `models--owner--name`.
    pub(super) fn model_folder(&self) -> &Path {
        self.folder.ancestors().nth(2).unwrap_or(&self.folder)
    }
}

/// Finds the snapshot of `model` in the cache folder `cache`.
pub(super) fn snapshot(cache: &Path, model: &ModelId) -> Result<CachedSnapshot, SourceError> {
    let revision = model.revision().unwrap_or("main");
    let repo = Repo::model(model.repository().to_owned());
    let name = repo.folder_name();
    let home = cache.join(&name);
    let not_cached = || SourceError::NotCached {
        repo: model.repository().to_owned(),
        revision: revision.to_owned(),
        folder: cache.into(),
        cached: cached(&home),
    };
    let commit = if is_commit(revision) { Some(revision.to_owned()) } else { commit_of(&home.join("refs"), revision) };
    let commit = commit.ok_or_else(not_cached)?;
    let given = Cache::new(cache.to_owned()).repo(repo).pointer_path(&commit);
    let (Ok(cache), Ok(folder)) = (fs::canonicalize(cache), fs::canonicalize(&given)) else { return Err(not_cached()) };
    if folder != cache.join(name).join("snapshots").join(&commit) {
        let reason = format!("is behind a link that leaves the Hugging Face cache, to `{}`", folder.display());
        return Err(SourceError::BadEntry { path: given, reason });
    }
    Ok(CachedSnapshot { commit, folder })
}

/// Returns the commit that a branch or tag stood for when it was downloaded.
fn commit_of(refs: &Path, revision: &str) -> Option<String> {
    // A `ModelPath` has no `..`, so the revision can't lead out of the folder.
    let path: ModelPath = revision.parse().ok()?;
    let bytes = read_up_to(&refs.join(path.as_str()), REF_MAX_BYTES).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    Some(text.trim().to_owned()).filter(|text| is_commit(text))
}

/// Returns the snapshots of a model that the cache has, for people: branches and tags with their commits, then other
/// commits.
fn cached(home: &Path) -> Vec<String> {
    let mut named = Vec::new();
    collect_refs(&home.join("refs"), "", 0, &mut named);
    named.sort();
    let mut commits: Vec<String> = names(&home.join("snapshots")).into_iter().filter(|name| is_commit(name)).collect();
    commits.sort();
    named.retain(|(_, commit)| commits.contains(commit));
    commits.retain(|commit| named.iter().all(|(_, known)| known != commit));
    named.into_iter().map(|(name, commit)| format!("{name} ({commit})")).chain(commits).collect()
}

/// Adds the branches and tags below a folder to `found`, each with its commit.
fn collect_refs(folder: &Path, prefix: &str, depth: usize, found: &mut Vec<(String, String)>) {
    for name in names(folder) {
        let path = format!("{prefix}{name}");
        match commit_of(folder, &name) {
            Some(commit) => found.push((path, commit)),
            None if depth < REF_DEPTH => collect_refs(&folder.join(&name), &format!("{path}/"), depth + 1, found),
            None => {}
        }
    }
}

/// Returns the names in a folder; none when there is no such folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
