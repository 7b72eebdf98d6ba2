//! Which upload sessions of a repository are open, so that none of them is left behind.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Mutex, PoisonError},
};

use reqwest::Url;
use tokio_util::task::TaskTracker;

/// Upload sessions that are neither committed nor deleted, and the requests that open new ones.
///
/// A push that ends early deletes these sessions, so that the registry does not keep their bytes. Whoever knows the
/// location of a session can write into it, so `Debug` shows only the number of locations.
#[derive(Default)]
pub(in crate::registry) struct OpenUploads {
    /// Locations of the open sessions, as URLs.
    locations: Mutex<BTreeSet<String>>,
    /// Requests that may open a session. They run to their end even when the caller drops its future: the session that
    /// a cancelled request opens would stay unknown.
    pub(in crate::registry) opening: TaskTracker,
}

impl fmt::Debug for OpenUploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} open uploads", self.locations().len())
    }
}

impl OpenUploads {
    /// Records that the session at `location` is open.
    pub(super) fn add(&self, location: &Url) {
        self.locations.lock().unwrap_or_else(PoisonError::into_inner).insert(location.to_string());
    }

    /// Records that the session at `location` is committed, deleted or moved.
    pub(super) fn remove(&self, location: &Url) {
        self.locations.lock().unwrap_or_else(PoisonError::into_inner).remove(location.as_str());
    }

    /// Records that the sessions at all of `locations` are closed.
    pub(super) fn remove_all(&self, locations: &BTreeSet<String>) {
        let mut open = self.locations.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|location| !locations.contains(location));
    }

    /// Returns the locations of the sessions that are open now.
    pub(super) fn locations(&self) -> BTreeSet<String> {
        self.locations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
