//! The user of KServe's sidecars.

use std::{fmt, str::FromStr};

use modelcar_core::{ErrorKind, ModelcarError};

/// The user that KServe gives to the sidecar and to the server beside it: `uidModelcar` in the `ConfigMap`
/// `inferenceservice-config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SidecarUser {
    /// This one, with group 0.
    Uid(u32),
    /// None: no user and no group is written, for namespaces that set them (OpenShift) and clusters where KServe does not.
    None,
}

impl SidecarUser {
    /// The largest user that Kubernetes takes.
    const MAX: u32 = 0x7fff_ffff;

    pub(crate) fn uid(self) -> Option<u32> {
        match self {
            Self::Uid(uid) => Some(uid),
            Self::None => None,
        }
    }
}

impl Default for SidecarUser {
    /// What KServe comes with, and the user of our images.
    fn default() -> Self {
        Self::Uid(1010)
    }
}

/// A text is no user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a user: write a number from 0 to {max}, or none", max = SidecarUser::MAX)]
pub struct InvalidUser(String);

impl ModelcarError for InvalidUser {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

impl FromStr for SidecarUser {
    type Err = InvalidUser;

    /// Reads a number, or `none`.
    fn from_str(text: &str) -> Result<Self, InvalidUser> {
        if text == "none" {
            return Ok(Self::None);
        }
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let uid = text.parse().ok().filter(|uid| digits && *uid <= Self::MAX);
        uid.map(Self::Uid).ok_or_else(|| InvalidUser(text.to_owned()))
    }
}

impl fmt::Display for SidecarUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => uid.fmt(f),
            Self::None => f.write_str("none"),
        }
    }
}
