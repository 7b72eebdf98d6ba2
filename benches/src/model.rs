//! Owns the data: a synthetic model that the fake Hub makes on demand, and the same bytes in folders.

use std::{
    fs,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use modelcar_testkit::{ModelTree, revised_model, synthetic_model};

use crate::weights::write_weights;

/// The name of the model on the fake Hub.
pub(crate) const MODEL: &str = "acme/large";

/// A file of this size or more in a folder is a shard.
const SMALLEST_SHARD_BYTES: u64 = 64 << 10;

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

    /// Makes a model whose shards are numbers as weights are, so that a compressor has something to do. The model has
    /// one revision, and its bytes are in a folder below `root` alone.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn of_numbers(shards: usize, shard_bytes: u64, root: &Path) -> io::Result<Self> {
        let root = root.join(format!("numbers-{shards}x{shard_bytes}"));
        let (folder, complete) = (root.join("main"), root.join("complete"));
        if !complete.exists() {
            fs::create_dir_all(&folder)?;
            let model = synthetic_model(shards, shard_bytes);
            for (seed, (path, file)) in (0..).zip(model.files()) {
                let mut out = BufWriter::new(fs::File::create(folder.join(path))?);
                match file.lfs {
                    true => write_weights(&mut out, &file.content, seed)?,
                    false => out.write_all(&file.content.bytes(0, u64::MAX))?,
                }
                out.flush()?;
            }
            fs::write(&complete, "")?;
        }
        Ok(Self { shards, shard_bytes, files: ModelTree::from_dir(&folder, SMALLEST_SHARD_BYTES)?, root })
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
