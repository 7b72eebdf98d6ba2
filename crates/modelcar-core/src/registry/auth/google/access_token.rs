//! An access token of Google's sign-in.

use std::time::Duration;

use crate::http::Secret;

/// An OAuth 2.0 access token, and what is known about it.
#[derive(Debug)]
pub(super) struct AccessToken {
    /// The token itself.
    pub(super) value: Secret,
    /// How long the token is valid, if the sign-in says it.
    pub(super) life: Option<Duration>,
    /// Where the token comes from, for messages.
    pub(super) origin: String,
}
