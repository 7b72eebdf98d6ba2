//! A directory as a source: a git checkout, the output of an export, or a snapshot folder of the Hugging Face cache.

mod buffers;
mod walk;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sha2::Digest as _;
use tokio::{sync::mpsc, task};

#[cfg(feature = "hub")]
pub(crate) use self::walk::UNFINISHED;
use self::{
    buffers::{Buffers, READ_BYTES},
    walk::{Found, walk},
};
use super::{ByteStream, Extent, Origin, ReadBudget, Source, SourceError, SourceFile, Unwanted, card};
use crate::{
    ContentId, ModelPath, files,
    progress::{Event, NoProgress, Progress},
    thread,
};

/// Chunks that are read ahead of the consumer of a stream.
const READS_AHEAD: usize = 2;

/// The files below a directory, as they were when the directory was opened. Reading a file that has changed since is an
/// error.
///
/// A symbolic link to a place inside the directory is read as the file or folder that it points to. So are the links of
/// a snapshot in the Hugging Face cache, whose contents are in the cache's `blobs` folder. A link that leaves the
/// directory is an error. Two entries are skipped: `.git` at any depth, and `.cache/huggingface` at the root, where the
/// Hub's client keeps notes about its downloads.
#[derive(Debug)]
pub struct DirSource {
    files: Arc<Listed>,
    origin: Origin,
    progress: Arc<dyn Progress>,
}

/// The files that a directory held when it was opened.
#[derive(Debug)]
struct Listed {
    /// The directory's absolute path without links.
    root: PathBuf,
    files: BTreeMap<ModelPath, Found>,
}

impl DirSource {
    /// Walks `root`, and records size, modification time and inode of every file. Only the model card (`README.md`) is
    /// read, for the licence in its front matter.
    ///
    /// # Errors
    /// When `root` is not a directory. [`SourceError::BadEntry`], [`SourceError::DanglingLink`] or
    /// [`SourceError::TooManyLinked`] when an entry can't be a file of a model: a link that leaves `root`, a link that
    /// leads nowhere, a device, a name that is not UTF-8. [`SourceError::Unfinished`] when `root` has the unfinished
    /// files of a download.
    pub async fn open(root: impl Into<PathBuf>) -> Result<Self, SourceError> {
        Self::open_without(root, Unwanted::none()).await
    }

    /// As [`open`](Self::open), but skips an entry that can't be a file of a model when the entry is `unwanted`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_without(root: impl Into<PathBuf>, unwanted: Unwanted) -> Result<Self, SourceError> {
        let root = root.into();
        let listed = move || {
            let (root, files) = walk(&root, unwanted)?;
            let files = Listed { root, files };
            let license = license(&files);
            Ok::<_, SourceError>((files, license))
        };
        let (files, license) = task::spawn_blocking(listed).await.map_err(|error| SourceError::Io {
            act: "walk",
            path: PathBuf::new(),
            source: io::Error::other(error),
        })??;
        let origin = Origin { license, ..Origin::default() };
        Ok(Self { files: Arc::new(files), origin, progress: Arc::new(NoProgress) })
    }

    /// Returns the directory's absolute path without links.
    pub fn root(&self) -> &Path {
        &self.files.root
    }

    /// Returns the paths of all files.
    #[cfg(feature = "hub")]
    pub(super) fn paths(&self) -> impl Iterator<Item = &ModelPath> {
        self.files.files.keys()
    }

    /// Returns the path on the file system of a file of the model, with all links resolved.
    #[cfg(feature = "hub")]
    pub(super) fn place(&self, path: &ModelPath) -> Option<&Path> {
        self.files.files.get(path).map(|found| found.place.as_path())
    }

    /// Returns the source with `progress`, to which [`identify`](Self::identify) reports how many bytes are hashed.
    #[must_use]
    pub fn with_progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// Reads every file once and returns the files with their SHA-256, so that a lock file can pin their content. As
    /// many files are hashed at the same time as there are CPU cores.
    ///
    /// # Errors
    /// When a file can't be read, or has changed since the directory was opened.
    pub async fn identify(&self, files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        if files.is_empty() {
            return Ok(files);
        }
        let bytes = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size));
        if bytes == 0 {
            return files.into_iter().map(|file| identify(&self.files, file, &NoProgress)).collect();
        }
        self.progress.report(&Event::HashStarted { files: files.len(), bytes });
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let identified =
            files.into_iter().map(|file| async {
                let (known, path) = (Arc::clone(&self.files), PathBuf::from(file.path.as_str()));
                let progress = Arc::clone(&self.progress);
                task::spawn_blocking(move || identify(&known, file, &*progress))
                    .await
                    .map_err(|error| SourceError::Io { act: "hash", path, source: io::Error::other(error) })?
            });
        let identified = stream::iter(identified).buffered(cores).try_collect().await?;
        self.progress.report(&Event::HashDone);
        Ok(identified)
    }
}

#[async_trait]
impl Source for DirSource {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn list(&self) -> Result<Vec<SourceFile>, SourceError> {
        let file = |(path, found): (&ModelPath, &Found)| SourceFile {
            path: path.clone(),
            size: found.stamp.size,
            content: None,
        };
        Ok(self.files.files.iter().map(file).collect())
    }

    async fn identify(&self, files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        Self::identify(self, files).await
    }

    fn read(&self, extents: Vec<Extent>, _budget: &ReadBudget) -> ByteStream {
        let (sender, receiver) = mpsc::channel(READS_AHEAD);
        let files = Arc::clone(&self.files);
        let reader = move || {
            let buffers = Buffers::default();
            for extent in extents {
                if let Err(error) = read_extent(&files, &extent, &buffers, &sender) {
                    // Sending fails only if the consumer has dropped the stream: nobody waits for the error.
                    let _nobody_listens = sender.blocking_send(Err(error));
                    return;
                }
                if sender.is_closed() {
                    return;
                }
            }
        };
        drop(thread::spawn("modelcar-read", reader));
        stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|item| (item, receiver)) }).boxed()
    }
}

/// Returns the licence that the model card names. A card that can't be read names none here, and is an error where the
/// card is packed. Blocks.
fn license(files: &Listed) -> Option<String> {
    let found = files.files.get(&card::CARD.parse::<ModelPath>().ok()?)?;
    let file = files::open(&found.place).ok()?;
    let mut bytes = Vec::new();
    (&file).take(card::CARD_MAX_BYTES).read_to_end(&mut bytes).ok()?;
    found.check(&file).ok()?;
    card::license(&String::from_utf8_lossy(&bytes))
}

/// Hashed bytes between two progress events.
const TOLD_BYTES: u64 = 1 << 20;

/// Hashes one file. Blocks.
fn identify(files: &Listed, mut file: SourceFile, progress: &dyn Progress) -> Result<SourceFile, SourceError> {
    let mut hasher = sha2::Sha256::new();
    let extent = Extent { file: Arc::new(file.clone()), offset: 0, len: file.size };
    // Opened even where there is nothing to read: a file that was empty may have grown.
    let mut reader = ExtentReader::open(files, &extent)?;
    if file.size > 0 {
        let mut buffer = vec![0; READ_BYTES];
        let mut untold = 0;
        while let Some(read) = reader.next(&mut buffer)? {
            hasher.update(&buffer[..read]);
            untold += read as u64;
            if untold >= TOLD_BYTES {
                progress.report(&Event::HashAdvanced { bytes: std::mem::take(&mut untold) });
            }
        }
        progress.report(&Event::HashAdvanced { bytes: untold });
    }
    file.content = Some(ContentId::Sha256(hasher.finalize().into()));
    Ok(file)
}

/// Sends the chunks of an extent. Blocks; ends early, without an error, when the consumer has dropped the stream.
fn read_extent(
    files: &Listed,
    extent: &Extent,
    buffers: &Buffers,
    sender: &mpsc::Sender<Result<Bytes, SourceError>>,
) -> Result<(), SourceError> {
    let mut reader = ExtentReader::open(files, extent)?;
    loop {
        let mut buffer = buffers.take();
        let Some(read) = reader.next(buffer.bytes_mut())? else { return Ok(()) };
        if sender.blocking_send(Ok(Bytes::from_owner(buffer).slice(..read))).is_err() {
            return Ok(());
        }
    }
}

/// Reads an extent, and checks before the first and after the last byte that the file is still the listed one.
///
/// The file is read and not mapped into memory: when a mapped file is truncated, access to it kills the process
/// (SIGBUS).
struct ExtentReader<'a> {
    file: File,
    found: &'a Found,
    left: u64,
}

impl<'a> ExtentReader<'a> {
    fn open(listed: &'a Listed, extent: &Extent) -> Result<Self, SourceError> {
        let Some(found) = listed.files.get(&extent.file.path) else {
            return Err(SourceError::NotListed { path: listed.root.join(extent.file.path.as_str()) });
        };
        let mut file = files::open(&found.place).map_err(|error| found.fault("open", error))?;
        found.check(&file)?;
        read_ahead(&file, extent);
        file.seek(SeekFrom::Start(extent.offset)).map_err(|error| found.fault("seek in", error))?;
        Ok(Self { file, found, left: extent.len })
    }

    /// Reads the next bytes into `buffer` and returns their number; `None` at the end of the extent. The last bytes are
    /// returned only if the file is unchanged.
    fn next(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, SourceError> {
        if self.left == 0 {
            return Ok(None);
        }
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        self.file.read_exact(&mut buffer[..want]).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.found.changed("it became shorter"),
            _ => self.found.fault("read", error),
        })?;
        self.left -= want as u64;
        if self.left == 0 {
            self.found.check(&self.file)?;
        }
        Ok(Some(want))
    }
}

/// Tells the kernel that the extent is read sequentially (`fadvise`). Linux then doubles its read-ahead.
fn read_ahead(file: &File, extent: &Extent) {
    #[cfg(target_os = "linux")]
    {
        let len = std::num::NonZeroU64::new(extent.len);
        // Without the advice the read is only slower, so a failure is ignored.
        let _advice = rustix::fs::fadvise(file, extent.offset, len, rustix::fs::Advice::Sequential);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, extent);
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, sync::Mutex};

    use super::*;
    use crate::ModelcarError;

    async fn read_all(source: &DirSource, file: SourceFile) -> Result<Vec<u8>, SourceError> {
        let extent = Extent { offset: 0, len: file.size, file: Arc::new(file) };
        let mut bytes = Vec::new();
        let mut stream = source.read(vec![extent], &ReadBudget::sequential());
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes)
    }

    /// Gives a file the modification time that it had before.
    fn put_time_back(path: &Path, time: std::time::SystemTime) {
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    /// Waits until the file system's clock, which ticks every few milliseconds, is behind the last change of a file.
    fn wait_for_tick(path: &Path) {
        use std::os::unix::fs::MetadataExt;
        let changed = |path: &Path| fs::metadata(path).map(|meta| (meta.ctime(), meta.ctime_nsec())).unwrap();
        let (clock, last) = (tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap(), changed(path));
        while changed(clock.path()) == last {
            fs::write(clock.path(), "tick").unwrap();
        }
    }

    #[tokio::test]
    async fn links_inside_are_content_and_links_outside_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/real"), b"content").unwrap();
        symlink("sub/real", dir.path().join("link")).unwrap();
        let source = DirSource::open(dir.path()).await.unwrap();
        let files = source.list().await.unwrap();
        assert_eq!(files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["link", "sub/real"]);
        assert_eq!(read_all(&source, files[0].clone()).await.unwrap(), b"content");
        symlink("gone", dir.path().join("dangling")).unwrap();
        let error = DirSource::open(dir.path()).await.unwrap_err();
        assert!(matches!(&error, SourceError::DanglingLink { .. }), "{error}");
        assert!(error.to_string().ends_with("dangling` is a link to `gone`, which is not there"), "{error}");
        fs::remove_file(dir.path().join("dangling")).unwrap();
        symlink("/etc/hostname", dir.path().join("out")).unwrap();
        let error = DirSource::open(dir.path()).await.unwrap_err().to_string();
        assert!(error.contains("out` is a link that leaves the directory"), "{error}");
    }

    #[tokio::test]
    async fn the_model_card_names_the_licence() {
        let dir = tempfile::tempdir().unwrap();
        let origin = async || DirSource::open(dir.path()).await.unwrap().origin().clone();
        assert_eq!(origin().await, Origin::default());
        fs::write(dir.path().join("README.md"), "---\nlicense: mit\n---\n# Tiny").unwrap();
        assert_eq!(origin().await, Origin { license: Some("mit".to_owned()), ..Origin::default() });
        fs::write(dir.path().join("README.md"), [0xff; 100]).unwrap();
        assert_eq!(origin().await, Origin::default());
    }

    #[tokio::test]
    async fn git_and_the_notes_of_the_hubs_client_are_not_the_models() {
        let dir = tempfile::tempdir().unwrap();
        let files =
            [".git/config", "a/.git", ".cache/huggingface/x", ".cache/y", "a/.cache/huggingface/z", ".gitignore"];
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        let source = DirSource::open(dir.path()).await.unwrap();
        let files = source.list().await.unwrap();
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [".cache/y", ".gitignore", "a/.cache/huggingface/z"]);
        assert_eq!(source.root(), dir.path().canonicalize().unwrap());
    }

    #[tokio::test]
    async fn links_that_multiply_and_folders_without_end_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for level in 0..23 {
            let folder = dir.path().join(format!("{level}"));
            fs::create_dir(&folder).unwrap();
            let next = format!("../{}", level + 1);
            symlink(&next, folder.join("a")).unwrap();
            symlink(&next, folder.join("b")).unwrap();
        }
        fs::create_dir(dir.path().join("23")).unwrap();
        let error = DirSource::open(dir.path()).await.unwrap_err().to_string();
        assert!(error.ends_with("has more than 100000 entries behind links to folders"), "{error}");

        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("d/".repeat(63))).unwrap();
        fs::write(dir.path().join("d/".repeat(63)).join("f"), b"x").unwrap();
        let source = DirSource::open(dir.path()).await.unwrap();
        assert_eq!(source.list().await.unwrap().len(), 1);
        fs::create_dir(dir.path().join("d/".repeat(64))).unwrap();
        let error = DirSource::open(dir.path()).await.unwrap_err().to_string();
        assert!(error.contains("lies too deep: a path has at most 64 components"), "{error}");
    }

    #[tokio::test]
    async fn a_cache_snapshot_is_a_directory() {
        let cache = tempfile::tempdir().unwrap();
        let model = cache.path().join("models--a--b");
        fs::create_dir_all(model.join("blobs")).unwrap();
        fs::create_dir_all(model.join("snapshots/abc")).unwrap();
        fs::write(model.join("blobs/1"), b"blob").unwrap();
        symlink("../../blobs/1", model.join("snapshots/abc/config.json")).unwrap();
        let source = DirSource::open(model.join("snapshots/abc")).await.unwrap();
        let files = source.list().await.unwrap();
        assert_eq!(read_all(&source, files[0].clone()).await.unwrap(), b"blob");
    }

    #[tokio::test]
    async fn a_file_that_changes_or_shrinks_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), vec![1; 3 * READ_BYTES]).unwrap();
        let source = DirSource::open(dir.path()).await.unwrap();
        let file = source.list().await.unwrap().remove(0);
        assert_eq!(read_all(&source, file.clone()).await.unwrap().len(), 3 * READ_BYTES);
        File::options().write(true).open(dir.path().join("a")).unwrap().set_len(5).unwrap();
        let error = read_all(&source, file).await.unwrap_err();
        assert!(matches!(error, SourceError::Changed { .. }), "{error}");
    }

    #[derive(Debug, Default)]
    struct Noted(Mutex<Vec<Event>>);

    impl Progress for Noted {
        fn report(&self, event: &Event) {
            self.0.lock().unwrap().push(event.clone());
        }
    }

    #[tokio::test]
    async fn hashing_tells_how_far_it_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), vec![1; 5 * READ_BYTES]).unwrap();
        fs::write(dir.path().join("b"), b"").unwrap();
        let noted = Arc::new(Noted::default());
        let source = DirSource::open(dir.path()).await.unwrap().with_progress(Arc::clone(&noted) as _);
        let files = source.list().await.unwrap();
        assert!(source.identify(files).await.unwrap().iter().all(|file| file.content.is_some()));
        assert!(source.identify(Vec::new()).await.unwrap().is_empty());
        let events = noted.0.lock().unwrap().clone();
        let whole = 5 * READ_BYTES as u64;
        assert!(
            matches!(events.first(), Some(Event::HashStarted { files: 2, bytes }) if *bytes == whole),
            "{events:?}"
        );
        assert!(matches!(events.last(), Some(Event::HashDone)), "{events:?}");
        let told = |event: &Event| if let Event::HashAdvanced { bytes } = event { *bytes } else { 0 };
        assert_eq!(events.iter().map(told).collect::<Vec<_>>(), [0, TOLD_BYTES, TOLD_BYTES, READ_BYTES as u64, 0]);
    }

    #[tokio::test]
    async fn a_file_of_another_directory_is_named_with_this_one() {
        let dir = tempfile::tempdir().unwrap();
        let source = DirSource::open(dir.path()).await.unwrap();
        let file = SourceFile { path: "sub/a".parse().unwrap(), size: 1, content: None };
        let error = read_all(&source, file).await.unwrap_err();
        assert_eq!(error.to_string(), format!("`{}` is not there", dir.path().join("sub/a").display()));
        assert_eq!(error.kind(), crate::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_file_that_changes_while_it_is_read_never_gives_its_last_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let size = 8 * READ_BYTES;
        fs::write(&path, vec![1; size]).unwrap();
        let source = DirSource::open(dir.path()).await.unwrap();
        let file = source.list().await.unwrap().remove(0);
        let extent = Extent { offset: 0, len: file.size, file: Arc::new(file) };
        let mut stream = source.read(vec![extent], &ReadBudget::sequential());
        let mut got = stream.next().await.unwrap().unwrap().len();
        // Another time, for clocks that tick slowly.
        let other = File::options().write(true).open(&path).unwrap();
        other.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let error = loop {
            match stream.next().await.unwrap() {
                Ok(bytes) => got += bytes.len(),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, SourceError::Changed { .. }), "{error}");
        assert!(got < size, "{got}");
    }

    #[tokio::test]
    async fn a_file_whose_time_is_put_back_has_changed_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&path, "before").unwrap();
        fs::hard_link(&path, &link).unwrap();
        let source = DirSource::open(dir.path()).await.unwrap();
        let file = source.list().await.unwrap().remove(0);
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        wait_for_tick(&path);
        fs::write(&link, "behind").unwrap();
        put_time_back(&link, time);
        let error = read_all(&source, file).await.unwrap_err();
        assert!(matches!(error, SourceError::Changed { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_file_of_the_same_name_size_and_time_is_another_file() {
        type Change = fn(&Path, &[u8]);
        let size = 3 * READ_BYTES;
        let changes: [(&str, Change); 4] = [
            ("written anew", |path, bytes| {
                fs::remove_file(path).unwrap();
                fs::write(path, bytes).unwrap();
            }),
            ("moved over", |path, bytes| {
                let new = path.with_extension("new");
                fs::write(&new, bytes).unwrap();
                fs::rename(new, path).unwrap();
            }),
            ("truncated and grown", |path, bytes| {
                let file = File::options().write(true).open(path).unwrap();
                file.set_len(0).unwrap();
                file.set_len(bytes.len() as u64).unwrap();
            }),
            ("overwritten", |path, bytes| fs::write(path, bytes).unwrap()),
        ];
        for (name, change) in changes {
            // Before the first byte is read, and while the file is read.
            for read_before in [0, 1] {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("a");
                fs::write(&path, vec![1; size]).unwrap();
                let time = fs::metadata(&path).unwrap().modified().unwrap();
                let source = DirSource::open(dir.path()).await.unwrap();
                let file = source.list().await.unwrap().remove(0);
                let extent = Extent { offset: 0, len: file.size, file: Arc::new(file) };
                let mut reader = (read_before > 0).then(|| ExtentReader::open(&source.files, &extent).unwrap());
                let mut buffer = vec![0; READ_BYTES];
                if let Some(reader) = &mut reader {
                    reader.next(&mut buffer).unwrap();
                }
                wait_for_tick(&path);
                change(&path, &vec![2; size]);
                put_time_back(&path, time);
                let mut read = || {
                    let mut reader = reader.take().map_or_else(|| ExtentReader::open(&source.files, &extent), Ok)?;
                    while reader.next(&mut buffer)?.is_some() {}
                    Ok::<_, SourceError>(())
                };
                let error = read().expect_err(name);
                assert!(matches!(error, SourceError::Changed { .. }), "{name}, {read_before}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn an_empty_file_is_looked_at_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty");
        fs::write(&path, "").unwrap();
        let source = DirSource::open(dir.path()).await.unwrap();
        let files = source.list().await.unwrap();
        assert!(source.identify(files.clone()).await.unwrap()[0].content.is_some());
        fs::write(&path, "grown").unwrap();
        let error = source.identify(files.clone()).await.unwrap_err();
        assert!(matches!(error, SourceError::Changed { .. }), "{error}");
        fs::remove_file(&path).unwrap();
        assert_eq!(source.identify(files).await.unwrap_err().kind(), crate::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn an_unwanted_entry_that_can_not_be_packed_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b\\c"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        fs::create_dir(dir.path().join("d")).unwrap();
        symlink("/etc/hostname", dir.path().join("d/link")).unwrap();
        for unwanted in [&["b\\c"][..], &["d/", "d/link"], &[]] {
            let open = DirSource::open_without(dir.path(), Unwanted::by(move |name| unwanted.contains(&name))).await;
            assert!(matches!(open, Err(SourceError::BadEntry { .. })), "{unwanted:?}");
        }
        // Nothing of an unwanted folder is packed, whether it was listed before the bad entry or behind it.
        for name in ["d/a", "d/z"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        for (unwanted, expected) in [(["b\\c", "d/"], 1), (["b\\c", "d/link"], 3)] {
            let open = DirSource::open_without(dir.path(), Unwanted::by(move |name| unwanted.contains(&name))).await;
            assert_eq!(open.unwrap().list().await.unwrap().len(), expected);
        }
    }

    #[tokio::test]
    async fn a_missing_directory_and_a_file_say_so() {
        let error = DirSource::open("/nonexistent/x").await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::NotFound);
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DirSource::open(file.path()).await.unwrap_err();
        assert!(matches!(&error, SourceError::NotADirectory { path } if path == file.path()), "{error}");
    }
}
