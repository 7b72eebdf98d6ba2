//! The paths of a download's files, finished and unfinished. No symbolic link below the folder is followed.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use hf_hub::Repo;
use rustix::fs::FlockOperation;

use super::DownloadError;
use crate::{
    ContentId, Digest, ModelPath,
    source::{OpenSource, SourceFile, SourceRef, UNFINISHED},
};

/// Most bytes that the name of an unfinished file takes over from the file's own name.
const NAME_BYTES: usize = 100;

/// How the files of a download are laid out in the folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DownloadLayout {
    /// Each file at its path inside the model.
    #[default]
    Flat,
    /// The layout of the Hugging Face cache: `blobs` with the contents, `snapshots` with links to the blobs, and `refs`
    /// with the commits of revisions.
    HubCache,
}

/// The folder of a download, locked against other downloads of this library until this value is dropped.
#[derive(Debug)]
pub(super) struct Place {
    /// The folder as the caller named it.
    given: PathBuf,
    /// The folder's absolute path without links.
    root: PathBuf,
    /// The place in the Hugging Face cache; `None` for the flat layout.
    model: Option<Cached>,
    _lock: File,
}

/// A model's place in a Hugging Face cache.
#[derive(Debug)]
struct Cached {
    /// Name of the model's folder: `models--owner--name`.
    folder: String,
    commit: String,
    /// Branch or tag that was asked for; `None` when a commit was.
    revision: Option<ModelPath>,
}

impl Cached {
    fn of(open: &OpenSource) -> Option<Self> {
        let (SourceRef::Hub(model) | SourceRef::HubCache(model)) = &open.name else { return None };
        let origin = open.source.origin();
        let commit = origin.commit.clone()?;
        // A revision that is not a path has no file in `refs`.
        let revision = origin.version.as_ref().filter(|revision| **revision != commit);
        let revision = revision.and_then(|revision| revision.parse().ok());
        Some(Self { folder: Repo::model(model.repository().to_owned()).folder_name(), commit, revision })
    }
}

impl Place {
    /// Creates `folder` if it is missing, and locks it.
    pub(super) fn open(folder: &Path, layout: DownloadLayout, open: &OpenSource) -> Result<Self, DownloadError> {
        let model = match layout {
            DownloadLayout::Flat => None,
            DownloadLayout::HubCache => {
                Some(Cached::of(open).ok_or_else(|| DownloadError::NotOfTheHub(open.name.clone()))?)
            }
        };
        fs::create_dir_all(folder).map_err(io("make the folder", folder))?;
        let root = fs::canonicalize(folder).map_err(io("open", folder))?;
        let lock = File::open(&root).map_err(io("open", folder))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => Err(DownloadError::Busy { folder: folder.to_owned() }),
            // Where the file system has no locks, the folder is used without one.
            _ => Ok(Self { given: folder.to_owned(), root, model, _lock: lock }),
        }
    }

    /// Returns the folder with the model's files, below the folder as the caller named it.
    pub(super) fn folder(&self) -> PathBuf {
        match &self.model {
            None => self.given.clone(),
            Some(model) => self.given.join(&model.folder).join("snapshots").join(&model.commit),
        }
    }

    /// Returns the bytes on the disk that are free for this user; `None` when the system does not say.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.root).ok()?;
        disk.f_bavail.checked_mul(disk.f_frsize)
    }

    /// Returns the path of a file, and the path of the file while it is unfinished. Creates the folders of both.
    pub(super) fn of(&self, file: &SourceFile) -> Result<(PathBuf, PathBuf), DownloadError> {
        let content = file.content.map(hex);
        if let (Some(model), Some(content)) = (&self.model, &content) {
            let blob = format!("{}/blobs/{content}", model.folder);
            return Ok((self.file(&blob)?, self.file(&format!("{blob}.modelcar.incomplete"))?));
        }
        let path = file.path.as_str();
        if path.strip_prefix(UNFINISHED).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Err(DownloadError::Reserved { path: file.path.clone() });
        }
        let name = file.path.file_name();
        let end = (0..=name.len().min(NAME_BYTES)).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        let place = Digest::of(path).hex();
        let (name, place) = (&name[..end], &place[..16]);
        let content = content.as_deref().unwrap_or("unknown");
        let partial = format!("{UNFINISHED}/{name}.{place}.{content}.incomplete");
        Ok((self.file(path)?, self.file(&partial)?))
    }

    /// Completes the download when all files are there. In the flat layout, removes the folder of unfinished files. In
    /// the layout of the Hugging Face cache, writes the links of the snapshot and at last the commit of the revision.
    pub(super) fn finish(&self, files: &[SourceFile]) -> Result<(), DownloadError> {
        let Some(model) = &self.model else {
            let unfinished = self.root.join(UNFINISHED);
            if unfinished.is_dir() {
                fs::remove_dir_all(&unfinished).map_err(io("remove", &unfinished))?;
                // `.cache` is removed only if it is empty: other programs keep files in it.
                drop(unfinished.parent().map(fs::remove_dir));
            }
            return Ok(());
        };
        for file in files {
            let Some(content) = file.content.map(hex) else { continue };
            let up = "../".repeat(file.path.as_str().matches('/').count());
            let link = format!("{}/snapshots/{}/{}", model.folder, model.commit, file.path);
            let (link, target) = (self.beside(&link)?, format!("../../{up}blobs/{content}"));
            if fs::read_link(&link).is_ok_and(|found| found == Path::new(&target)) {
                continue;
            }
            replace(&link, |new| symlink(&target, new))?;
        }
        if let Some(revision) = &model.revision {
            let place = self.file(&format!("{}/refs/{revision}", model.folder))?;
            replace(&place, |new| fs::write(new, &model.commit))?;
        }
        Ok(())
    }

    /// Returns the path of a file below the root. Fails when a link or a folder has this path.
    fn file(&self, path: &str) -> Result<PathBuf, DownloadError> {
        let place = self.beside(path)?;
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_symlink() => Err(DownloadError::Link { path: place }),
            Ok(found) if !found.is_file() => Err(DownloadError::InTheWay { path: place, wanted: "file" }),
            _ => Ok(place),
        }
    }

    /// Returns a path below the root, and creates the missing folders on the way. Fails when a link or a file is among
    /// these.
    fn beside(&self, path: &str) -> Result<PathBuf, DownloadError> {
        let mut place = self.root.clone();
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
            place.push(folder);
            if let Err(error) = fs::create_dir(&place)
                && error.kind() != ErrorKind::AlreadyExists
            {
                return Err(io("make the folder", &place)(error));
            }
            let found = fs::symlink_metadata(&place).map_err(io("look at", &place))?;
            if found.is_symlink() {
                return Err(DownloadError::Link { path: place });
            }
            if !found.is_dir() {
                return Err(DownloadError::InTheWay { path: place, wanted: "folder" });
            }
        }
        Ok(place.join(name))
    }
}

/// Creates a file or link with a temporary name and renames it to `place`, so that no program ever sees a part of it.
fn replace(place: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), DownloadError> {
    let mut name = place.file_name().unwrap_or_default().to_owned();
    name.push(".modelcar");
    // File systems refuse names of more than 255 bytes. No other download uses the short name while the lock is held.
    let new = place.with_file_name(if name.len() > 255 { OsString::from(".modelcar") } else { name });
    drop(fs::remove_file(&new));
    make(&new).and_then(|()| fs::rename(&new, place)).map_err(io("write", place))
}

/// Returns the hexadecimal digits of a content id, which are the name of the blob in the cache.
fn hex(content: ContentId) -> String {
    content.to_string().split(':').next_back().unwrap_or_default().to_owned()
}

/// Returns a function that turns the failure of `act` on `path` into a [`DownloadError`].
pub(super) fn io(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DownloadError {
    let path = path.to_owned();
    move |source| DownloadError::Io { act, path, source }
}
