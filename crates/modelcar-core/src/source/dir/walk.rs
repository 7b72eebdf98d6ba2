//! Walks a directory: lists the files below it, resolves links, and records size, time and inode of each file, by which
//! a later change is noticed.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    ModelPath,
    path::COMPONENTS_MAX,
    source::{SourceError, Unwanted},
};

/// Most entries that are visited through links to folders. A few folders that link to one another can multiply into
/// very many entries. The limit equals the number of entries that a listing of the Hub may have.
pub(super) const LINKED_MAX: usize = 100_000;
/// Folder in which `hf download --local-dir` keeps notes about the downloaded files.
const CLIENT_NOTES: &str = ".cache/huggingface";

/// Folder in which a download of this library keeps unfinished files. A download that completes removes the folder.
pub(crate) const UNFINISHED: &str = ".cache/modelcar";

/// A file that was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Path on the file system, with all links resolved.
    pub(super) place: PathBuf,
    pub(super) stamp: Stamp,
}

/// Metadata of a file by which a change is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// In bytes.
    pub(super) size: u64,
    /// Seconds since 1970, and nanoseconds.
    modified: (i64, i64),
    /// Time of the last change of content or properties. Nobody can put it back, as the other time can be.
    changed: (i64, i64),
    inode: (u64, u64),
}

impl Stamp {
    pub(super) fn of(meta: &Metadata) -> Self {
        Self {
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            inode: (meta.dev(), meta.ino()),
        }
    }
}

impl Found {
    pub(super) fn fault(&self, act: &'static str, source: io::Error) -> SourceError {
        SourceError::Io { act, path: self.place.clone(), source }
    }

    pub(super) fn changed(&self, reason: &str) -> SourceError {
        SourceError::Changed { path: self.place.clone(), reason: reason.to_owned() }
    }

    /// Checks that an open file is still the file that was found.
    pub(super) fn check(&self, file: &File) -> Result<(), SourceError> {
        match file.metadata() {
            Ok(meta) if Stamp::of(&meta) == self.stamp => Ok(()),
            Ok(_) => Err(self.changed("its size, times or inode differ from the listing")),
            Err(error) => Err(self.fault("look at", error)),
        }
    }
}

/// Returns the directory's absolute path without links, and the files below the directory. An entry that can't be
/// packed is skipped if it is `unwanted`, and an error otherwise.
pub(super) fn walk(root: &Path, unwanted: Unwanted) -> Result<(PathBuf, BTreeMap<ModelPath, Found>), SourceError> {
    let fault = |act, path: &Path| {
        let path = path.to_owned();
        move |source| SourceError::Io { act, path, source }
    };
    let home = fs::canonicalize(root).map_err(fault("open", root))?;
    if !home.is_dir() {
        return Err(SourceError::NotADirectory { path: root.to_owned() });
    }
    let mut walk =
        Walk { fence: fence(&home), unwanted, files: BTreeMap::new(), above: Vec::new(), links: 0, linked: 0 };
    walk.folder(&home, "")?;
    settle(&walk.files);
    Ok((home, walk.files))
}

/// Longest step of the clock that file systems take times from.
const CLOCK_STEP: Duration = Duration::from_millis(10);

/// Waits until a change of any file would get another time than the file has now. Without the wait, a file that was
/// written just now could change again within one step of the clock, and nobody would know.
fn settle(files: &BTreeMap<ModelPath, Found>) {
    let Some((seconds, nanos)) = files.values().map(|found| found.stamp.changed).max() else { return };
    let at = u64::try_from(seconds).ok().zip(u32::try_from(nanos).ok());
    let Some(last) = at.and_then(|(seconds, nanos)| UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))) else {
        return;
    };
    // A time in the future is that of another machine's clock, which says nothing of now.
    if let Ok(age) = SystemTime::now().duration_since(last) {
        thread::sleep(CLOCK_STEP.saturating_sub(age));
    }
}

/// Returns the folder that links may not leave: the directory itself or, for a snapshot of the Hugging Face cache
/// (`models--a--b/snapshots/<commit>`), the model's folder there, since the snapshot links to `../../blobs`.
fn fence(home: &Path) -> PathBuf {
    let model = home.parent().filter(|parent| parent.ends_with("snapshots")).and_then(Path::parent);
    match model {
        Some(model) if model.join("blobs").is_dir() => model.to_owned(),
        _ => home.to_owned(),
    }
}

/// A walk in progress.
struct Walk {
    /// The folder that no link may leave.
    fence: PathBuf,
    unwanted: Unwanted,
    files: BTreeMap<ModelPath, Found>,
    /// The folders from the root to the current folder, by which a cycle of links is noticed.
    above: Vec<PathBuf>,
    /// Number of links to folders on the way from the root to the current folder.
    links: usize,
    /// Number of entries that were visited so far through links to folders.
    linked: usize,
}

impl Walk {
    /// Visits the entries of a folder. `prefix` is the folder's path inside the model, with `/` at the end.
    fn folder(&mut self, folder: &Path, prefix: &str) -> Result<(), SourceError> {
        let fault = |source| SourceError::Io { act: "list", path: folder.to_owned(), source };
        if self.above.len() == COMPONENTS_MAX {
            return Err(bad(folder, &format!("lies too deep: a path has at most {COMPONENTS_MAX} components")));
        }
        self.above.push(folder.to_owned());
        for entry in fs::read_dir(folder).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            let place = entry.path();
            self.linked += usize::from(self.links > 0);
            if self.linked > LINKED_MAX {
                return Err(SourceError::TooManyLinked { path: place, max: LINKED_MAX });
            }
            let name = entry.file_name();
            let path = format!("{prefix}{}", name.to_string_lossy());
            if name == ".git" || path == CLIENT_NOTES {
                continue;
            }
            if path == UNFINISHED {
                return Err(SourceError::Unfinished { path: place });
            }
            let (above, links, linked) = (self.above.len(), self.links, self.linked);
            let outcome = match name.to_str() {
                Some(_) => self.entry(&place, &path),
                None => Err(bad(&place, "has a name that is not UTF-8")),
            };
            if let Err(error) = outcome {
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if !self.unwanted.has(&format!("{path}{}", if is_folder { "/" } else { "" })) {
                    return Err(error);
                }
                self.forget(&path);
                self.above.truncate(above);
                (self.links, self.linked) = (links, linked);
            }
        }
        self.above.pop();
        Ok(())
    }

    /// Removes what was listed of a folder that turned out to hold an entry that can't be packed. Otherwise the order
    /// in which the system lists the folder would decide what is packed.
    fn forget(&mut self, folder: &str) {
        let inside = |path: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        self.files.retain(|path, _| !inside(path.as_str()));
    }

    /// Visits an entry at `place` on the file system, which is at `path` inside the model.
    fn entry(&mut self, place: &Path, path: &str) -> Result<(), SourceError> {
        let fault = |source| SourceError::Io { act: "look at", path: place.to_owned(), source };
        // `place` has no links above its last component, so only a link as the last component can lead elsewhere.
        let is_link = fs::symlink_metadata(place).map_err(fault)?.is_symlink();
        let real = if is_link { follow(place)? } else { place.to_owned() };
        if !real.starts_with(&self.fence) {
            return Err(bad(place, &format!("is a link that leaves the directory, to `{}`", real.display())));
        }
        let meta = fs::metadata(&real).map_err(fault)?;
        if meta.is_dir() {
            if self.above.contains(&real) {
                return Err(bad(place, "is a link to a folder above itself"));
            }
            self.links += usize::from(is_link);
            self.folder(&real, &format!("{path}/"))?;
            self.links -= usize::from(is_link);
            return Ok(());
        }
        if !meta.is_file() {
            return Err(bad(place, "is neither a file nor a folder"));
        }
        let path: ModelPath = path.parse().map_err(|error| bad(place, &format!("can't be packed: {error}")))?;
        self.files.insert(path, Found { place: real, stamp: Stamp::of(&meta) });
        Ok(())
    }
}

/// Returns the path that a link leads to, with all links resolved.
fn follow(link: &Path) -> Result<PathBuf, SourceError> {
    fs::canonicalize(link).map_err(|source| match fs::read_link(link) {
        Ok(target) if source.kind() == io::ErrorKind::NotFound => {
            SourceError::DanglingLink { path: link.to_owned(), target }
        }
        _ => SourceError::Io { act: "look at", path: link.to_owned(), source },
    })
}

fn bad(place: &Path, reason: &str) -> SourceError {
    SourceError::BadEntry { path: place.to_owned(), reason: reason.to_owned() }
}
