//! An OCI archive as a sink: one tar file that holds an image layout.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, IoSlice, Seek, SeekFrom, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tar::EntryType;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    copy::copy,
    error::{LayoutError, io_error},
    read::{self, BLOBS, INDEX_FILE, LAYOUT_FILE, blocking},
    write::sync_dir,
};
use crate::{
    Digest,
    blob::{Blob, VerifiedBlob},
    error::Result,
    sink::{ExistingBlob, ManifestBlob, Published, Restarts, Sink},
};

/// Size of a tar block in bytes: the size of a header, and the unit that every content is padded to.
const BLOCK: u64 = 512;

/// Writes an image as one tar file that holds an OCI image layout.
///
/// The header of a tar entry comes before the content and states its size, and the name of a blob's entry is its
/// digest. The digest is known only when the last byte has passed. So the sink leaves room for the header, writes the
/// content behind it and fills the header in afterwards. Weights are written once, and nothing but the archive is
/// written.
///
/// Blobs are written one after the other. Until the image is published, the archive has the name of its path with
/// `.partial` appended. A sink that is dropped without [`abandon`](Sink::abandon) leaves that file, which the next
/// build overwrites.
#[derive(Debug)]
pub struct ArchiveSink {
    /// Where the archive goes when it is published.
    path: PathBuf,
    /// Where the unfinished archive is.
    partial: PathBuf,
    /// The name that the image gets in the layout's `index.json`.
    ref_name: Option<String>,
    /// Locked by whoever appends an entry, and by the thread that writes it.
    archive: Arc<Mutex<Archive>>,
    /// Digest and size of the blobs in the archive. They have a lock of their own, so that asking for a blob does not
    /// wait for another blob that is being written.
    blobs: Arc<StdMutex<BTreeMap<Digest, u64>>>,
}

/// The unfinished tar file.
#[derive(Debug)]
struct Archive {
    /// The open file, with an exclusive lock on it.
    file: File,
    /// Offset in bytes of the end of the last whole entry. What lies behind it is the rest of a blob that failed.
    end: u64,
    /// Set once the archive has its final name.
    published: Option<Published>,
}

impl ArchiveSink {
    /// Starts an archive that will be at `path`. Until the image is published, the archive is at `path` with
    /// `.partial` appended.
    ///
    /// A file at `path` is overwritten when the image is published. The image gets the name `ref_name`
    /// (`org.opencontainers.image.ref.name`); with `None` the image has no name in the archive.
    ///
    /// # Errors
    /// [`LayoutError::NotAFile`] when something else than a regular file is at either path, [`LayoutError::Busy`] when
    /// another build is writing the archive, [`LayoutError::Io`] when the file can't be written.
    pub async fn create(path: &Path, ref_name: Option<String>) -> Result<Self, LayoutError> {
        let path = path.to_owned();
        let mut partial: OsString = path.clone().into();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let opened = partial.clone();
        let target = path.clone();
        let archive = blocking(move || {
            // A device or a link would be replaced, not written to.
            for path in [&target, &opened] {
                if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
                    return Err(LayoutError::NotAFile { path: path.clone() });
                }
            }
            let file = open_locked(&opened)?;
            let mut archive = Archive { file, end: 0, published: None };
            archive.write_preamble().map_err(|error| {
                drop(fs::remove_file(&opened));
                io_error("write", &opened)(error)
            })?;
            Ok(archive)
        })
        .await?;
        let archive = Arc::new(Mutex::new(archive));
        Ok(Self { path, partial, ref_name, archive, blobs: Arc::default() })
    }

    fn blobs(&self) -> MutexGuard<'_, BTreeMap<Digest, u64>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else appends, and locks the archive.
    ///
    /// # Errors
    /// [`LayoutError::Complete`] when the archive was published.
    async fn lock(&self) -> Result<OwnedMutexGuard<Archive>, LayoutError> {
        let archive = Arc::clone(&self.archive).lock_owned().await;
        if archive.published.is_some() {
            return Err(LayoutError::Complete { path: self.path.clone() });
        }
        Ok(archive)
    }

    /// Appends a blob. A blob that is in the archive already is read and verified all the same, and then cut off
    /// again.
    async fn write_once(&self, body: &dyn Blob) -> Result<VerifiedBlob> {
        let archive = self.lock().await?;
        let start = move || {
            let mut tail = Tail(archive);
            tail.0.seek_to_end()?;
            tail.0.file.seek_relative(BLOCK.cast_signed())?;
            Ok(tail)
        };
        let copied = copy(body.open(), start).await;
        let (Tail(mut archive), verified) = copied.map_err(|error| error.explain(body, &self.partial))?;
        let (digest, size) = (verified.digest, verified.size);
        if self.blobs().contains_key(&digest) {
            return Ok(verified);
        }
        let partial = self.partial.clone();
        let blobs = Arc::clone(&self.blobs);
        blocking(move || {
            archive.finish_entry(&blob_name(&digest), size).map_err(io_error("write", &partial))?;
            blobs.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, size);
            Ok(())
        })
        .await?;
        Ok(verified)
    }

    /// Appends a manifest or index, unless the archive has it.
    fn append_manifest(&self, archive: &mut Archive, manifest: &ManifestBlob) -> io::Result<()> {
        let mut blobs = self.blobs();
        if let Entry::Vacant(blob) = blobs.entry(manifest.digest) {
            archive.append(&blob_name(&manifest.digest), &manifest.bytes)?;
            blob.insert(manifest.bytes.len() as u64);
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for ArchiveSink {
    /// Returns 1: a tar file has one end, to which one blob at a time can be appended.
    fn max_jobs(&self) -> usize {
        1
    }

    async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool> {
        Ok(self.blobs().get(digest) == Some(&size))
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
        // A few kilobytes into the page cache: not worth a thread.
        let mut archive = self.lock().await?;
        Ok(self.append_manifest(&mut archive, manifest).map_err(io_error("write", &self.partial))?)
    }

    async fn publish(&self, index: &ManifestBlob) -> Result<()> {
        let mut archive = self.lock().await?;
        self.append_manifest(&mut archive, index).map_err(io_error("write", &self.partial))?;
        let mut json = read::empty_index();
        let path = self.path.clone();
        read::add_to_index(&mut json, index, self.ref_name.as_deref()).map_err(|reason| LayoutError::Invalid {
            path: path.clone(),
            reason: reason.into(),
            source: None,
        })?;
        let (partial, digest) = (self.partial.clone(), index.digest);
        blocking(move || {
            archive.finish(&read::canonical(json)).map_err(io_error("write", &partial))?;
            fs::rename(&partial, &path).map_err(io_error("replace", &path))?;
            sync_dir(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
            archive.published = Some(Published { names: vec![path.display().to_string()], ..Published::new(digest) });
            Ok(())
        })
        .await?;
        Ok(())
    }

    /// Returns `None` also while somebody writes, because an archive that is published is not written to.
    fn published(&self) -> Option<Published> {
        // Whoever holds it is still writing.
        self.archive.try_lock().ok()?.published.clone()
    }

    /// Removes the unfinished archive, once no thread writes to it any more. A published archive stays.
    async fn abandon(&self) {
        // A thread of a blob that was let go may still write; this waits for it.
        let archive = Arc::clone(&self.archive).lock_owned().await;
        if archive.published.is_none() {
            let partial = self.partial.clone();
            // Nobody can use the outcome.
            drop(tokio::task::spawn_blocking(move || fs::remove_file(partial)).await);
        }
    }
}

impl Archive {
    /// Writes the file `oci-layout` and the directories of blobs, which come first in the archive.
    fn write_preamble(&mut self) -> io::Result<()> {
        self.append(LAYOUT_FILE, read::LAYOUT_JSON.as_bytes())?;
        for dir in ["blobs/", "blobs/sha256/"] {
            self.seek_to_end()?;
            self.file.write_all(header(dir, EntryType::Directory, 0o755, 0)?.as_bytes())?;
            self.end += BLOCK;
        }
        Ok(())
    }

    /// Cuts off what a failed blob left, and moves to where the next entry starts.
    fn seek_to_end(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        Ok(())
    }

    /// Turns `size` bytes, which were written behind the room for a header, into an entry: pads them and writes the
    /// header.
    fn finish_entry(&mut self, name: &str, size: u64) -> io::Result<()> {
        let next = self.end + BLOCK + size.next_multiple_of(BLOCK);
        // Pads with zeros.
        self.file.set_len(next)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(header(name, EntryType::Regular, 0o644, size)?.as_bytes())?;
        self.end = next;
        Ok(())
    }

    /// Appends an entry whose content is in memory.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.seek_to_end()?;
        self.file.seek_relative(BLOCK.cast_signed())?;
        self.file.write_all(bytes)?;
        self.finish_entry(name, bytes.len() as u64)
    }

    /// Appends `index.json` and the end of the tar file, and waits until everything is on the disk.
    fn finish(&mut self, index_json: &[u8]) -> io::Result<()> {
        self.append(INDEX_FILE, index_json)?;
        // Two blocks of zeros end a tar file.
        self.file.set_len(self.end + 2 * BLOCK)?;
        self.file.sync_all()
    }
}

/// The end of the archive, to which one blob is being written. It keeps the archive locked.
struct Tail(OwnedMutexGuard<Archive>);

impl Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.file.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.file.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.file.flush()
    }
}

/// Opens and locks the unfinished archive, and creates it if there is none.
///
/// The rest of a build that was killed is overwritten: its lock went away with its process. On a file system without
/// locks, the file counts as free.
///
/// # Errors
/// [`LayoutError::Busy`] when another build has locked the file, or has renamed or removed it between the opening and
/// the locking.
fn open_locked(partial: &Path) -> Result<File, LayoutError> {
    let file = File::options().write(true).create(true).truncate(false).open(partial);
    let file = file.map_err(io_error("create", partial))?;
    let is_free = !matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    let same = |held: fs::Metadata, there: fs::Metadata| (held.dev(), held.ino()) == (there.dev(), there.ino());
    let is_there = file.metadata().and_then(|held| Ok(same(held, fs::metadata(partial)?))).unwrap_or(false);
    if is_free && is_there { Ok(file) } else { Err(LayoutError::Busy { path: partial.to_owned() }) }
}

/// Returns the name of a blob's entry: `blobs/sha256/` and the digest in hexadecimal.
fn blob_name(digest: &Digest) -> String {
    format!("{BLOBS}/{}", digest.hex())
}

/// Returns the header of an entry with owner 0 and the time 0, so that equal images make equal archives.
fn header(name: &str, kind: EntryType, mode: u32, size: u64) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name)?;
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}
