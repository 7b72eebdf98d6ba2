//! Owns the data: a synthetic model that the fake Hub makes on demand, and the same bytes in folders.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use modelcar_testkit::{ModelTree, revised_model, synthetic_model};

/// The name of the model on the fake Hub.
pub(crate) const MODEL: &str = "acme/large";

/// The same model twice: on the Hub as `main` and `next`, on disk as two folders. `next` has another last shard.
#[derive(Debug)]
pub struct Model {
    /// Number of shards.
    pub shards: usize,
    /// Bytes of a shard's tensor.
    pub shard_bytes: u64,
    /// The first revision's files.
    pub(crate) files: ModelTree,
    root: PathBuf,
}

impl Model {
    /// Describes a model whose folders are to lie below `root`; hashes every file.
    pub fn new(shards: usize, shard_bytes: u64, root: &Path) -> Self {
        let files = synthetic_model(shards, shard_bytes);
        files.warm_up();
        Self { shards, shard_bytes, files, root: root.join(format!("{shards}x{shard_bytes}")) }
    }

    /// Returns the folder with the first or the next revision.
    pub fn folder(&self, next: bool) -> PathBuf {
        self.root.join(if next { "next" } else { "main" })
    }

    /// Returns the fake Hub's arguments.
    pub fn hub_args(&self) -> Vec<String> {
        let shape = format!("{MODEL}={}x{}", self.shards, self.shard_bytes);
        ["--synthetic", &shape, "--revised", "yes"].map(str::to_owned).into()
    }

    /// Returns the bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.total_size()
    }

    /// Writes both folders unless they are there, and reads them, so that the page cache has them.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self) -> io::Result<()> {
        let complete = self.root.join("complete");
        if !complete.exists() {
            fs::create_dir_all(&self.root)?;
            self.files.write_to(&self.folder(false))?;
            revised_model(&self.files).write_to(&self.folder(true))?;
            fs::write(&complete, "")?;
        }
        for folder in [self.folder(false), self.folder(true)] {
            for entry in fs::read_dir(folder)? {
                io::copy(&mut fs::File::open(entry?.path())?, &mut io::sink())?;
            }
        }
        Ok(())
    }
}
