//! Folders of files and how they differ.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Returns the files below a folder by their relative paths.
pub(crate) fn list(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned(), path);
            }
        }
    }
    found
}

/// Asserts that `unpacked` holds the model's files, git's own excepted, with the modes and owners of the layer format.
pub(crate) fn assert_unpacked(model: &Path, unpacked: &Path) {
    let mut wanted = list(model);
    wanted.retain(|path, _| !path.split('/').any(|component| component.starts_with(".git")));
    let found = list(unpacked);
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    assert_entry(unpacked, 0o040_755);
    for (path, file) in &found {
        assert!(fs::read(file).unwrap() == fs::read(&wanted[path]).unwrap(), "content of {path} differs");
        assert_entry(file, 0o100_644);
        let folders = file.ancestors().skip(1).take_while(|folder| *folder != unpacked);
        folders.for_each(|folder| assert_entry(folder, 0o040_755));
    }
}

fn assert_entry(path: &Path, mode: u32) {
    let meta = path.symlink_metadata().unwrap();
    assert_eq!(format!("{:o}", meta.mode()), format!("{mode:o}"), "mode of {}", path.display());
    if is_root() {
        assert_eq!((meta.uid(), meta.gid()), (0, 0), "owner of {}", path.display());
    }
}

/// Sets the mode of a file or folder.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Returns whether this process may give files to anyone.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}
