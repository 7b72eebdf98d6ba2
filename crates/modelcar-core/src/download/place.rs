//! Where the files of a download lie, finished and unfinished. No link is followed.

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

/// Most bytes of a file's own name in the name of an unfinished file.
const NAME_BYTES: usize = 100;

/// How files lie in the folder of a download.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DownloadLayout {
    /// As they lie in the model.
    #[default]
    Flat,
    /// As the Hugging Face tools keep them: blobs, snapshots with links to them, and names of revisions.
    HubCache,
}

/// The folder of a download. It belongs to one download at a time, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    /// As it was named.
    given: PathBuf,
    /// Absolute and without links.
    root: PathBuf,
    model: Option<Cached>,
    _lock: File,
}

/// A model's place in a Hugging Face cache.
#[derive(Debug)]
struct Cached {
    folder: String,
    commit: String,
    revision: Option<ModelPath>,
}

impl Cached {
    fn of(open: &OpenSource) -> Option<Self> {
        let (SourceRef::Hub(model) | SourceRef::HubCache(model)) = &open.name else { return None };
        let origin = open.source.origin();
        let commit = origin.commit.clone()?;
        // What is no path can't be asked of a cache either.
        let revision = origin.version.as_ref().filter(|revision| **revision != commit);
        let revision = revision.and_then(|revision| revision.parse().ok());
        Some(Self { folder: Repo::model(model.repository().to_owned()).folder_name(), commit, revision })
    }
}

impl Place {
    /// Makes `folder` if it is not there, and takes it.
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
            // A file system that has no locks is used without.
            _ => Ok(Self { given: folder.to_owned(), root, model, _lock: lock }),
        }
    }

    /// Returns the folder with the model's files, as it was named.
    pub(super) fn folder(&self) -> PathBuf {
        match &self.model {
            None => self.given.clone(),
            Some(model) => self.given.join(&model.folder).join("snapshots").join(&model.commit),
        }
    }

    /// Returns the bytes that are free for this user.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.root).ok()?;
        disk.f_bavail.checked_mul(disk.f_frsize)
    }

    /// Returns where the bytes of a file belong, and where they lie as long as they are not all there. Makes the folders.
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

    /// Gives the files their names, once all are there: in a cache the links of the snapshot, and last the revision.
    /// Removes what earlier downloads left unfinished.
    pub(super) fn finish(&self, files: &[SourceFile]) -> Result<(), DownloadError> {
        let Some(model) = &self.model else {
            let unfinished = self.root.join(UNFINISHED);
            if unfinished.is_dir() {
                fs::remove_dir_all(&unfinished).map_err(io("remove", &unfinished))?;
                // Others keep their notes in the folder above.
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

    /// Returns the place of a file below the root, where a file is or nothing.
    fn file(&self, path: &str) -> Result<PathBuf, DownloadError> {
        let place = self.beside(path)?;
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_symlink() => Err(DownloadError::Link { path: place }),
            Ok(found) if !found.is_file() => Err(DownloadError::InTheWay { path: place, wanted: "file" }),
            _ => Ok(place),
        }
    }

    /// Returns a place below the root whose folders are real ones. Makes them where they are not there.
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

/// Makes a file or link under another name and renames it, so that it is whole whenever it is there.
fn replace(place: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), DownloadError> {
    let mut name = place.file_name().unwrap_or_default().to_owned();
    name.push(".modelcar");
    // A longer name may be none, and the folder is ours as long as the lock is held.
    let new = place.with_file_name(if name.len() > 255 { OsString::from(".modelcar") } else { name });
    drop(fs::remove_file(&new));
    make(&new).and_then(|()| fs::rename(&new, place)).map_err(io("write", place))
}

fn hex(content: ContentId) -> String {
    content.to_string().split(':').next_back().unwrap_or_default().to_owned()
}

/// Returns what makes an error of a failed `act` on `path`.
pub(super) fn io(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DownloadError {
    let path = path.to_owned();
    move |source| DownloadError::Io { act, path, source }
}
