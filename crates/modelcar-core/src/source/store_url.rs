//! The name of a folder in an object store: `s3://bucket/prefix`, `gs://bucket/prefix`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

use super::SourceError;
use crate::digest::serde_as_text;

/// Longest bucket name, in bytes: that of a bucket of Google's with dots.
const BUCKET_MAX_BYTES: usize = 222;
/// Longest key of an object, in bytes, in both stores.
const PREFIX_MAX_BYTES: usize = 1024;

/// Which store a bucket is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreKind {
    /// Amazon S3, or a server that speaks its language.
    S3,
    /// Google Cloud Storage.
    Gcs,
}

impl StoreKind {
    /// Returns what a URL of such a store begins with.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3://",
            Self::Gcs => "gs://",
        }
    }
}

/// A bucket and the folder in it that holds a model's files.
///
/// ```
/// use modelcar_core::source::StoreUrl;
///
/// let url: StoreUrl = "gs://models/qwen/v3/".parse()?;
/// assert_eq!((url.bucket(), url.prefix()), ("models", "qwen/v3"));
/// assert_eq!(url.to_string(), "gs://models/qwen/v3");
/// # Ok::<_, modelcar_core::source::SourceError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl {
    kind: StoreKind,
    bucket: String,
    prefix: String,
}

impl StoreUrl {
    /// Returns which store the bucket is in.
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// Returns the name of the bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Returns the folder, without a slash at either end; empty for the whole bucket.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns whether a text begins as the URL of a store.
    pub fn is_meant(text: &str) -> bool {
        [StoreKind::S3, StoreKind::Gcs].iter().any(|kind| text.starts_with(kind.scheme()))
    }
}

impl FromStr for StoreUrl {
    type Err = SourceError;

    /// Parses a URL. Nothing in it is decoded: a `%`, a `?` and a `#` are a part of the name.
    fn from_str(text: &str) -> Result<Self, SourceError> {
        let (kind, rest) = [StoreKind::S3, StoreKind::Gcs]
            .into_iter()
            .find_map(|kind| Some((kind, text.strip_prefix(kind.scheme())?)))
            .ok_or_else(|| SourceError::InvalidName(text.to_owned()))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_bucket = (1..=BUCKET_MAX_BYTES).contains(&bucket.len()) && bucket.chars().all(is_plain);
        let is_folder = |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_control);
        let is_prefix = prefix.len() <= PREFIX_MAX_BYTES && (prefix.is_empty() || prefix.split('/').all(is_folder));
        if !is_bucket || !is_prefix {
            // What stands before an `@` may be a password.
            let shown =
                if rest.contains('@') && !is_bucket { format!("{}…", kind.scheme()) } else { text.to_owned() };
            return Err(SourceError::InvalidStore { url: shown, scheme: kind.scheme() });
        }
        Ok(Self { kind, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "{}{}{slash}{}", self.kind.scheme(), self.bucket, self.prefix)
    }
}

serde_as_text!(StoreUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_and_a_folder_are_read_and_nothing_else() {
        for (text, bucket, prefix, written) in [
            ("s3://models", "models", "", "s3://models"),
            ("gs://my.models_1/", "my.models_1", "", "gs://my.models_1"),
            ("gs://m-1/a/b c/", "m-1", "a/b c", "gs://m-1/a/b c"),
            ("s3://m/a?b#c%20", "m", "a?b#c%20", "s3://m/a?b#c%20"),
        ] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!((url.bucket(), url.prefix(), url.to_string().as_str()), (bucket, prefix, written));
            assert_eq!(url.to_string().parse::<StoreUrl>().unwrap(), url);
        }
        for bad in ["s3://", "s3:///x", "s3://a b", "gs://m//x", "gs://m/../x", "s3://m/.", "s3://m/a//", "az://m/x"] {
            assert!(bad.parse::<StoreUrl>().is_err(), "{bad}");
        }
        let error = "s3://key:hunter2@models/x".parse::<StoreUrl>().unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
