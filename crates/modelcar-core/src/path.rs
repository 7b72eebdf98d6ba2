//! The path of a file inside a model. The path is checked when it is parsed, so that no other module has to check it.
//!
//! Paths come from the Hub, from a directory or from a lock file, so a path may be hostile: `../../etc/passwd`, for
//! example.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

use crate::{
    digest::serde_as_text,
    error::{ErrorKind, ModelcarError},
    text::{EXCERPT_MAX_CHARS, cut},
};

/// A relative path with `/` separators that stays inside the model's folder.
///
/// A `ModelPath` is never empty and never absolute. It has no `.`, `..` or empty component, no control character and
/// no backslash. No component starts with `.wh.`, which the OCI image-spec (layer.md, "Whiteouts") reserves for
/// deleted files.
///
/// A path has at most 4096 bytes and 64 components, and a component has at most 255 bytes. Letter case and Unicode
/// form are kept as they are. Paths are compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelPath(String);

/// A text that can't be the path of a file in a model. The message quotes the start of the text and names the first rule
/// that the text breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path {path:?} {reason}")]
pub struct InvalidPath {
    /// The text that was to be parsed.
    path: String,
    /// The end of the message, which follows the path: `is empty`.
    reason: &'static str,
}

impl ModelcarError for InvalidPath {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

impl ModelPath {
    /// Returns the path as text, without the folder `models/` of the image before it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the last component: `c.txt` for `a/b/c.txt`.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Returns every folder above the file, outermost first: `a`, then `a/b` for `a/b/c`. A file at the top has none.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

/// Returns whether the last component of `name` ends in a dot and `extension`. Letter case does not matter.
///
/// A name that has nothing before the dot, such as `.gguf`, has no extension.
pub(crate) fn has_extension(name: &str, extension: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or(name);
    name.rsplit_once('.').is_some_and(|(stem, found)| !stem.is_empty() && found.eq_ignore_ascii_case(extension))
}

/// Returns whether a file of this name or path is the projector of a GGUF model, the part that turns images into
/// tokens.
///
/// A projector can't be served alone, and is not counted as another model beside the model that it belongs to.
/// llama.cpp names such files with `mmproj`; only the last component of `name` is looked at.
pub(crate) fn is_projector(name: &str) -> bool {
    name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase().contains("mmproj")
}

impl FromStr for ModelPath {
    type Err = InvalidPath;

    /// Parses a path and checks every rule of [`ModelPath`].
    fn from_str(path: &str) -> Result<Self, InvalidPath> {
        match flaw(path) {
            None => Ok(Self(path.to_owned())),
            Some(reason) => Err(InvalidPath { path: cut(path, EXCERPT_MAX_CHARS), reason }),
        }
    }
}

/// Largest number of components of a path, the file's own name among them.
///
/// Each folder above a file is an entry of the layer, with the names of all folders above it. Without a limit, one
/// short path of many components would make very many headers.
pub(crate) const COMPONENTS_MAX: usize = 64;

/// Returns what is wrong with a path as the end of a sentence, or `None` for a path that may be used.
fn flaw(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("is empty");
    }
    if path.len() > 4096 {
        return Some("is longer than 4096 bytes");
    }
    if path.starts_with('/') {
        return Some("is absolute");
    }
    if path.chars().any(char::is_control) {
        return Some("holds a control character");
    }
    if path.contains('\\') {
        return Some("holds a backslash");
    }
    if path.split('/').count() > COMPONENTS_MAX {
        return Some("has more than 64 components");
    }
    path.split('/').find_map(|component| match component {
        "" => Some("has an empty component"),
        "." | ".." => Some("has a `.` or `..` component"),
        _ if component.len() > 255 => Some("has a component longer than 255 bytes"),
        _ if component.starts_with(".wh.") => Some("has a component reserved for layer whiteouts"),
        _ => None,
    })
}

impl fmt::Display for ModelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(ModelPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_paths_are_refused() {
        for bad in ["", "/etc/passwd", "a//b", "a/", "../a", "a/../b", "./a", "a\nb", "a\\b", ".wh.a", "x/.wh..wh..opq"]
        {
            assert!(bad.parse::<ModelPath>().is_err(), "{bad:?}");
        }
        let long = "a/".repeat(1 << 20).parse::<ModelPath>().unwrap_err().to_string();
        assert!(long.len() < 400 && long.ends_with("longer than 4096 bytes"), "{long}");
        assert!("a".repeat(256).parse::<ModelPath>().is_err());
        assert!(format!("{}a", "a/".repeat(63)).parse::<ModelPath>().is_ok());
        assert!(format!("{}a", "a/".repeat(64)).parse::<ModelPath>().is_err());
    }

    #[test]
    fn names_tell_what_a_file_is() {
        for (name, extension, has) in [
            ("m.gguf", "gguf", true),
            ("a/M.GGUF", "gguf", true),
            ("a.gguf/m", "gguf", false),
            ("a/.gguf", "gguf", false),
            ("gguf", "gguf", false),
        ] {
            assert_eq!(has_extension(name, extension), has, "{name}");
        }
        assert!(is_projector("m-MMPROJ-f16.gguf") && is_projector("a/mmproj.gguf") && !is_projector("mmproj/m.gguf"));
    }

    #[test]
    fn ancestors_come_outermost_first() {
        let path: ModelPath = "a/b/ü.txt".parse().unwrap();
        assert_eq!(path.ancestors().collect::<Vec<_>>(), ["a", "a/b"]);
        assert_eq!(path.file_name(), "ü.txt");
        assert_eq!("x".parse::<ModelPath>().unwrap().ancestors().count(), 0);
    }
}
