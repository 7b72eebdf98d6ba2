//! Platforms: the operating system and architecture that an image runs on.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

use crate::{
    digest::serde_as_text,
    error::{ErrorKind, ModelcarError},
};

/// A text is not a platform. The field is the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a platform: expected `os/architecture` or `os/architecture/variant`")]
pub struct InvalidPlatform(String);

impl ModelcarError for InvalidPlatform {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

/// A platform, written `linux/amd64` or `linux/arm/v7`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// Operating system, written like Go's `GOOS`: `linux`, `windows`.
    pub os: String,
    /// Architecture, written like Go's `GOARCH`: `amd64`, `arm64`, `arm`.
    pub architecture: String,
    /// Variant of the architecture, such as `v7` of `arm`. The default variants (`v8` of `arm64`, `v1` of `amd64`) are
    /// never stated, so that equal platforms compare as equal.
    pub variant: Option<String>,
}

impl Platform {
    /// Makes a platform. A default variant (`v8` of `arm64`, `v1` of `amd64`) is dropped, as container runtimes do, and
    /// so is an empty one.
    pub fn new(os: impl Into<String>, architecture: impl Into<String>, variant: Option<String>) -> Self {
        let architecture = architecture.into();
        let variant = variant.filter(|variant| {
            !variant.is_empty()
                && !matches!((architecture.as_str(), variant.as_str()), ("arm64", "v8") | ("amd64", "v1"))
        });
        Self { os: os.into(), architecture, variant }
    }

    /// Returns a Linux platform without a variant.
    pub fn linux(architecture: impl Into<String>) -> Self {
        Self::new("linux", architecture, None)
    }

    /// Returns `unknown/unknown`: the platform of a manifest that states none, and the one that attestations state.
    pub(crate) fn unknown() -> Self {
        Self::new("unknown", "unknown", None)
    }

    /// Returns whether an image for `offered` can serve a request for this platform: the platforms are equal, or this
    /// platform names no variant.
    pub(crate) fn accepts(&self, offered: &Self) -> bool {
        (&self.os, &self.architecture) == (&offered.os, &offered.architecture)
            && (self.variant.is_none() || self.variant == offered.variant)
    }

    /// Returns whether KServe's nodes can be of this platform.
    pub(crate) fn is_usable(&self) -> bool {
        self.os == "linux" && matches!(self.architecture.as_str(), "amd64" | "arm64")
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let parts: Vec<_> = text.split('/').collect();
        let is_word = |part: &&str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        match parts.as_slice() {
            [os, architecture, rest @ ..] if rest.len() < 2 && parts.iter().all(is_word) => {
                Ok(Self::new(*os, *architecture, rest.first().map(|variant| (*variant).to_owned())))
            }
            _ => Err(InvalidPlatform(text.to_owned())),
        }
    }
}

serde_as_text!(Platform);
