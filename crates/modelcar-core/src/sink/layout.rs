//! An OCI image layout directory as a sink.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use async_trait::async_trait;

pub use super::layout_error::LayoutError;
use super::{
    ManifestBlob, Published, Sink,
    body::{Body, Sealed},
    layout_error::io_error,
    store::{self, BLOBS, INDEX_FILE, LAYOUT_FILE},
    writer::{CopyError, Restarts, blocking, copy},
};
use crate::{Digest, error::Result};

/// Layers written side by side. A disk gains nothing from more, while each holds connections and memory.
const MAX_JOBS: usize = 4;

/// Writes an image into an OCI image layout directory, new or existing.
///
/// Blobs are written under a temporary name and renamed once proven; `index.json` is replaced last and in one step.
/// A reader of the layout never sees half of anything.
#[derive(Debug)]
pub struct LayoutSink {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    ref_name: Option<String>,
    created: Mutex<Created>,
    published: OnceLock<Published>,
}

/// What [`Sink::abandon`] may remove again.
#[derive(Debug, Default)]
struct Created {
    dirs: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl LayoutSink {
    /// Opens the layout at `dir`, or makes one where there is nothing or an empty directory.
    ///
    /// The image gets the name `ref_name` (`org.opencontainers.image.ref.name`) and replaces the one that had it.
    ///
    /// # Errors
    /// When `dir` holds something else than an image layout, or can't be written.
    pub async fn create(dir: &Path, ref_name: Option<String>) -> Result<Self, LayoutError> {
        let dir = dir.to_owned();
        blocking(move || {
            let mut created = Created::default();
            if let Err(error) = prepare(&dir, &mut created) {
                created.remove();
                return Err(error);
            }
            let created = Mutex::new(created);
            let shared = Shared { dir, ref_name, created, published: OnceLock::new() };
            Ok(Self { shared: Arc::new(shared) })
        })
        .await
    }

    async fn write_once(&self, body: &dyn Body) -> Result<Sealed> {
        if let (Some(digest), Some(size)) = (body.digest(), body.size())
            && self.has_blob(&digest, size).await?
        {
            // Only the body knows the rest of what is returned, so it is read, not written.
            let (_, sealed) = copy(body.open(), || Ok(io::sink())).await.map_err(|error| self.explain(error, body))?;
            return Ok(sealed);
        }
        let temporary = Temporary::new(&self.shared.dir.join(BLOBS));
        let path = temporary.path.clone();
        let start = move || File::options().write(true).create_new(true).open(path);
        let (file, sealed) = copy(body.open(), start).await.map_err(|error| self.explain(error, body))?;
        let shared = Arc::clone(&self.shared);
        let (digest, size) = (sealed.digest, sealed.size);
        blocking(move || shared.keep(temporary, &file, &digest, size)).await?;
        Ok(sealed)
    }

    fn explain(&self, error: CopyError, body: &dyn Body) -> crate::Error {
        explain(error, body, &self.shared.dir.join(BLOBS))
    }
}

/// Turns a copy's failure into this library's error; `path` is where the bytes went.
pub(super) fn explain(error: CopyError, body: &dyn Body, path: &Path) -> crate::Error {
    match error {
        CopyError::Body(error) => error,
        CopyError::Io(source) => io_error("write to", path)(source).into(),
        CopyError::Miscounted { sealed, written } => {
            LayoutError::Miscounted { title: body.title(), sealed, written }.into()
        }
    }
}

#[async_trait]
impl Sink for LayoutSink {
    fn max_jobs(&self) -> usize {
        MAX_JOBS
    }

    async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool> {
        let path = store::blob_path(&self.shared.dir, digest);
        Ok(blocking(move || has_file(&path, size)).await?)
    }

    async fn write_blob(&self, body: &dyn Body, restarted: &(dyn Fn(String) + Send + Sync)) -> Result<Sealed> {
        let mut restarts = Restarts::new(restarted);
        loop {
            match self.write_once(body).await {
                Ok(sealed) => return Ok(sealed),
                Err(error) => restarts.after(error).await?,
            }
        }
    }

    async fn write_manifest(&self, manifest: &ManifestBlob) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let manifest = manifest.clone();
        Ok(blocking(move || shared.write_small(&manifest)).await?)
    }

    async fn publish(&self, index: &ManifestBlob) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let index = index.clone();
        Ok(blocking(move || shared.publish(&index)).await?)
    }

    fn published(&self) -> Option<Published> {
        self.shared.published.get().cloned()
    }

    async fn abandon(&self) {
        if self.shared.published.get().is_some() {
            return;
        }
        let created = std::mem::take(&mut *self.shared.created());
        // Nobody can use the outcome; what could not be removed is not part of the layout.
        drop(tokio::task::spawn_blocking(move || created.remove()).await);
    }
}

impl Shared {
    fn created(&self) -> std::sync::MutexGuard<'_, Created> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a finished temporary file its name.
    fn keep(&self, temporary: Temporary, file: &File, digest: &Digest, size: u64) -> Result<(), LayoutError> {
        let path = store::blob_path(&self.dir, digest);
        if has_file(&path, size)? {
            return Ok(());
        }
        file.sync_all().map_err(io_error("write", &path))?;
        // Under the lock, so that of two writers of one blob only the first calls it its own.
        let mut created = self.created();
        let is_new = !path.exists();
        temporary.rename(&path)?;
        if is_new {
            created.files.push(path);
        }
        Ok(())
    }

    fn write_small(&self, manifest: &ManifestBlob) -> Result<(), LayoutError> {
        let size = manifest.bytes.len() as u64;
        if has_file(&store::blob_path(&self.dir, &manifest.digest), size)? {
            return Ok(());
        }
        let temporary = Temporary::new(&self.dir.join(BLOBS));
        let file = temporary.write(&manifest.bytes)?;
        self.keep(temporary, &file, &manifest.digest, size)
    }

    fn publish(&self, index: &ManifestBlob) -> Result<(), LayoutError> {
        self.write_small(index)?;
        sync_dir(&self.dir.join(BLOBS))?;
        // Two builds may add to one layout. A file system without locks gets none: the images are all there even
        // when the later build drops the earlier one's name.
        let layout_file = self.dir.join(LAYOUT_FILE);
        let lock = File::open(&layout_file).map_err(io_error("open", &layout_file))?;
        drop(lock.lock());
        let path = self.dir.join(INDEX_FILE);
        let mut json = store::read_index(&self.dir)?.unwrap_or_else(store::empty_index);
        store::add_to_index(&mut json, index, self.ref_name.as_deref()).map_err(|reason| LayoutError::Invalid {
            path: path.clone(),
            reason: reason.into(),
            source: None,
        })?;
        let temporary = Temporary::new(&self.dir);
        let file = temporary.write(&store::canonical(json))?;
        file.sync_all().map_err(io_error("write", &path))?;
        temporary.rename(&path)?;
        let names = vec![self.dir.display().to_string()];
        let _only_once = self.published.set(Published { names, ..Published::new(index.digest) });
        sync_dir(&self.dir)
    }
}

impl Created {
    /// Removes files, then directories where nobody else has put anything.
    fn remove(self) {
        for file in &self.files {
            drop(fs::remove_file(file));
        }
        for dir in self.dirs.iter().rev() {
            drop(fs::remove_dir(dir));
        }
    }

    fn make_dir(&mut self, dir: &Path) -> Result<(), LayoutError> {
        let missing: Vec<_> = dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
        for dir in missing.into_iter().rev() {
            match fs::create_dir(dir) {
                Ok(()) => self.dirs.push(dir.to_owned()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io_error("create directory", dir)(error)),
            }
        }
        Ok(())
    }
}

fn prepare(dir: &Path, created: &mut Created) -> Result<(), LayoutError> {
    let is_new = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().transpose().map_err(io_error("read", dir))?.is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(io_error("read", dir)(error)),
    };
    if !is_new {
        store::check_layout_file(dir)?;
        store::read_index(dir)?;
    }
    created.make_dir(dir)?;
    created.make_dir(&dir.join(BLOBS))?;
    if is_new {
        let path = dir.join(LAYOUT_FILE);
        let temporary = Temporary::new(dir);
        temporary.write(store::LAYOUT_JSON.as_bytes())?;
        temporary.rename(&path)?;
        created.files.push(path);
    }
    Ok(())
}

fn has_file(path: &Path, size: u64) -> Result<bool, LayoutError> {
    match fs::metadata(path) {
        Ok(found) => Ok(found.is_file() && found.len() == size),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error("read", path)(error)),
    }
}

/// Makes renames durable. Directories can't be opened everywhere; where they can't, the system does it by itself.
fn sync_dir(dir: &Path) -> Result<(), LayoutError> {
    if cfg!(unix) {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("write", dir))?;
    }
    Ok(())
}

/// A file that goes away unless it is renamed.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    /// Makes up a name that no other build has, on this machine or on another one that shares the directory.
    fn new(dir: &Path) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        Self { path: dir.join(format!(".{}-{time}-{count}.partial", std::process::id())) }
    }

    fn write(&self, bytes: &[u8]) -> Result<File, LayoutError> {
        let write = || {
            let mut file = File::options().write(true).create_new(true).open(&self.path)?;
            file.write_all(bytes)?;
            Ok(file)
        };
        write().map_err(io_error("write", &self.path))
    }

    fn rename(mut self, to: &Path) -> Result<(), LayoutError> {
        fs::rename(&self.path, to).map_err(io_error("write", to))?;
        self.path = PathBuf::new();
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            drop(fs::remove_file(&self.path));
        }
    }
}
