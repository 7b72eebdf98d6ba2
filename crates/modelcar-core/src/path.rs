//! The path of a file inside a model, parsed once and trusted afterwards.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

use crate::digest::serde_as_text;

/// A relative path with `/` separators that stays inside the model's folder.
///
/// Never empty, never absolute, no `.`, `..` or empty component, no control character, no backslash, no component
/// that starts with `.wh.` (reserved for whiteouts, image-spec layer.md). At most 4096 bytes, 255 a component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelPath(String);

/// A path that can't stand in a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path {path:?} {reason}")]
pub struct InvalidPath {
    path: String,
    reason: &'static str,
}

impl ModelPath {
    /// Returns the path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Returns every folder above the file, outermost first: `a`, then `a/b` for `a/b/c`.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

impl FromStr for ModelPath {
    type Err = InvalidPath;

    fn from_str(path: &str) -> Result<Self, InvalidPath> {
        match flaw(path) {
            None => Ok(Self(path.to_owned())),
            Some(reason) => Err(InvalidPath { path: path.to_owned(), reason }),
        }
    }
}

const COMPONENTS_MAX: usize = 64;

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
    // Each folder is an entry of the layer, with the names of all above it.
    if path.split('/').count() > COMPONENTS_MAX {
        return Some("is deeper than 64 folders");
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
        assert!("a/".repeat(2100).parse::<ModelPath>().is_err());
        assert!("a".repeat(256).parse::<ModelPath>().is_err());
    }

    #[test]
    fn ancestors_come_outermost_first() {
        let path: ModelPath = "a/b/ü.txt".parse().unwrap();
        assert_eq!(path.ancestors().collect::<Vec<_>>(), ["a", "a/b"]);
        assert_eq!(path.file_name(), "ü.txt");
        assert_eq!("x".parse::<ModelPath>().unwrap().ancestors().count(), 0);
    }
}
