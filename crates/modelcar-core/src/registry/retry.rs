//! When to try again, how long to wait before it, and when to stop.
//!
//! What passes by itself is tried again: statuses that speak of a moment, connections that break. What a further try
//! can't change is final at once: a request that is wrong (400), a login that is refused after it was renewed (401),
//! a right (403), a name (404), a method (405), a size (413), a digest.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::StatusCode;
use tokio::{sync::watch, time::sleep};

use super::error::RegistryError;
use crate::{
    error::{Error, ModelcarError},
    http::{self, HttpFailure},
    progress::{self, Progress},
};

/// Error codes that say no for good, whatever the status (distribution-spec "Error Codes").
const FINAL_CODES: [&str; 6] =
    ["DIGEST_INVALID", "NAME_INVALID", "NAME_UNKNOWN", "DENIED", "UNSUPPORTED", "SIZE_INVALID"];

/// Patience with one repository, shared by all its requests and those to its token server.
#[derive(Debug)]
pub(super) struct Patience {
    /// Tries of a request, and of a layer.
    attempts: u32,
    base: Duration,
    budget: Duration,
    spent: Mutex<Duration>,
    /// Whether somebody waits for all requests to end.
    hurried: watch::Sender<bool>,
    /// Who is told of every try that follows.
    progress: Arc<dyn Progress>,
}

impl Patience {
    pub(super) fn new(attempts: u32, base: Duration, budget: Duration, progress: Arc<dyn Progress>) -> Self {
        Self { attempts, base, budget, spent: Mutex::default(), hurried: watch::Sender::new(false), progress }
    }

    /// Returns whether a try may follow the one with the number `attempt`, and waits before it. `lost` is the time
    /// that the failed try took, as far as it was not reported already; waits and lost time add up over the whole push,
    /// and end it when they exceed the budget. `what` failed because of `error`: that is told before the wait.
    pub(super) async fn again(
        &self,
        attempt: u32,
        asked: Option<Duration>,
        lost: Duration,
        what: &str,
        error: &(dyn std::error::Error + Send + Sync),
    ) -> bool {
        let mut hurried = self.hurried.subscribe();
        if attempt >= self.attempts || *hurried.borrow() {
            return false;
        }
        let wait = http::backoff(self.base, attempt, asked);
        if self.lose(wait + lost) > self.budget {
            tracing::info!(what, "the time for failures is spent");
            return false;
        }
        progress::retrying(&*self.progress, what, attempt + 1, wait, http::chain(error));
        tokio::select! {
            () = sleep(wait) => true,
            _ = hurried.wait_for(|hurried| *hurried) => false,
        }
    }

    /// Adds to the time that was lost, and returns its sum.
    pub(super) fn lose(&self, time: Duration) -> Duration {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        *spent = spent.saturating_add(time);
        *spent
    }

    /// Ends waits, and lets no try follow another, as long as somebody waits for all requests to end.
    pub(super) fn hurry(&self, hurried: bool) {
        self.hurried.send_replace(hurried);
    }
}

/// Returns whether the same request may well succeed later.
pub(super) fn is_passing(failure: &HttpFailure) -> bool {
    match failure.code.as_deref() {
        Some("TOOMANYREQUESTS") => true,
        Some(code) if FINAL_CODES.contains(&code) => false,
        _ => failure.is_retryable(),
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
    RegistryError::of(error)?.http()
}

#[cfg(test)]
mod tests {
    use reqwest::Method;

    use super::*;
    use crate::progress::NoProgress;

    fn told(status: u16, code: &str) -> HttpFailure {
        let url = "http://r.io/v2/".parse().unwrap();
        HttpFailure {
            status: StatusCode::from_u16(status).ok(),
            code: Some(code.to_owned()).filter(|code| !code.is_empty()),
            ..HttpFailure::protocol(Method::PUT, &url, "")
        }
    }

    fn patient(attempts: u32, base: Duration, budget: Duration) -> Patience {
        Patience::new(attempts, base, budget, Arc::new(NoProgress))
    }

    async fn again(patience: &Patience, attempt: u32, asked: Option<Duration>, lost: Duration) -> bool {
        patience.again(attempt, asked, lost, "try", &told(503, "")).await
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

    #[tokio::test]
    async fn tries_and_budget_both_end_it() {
        let patience = patient(3, Duration::ZERO, Duration::from_secs(10));
        assert!(again(&patience, 1, None, Duration::from_secs(1)).await);
        assert!(!again(&patience, 3, None, Duration::ZERO).await, "three tries are over");
        assert!(again(&patience, 1, None, Duration::from_secs(8)).await);
        assert!(!again(&patience, 1, None, Duration::from_secs(2)).await, "eleven seconds were lost");
    }

    #[tokio::test]
    async fn lost_time_is_counted_once_and_a_wait_can_be_ended() {
        let patience = patient(9, Duration::ZERO, Duration::from_secs(10));
        assert_eq!(patience.lose(Duration::from_secs(10)), Duration::from_secs(10));
        assert!(again(&patience, 1, None, Duration::ZERO).await);
        patience.lose(Duration::from_millis(1));
        assert!(!again(&patience, 1, None, Duration::ZERO).await);

        let patience = patient(9, Duration::ZERO, Duration::from_hours(2));
        let waiting = again(&patience, 1, Some(Duration::from_mins(4)), Duration::ZERO);
        let hurrying = async { patience.hurry(true) };
        let ended = tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(waiting, hurrying).0 }).await;
        assert_eq!(ended, Ok(false));
        assert!(!again(&patience, 1, None, Duration::ZERO).await);
        patience.hurry(false);
        assert!(again(&patience, 1, None, Duration::ZERO).await);
    }
}
