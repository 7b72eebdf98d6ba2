//! The name of a model on the Hub.

use std::{fmt, str::FromStr};

use super::SourceError;

/// Most characters of an owner, and of a name, on the Hub.
const MAX_CHARS: usize = 96;
/// Most bytes of a revision. Git stores refs as files, and file names have at most 255 bytes.
const MAX_REVISION_BYTES: usize = 255;

/// The name of a model on the Hub: `owner/name`, or `owner/name@revision`.
///
/// A revision is a branch, a tag, a commit or a ref such as `refs/pr/1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId {
    /// `owner/name`.
    repository: String,
    /// Length of the owner in bytes.
    owner_len: usize,
    revision: Option<String>,
}

impl ModelId {
    /// Returns the owner: a user or an organisation.
    pub fn owner(&self) -> &str {
        &self.repository[..self.owner_len]
    }

    /// Returns the name without the owner.
    pub fn name(&self) -> &str {
        &self.repository[self.owner_len + 1..]
    }

    /// Returns `owner/name`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the same model at `revision`.
    ///
    /// # Errors
    /// [`SourceError::RevisionNotFound`] when `revision` can't be the name of a revision: empty, longer than 255 bytes,
    /// `.` or `..`, or with white space or control characters.
    pub fn at(&self, revision: &str) -> Result<Self, SourceError> {
        if !is_revision(revision) {
            let (repo, revision) = (self.repository.clone(), revision.to_owned());
            return Err(SourceError::RevisionNotFound { repo, revision, source: None });
        }
        Ok(Self { revision: Some(revision.to_owned()), ..self.clone() })
    }

    /// Returns the revision; `None` when the name has none.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }
}

impl FromStr for ModelId {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let (repository, revision) = match text.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision)),
            None => (text, None),
        };
        let invalid = || SourceError::InvalidRepository(text.to_owned());
        let (owner, name) = repository.split_once('/').ok_or_else(invalid)?;
        let good_revision = revision.is_none_or(is_revision);
        if !(is_name(owner) && is_name(name) && good_revision) || ends_like_git(name) {
            return Err(invalid());
        }
        Ok(Self { repository: repository.to_owned(), owner_len: owner.len(), revision: revision.map(str::to_owned) })
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

/// Returns whether `text` can be an owner or a name by the Hub's rules. Such a text is also a single, harmless segment
/// of a URL's path.
fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=MAX_CHARS).contains(&text.len())
        && text.chars().all(|c| word(c) || c == '-' || c == '.')
        && text.starts_with(word)
        && text.ends_with(word)
        && !text.contains("--")
        && !text.contains("..")
}

/// Returns whether a name ends in `.git`.
fn ends_like_git(name: &str) -> bool {
    name.len() >= 4 && name.as_bytes()[name.len() - 4..].eq_ignore_ascii_case(b".git")
}

/// Returns whether `text` can be the name of a revision in a URL.
///
/// `.` and `..` are refused, because URL parsers resolve such segments even if they are percent-encoded (`%2e%2e`).
pub(super) fn is_revision(text: &str) -> bool {
    (1..=MAX_REVISION_BYTES).contains(&text.len())
        && text != "."
        && text != ".."
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// Returns whether `text` is a full commit id: 40 lower-case hexadecimal digits.
#[cfg(feature = "hub")]
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_reads_back_what_it_writes() {
        for text in ["a/b", "Qwen/Qwen2.5-0.5B_x", "o/n@main", "o/n@refs/pr/1", "o/n@feature/x@y"] {
            let id: ModelId = text.parse().unwrap();
            assert_eq!(id.to_string(), text);
            assert_eq!(format!("{}/{}", id.owner(), id.name()), id.repository());
        }
        let id: ModelId = "o/n@v1".parse().unwrap();
        assert_eq!((id.owner(), id.name(), id.revision()), ("o", "n", Some("v1")));
    }

    #[test]
    fn what_the_hub_would_not_name_is_refused() {
        let long = format!("o/{}", "n".repeat(97));
        for bad in [
            "",
            "gpt2",
            "/n",
            "o/",
            "o/n/x",
            "../n",
            "o/..",
            "o/.",
            "o/a..b",
            "o/a--b",
            "-o/n",
            "o/n-",
            "o/n.",
            "o/n.git",
            "o/ü",
            "o/a b",
            "o/a%2f",
            "o/n@",
            "o/n@..",
            "o/n@a\nb",
            "https://huggingface.co/o/n",
            &long,
        ] {
            assert!(bad.parse::<ModelId>().is_err(), "{bad:?}");
        }
        assert!(format!("o/{}", "n".repeat(96)).parse::<ModelId>().is_ok());
    }

    #[test]
    fn a_commit_is_forty_lower_case_digits() {
        assert!(is_commit(&"0a".repeat(20)));
        assert!(!is_commit(&"0A".repeat(20)));
        assert!(!is_commit(&"0a".repeat(19)));
    }
}
