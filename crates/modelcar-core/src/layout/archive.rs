//! An OCI archive: one tar file that holds an image layout.

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
};
use crate::{
    Digest,
    blob::{Blob, VerifiedBlob},
    error::Result,
    sink::{ExistingBlob, ManifestBlob, Published, Restarts, Sink},
};

/// Size of a tar header, and what every entry is padded to.
const BLOCK: u64 = 512;

/// Writes an image as one tar file.
///
/// A blob's header needs its digest and size, which are known when its last byte has passed: room for the header is
/// left and filled in afterwards, so that weights are written once and nowhere else.
#[derive(Debug)]
pub struct ArchiveSink {
    path: PathBuf,
    partial: PathBuf,
    ref_name: Option<String>,
    /// Held by whoever appends, the writing thread included.
    archive: Arc<Mutex<Archive>>,
    /// Beside `archive`, so that asking for a blob does not wait for one being written.
    blobs: Arc<StdMutex<BTreeMap<Digest, u64>>>,
}

#[derive(Debug)]
struct Archive {
    file: File,
    /// End of the last whole entry. Whatever lies behind it is left over from a blob that failed.
    end: u64,
    published: Option<Published>,
}

impl ArchiveSink {
    /// Starts an archive that will be at `path`; until it is published, it is at `path` with `.partial` behind it.
    ///
    /// A file at `path` is replaced when the image is published. The image gets the name `ref_name`
    /// (`org.opencontainers.image.ref.name`).
    ///
    /// # Errors
    /// When the file can't be written, another build is writing it, or something else than a file is there.
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

    async fn lock(&self) -> Result<OwnedMutexGuard<Archive>, LayoutError> {
        let archive = Arc::clone(&self.archive).lock_owned().await;
        if archive.published.is_some() {
            return Err(LayoutError::Complete { path: self.path.clone() });
        }
        Ok(archive)
    }

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

    /// Appends a manifest unless it is there.
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
    /// A tar file has one end.
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
            archive.published = Some(Published { names: vec![path.display().to_string()], ..Published::new(digest) });
            Ok(())
        })
        .await?;
        Ok(())
    }

    fn published(&self) -> Option<Published> {
        // Whoever holds it is still writing.
        self.archive.try_lock().ok()?.published.clone()
    }

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
    fn write_preamble(&mut self) -> io::Result<()> {
        self.append(LAYOUT_FILE, read::LAYOUT_JSON.as_bytes())?;
        for dir in ["blobs/", "blobs/sha256/"] {
            self.seek_to_end()?;
            self.file.write_all(header(dir, EntryType::Directory, 0o755, 0)?.as_bytes())?;
            self.end += BLOCK;
        }
        Ok(())
    }

    /// Cuts off what a failed blob left and goes to where the next entry starts.
    fn seek_to_end(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        Ok(())
    }

    /// Makes an entry of `size` bytes that were written behind the room for its header.
    fn finish_entry(&mut self, name: &str, size: u64) -> io::Result<()> {
        let next = self.end + BLOCK + size.next_multiple_of(BLOCK);
        // Pads with zeros.
        self.file.set_len(next)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(header(name, EntryType::Regular, 0o644, size)?.as_bytes())?;
        self.end = next;
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.seek_to_end()?;
        self.file.seek_relative(BLOCK.cast_signed())?;
        self.file.write_all(bytes)?;
        self.finish_entry(name, bytes.len() as u64)
    }

    fn finish(&mut self, index_json: &[u8]) -> io::Result<()> {
        self.append(INDEX_FILE, index_json)?;
        // Two blocks of zeros end a tar file.
        self.file.set_len(self.end + 2 * BLOCK)?;
        self.file.sync_all()
    }
}

/// The end of the archive, held by one blob.
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

/// Opens the unfinished archive. One that a killed build left is overwritten; one in use is not, nor one that was
/// published or removed while it was being opened.
fn open_locked(partial: &Path) -> Result<File, LayoutError> {
    let file = File::options().write(true).create(true).truncate(false).open(partial);
    let file = file.map_err(io_error("create", partial))?;
    let is_free = !matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    let same = |held: fs::Metadata, there: fs::Metadata| (held.dev(), held.ino()) == (there.dev(), there.ino());
    let is_there = file.metadata().and_then(|held| Ok(same(held, fs::metadata(partial)?))).unwrap_or(false);
    if is_free && is_there { Ok(file) } else { Err(LayoutError::Busy { path: partial.to_owned() }) }
}

fn blob_name(digest: &Digest) -> String {
    format!("{BLOBS}/{}", digest.hex())
}

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
