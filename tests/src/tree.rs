//! Owns model trees: the named files of one repository revision.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::content::Content;

/// The files of one revision of a model repository, sorted by path.
#[derive(Clone, Debug, Default)]
pub struct ModelTree {
    files: BTreeMap<String, Arc<TreeFile>>,
}

/// One file of a [`ModelTree`].
#[derive(Debug)]
pub struct TreeFile {
    /// What the file holds.
    pub content: Content,
    /// Stored by LFS (served from the CDN) rather than in git.
    pub lfs: bool,
    sha256: OnceLock<String>,
    git_oid: OnceLock<String>,
}

impl TreeFile {
    fn new(content: Content, lfs: bool) -> Arc<Self> {
        let (sha256, git_oid) = (OnceLock::new(), OnceLock::new());
        Arc::new(Self { content, lfs, sha256, git_oid })
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.content.len()
    }

    /// SHA-256 of the content in hex; computed once.
    pub fn sha256(&self) -> &str {
        self.sha256.get_or_init(|| self.content.sha256())
    }

    /// Git blob id: of the content, or of the pointer file when stored by LFS; computed once.
    pub fn git_oid(&self) -> &str {
        self.git_oid.get_or_init(|| {
            if self.lfs { Content::from(self.lfs_pointer()).git_sha1() } else { self.content.git_sha1() }
        })
    }

    /// The pointer file git holds in place of an LFS file.
    pub fn lfs_pointer(&self) -> String {
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n", self.sha256(), self.size())
    }
}

impl ModelTree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a file kept in git.
    #[must_use]
    pub fn file(self, path: &str, content: impl Into<Content>) -> Self {
        self.with(path, content.into(), false)
    }

    /// Adds or replaces a file kept in LFS.
    #[must_use]
    pub fn lfs(self, path: &str, content: impl Into<Content>) -> Self {
        self.with(path, content.into(), true)
    }

    /// Removes a file, if present.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        self.files.remove(path);
        self
    }

    fn with(mut self, path: &str, content: Content, lfs: bool) -> Self {
        self.files.insert(path.to_owned(), TreeFile::new(content, lfs));
        self
    }

    /// The file at `path`.
    pub fn get(&self, path: &str) -> Option<&Arc<TreeFile>> {
        self.files.get(path)
    }

    /// All files with their paths, in byte order of the paths.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Arc<TreeFile>)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// The paths, in byte order.
    pub fn paths(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    /// Sum of all file sizes.
    pub fn total_size(&self) -> u64 {
        self.files.values().map(|file| file.size()).sum()
    }

    /// Computes all digests now, on two threads, so that later requests are quick.
    pub fn warm_up(&self) {
        let files: Vec<_> = self.files.values().collect();
        std::thread::scope(|scope| {
            for half in 0..2 {
                let files = &files;
                scope.spawn(move || {
                    for file in files.iter().skip(half).step_by(2) {
                        file.git_oid();
                    }
                });
            }
        });
    }

    /// Writes every file below `dir`, making folders as needed.
    pub fn write_to(&self, dir: &Path) -> io::Result<()> {
        for (path, file) in &self.files {
            let target = dir.join(path);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut out = fs::File::create(target)?;
            for chunk in file.content.read(0, u64::MAX) {
                out.write_all(&chunk?)?;
            }
        }
        Ok(())
    }

    /// Reads a folder (without `.git`); files of at least `lfs_threshold` bytes count as LFS.
    ///
    /// Contents stay on disk and are read when served.
    pub fn from_dir(dir: &Path, lfs_threshold: u64) -> io::Result<Self> {
        let mut tree = Self::new();
        tree.add_dir(dir, "", lfs_threshold)?;
        Ok(tree)
    }

    fn add_dir(&mut self, dir: &Path, prefix: &str, lfs_threshold: u64) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry
                .file_name()
                .into_string()
                .map_err(|name| io::Error::other(format!("file name is not UTF-8: {}", name.display())))?;
            let path = format!("{prefix}{name}");
            let meta = fs::metadata(entry.path())?;
            if meta.is_dir() {
                if name != ".git" {
                    self.add_dir(&entry.path(), &format!("{path}/"), lfs_threshold)?;
                }
            } else {
                let content = Content::File(entry.path(), meta.len());
                let file = TreeFile::new(content, meta.len() >= lfs_threshold);
                self.files.insert(path, file);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny_model;

    #[test]
    fn a_written_tree_reads_back_equal() {
        let dir = tempfile::tempdir().unwrap();
        let tree = tiny_model();
        tree.write_to(dir.path()).unwrap();
        let back = ModelTree::from_dir(dir.path(), 50_000).unwrap();
        assert_eq!(back.paths(), tree.paths());
        for (path, file) in tree.files() {
            let other = back.get(path).unwrap();
            assert_eq!(other.lfs, file.lfs, "{path}");
            assert_eq!(other.git_oid(), file.git_oid(), "{path}");
        }
    }
}
