//! An OCI image layout directory as a sink.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use async_trait::async_trait;
use sha2::Digest as _;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::{
    copy::copy,
    error::{LayoutError, io_error},
    lock::{Seen, Share},
    read::{self, BLOBS, INDEX_FILE, LAYOUT_FILE, blocking},
    temporary::Temporary,
};
use crate::{
    Digest,
    blob::{Blob, VerifiedBlob},
    error::{ErrorKind, ModelcarError, Result},
    sink::{ExistingBlob, ManifestBlob, Published, Restarts, Sink},
};

/// Layers written side by side. A disk gains nothing from more, while each holds connections and memory.
const MAX_JOBS: usize = 4;

/// How often a layout is prepared again that another build has removed meanwhile.
const PREPARE_TRIES: u32 = 5;
const READ_BYTES: usize = 1 << 20;

/// Writes an image into an OCI image layout directory, new or existing.
///
/// Blobs are written under a temporary name and renamed once proven; `index.json` is replaced last and in one step.
/// A reader of the layout never sees half of anything, and builds may share one.
#[derive(Debug)]
pub struct LayoutSink {
    shared: Arc<Shared>,
    /// Held by everything that touches the directory, threads included, so that the end can wait for it.
    work: Arc<RwLock<()>>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    ref_name: Option<String>,
    created: Mutex<Created>,
    share: Mutex<Option<Share>>,
    /// The index that was there at first.
    index: Option<Seen>,
    published: OnceLock<Published>,
}

/// What [`Sink::abandon`] may remove again.
#[derive(Debug, Default)]
struct Created {
    dirs: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl LayoutSink {
    /// Opens the layout at `dir`, or makes one where there is nothing, an empty directory, or the beginning of a layout
    /// that a build has left which was killed.
    ///
    /// The image gets the name `ref_name` (`org.opencontainers.image.ref.name`) and replaces the one that had it.
    ///
    /// # Errors
    /// When `dir` holds something else than an image layout, or can't be written.
    pub async fn create(dir: &Path, ref_name: Option<String>) -> Result<Self, LayoutError> {
        let dir = dir.to_owned();
        blocking(move || {
            // Before anything is made, so that whatever is published from then on tells that it is relied on.
            let index = Seen::at(&dir.join(INDEX_FILE));
            let (created, share) = open(&dir)?;
            let (created, share) = (Mutex::new(created), Mutex::new(Some(share)));
            let shared = Shared { dir, ref_name, created, share, index, published: OnceLock::new() };
            Ok(Self { shared: Arc::new(shared), work: Arc::default() })
        })
        .await
    }

    async fn write_once(&self, body: &dyn Blob) -> Result<VerifiedBlob> {
        let blobs = self.shared.dir.join(BLOBS);
        let working = self.working().await;
        let start = move || Ok(InWork(Temporary::create(&blobs)?, working));
        let copied = copy(body.open(), start).await;
        let (written, verified) = copied.map_err(|error| error.explain(body, &self.shared.dir.join(BLOBS)))?;
        let (shared, digest) = (Arc::clone(&self.shared), verified.digest);
        blocking(move || {
            let InWork(temporary, _working) = written;
            shared.keep(temporary, &digest)
        })
        .await?;
        Ok(verified)
    }

    async fn working(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.work).read_owned().await
    }

    /// Runs file system work that [`Sink::abandon`] waits for, whoever still waits for its outcome.
    async fn run(&self, work: impl FnOnce(&Shared) -> Result<(), LayoutError> + Send + 'static) -> Result<()> {
        let (shared, working) = (Arc::clone(&self.shared), self.working().await);
        let work = move || {
            let _working = working;
            work(&shared)
        };
        Ok(blocking(work).await?)
    }
}

/// A file that is being written, and the sink's knowledge of it.
struct InWork(Temporary, OwnedRwLockReadGuard<()>);

impl io::Write for InWork {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[async_trait]
impl Sink for LayoutSink {
    fn max_jobs(&self) -> usize {
        MAX_JOBS
    }

    async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool> {
        let (path, digest) = (read::blob_path(&self.shared.dir, digest), *digest);
        Ok(blocking(move || is_blob(&path, &digest, size)).await?)
    }

    async fn mount_or_find(&self, blob: &ExistingBlob) -> Result<bool> {
        match blob.repository {
            None => self.has_blob(&blob.digest, blob.size).await,
            Some(_) => Ok(false),
        }
    }

    async fn write_blob(&self, body: &dyn Blob, restarted: &(dyn Fn(String) + Send + Sync)) -> Result<VerifiedBlob> {
        let mut restarts = Restarts::new(restarted);
        loop {
            match self.write_once(body).await {
                Ok(verified) => return Ok(verified),
                Err(error) => restarts.after(error).await?,
            }
        }
    }

    async fn write_manifest(&self, manifest: &ManifestBlob) -> Result<()> {
        let manifest = manifest.clone();
        self.run(move |shared| shared.write_small(&manifest)).await
    }

    async fn publish(&self, index: &ManifestBlob) -> Result<()> {
        let index = index.clone();
        self.run(move |shared| shared.publish(&index)).await
    }

    fn published(&self) -> Option<Published> {
        self.shared.published.get().cloned()
    }

    async fn abandon(&self) {
        let shared = Arc::clone(&self.shared);
        // Cancelled writes may still finish on their threads; an index that one of them publishes is kept.
        let _nobody_works = self.work.write().await;
        if shared.published.get().is_none() {
            // Nobody can use the outcome; what could not be removed is not part of the layout.
            drop(tokio::task::spawn_blocking(move || shared.remove_created()).await);
        }
    }
}

impl Shared {
    fn created(&self) -> MutexGuard<'_, Created> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes away what this build has made, unless another one may have come to rely on it: one that runs, or one that
    /// has published since this one began. What stays is part of no image and takes room alone.
    fn remove_created(&self) {
        let created = std::mem::take(&mut *self.created());
        let share = self.share.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(share) = share {
            share.give_up(|| {
                if Seen::at(&self.dir.join(INDEX_FILE)) == self.index {
                    created.remove();
                }
            });
        }
    }

    /// Gives a finished temporary file its name. Its bytes are proven, so it takes the place of what is there.
    fn keep(&self, temporary: Temporary, digest: &Digest) -> Result<(), LayoutError> {
        let path = read::blob_path(&self.dir, digest);
        temporary.sync()?;
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
        self.keep(Temporary::holding(&self.dir.join(BLOBS), &manifest.bytes)?, &manifest.digest)
    }

    fn publish(&self, index: &ManifestBlob) -> Result<(), LayoutError> {
        self.write_small(index)?;
        sync_dir(&self.dir.join(BLOBS))?;
        // Two builds may add to one layout. A file system without locks gets none: the images are all there even
        // when the later build drops the earlier one's name.
        let lock = File::open(&self.dir).map_err(io_error("open", &self.dir))?;
        drop(lock.lock());
        let path = self.dir.join(INDEX_FILE);
        let mut json = read::read_index(&self.dir)?.unwrap_or_else(read::empty_index);
        read::add_to_index(&mut json, index, self.ref_name.as_deref()).map_err(|reason| LayoutError::Invalid {
            path: path.clone(),
            reason: reason.into(),
            source: None,
        })?;
        let temporary = Temporary::holding(&self.dir, &read::canonical(json))?;
        temporary.sync()?;
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

/// Prepares the layout and takes a share in it; again when a build that failed has removed it meanwhile.
fn open(dir: &Path) -> Result<(Created, Share), LayoutError> {
    let blobs = dir.join(BLOBS);
    let mut created = Created::default();
    for last in (0..PREPARE_TRIES).rev() {
        let share = prepare(dir, &mut created).and_then(|()| {
            let clear = || [dir, &blobs].into_iter().for_each(Temporary::clear);
            Share::take(&blobs, clear).map_err(io_error("open", &blobs))
        });
        match share {
            Ok(Some(share)) if share.is_of(&blobs) && dir.join(LAYOUT_FILE).exists() => return Ok((created, share)),
            Err(error) if last == 0 || error.kind() != ErrorKind::NotFound => {
                created.remove();
                return Err(error);
            }
            _ => {}
        }
    }
    Err(LayoutError::Busy { path: dir.to_owned() })
}

fn prepare(dir: &Path, created: &mut Created) -> Result<(), LayoutError> {
    let is_new = is_new(dir)?;
    if !is_new {
        read::check_layout_file(dir)?;
        read::read_index(dir)?;
    }
    created.make_dir(dir)?;
    created.make_dir(&dir.join(BLOBS))?;
    if is_new {
        let path = dir.join(LAYOUT_FILE);
        Temporary::holding(dir, read::LAYOUT_JSON.as_bytes())?.rename(&path)?;
        created.files.push(path);
    }
    Ok(())
}

/// Returns whether a layout can be begun at `dir`: it is not there, is empty, or holds what a build makes first.
fn is_new(dir: &Path) -> Result<bool, LayoutError> {
    holds_only(dir, |entry| {
        let begun = || holds_only(&entry.path(), |inner| Ok(inner.file_name() == "sha256" && has_blobs_only(&inner)?));
        Ok(Temporary::is_name(&entry.file_name()) || (entry.file_name() == "blobs" && begun()?))
    })
}

fn has_blobs_only(folder: &fs::DirEntry) -> Result<bool, LayoutError> {
    let is_blob = |name: &str| format!("sha256:{name}").parse::<Digest>().is_ok();
    holds_only(&folder.path(), |entry| {
        let name = entry.file_name();
        Ok(Temporary::is_name(&name) || name.to_str().is_some_and(is_blob))
    })
}

/// Returns whether all entries of a folder are as they should be; one that is not there has none.
fn holds_only(
    folder: &Path,
    should_be: impl Fn(fs::DirEntry) -> Result<bool, LayoutError>,
) -> Result<bool, LayoutError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(io_error("read", folder)(error)),
    };
    for entry in entries {
        if !should_be(entry.map_err(io_error("read", folder))?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns whether the file is this blob. A disk or a crash may have given it other bytes, so they are read.
fn is_blob(path: &Path, digest: &Digest, size: u64) -> Result<bool, LayoutError> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io_error("read", path)(error)),
    };
    if !found.is_file() || found.len() != size {
        return Ok(false);
    }
    let hash = || {
        let (mut file, mut hasher, mut buffer) = (File::open(path)?, sha2::Sha256::new(), vec![0; READ_BYTES]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(Digest::from(<[u8; 32]>::from(hasher.finalize()))),
                read => hasher.update(&buffer[..read]),
            }
        }
    };
    Ok(hash().map_err(io_error("read", path))? == *digest)
}

/// Makes renames durable. Directories can't be opened everywhere; where they can't, the system does it by itself.
fn sync_dir(dir: &Path) -> Result<(), LayoutError> {
    if cfg!(unix) {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("write", dir))?;
    }
    Ok(())
}
