//! When a failed request is tried again, and how long to wait before: the one policy of all clients.
//!
//! The failure itself says whether another try may succeed ([`ModelcarError::is_retryable`]; for HTTP that is decided in
//! `http`) and how long the server asks to wait. The policy counts tries, draws waits and
//! keeps a budget of lost time.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::sleep};

use crate::{
    error::{Error, ModelcarError},
    progress::{self, Progress},
    text,
};

/// Longest wait that is drawn.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Longest wait that a server can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);

/// How often failed requests are tried again. The tries of all requests that share a policy share its budget.
#[derive(Debug)]
pub(crate) struct RetryPolicy {
    /// Largest number of tries of one request, the first one included.
    attempts: u32,
    /// Upper bound of the wait before the second try; it doubles with each try.
    base: Duration,
    /// Time that failures may cost, over all requests.
    budget: Duration,
    spent: Mutex<Duration>,
    /// Whether no further try is allowed, because the caller wants all requests to end.
    cancelled: watch::Sender<bool>,
    /// Receives an event before each further try.
    progress: Arc<dyn Progress>,
}

/// A failure as the policy looks at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure<'a> {
    error: &'a (dyn std::error::Error + Send + Sync),
    retryable: bool,
    retry_after: Option<Duration>,
    at_once: bool,
}

impl<'a, E: ModelcarError> From<&'a E> for Failure<'a> {
    fn from(error: &'a E) -> Self {
        let (retryable, retry_after) = (error.is_retryable(), error.retry_after());
        Self { error, retryable, retry_after, at_once: false }
    }
}

impl<'a> From<&'a Error> for Failure<'a> {
    /// A failure that was retried below is final here.
    fn from(error: &'a Error) -> Self {
        let (retryable, retry_after) = (error.is_worth_another_try(), error.retry_after());
        Self { error, retryable, retry_after, at_once: false }
    }
}

impl Failure<'_> {
    /// Overrides whether another try may succeed, for a caller that knows more than the failure says.
    pub(crate) fn retryable(self, retryable: bool) -> Self {
        Self { retryable, ..self }
    }

    /// Overrides how long the server asks to wait.
    pub(crate) fn retry_after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }

    /// Leaves the wait out, for a next try that differs from the failed one.
    pub(crate) fn at_once(self) -> Self {
        Self { at_once: true, ..self }
    }
}

impl RetryPolicy {
    /// Makes a policy of `attempts` tries, with waits from `base` on and an unlimited budget.
    pub(crate) fn new(attempts: u32, base: Duration, progress: Arc<dyn Progress>) -> Self {
        let (budget, spent) = (Duration::MAX, Mutex::default());
        Self { attempts, base, budget, spent, cancelled: watch::Sender::new(false), progress }
    }

    /// Limits the time that failures may cost over all requests: waits, and the time of failed tries.
    pub(crate) fn with_budget(self, budget: Duration) -> Self {
        Self { budget, ..self }
    }

    /// Returns whether another try may follow the try with the number `attempt`, counted from 1, and waits before it.
    /// `lost` is the time of the failed try that was not [spent](Self::spend) yet. `what` names the request in progress
    /// events and the log.
    pub(crate) async fn next_attempt(
        &self,
        what: &str,
        attempt: u32,
        lost: Duration,
        failure: impl Into<Failure<'_>>,
    ) -> bool {
        let mut cancelled = self.cancelled.subscribe();
        let Some(wait) = self.next_wait(what, attempt, lost, failure.into()) else { return false };
        tokio::select! {
            () = sleep(wait) => true,
            _ = cancelled.wait_for(|cancelled| *cancelled) => false,
        }
    }

    /// As [`next_attempt`](Self::next_attempt), without waiting: returns the wait, or `None` when the failure is final.
    pub(crate) fn next_wait(&self, what: &str, attempt: u32, lost: Duration, failure: Failure<'_>) -> Option<Duration> {
        if !failure.retryable || attempt >= self.attempts || *self.cancelled.borrow() {
            return None;
        }
        let wait = if failure.at_once { Duration::ZERO } else { backoff(self.base, attempt, failure.retry_after) };
        if self.spend(wait + lost) > self.budget {
            tracing::info!(what, "the retry budget is spent");
            return None;
        }
        progress::retrying(&*self.progress, what, attempt + 1, wait, text::chain(failure.error));
        Some(wait)
    }

    /// Returns who receives an event before each further try.
    #[cfg(feature = "hub")]
    pub(crate) fn progress(&self) -> &dyn Progress {
        &*self.progress
    }

    /// Adds `time` to the time that failures have cost, and returns the sum.
    pub(crate) fn spend(&self, time: Duration) -> Duration {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        *spent = spent.saturating_add(time);
        *spent
    }

    /// Ends all waits and allows no further try until [`resume`](Self::resume).
    pub(crate) fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    /// Allows further tries again.
    pub(crate) fn resume(&self) {
        self.cancelled.send_replace(false);
    }
}

/// Returns the wait after the try with the number `attempt`: a random time below a bound that doubles with each try
/// ("full jitter": clients that failed together must not come back together), or the time that the server asks for if
/// that is longer.
fn backoff(base: Duration, attempt: u32, retry_after: Option<Duration>) -> Duration {
    let bound = base.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(BACKOFF_MAX);
    let random = RandomState::new().hash_one(attempt) >> 32;
    let drawn = bound.mul_f64(f64::from(u32::try_from(random).unwrap_or_default()) / f64::from(u32::MAX));
    retry_after.map_or(drawn, |asked| asked.min(RETRY_AFTER_MAX).max(drawn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::OtherError, progress::NoProgress};

    fn error() -> OtherError {
        OtherError::new("try", crate::ErrorKind::Network, "503").retryable(None)
    }

    fn policy(attempts: u32, budget: Duration) -> RetryPolicy {
        RetryPolicy::new(attempts, Duration::ZERO, Arc::new(NoProgress)).with_budget(budget)
    }

    async fn again(policy: &RetryPolicy, attempt: u32, lost: Duration) -> bool {
        policy.next_attempt("try", attempt, lost, &error()).await
    }

    #[test]
    fn waits_grow_and_servers_are_obeyed_within_a_bound() {
        let base = Duration::from_millis(500);
        for attempt in 1..40 {
            let bound = base * (1 << (attempt - 1).min(16));
            assert!(backoff(base, attempt, None) <= bound.min(BACKOFF_MAX));
        }
        let asked = |seconds| backoff(base, 1, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(7), Duration::from_secs(7));
        assert_eq!(asked(86_400), RETRY_AFTER_MAX);
        let policy = RetryPolicy::new(9, Duration::from_mins(1), Arc::new(NoProgress));
        let error = error();
        let at_once = Failure::from(&error).at_once().retry_after(Some(base));
        assert_eq!(policy.next_wait("try", 5, Duration::ZERO, at_once), Some(Duration::ZERO));
    }

    #[tokio::test]
    async fn a_final_failure_the_last_try_and_the_budget_end_it() {
        let policy = policy(3, Duration::from_secs(10));
        assert!(!policy.next_attempt("try", 1, Duration::ZERO, Failure::from(&error()).retryable(false)).await);
        assert!(again(&policy, 1, Duration::from_secs(1)).await);
        assert!(!again(&policy, 3, Duration::ZERO).await, "three tries are over");
        assert!(again(&policy, 1, Duration::from_secs(8)).await);
        assert!(!again(&policy, 1, Duration::from_secs(2)).await, "eleven seconds were lost");
    }

    #[tokio::test]
    async fn lost_time_is_counted_once_and_a_wait_can_be_cancelled() {
        let short = policy(9, Duration::from_secs(10));
        assert_eq!(short.spend(Duration::from_secs(10)), Duration::from_secs(10));
        assert!(again(&short, 1, Duration::ZERO).await);
        short.spend(Duration::from_millis(1));
        assert!(!again(&short, 1, Duration::ZERO).await);

        let policy = policy(9, Duration::from_hours(2));
        let error = error();
        let failure = Failure::from(&error).retry_after(Some(Duration::from_mins(4)));
        let waiting = policy.next_attempt("try", 1, Duration::ZERO, failure);
        let cancelling = async { policy.cancel() };
        let ended = tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(waiting, cancelling).0 }).await;
        assert_eq!(ended, Ok(false));
        assert!(!again(&policy, 1, Duration::ZERO).await);
        policy.resume();
        assert!(again(&policy, 1, Duration::ZERO).await);
    }
}
