//! Manifest files whose references are pinned: all are read and planned first, then each is replaced as a whole.
//!
//! A file is written beside the old one and renamed over it, so that nobody reads half a file, and a failure leaves the
//! old one. Mode, owner and a link to the file stay.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use modelcar_core::files;
use modelcar_kserve::pin::{PinTarget, Pinned, pin};

use crate::hint::Failure;

/// Largest manifest that is read, in bytes. Kubernetes takes objects of about 1.5 MiB; a file may have many.
const MANIFEST_MAX_BYTES: u64 = 16 << 20;

/// A manifest, and what it is to become.
pub(super) struct Manifest {
    /// The file as the user names it.
    pub(super) name: PathBuf,
    /// The file itself, without links.
    file: PathBuf,
    /// Its content.
    pub(super) text: String,
    /// Its content with the references pinned.
    pub(super) pinned: Pinned,
}

impl Manifest {
    /// Returns whether there is anything to write.
    pub(super) fn is_changed(&self) -> bool {
        !self.pinned.edits.is_empty()
    }
}

/// Reads files and plans their pins. A file that is named twice is there once.
///
/// # Errors
/// When one of them can't be read or pinned. Nothing is written, whatever happens.
pub(super) fn plan(names: &[PathBuf], target: &PinTarget) -> Result<Vec<Manifest>, Failure> {
    let mut manifests: Vec<Manifest> = Vec::new();
    for name in names {
        if name.as_os_str() == "-" {
            return Err(Failure::say("stdin can't be pinned").hint("name files: pin changes them in place"));
        }
        let failed = |error: io::Error| unreadable(name, error);
        let file = fs::canonicalize(name).map_err(failed)?;
        if manifests.iter().any(|manifest| manifest.file == file) {
            continue;
        }
        let text = String::from_utf8(files::read(&file, MANIFEST_MAX_BYTES).map_err(failed)?).map_err(|_| {
            Failure::say(format!("`{}` is not a text in UTF-8", name.display())).hint("save the file as UTF-8")
        })?;
        let pinned = pin(&text, target).map_err(|error| Failure::from(error).during(act(name)))?;
        manifests.push(Manifest { name: name.clone(), file, text, pinned });
    }
    Ok(manifests)
}

/// Returns whether there is a reference in any of the manifests.
pub(super) fn has_references(manifests: &[Manifest]) -> bool {
    manifests.iter().any(|manifest| !manifest.pinned.references.is_empty())
}

/// Checks that the files can be replaced, and leaves them as they are.
///
/// # Errors
/// When a file is read-only, or its folder takes no new file.
pub(super) fn check_writable(manifests: &[Manifest]) -> Result<(), Failure> {
    manifests.iter().try_for_each(|manifest| Beside::create(manifest).map(drop))
}

/// Writes all manifests that change. No file is replaced before every new content is on the disk.
///
/// # Errors
/// When a file can't be written, or is no longer what was read. Files that were replaced by then are named.
pub(super) fn write(manifests: &[Manifest]) -> Result<(), Failure> {
    let changed = || manifests.iter().filter(|manifest| manifest.is_changed());
    let written: Result<Vec<Beside<'_>>, Failure> = changed().map(Beside::create).map(|new| new?.filled()).collect();
    let mut done: Vec<String> = Vec::new();
    for new in written? {
        let name = new.manifest.name.display().to_string();
        new.replace().map_err(|failure| match done.as_slice() {
            [] => failure,
            done => failure.hint(format!("already pinned: {}", done.join(", "))),
        })?;
        done.push(name);
    }
    Ok(())
}

/// The new content of a manifest, in a file beside it. Dropped, the file is removed, unless it took the manifest's place.
struct Beside<'m> {
    manifest: &'m Manifest,
    path: PathBuf,
    file: File,
    is_renamed: bool,
}

impl<'m> Beside<'m> {
    /// Makes an empty file in the folder of the manifest, if the manifest may be written.
    fn create(manifest: &'m Manifest) -> Result<Self, Failure> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let failed = |error: io::Error| Failure::new(error, act(&manifest.name));
        let mode = fs::metadata(&manifest.file).map_err(failed)?.mode();
        // A rename needs no right to the file. Whoever made it read-only did not want it changed.
        if mode & 0o222 == 0 || fs::OpenOptions::new().write(true).open(&manifest.file).is_err() {
            let error = io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only");
            let hint = format!("make it writable: chmod u+w {}", manifest.name.display());
            return Err(failed(error).hint(hint));
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = manifest.file.with_file_name(format!(".modelcar-{}-{number}.partial", process::id()));
        let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = opened.map_err(|error| {
            failed(error).hint("the new file is made beside the old one: its folder has to be writable")
        })?;
        Ok(Self { manifest, path, file, is_renamed: false })
    }

    /// Writes the new content, with the owner and mode of the manifest.
    fn filled(mut self) -> Result<Self, Failure> {
        let mut fill = || {
            let old = fs::metadata(&self.manifest.file)?;
            let new = self.file.metadata()?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                // Only root gives files away. For others the file becomes theirs, as with an editor.
                drop(fchown(&self.file, Some(old.uid()), Some(old.gid())));
            }
            self.file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
            self.file.write_all(self.manifest.pinned.text.as_bytes())?;
            self.file.sync_all()
        };
        fill().map_err(|error| Failure::new(error, act(&self.manifest.name)))?;
        Ok(self)
    }

    /// Takes the place of the manifest, if it still has the content that was read.
    fn replace(mut self) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::new(error, act(&self.manifest.name));
        let now = files::read(&self.manifest.file, MANIFEST_MAX_BYTES).map_err(failed)?;
        if now != self.manifest.text.as_bytes() {
            let name = self.manifest.name.display();
            return Err(Failure::say(format!("`{name}` was changed by another program")).hint("run pin again"));
        }
        fs::rename(&self.path, &self.manifest.file).map_err(failed)?;
        self.is_renamed = true;
        Ok(())
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        if !self.is_renamed {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Returns what is being done, for messages.
fn act(name: &Path) -> String {
    format!("pin `{}`", name.display())
}

fn unreadable(name: &Path, error: io::Error) -> Failure {
    let (kind, is_folder) = (error.kind(), name.is_dir());
    let failure = Failure::new(error, act(name));
    match kind {
        _ if is_folder => failure.hint(format!("name the files in the folder: {}/*.yaml", name.display())),
        io::ErrorKind::NotFound => failure.hint("check the path of the file"),
        io::ErrorKind::FileTooLarge => failure.hint("split the file: a manifest has a few kilobytes"),
        _ => failure,
    }
}
