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
    files,
    sink::{ExistingBlob, ManifestBlob, Published, Restarts, Sink},
};

/// Largest number of layers that are written at the same time. A disk gains nothing from more, while each layer needs
/// connections and memory.
const MAX_JOBS: usize = 4;

/// How often a layout is prepared anew when another build has removed it meanwhile.
const PREPARE_TRIES: u32 = 5;
/// Bytes of a file that are hashed at a time.
const READ_BYTES: usize = 1 << 20;

/// Writes an image into an OCI image layout directory, new or existing.
///
/// A blob is written under a temporary name and renamed once it is verified. `index.json` is replaced last, by a
/// rename, which POSIX makes atomic. So a reader of the layout never sees an unfinished file.
///
/// Several builds may write to one layout at the same time. A failing build removes its files only when no other build
/// is running that could refer to them. A sink that is dropped without [`abandon`](Sink::abandon) leaves its blobs;
/// its temporary files are removed.
#[derive(Debug)]
pub struct LayoutSink {
    shared: Arc<Shared>,
    /// Locked for reading by every call and thread that touches the directory. [`Sink::abandon`] locks it for writing,
    /// and so waits for all of them.
    work: Arc<RwLock<()>>,
}

/// The part of the sink that its threads use too.
#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    /// The name that the image gets in the layout's `index.json`.
    ref_name: Option<String>,
    /// What this build has made.
    created: Mutex<Created>,
    /// The lock on the layout; `None` once it was given up.
    share: Mutex<Option<Share>>,
    /// The `index.json` that was there when the build began.
    index: Option<Seen>,
    /// Set once `index.json` lists the image.
    published: OnceLock<Published>,
}

/// What this build has made and [`Sink::abandon`] may remove again. What was there before is not in it.
#[derive(Debug, Default)]
struct Created {
    /// Directories, outer ones first.
    dirs: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl LayoutSink {
    /// Opens the layout at `dir`, or makes a new layout. A new layout is made where nothing is, in an empty directory,
    /// or over the unfinished layout of a build that was killed.
    ///
    /// The image gets the name `ref_name` (`org.opencontainers.image.ref.name`). An image that had the name before
    /// loses it and its entry in `index.json`; its blobs stay.
    ///
    /// # Errors
    /// [`LayoutError::NotALayout`] when `dir` holds something else, [`LayoutError::Invalid`] when its files are not
    /// those of a layout, [`LayoutError::Busy`] when another build keeps the layout locked for some seconds,
    /// [`LayoutError::Io`] when `dir` can't be written.
    pub async fn create(dir: &Path, ref_name: Option<String>) -> Result<Self, LayoutError> {
        let dir = dir.to_owned();
        blocking(move || {
            // Looked at before anything is made: when another build publishes from now on, `index.json` changes, and
            // `remove_created` then keeps what this build has made.
            let index = Seen::at(&dir.join(INDEX_FILE));
            let (created, share) = open(&dir)?;
            let (created, share) = (Mutex::new(created), Mutex::new(Some(share)));
            let shared = Shared { dir, ref_name, created, share, index, published: OnceLock::new() };
            Ok(Self { shared: Arc::new(shared), work: Arc::default() })
        })
        .await
    }

    /// Writes a blob under a temporary name, and renames it once it is verified.
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

    /// Marks a call as being at work, until the returned guard is dropped.
    async fn working(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.work).read_owned().await
    }

    /// Runs file system work on a blocking thread. [`Sink::abandon`] waits for the work even when the caller has
    /// dropped the future.
    async fn run(&self, work: impl FnOnce(&Shared) -> Result<(), LayoutError> + Send + 'static) -> Result<()> {
        let (shared, working) = (Arc::clone(&self.shared), self.working().await);
        let work = move || {
            let _working = working;
            work(&shared)
        };
        Ok(blocking(work).await?)
    }
}

/// A file that is being written, and the mark that somebody is at work. The writing thread owns both.
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

    /// Reads the whole file: a crash or a failing disk may have left other bytes under the right name.
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

    /// Stores the document. Whether the blobs that it names are stored is not checked.
    async fn write_manifest(&self, manifest: &ManifestBlob) -> Result<()> {
        let manifest = manifest.clone();
        self.run(move |shared| shared.write_small(&manifest)).await
    }

    /// Replaces `index.json` under an exclusive lock on the directory, so that two builds do not lose each other's
    /// entry.
    async fn publish(&self, index: &ManifestBlob) -> Result<()> {
        let index = index.clone();
        self.run(move |shared| shared.publish(&index)).await
    }

    fn published(&self) -> Option<Published> {
        self.shared.published.get().cloned()
    }

    /// Waits for all threads of this sink. Then removes what this build has made, unless an image was published
    /// meanwhile.
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

    /// Removes what this build has made, unless another build may rely on it.
    ///
    /// That is so when another build is running, and when another build has published since this one began. Blobs that
    /// stay are part of no image and only take up space.
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

    /// Renames a finished temporary file to the name of the blob. The bytes are verified, so they replace what is
    /// there.
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

    /// Stores a manifest or an index.
    fn write_small(&self, manifest: &ManifestBlob) -> Result<(), LayoutError> {
        self.keep(Temporary::holding(&self.dir.join(BLOBS), &manifest.bytes)?, &manifest.digest)
    }

    /// Stores the index, makes all files durable and lists the image in `index.json`.
    fn publish(&self, index: &ManifestBlob) -> Result<(), LayoutError> {
        self.write_small(index)?;
        sync_dir(&self.dir.join(BLOBS))?;
        // Two builds may add to one layout at the same time. A file system without locks is used without one: then the
        // later build may drop the earlier build's entry, but the blobs of both images are stored.
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
    /// Removes the files, then those directories that are empty. A failure is not reported: what stays does no harm.
    fn remove(self) {
        for file in &self.files {
            drop(fs::remove_file(file));
        }
        for dir in self.dirs.iter().rev() {
            drop(fs::remove_dir(dir));
        }
    }

    /// Makes a directory and all missing directories above it, and notes which of them are new.
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

/// Prepares the layout and locks it. Starts over when a failing build has removed the layout in between.
///
/// A build that is alone in the layout first removes the temporary files of builds that were killed.
///
/// # Errors
/// [`LayoutError::Busy`] when the layout can't be locked, and the errors of [`prepare`].
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

/// Checks an existing layout, or makes the directories and the file `oci-layout` of a new one.
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
        let file = Temporary::holding(dir, read::LAYOUT_JSON.as_bytes())?;
        // After a power failure a layout must not be one with an empty `oci-layout`.
        file.sync()?;
        file.rename(&path)?;
        created.files.push(path);
    }
    Ok(())
}

/// Returns whether a new layout can be made at `dir`: there is nothing, an empty directory, or only blobs and
/// temporary files, which is what a build makes before the file `oci-layout`.
fn is_new(dir: &Path) -> Result<bool, LayoutError> {
    holds_only(dir, |entry| {
        let begun = || holds_only(&entry.path(), |inner| Ok(inner.file_name() == "sha256" && has_blobs_only(&inner)?));
        Ok(Temporary::is_name(&entry.file_name()) || (entry.file_name() == "blobs" && begun()?))
    })
}

/// Returns whether a folder holds only temporary files and files whose names are digests.
fn has_blobs_only(folder: &fs::DirEntry) -> Result<bool, LayoutError> {
    let is_blob = |name: &str| format!("sha256:{name}").parse::<Digest>().is_ok();
    holds_only(&folder.path(), |entry| {
        let name = entry.file_name();
        Ok(Temporary::is_name(&name) || name.to_str().is_some_and(is_blob))
    })
}

/// Returns whether `should_be` holds for every entry of a folder. A folder that does not exist has no entries.
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

/// Returns whether the file at `path` exists, has `size` bytes and has the digest. The whole file is read.
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
        let (mut file, mut hasher, mut buffer) = (files::open(path)?, sha2::Sha256::new(), vec![0; READ_BYTES]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(Digest::from(<[u8; 32]>::from(hasher.finalize()))),
                read => hasher.update(&buffer[..read]),
            }
        }
    };
    Ok(hash().map_err(io_error("read", path))? == *digest)
}

/// Makes renames in a directory durable: after a power failure the new names are there. Systems other than Unix can't
/// open a directory for that, and nothing is done there.
pub(super) fn sync_dir(dir: &Path) -> Result<(), LayoutError> {
    if cfg!(unix) {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("write", dir))?;
    }
    Ok(())
}
