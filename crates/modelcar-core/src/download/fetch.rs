//! The download of one file: finds how many bytes are there already, and fetches the rest from the source.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use rustix::fs::OFlags;
use sha2::Digest as _;
use tokio::sync::mpsc;

use super::{DownloadError, place};
use crate::{
    ContentId,
    digest::ContentHash,
    progress::{Event, Progress},
    source::{Extent, ReadBudget, Source, SourceFile},
    thread,
};

/// Bytes of one read while a file is hashed.
const READ_BYTES: usize = 512 << 10;
/// Hashed bytes between two progress events.
const TOLD_BYTES: u64 = 1 << 20;
/// Chunks that may wait in memory until the disk takes them.
const WRITES_AHEAD: usize = 4;

/// A file of the download, and the places of its bytes.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) file: Arc<SourceFile>,
    /// Path of the finished file.
    pub(super) target: PathBuf,
    /// Path of the unfinished file, until all bytes are there and their hash is verified.
    pub(super) partial: PathBuf,
}

/// The running hash of a file, of the kind that the source lists.
enum Hasher {
    Sha256(Box<sha2::Sha256>),
    GitSha1(Box<sha1::Sha1>),
}

impl Hasher {
    fn new(file: &SourceFile) -> Self {
        match ContentHash::for_id(file.content) {
            ContentHash::Sha256 => Self::Sha256(Box::default()),
            ContentHash::GitSha1 => Self::GitSha1(Box::new(ContentHash::git_blob(file.size))),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::GitSha1(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> ContentId {
        match self {
            Self::Sha256(hasher) => ContentId::Sha256(hasher.finalize().into()),
            Self::GitSha1(hasher) => ContentId::GitSha1(hasher.finalize().into()),
        }
    }
}

impl Job {
    /// Returns whether a file of the listed size is in place. Its content is not looked at.
    pub(super) fn may_be_done(&self) -> bool {
        let found = fs::symlink_metadata(&self.target);
        self.file.content.is_some() && found.is_ok_and(|found| found.is_file() && found.len() == self.file.size)
    }

    /// Hashes the file in place, and returns whether the file has the listed content.
    pub(super) async fn is_done(&self, progress: &Arc<dyn Progress>) -> Result<bool, DownloadError> {
        let (job, progress) = (self.clone(), Arc::clone(progress));
        let look = move || {
            let mut file = open(OpenOptions::new().read(true), &job.target)?;
            let mut hasher = Hasher::new(&job.file);
            let told = |bytes| progress.report(&Event::HashAdvanced { bytes });
            let read = hash(&mut file, u64::MAX, &mut hasher, told).map_err(place::io("read", &job.target))?;
            Ok(read == job.file.size && job.file.content == Some(hasher.finish()))
        };
        self.run(look).await
    }

    /// Returns the number of bytes of the unfinished file that need not be fetched again.
    pub(super) fn partial_bytes(&self) -> u64 {
        let found = fs::symlink_metadata(&self.partial).map_or(0, |found| found.len());
        // Without a content id nothing proves that the bytes are the beginning of the listed file.
        if self.file.content.is_some() && found <= self.file.size { found } else { 0 }
    }

    /// Fetches the file, from the end of an unfinished one, and returns the content id. `fetched` counts the bytes that
    /// come from the source.
    pub(super) async fn fetch(
        &self,
        source: &dyn Source,
        budget: &ReadBudget,
        progress: &dyn Progress,
        fetched: &AtomicU64,
    ) -> Result<ContentId, DownloadError> {
        loop {
            let job = self.clone();
            let partial = self.run(move || Partial::open(job)).await?;
            let resumed = partial.at;
            let partial = self.append(partial, source, budget, progress, fetched).await?;
            match self.run(move || partial.finish()).await {
                // The unfinished file may be damaged, for example by a loss of power: one attempt starts from the first
                // byte.
                Err(DownloadError::Corrupt { .. } | DownloadError::WrongSize { .. }) if resumed > 0 => {
                    tracing::info!(path = %self.file.path, "the unfinished file has wrong content: the download of the file starts over");
                }
                outcome => return outcome,
            }
        }
    }

    /// Fetches the bytes that are still missing. A thread writes and hashes these bytes while the next ones arrive.
    async fn append(
        &self,
        mut partial: Partial,
        source: &dyn Source,
        budget: &ReadBudget,
        progress: &dyn Progress,
        fetched: &AtomicU64,
    ) -> Result<Partial, DownloadError> {
        let (offset, len) = (partial.at, self.file.size - partial.at);
        let extents = (len > 0).then(|| Extent { file: Arc::clone(&self.file), offset, len });
        let (sender, mut receiver) = mpsc::channel::<Bytes>(WRITES_AHEAD);
        let write = move || {
            while let Some(bytes) = receiver.blocking_recv() {
                partial.write(&bytes)?;
            }
            Ok::<_, DownloadError>(partial)
        };
        let writing = thread::spawn("modelcar-write", write);
        let mut content = source.read(Vec::from_iter(extents), budget);
        let read = loop {
            match content.try_next().await {
                Ok(Some(bytes)) => {
                    let len = bytes.len() as u64;
                    fetched.fetch_add(len, Ordering::Relaxed);
                    progress.report(&Event::FetchAdvanced { bytes: len });
                    if sender.send(bytes).await.is_err() {
                        break Ok(());
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        drop(sender);
        let partial = writing.await.map_err(|ended| self.died(ended))??;
        read?;
        Ok(partial)
    }

    /// Runs blocking work on a thread of its own.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, DownloadError> + Send + 'static,
    ) -> Result<T, DownloadError> {
        thread::spawn("modelcar-file", work).await.map_err(|ended| self.died(ended))?
    }

    /// Returns the error of a thread that ended without a result.
    fn died(&self, ended: thread::ThreadEnded) -> DownloadError {
        place::io("write", &self.partial)(io::Error::other(ended))
    }
}

/// An unfinished file that is open for writing.
struct Partial {
    job: Job,
    file: File,
    hasher: Hasher,
    /// Number of bytes that are written and hashed.
    at: u64,
}

impl Partial {
    /// Opens or creates the unfinished file, hashes the bytes that are there, and cuts off bytes of no use.
    fn open(job: Job) -> Result<Self, DownloadError> {
        let known = job.partial_bytes();
        let mut file = open(OpenOptions::new().read(true).write(true).create(true), &job.partial)?;
        let mut hasher = Hasher::new(&job.file);
        let at = hash(&mut file, known, &mut hasher, |_| ()).map_err(place::io("read", &job.partial))?;
        let cut = file.set_len(at).and_then(|()| file.seek(SeekFrom::Start(at)));
        cut.map_err(place::io("write", &job.partial))?;
        Ok(Self { job, file, hasher, at })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DownloadError> {
        self.file.write_all(bytes).map_err(place::io("write", &self.job.partial))?;
        self.hasher.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Syncs the file and renames it to its target if size and hash are the listed ones. Removes the file if not.
    fn finish(self) -> Result<ContentId, DownloadError> {
        let Job { file, target, partial } = self.job;
        let found = self.hasher.finish();
        if file.content.is_none() && self.at != file.size {
            fs::remove_file(&partial).map_err(place::io("remove", &partial))?;
            return Err(DownloadError::WrongSize { path: file.path.clone(), found: self.at, listed: file.size });
        }
        if let Some(listed) = file.content.filter(|listed| *listed != found) {
            fs::remove_file(&partial).map_err(place::io("remove", &partial))?;
            return Err(DownloadError::Corrupt { path: file.path.clone(), found, listed });
        }
        self.file.sync_all().map_err(place::io("write", &partial))?;
        fs::rename(&partial, &target).map_err(place::io("write", &target))?;
        // Not every file system can sync a folder, so a failure is ignored.
        let _not_synced = target.parent().map(|folder| File::open(folder).and_then(|folder| folder.sync_all()));
        Ok(found)
    }
}

/// Opens a file; fails when `path` is a symbolic link.
fn open(options: &mut OpenOptions, path: &std::path::Path) -> Result<File, DownloadError> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    options.custom_flags(flags).open(path).map_err(place::io("open", path))
}

/// Hashes up to `most` bytes from the file's current position, and returns the number of hashed bytes. `told` receives
/// the bytes since its last call.
fn hash(file: &mut File, most: u64, hasher: &mut Hasher, told: impl Fn(u64)) -> io::Result<u64> {
    let mut buffer = vec![0; READ_BYTES];
    let mut limited = file.take(most);
    let (mut all, mut untold) = (0, 0);
    loop {
        let read = limited.read(&mut buffer)?;
        all += read as u64;
        untold += read as u64;
        if read == 0 || untold >= TOLD_BYTES {
            told(std::mem::take(&mut untold));
        }
        if read == 0 {
            return Ok(all);
        }
        hasher.update(&buffer[..read]);
    }
}
