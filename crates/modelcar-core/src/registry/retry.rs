//! When to try again, how long to wait before it, and when to stop.
//!
//! What passes by itself is tried again: statuses that speak of a moment, connections that break. What a further try
//! can't change is final at once: a request that is wrong (400), a login that is refused after it was renewed (401),
//! a right (403), a name (404), a method (405), a size (413), a digest.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use reqwest::StatusCode;

use super::error::RegistryError;
use crate::{error::Error, http::HttpFailure};

/// Longest wait that a server can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);
/// Longest wait that is not asked for.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Error codes that say no for good, whatever the status (distribution-spec "Error Codes").
const FINAL_CODES: [&str; 6] =
    ["DIGEST_INVALID", "NAME_INVALID", "NAME_UNKNOWN", "DENIED", "UNSUPPORTED", "SIZE_INVALID"];

/// Patience with one repository, shared by all its requests.
#[derive(Debug)]
pub(super) struct Patience {
    /// Tries of a request, and of a layer.
    attempts: u32,
    base: Duration,
    budget: Duration,
    spent: Mutex<Duration>,
}

impl Patience {
    pub(super) fn new(attempts: u32, base: Duration, budget: Duration) -> Self {
        Self { attempts, base, budget, spent: Mutex::default() }
    }

    /// Returns whether a try may follow the one with the number `attempt`, and waits before it. `lost` is the time
    /// that the failed try took; waits and lost time add up over the whole push, and end it when they exceed the budget.
    pub(super) async fn again(&self, attempt: u32, asked: Option<Duration>, lost: Duration) -> bool {
        if attempt >= self.attempts {
            return false;
        }
        let wait = self.wait(attempt, asked);
        if !self.spend(wait + lost) {
            return false;
        }
        tokio::time::sleep(wait).await;
        true
    }

    fn spend(&self, time: Duration) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        *spent = spent.saturating_add(time);
        *spent <= self.budget
    }

    /// Returns the wait before the next try: what the server asks for, or a lot drawn below a doubling bound ("full
    /// jitter": many pushes that failed together do not come back together).
    fn wait(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let bound = self.base.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(BACKOFF_MAX);
        let lot = RandomState::new().hash_one(attempt);
        let drawn = bound.mul_f64(f64::from(u32::try_from(lot >> 32).unwrap_or_default()) / f64::from(u32::MAX));
        asked.map_or(drawn, |asked| asked.min(RETRY_AFTER_MAX).max(drawn))
    }
}

/// Returns whether the same request may well succeed later.
pub(super) fn is_passing(failure: &HttpFailure) -> bool {
    match failure.code.as_deref() {
        Some("TOOMANYREQUESTS") => true,
        Some(code) if FINAL_CODES.contains(&code) => false,
        _ => failure.is_transient(),
    }
}

/// Returns whether an upload session is of no use any more, so that a new one may succeed: it is unknown or gone, its
/// place or offset is stale, or (ECR's and zot's dead sessions) it takes nothing more after a broken body.
pub(super) fn is_lost_session(failure: &HttpFailure) -> bool {
    let code = failure.code.as_deref().unwrap_or_default();
    match failure.status {
        Some(StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::GONE | StatusCode::RANGE_NOT_SATISFIABLE) => {
            !matches!(code, "NAME_UNKNOWN" | "NAME_INVALID" | "DENIED")
        }
        Some(StatusCode::BAD_REQUEST) => {
            matches!(code, "BLOB_UPLOAD_INVALID" | "BLOB_UPLOAD_UNKNOWN" | "RANGE_INVALID")
        }
        _ => false,
    }
}

/// Returns what the server asks for before the next try.
pub(super) fn asked(error: &Error) -> Option<Duration> {
    failure(error)?.retry_after
}

/// Returns the HTTP failure below an error.
pub(super) fn failure(error: &Error) -> Option<&HttpFailure> {
    match error {
        Error::Registry(
            RegistryError::Request { source, .. }
            | RegistryError::SessionLost { source, .. }
            | RegistryError::Resumed { source, .. }
            | RegistryError::LoginExpired { source, .. }
            | RegistryError::TooLarge { source, .. },
        ) => Some(source),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Method;

    use super::*;

    fn told(status: u16, code: &str) -> HttpFailure {
        let url = "http://r.io/v2/".parse().unwrap();
        HttpFailure {
            status: StatusCode::from_u16(status).ok(),
            code: Some(code.to_owned()).filter(|code| !code.is_empty()),
            ..HttpFailure::protocol(Method::PUT, &url, "")
        }
    }

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        for status in [408, 425, 429, 500, 502, 503, 504, 522] {
            assert!(is_passing(&told(status, "")), "{status}");
        }
        for status in [400, 401, 403, 404, 405, 411, 413, 416, 501] {
            assert!(!is_passing(&told(status, "")), "{status}");
        }
        assert!(is_passing(&told(403, "TOOMANYREQUESTS")));
        for code in FINAL_CODES {
            assert!(!is_passing(&told(500, code)), "{code}");
            assert!(!is_lost_session(&told(400, code)), "{code}");
        }
        for (status, code) in [(404, "BLOB_UPLOAD_UNKNOWN"), (404, ""), (416, ""), (400, "BLOB_UPLOAD_INVALID")] {
            assert!(is_lost_session(&told(status, code)), "{status} {code}");
        }
        assert!(!is_lost_session(&told(404, "NAME_UNKNOWN")));
        assert!(!is_lost_session(&told(400, "")));
    }

    #[test]
    fn waits_grow_by_lot_and_servers_are_obeyed_within_a_bound() {
        let patience = Patience::new(9, Duration::from_millis(500), Duration::MAX);
        for attempt in 1..40 {
            let bound = Duration::from_millis(500) * (1 << (attempt - 1).min(16));
            assert!(patience.wait(attempt, None) <= bound.min(BACKOFF_MAX));
        }
        let asked = |seconds| patience.wait(1, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(7), Duration::from_secs(7));
        assert_eq!(asked(86_400), RETRY_AFTER_MAX);
    }

    #[tokio::test]
    async fn tries_and_budget_both_end_it() {
        let patience = Patience::new(3, Duration::ZERO, Duration::from_secs(10));
        assert!(patience.again(1, None, Duration::from_secs(1)).await);
        assert!(!patience.again(3, None, Duration::ZERO).await, "three tries are over");
        assert!(patience.again(1, None, Duration::from_secs(8)).await);
        assert!(!patience.again(1, None, Duration::from_secs(2)).await, "eleven seconds were lost");
    }
}
