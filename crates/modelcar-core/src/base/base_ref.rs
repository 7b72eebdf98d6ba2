//! The name of a base image, as the user writes it.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize, de};

use super::BaseError;
use crate::{ImageRef, digest::serde_as_text};

/// The text of [`BaseRef::Scratch`].
const SCRATCH: &str = "scratch";
/// The prefix of [`BaseRef::Layout`].
const LAYOUT: &str = "oci:";
/// The prefix of [`BaseRef::Binary`].
const BINARY: &str = "binary:";

/// Which base image to use.
///
/// Written as `scratch`, `oci:DIR[:NAME]`, `binary:PATH` or an image reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseRef {
    /// No base image: the image has the weights and nothing else. KServe's sidecar can't run such an image, because the
    /// sidecar needs a shell.
    Scratch,
    /// An image in a registry.
    Registry(ImageRef),
    /// An image in an OCI image layout directory.
    Layout {
        /// The directory.
        dir: PathBuf,
        /// The image's name in the layout (`org.opencontainers.image.ref.name`). Not needed when the layout has one
        /// image.
        name: Option<String>,
    },
    /// A static busybox in the file system, from which a base image is made.
    Binary(PathBuf),
}

impl Default for BaseRef {
    /// Returns the base that `modelcar push` uses: busybox, whose shell KServe's sidecar needs.
    fn default() -> Self {
        Self::DEFAULT.parse().unwrap_or(Self::Scratch)
    }
}

impl BaseRef {
    /// The text of the default: busybox, a small image with a shell, in a mirror that needs no credentials. The digest
    /// pins the image: every build gets the same base, also from the other places of [`KnownBase::busybox`](super::KnownBase::busybox).
    ///
    /// Programs that only show the default take this text. The first image reference that a process parses takes much
    /// time and memory, because `oci-spec` compiles a large regular expression then.
    pub const DEFAULT: &str = "public.ecr.aws/docker/library/busybox:1.37.0-musl\
        @sha256:fc6dddc4c44b1bfe37f41cae8e67d1693828e8f42a91862816d7953e2c9d3f23";

    /// Parses `scratch`, `oci:DIR`, `oci:DIR:NAME`, `binary:PATH` or an image reference. `DIR` can't contain a colon.
    /// The file system is not asked.
    ///
    /// # Errors
    /// [`BaseError::InvalidText`] for `oci:` without a directory or with an empty name, [`BaseError::Reference`] when
    /// the text is no image reference either.
    pub fn parse(text: &str) -> Result<Self, BaseError> {
        if text == SCRATCH {
            return Ok(Self::Scratch);
        }
        if let Some(path) = text.strip_prefix(BINARY).filter(|path| !path.is_empty()) {
            return Ok(Self::Binary(path.into()));
        }
        let Some(place) = text.strip_prefix(LAYOUT) else {
            return Ok(Self::Registry(text.parse()?));
        };
        let (dir, name) = match place.split_once(':') {
            Some((dir, name)) => (dir, Some(name)),
            None => (place, None),
        };
        if dir.is_empty() || name == Some("") {
            let reason = "expected `oci:DIRECTORY` or `oci:DIRECTORY:NAME`";
            return Err(BaseError::InvalidText { text: text.to_owned(), reason });
        }
        Ok(Self::Layout { dir: dir.into(), name: name.map(str::to_owned) })
    }
}

impl FromStr for BaseRef {
    type Err = BaseError;

    fn from_str(text: &str) -> Result<Self, BaseError> {
        Self::parse(text)
    }
}

impl fmt::Display for BaseRef {
    /// Writes what [`BaseRef::parse`] reads back as the same base.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scratch => f.write_str(SCRATCH),
            Self::Registry(image) => write!(f, "{image}"),
            Self::Layout { dir, name: None } => write!(f, "{LAYOUT}{}", dir.display()),
            Self::Layout { dir, name: Some(name) } => write!(f, "{LAYOUT}{}:{name}", dir.display()),
            Self::Binary(path) => write!(f, "{BINARY}{}", path.display()),
        }
    }
}

serde_as_text!(BaseRef);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, ModelcarError};

    #[test]
    fn base_names_are_told_apart_and_read_back() {
        let layout = |dir: &str, name: Option<&str>| BaseRef::Layout { dir: dir.into(), name: name.map(str::to_owned) };
        for (text, expected) in [
            ("scratch", BaseRef::Scratch),
            ("oci:a/b", layout("a/b", None)),
            ("oci:a:ghcr.io/x/y:1", layout("a", Some("ghcr.io/x/y:1"))),
            ("ghcr.io/x/y:1", BaseRef::Registry("ghcr.io/x/y:1".parse().unwrap())),
            ("binary:/bin/busybox", BaseRef::Binary("/bin/busybox".into())),
            (BaseRef::DEFAULT, BaseRef::default()),
        ] {
            let base: BaseRef = text.parse().unwrap();
            assert_eq!((&base, base.to_string().as_str()), (&expected, text));
        }
        for bad in ["", "busybox", "oci:", "oci::x", "oci:a:", "binary:"] {
            assert_eq!(BaseRef::parse(bad).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
        }
    }
}
