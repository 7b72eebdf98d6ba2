//! A file under a temporary name, until it is renamed.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, IoSlice, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use super::error::{LayoutError, io_error};

/// How the names of temporary files end. They begin with a dot.
const SUFFIX: &str = ".partial";

/// A temporary file. Dropping it removes the file, unless it was renamed.
#[derive(Debug)]
pub(super) struct Temporary {
    /// Where the file is; empty once the file was renamed.
    path: PathBuf,
    file: File,
}

impl Temporary {
    /// Makes a file in `dir` under a name that no other build uses: process id, time in nanoseconds, and a counter.
    ///
    /// The file must be in the directory that it is renamed into, or at least on the same file system: rename(2) does
    /// not move a file to another one.
    pub(super) fn create(dir: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let path = dir.join(format!(".{}-{time}-{count}{SUFFIX}", std::process::id()));
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok(Self { path, file })
    }

    /// Makes a temporary file in `dir` with the content `bytes`.
    pub(super) fn holding(dir: &Path, bytes: &[u8]) -> Result<Self, LayoutError> {
        let write = || {
            let mut temporary = Self::create(dir)?;
            temporary.file.write_all(bytes)?;
            Ok(temporary)
        };
        write().map_err(io_error("write to", dir))
    }

    /// Waits until the content is on the disk, so that the name never outlives the content in a power failure.
    pub(super) fn sync(&self) -> Result<(), LayoutError> {
        self.file.sync_all().map_err(io_error("write", &self.path))
    }

    /// Renames the file to `to`, and replaces a file of that name.
    pub(super) fn rename(mut self, to: &Path) -> Result<(), LayoutError> {
        fs::rename(&self.path, to).map_err(io_error("write", to))?;
        self.path = PathBuf::new();
        Ok(())
    }

    /// Removes the temporary files in `dir` that killed builds have left. No build may be running in the layout.
    pub(super) fn clear(dir: &Path) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        for entry in entries.flatten().filter(|entry| Self::is_name(&entry.file_name())) {
            // What can't be removed only takes room.
            drop(fs::remove_file(entry.path()));
        }
    }

    /// Returns whether `name` has the form of a temporary file's name: a dot, three numbers with hyphens between them,
    /// and the ending.
    pub(super) fn is_name(name: &OsStr) -> bool {
        let numbers = name.to_str().and_then(|name| name.strip_prefix('.')?.strip_suffix(SUFFIX));
        numbers.is_some_and(|numbers| {
            let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            numbers.split('-').count() == 3 && numbers.split('-').all(is_number)
        })
    }
}

impl Write for Temporary {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.file.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            drop(fs::remove_file(&self.path));
        }
    }
}
