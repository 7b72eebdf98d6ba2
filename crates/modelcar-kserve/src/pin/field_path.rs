//! Paths to a value in a document: `model.image.tag`, `models[0].uri`, `"a.b".c`.
//!
//! The form is that of `yq`. The places of references are shown in the same form.

use std::{
    fmt::{self, Write},
    str::FromStr,
};

use modelcar_core::{ErrorKind, ModelcarError};

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The value of a key.
    Key(String),
    /// An element of a list, from 0.
    Index(usize),
    /// Every element of a list.
    Each,
}

/// A path to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(Vec<Step>);

/// A text is no path. The field is the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a path: write keys with dots between them, `[0]` for an element of a list, `[]` for every element, and \
         quotes around a key with a dot: `models[0].\"a.b\".tag`"
)]
pub struct InvalidFieldPath(String);

impl ModelcarError for InvalidFieldPath {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

impl FieldPath {
    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl FromStr for FieldPath {
    type Err = InvalidFieldPath;

    /// Parses a path. A dot may stand before the first key, and a key may stand in brackets: `.a["b.c"]`.
    ///
    /// # Errors
    /// [`InvalidFieldPath`] for an empty path, an empty key, a bracket or quote that does not end.
    fn from_str(text: &str) -> Result<Self, InvalidFieldPath> {
        let steps = steps(text.strip_prefix('.').unwrap_or(text)).filter(|steps| !steps.is_empty());
        steps.map(Self).ok_or_else(|| InvalidFieldPath(text.to_owned()))
    }
}

/// Returns the steps of a path without a dot before its first key.
fn steps(text: &str) -> Option<Vec<Step>> {
    let (mut rest, mut steps) = (text, Vec::new());
    let mut wants_key = !rest.starts_with('[');
    while wants_key || !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[').filter(|_| !wants_key) {
            let (step, behind) = if inner.starts_with('"') {
                let (key, behind) = quoted(inner)?;
                (Step::Key(key), behind.strip_prefix(']')?)
            } else {
                let (index, behind) = inner.split_once(']')?;
                let step = if index.is_empty() { Step::Each } else { Step::Index(index.parse().ok()?) };
                (step, behind)
            };
            steps.push(step);
            rest = behind;
        } else {
            let (key, behind) = if rest.starts_with('"') {
                quoted(rest)?
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            };
            if key.is_empty() || key.contains(['"', ']']) && !rest.starts_with('"') {
                return None;
            }
            steps.push(Step::Key(key));
            rest = behind;
        }
        wants_key = match rest.strip_prefix('.') {
            Some(behind) => {
                rest = behind;
                true
            }
            None if rest.is_empty() || rest.starts_with('[') => false,
            None => return None,
        };
    }
    Some(steps)
}

/// Returns the key between quotes at the start of `text`, and what stands behind. A backslash takes the next character
/// as it is.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut key = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((key, &text[at + 1..])),
            '\\' => key.push(chars.next()?.1),
            c => key.push(c),
        }
    }
    None
}

impl fmt::Display for FieldPath {
    /// Writes the path so that parsing gives the same path again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) => write_key(f, key, number == 0)?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Each => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

/// Writes a key, with quotes around it where it needs them, and a dot before it unless it is the first.
pub(super) fn write_key(out: &mut dyn Write, key: &str, is_first: bool) -> fmt::Result {
    if !is_first {
        out.write_char('.')?;
    }
    let is_plain = !key.is_empty() && !key.contains(['.', '[', ']', '"', '\\']) && !key.contains(char::is_whitespace);
    if is_plain {
        return out.write_str(key);
    }
    write!(out, "\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_round_trip() {
        for text in ["a", "a.b.c[0]", "models[].uri", "[0].a[1][2]", "\"a.b\".c", "a.\"x\\\"y\"", "a-b/c.d_e"] {
            assert_eq!(text.parse::<FieldPath>().unwrap().to_string(), text);
        }
        for (text, same) in [(".a.b", "a.b"), ("a[\"b.c\"].d", "a.\"b.c\".d"), (".[0]", "[0]")] {
            assert_eq!(text.parse::<FieldPath>().unwrap().to_string(), same, "{text}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", ".", "a.", "a..b", "a[", "a[x]", "a[-1]", "a]b", "\"a", "a\"b", "a[0]b", "a[\"b]"] {
            assert!(text.parse::<FieldPath>().is_err(), "{text}");
        }
    }
}
