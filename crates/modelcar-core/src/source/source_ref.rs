//! The name of a source: a model on the Hub or in its cache, a folder in a store, or a directory.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize, de};

use super::{ModelId, SourceError, StoreUrl};
use crate::digest::serde_as_text;

const HUB: &str = "hf://";
const CACHE: &str = "hf-cache://";

/// The name of a source.
///
/// Written as `owner/name[@revision]` or `hf://owner/name[@revision]` for a model on the Hub, as
/// `hf-cache://owner/name[@revision]` for one in the cache of the Hugging Face tools, as `s3://bucket/prefix` or
/// `gs://bucket/prefix` for one in a store, and as a path that begins with `.`, `/` or `~` for a directory. Nothing is looked up: `acme/model` is a model on the Hub, also where a folder of
/// that name exists. A `~` is not replaced by the user's home.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceRef {
    /// A model on the Hub. Without a revision, `main` is meant.
    Hub(ModelId),
    /// A model in the cache of the Hugging Face tools. Without a revision, `main` is meant.
    HubCache(ModelId),
    /// A directory.
    Dir(PathBuf),
    /// A folder in a store.
    Store(StoreUrl),
    /// The name of a [`Source`](super::Source) of somebody else, for example `az://models/qwen`. This library can't open it.
    Other(String),
}

impl FromStr for SourceRef {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if let Some(model) = text.strip_prefix(HUB) {
            return Ok(Self::Hub(model.parse()?));
        }
        if let Some(model) = text.strip_prefix(CACHE) {
            return Ok(Self::HubCache(model.parse()?));
        }
        if StoreUrl::is_meant(text) {
            return Ok(Self::Store(text.parse()?));
        }
        if text.starts_with(['.', '/', '~']) {
            return Ok(Self::Dir(text.into()));
        }
        if text.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty()) {
            return Ok(Self::Other(text.to_owned()));
        }
        // The name of a model has one slash; the revision behind `@` may have more.
        match text.split('@').next().map(|name| name.matches('/').count()) {
            Some(1) => Ok(Self::Hub(text.parse()?)),
            _ => Err(SourceError::InvalidName(text.to_owned())),
        }
    }
}

impl fmt::Display for SourceRef {
    /// Writes a text that [`FromStr`] parses as the same source, unless the path of a directory is not UTF-8.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub(model) => write!(f, "{model}"),
            Self::HubCache(model) => write!(f, "{CACHE}{model}"),
            Self::Dir(path) => {
                let path = path.display().to_string();
                let is_told_apart = path.starts_with(['.', '/', '~']);
                write!(f, "{}{path}", if is_told_apart { "" } else { "./" })
            }
            Self::Store(url) => write!(f, "{url}"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

serde_as_text!(SourceRef);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_by_its_form() {
        let hub = |text: &str| SourceRef::Hub(text.parse().unwrap());
        for (text, expected, written) in [
            ("acme/model", hub("acme/model"), "acme/model"),
            ("acme/model@v1", hub("acme/model@v1"), "acme/model@v1"),
            ("hf://acme/model@a/b", hub("acme/model@a/b"), "acme/model@a/b"),
            (
                "hf-cache://acme/model@v1",
                SourceRef::HubCache("acme/model@v1".parse().unwrap()),
                "hf-cache://acme/model@v1",
            ),
            ("./acme/model", SourceRef::Dir("./acme/model".into()), "./acme/model"),
            ("/x", SourceRef::Dir("/x".into()), "/x"),
            ("s3://models/qwen/", SourceRef::Store("s3://models/qwen".parse().unwrap()), "s3://models/qwen"),
            ("gs://models", SourceRef::Store("gs://models".parse().unwrap()), "gs://models"),
            ("az://models/qwen", SourceRef::Other("az://models/qwen".into()), "az://models/qwen"),
        ] {
            let source: SourceRef = text.parse().unwrap();
            assert_eq!((&source, source.to_string().as_str()), (&expected, written), "{text}");
            assert_eq!(source.to_string().parse::<SourceRef>().unwrap(), source);
        }
        let dir = SourceRef::Dir("acme/model".into());
        assert_eq!(dir.to_string().parse::<SourceRef>().unwrap(), SourceRef::Dir("./acme/model".into()));
        for bad in [
            "",
            "model",
            "hf://",
            "hf://model",
            "hf-cache://model",
            "a/b/c",
            "acme/model@",
            "://x",
            "s3://",
            "gs://a b",
        ] {
            assert!(bad.parse::<SourceRef>().is_err(), "{bad}");
        }
    }
}
