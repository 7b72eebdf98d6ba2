//! Digests of blobs, and content ids of files.
//!
//! A [`Digest`] is always SHA-256, the algorithm that every registry supports. A [`ContentId`] is the hash that a
//! source states for a file: the Hub lists a SHA-256 for LFS files, and a git blob id (SHA-1) for all other files.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};
use sha2::Digest as _;

use crate::error::{ErrorKind, ModelcarError};

/// The SHA-256 digest of a blob, written `sha256:` and 64 lower-case hex digits (image-spec "Digests").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Returns the digest of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(sha2::Sha256::digest(bytes.as_ref()).into())
    }

    /// Returns the 64 lower-case hex digits, without the algorithm.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

impl From<[u8; 32]> for Digest {
    /// Uses the 32 bytes of a hash that was computed elsewhere.
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is neither a digest nor a content id. The field is the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest: expected `sha256:` and 64 lower-case hex digits")]
pub struct InvalidDigest(pub(crate) String);

impl ModelcarError for InvalidDigest {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    /// Parses `sha256:` and 64 lower-case hex digits.
    ///
    /// # Errors
    /// [`InvalidDigest`] for any other text, other algorithms and upper-case digits included.
    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        text.strip_prefix("sha256:").and_then(unhex).map(Self).ok_or_else(|| InvalidDigest(text.to_owned()))
    }
}

/// The hash that identifies a file's content. The source states it; modelcar checks it while the file's bytes pass.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentId {
    /// SHA-256 of the content. The Hub lists it for LFS files; files of a directory get it.
    Sha256([u8; 32]),
    /// SHA-1 of `blob <size>\0` and the content, which is a git blob id. The Hub lists it for files that are not in
    /// LFS.
    GitSha1([u8; 20]),
}

impl ContentId {
    /// Parses the 64 hex digits of a SHA-256 without a prefix, as the Hub writes them. `None` for any other text.
    pub fn sha256_from_hex(text: &str) -> Option<Self> {
        unhex(text).map(Self::Sha256)
    }

    /// Parses the 40 hex digits of a git blob id without a prefix, as the Hub writes them. `None` for any other text.
    pub fn git_sha1_from_hex(text: &str) -> Option<Self> {
        unhex(text).map(Self::GitSha1)
    }
}

impl From<Digest> for ContentId {
    /// The digest of a file's bytes as the identity of the file.
    fn from(Digest(bytes): Digest) -> Self {
        Self::Sha256(bytes)
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(bytes) => write!(f, "sha256:{}", hex(bytes)),
            Self::GitSha1(bytes) => write!(f, "git-sha1:{}", hex(bytes)),
        }
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ContentId {
    type Err = InvalidDigest;

    /// Parses `sha256:` or `git-sha1:` and lower-case hex digits.
    ///
    /// # Errors
    /// [`InvalidDigest`] for any other text.
    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let id = match text.split_once(':') {
            Some(("sha256", digits)) => Self::sha256_from_hex(digits),
            Some(("git-sha1", digits)) => Self::git_sha1_from_hex(digits),
            _ => None,
        };
        id.ok_or_else(|| InvalidDigest(text.to_owned()))
    }
}

/// The hash with which a file's content is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentHash {
    /// SHA-256 of the content.
    Sha256,
    /// SHA-1 of a git blob: a header with the size, and the content.
    GitSha1,
}

impl ContentHash {
    /// Returns the hash that can reproduce `expected`, or SHA-256 if the source states no content id.
    pub(crate) fn for_id(expected: Option<ContentId>) -> Self {
        match expected {
            Some(ContentId::GitSha1(_)) => Self::GitSha1,
            Some(ContentId::Sha256(_)) | None => Self::Sha256,
        }
    }

    /// Returns a hasher that has consumed the header of a git blob. The caller adds the content, of exactly `size`
    /// bytes.
    pub(crate) fn git_blob(size: u64) -> sha1::Sha1 {
        let mut hasher = sha1::Sha1::new();
        hasher.update(format!("blob {size}\0"));
        hasher
    }
}

/// Returns two lower-case hex digits for each byte.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or_default());
        }
        text
    })
}

/// Parses `N` bytes of two hex digits each; `None` for another length or another character.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

/// Parses one hex digit. Upper-case digits are refused, so that each digest has only one text.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Implements serde's traits for types whose JSON is their text: a string that `Display` writes and `FromStr` parses. In a
/// JSON schema they are strings too, of the pattern where one is named.
macro_rules! serde_as_text {
    ($($type:ty $(= $pattern:literal)?),+) => {$(
        #[cfg(feature = "schemars")]
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string" $(, "pattern": $pattern)?})
            }
        }

        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )+};
}
pub(crate) use serde_as_text;

serde_as_text!(Digest = "^sha256:[0-9a-f]{64}$", ContentId = "^(sha256:[0-9a-f]{64}|git-sha1:[0-9a-f]{40})$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_what_it_writes_and_nothing_else() {
        let digest = Digest::of(b"abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        for bad in ["", "sha256:", "sha512:00", &text[7..], &text.to_uppercase(), &text[..70], "sha256:é"] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_git_blob_id_is_the_one_git_computes() {
        let mut hasher = ContentHash::git_blob(6);
        hasher.update(b"hel");
        hasher.update(b"lo\n");
        let id = ContentId::GitSha1(hasher.finalize().into());
        assert_eq!(id.to_string(), "git-sha1:ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}
