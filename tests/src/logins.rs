//! Owns who is let in: names and passwords that work for a while.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Names and passwords with an end; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Logins(Arc<Mutex<BTreeMap<(String, String), Instant>>>);

impl Logins {
    /// Lets `user` in with `password` for `lifetime`.
    pub fn add(&self, user: &str, password: &str, lifetime: Duration) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((user.to_owned(), password.to_owned()), Instant::now() + lifetime);
    }

    /// Lets nobody in any more.
    pub fn revoke(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns whether the login works now.
    pub fn works(&self, user: &str, password: &str) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(user.to_owned(), password.to_owned())).is_some_and(|end| Instant::now() < *end)
    }
}
