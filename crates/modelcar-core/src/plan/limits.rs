//! Checks whether the paths of an image's files can exist together in one file system.
//!
//! The paths are untrusted: the owner of the source or the author of the lock file chose them. Files that stay out of
//! the image are not checked.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;

use super::PlanError;
use crate::ModelPath;

/// Most folders of an image. Each folder is a tar entry that holds the folder's whole path, so a small listing of deep
/// paths could demand much memory. The limit equals the number of entries that a listing of the Hub may have.
pub(super) const FOLDERS_MAX: usize = 100_000;
/// Most bytes of the paths of all folders together.
pub(super) const FOLDER_NAMES_MAX_BYTES: usize = 32 << 20;

/// Checks the paths of an image's files, which have to be sorted and distinct.
///
/// # Errors
/// [`PlanError::TooManyFolders`]. [`PlanError::SameName`] and [`PlanError::FileAndFolder`] when two paths collide, if
/// only on a file system that ignores letter case or Unicode normalization.
pub(super) fn check<'a>(paths: impl Iterator<Item = &'a ModelPath> + Clone) -> Result<(), PlanError> {
    let (mut folders, mut bytes) = (0_usize, 0_usize);
    for folder in self::folders(paths.clone()) {
        folders += 1;
        bytes += folder.1.len();
        if folders > FOLDERS_MAX || bytes > FOLDER_NAMES_MAX_BYTES {
            return Err(PlanError::TooManyFolders);
        }
    }
    let mut seen: BTreeMap<String, &ModelPath> = BTreeMap::new();
    for path in paths.clone() {
        if let Some(other) = seen.insert(folded(path.as_str()), path) {
            return Err(PlanError::SameName { first: other.clone(), second: path.clone() });
        }
    }
    for (inside, folder) in self::folders(paths) {
        if let Some(file) = seen.get(&folded(folder)) {
            return Err(PlanError::FileAndFolder { file: (*file).clone(), inside: inside.clone() });
        }
    }
    Ok(())
}

/// Returns every folder once, with the first file in that folder. In sorted paths the files of one folder are
/// neighbours, so a folder is new unless the previous path is in that folder too.
fn folders<'a>(paths: impl Iterator<Item = &'a ModelPath>) -> impl Iterator<Item = (&'a ModelPath, &'a str)> {
    let mut before = "";
    paths.flat_map(move |path| {
        let same = before.bytes().zip(path.as_str().bytes()).take_while(|(a, b)| a == b).count();
        before = path.as_str();
        path.ancestors().filter(move |folder| folder.len() >= same).map(move |folder| (path, folder))
    })
}

/// Returns the form in which colliding paths are equal: lower case, in Unicode normalization form C. Lower-casing can
/// undo the composition, so the path is normalized before and after.
fn folded(path: &str) -> String {
    path.nfc().flat_map(char::to_lowercase).nfc().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn checked<S: AsRef<str>>(paths: &[S]) -> Result<(), PlanError> {
        let paths: BTreeSet<ModelPath> = paths.iter().map(|path| path.as_ref().parse().unwrap()).collect();
        check(paths.iter())
    }

    #[test]
    fn files_that_would_land_on_one_another_are_refused() {
        for (paths, told) in [
            (["README.md", "readme.MD"], "`README.md` and `readme.MD` differ only in letter case or Unicode form"),
            (["caf\u{e9}", "cafe\u{301}"], "`cafe\u{301}` and `caf\u{e9}` differ only in letter case or Unicode form"),
            (["CAF\u{c9}", "cafe\u{301}"], "`CAF\u{c9}` and `cafe\u{301}` differ only in letter case or Unicode form"),
            (["a", "a/b"], "`a` is a file and the folder of `a/b`"),
            (["A", "a/b/c"], "`A` is a file and the folder of `a/b/c`"),
            (["a/B", "a/b/c/d"], "`a/B` is a file and the folder of `a/b/c/d`"),
        ] {
            assert_eq!(checked(&paths).unwrap_err().to_string(), told);
        }
        checked(&["a.txt", "a/b", "a/c", "a-b/c", "ab", "b/a"]).unwrap();
    }

    #[test]
    fn a_small_listing_can_t_ask_for_more_folders_than_fit() {
        let deep = |files: usize, depth: usize| -> Vec<String> {
            let path = |at: usize| (0..depth).fold(String::new(), |path, level| format!("{path}{at}-{level}/")) + "f";
            (0..files).map(path).collect()
        };
        checked(&deep(1500, 63)).unwrap();
        let error = checked(&deep(10_000, 63)).unwrap_err().to_string();
        assert_eq!(error, "the files lie in too many folders: at most 100000, with names of at most 32 MiB in all");
        let long: Vec<String> = (0..3000)
            .map(|at| (0..15).fold(format!("{at}"), |path, _| format!("{path}/{}", "n".repeat(250))))
            .collect();
        assert!(matches!(checked(&long).unwrap_err(), PlanError::TooManyFolders));
        // Many files in few folders are an ordinary data set.
        let flat: Vec<String> = (0..100_000).map(|at| format!("data/{}/{at}", at % 1000)).collect();
        checked(&flat).unwrap();
    }

    proptest! {
        #[test]
        fn every_folder_comes_once(names in proptest::collection::btree_set("[a-c.]{0,1}[ab]{1,2}(/[ab]{1,2}){0,4}", 0..20)) {
            let paths: BTreeSet<ModelPath> = names.iter().map(|name| name.parse().unwrap()).collect();
            let expected: BTreeSet<&str> = paths.iter().flat_map(ModelPath::ancestors).collect();
            let found: Vec<&str> = folders(paths.iter()).map(|(_, folder)| folder).collect();
            prop_assert_eq!(found.len(), expected.len());
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }
}
