//! An access token of Google's sign-in.

use std::time::Duration;

use crate::http::Secret;

#[derive(Debug)]
pub(super) struct AccessToken {
    pub(super) value: Secret,
    /// How long the token is valid, if the sign-in says it.
    pub(super) life: Option<Duration>,
    /// Where the token comes from, for people.
    pub(super) origin: String,
}
