//! When a failed request is tried again, and how long the client waits before: the one retry policy of all clients.
//!
//! Whether another try may succeed is said by the failure ([`ModelcarError::is_retryable`]; for HTTP, `http` decides
//! it). The failure also says how long the server asks to wait (`Retry-After`, RFC 9110, section 10.2.3). The policy
//! counts tries, chooses the backoff and keeps a budget of the time that failures may cost.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::sleep};

use crate::{
    error::{Error, ModelcarError},
    progress::{self, Progress},
    text,
};

/// Longest wait that the client chooses by itself.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Largest number of tries of one request while a server is out of reach with which work had begun. With a first wait of at
/// most 500 ms the waits take two minutes at most, one minute on average: a registry that is restarted is back by then.
pub(crate) const OUTAGE_ATTEMPTS: u32 = 10;
/// Longest wait that a server can ask for. A longer one is cut to this length.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);

/// How often failed requests are tried again, and how long the waits are.
///
/// The limit of tries is for each request. The budget is for all requests that share the policy.
#[derive(Debug)]
pub(crate) struct RetryPolicy {
    /// Largest number of tries of one request, the first one included.
    attempts: u32,
    /// As `attempts`, while a server is out of reach with which work had begun.
    outage_attempts: u32,
    /// Whether work with the server has begun: bytes came, or an upload was opened.
    reached: AtomicBool,
    /// Upper bound of the wait before the second try; it doubles with each try.
    base: Duration,
    /// Time that failures may cost, over all requests.
    budget: Duration,
    /// Time that failures have cost so far: waits, and failed tries.
    spent: Mutex<Duration>,
    /// Whether no further try is allowed, because the caller wants all requests to end.
    cancelled: watch::Sender<bool>,
    /// Receives an event before each further try.
    progress: Arc<dyn Progress>,
}

/// A failed try, as far as the policy is interested in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure<'a> {
    /// The error itself, for messages.
    error: &'a (dyn std::error::Error + Send + Sync),
    /// Whether another try may succeed.
    retryable: bool,
    /// How long the server asks to wait.
    retry_after: Option<Duration>,
    /// Which wait comes before the next try.
    pace: Pace,
    /// Whether the server is out of reach, which says nothing about the request.
    outage: bool,
}

/// Which wait comes before the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// A random time below the limit.
    Jitter,
    /// No wait.
    AtOnce,
    /// The whole limit.
    Unhurried,
}

impl<'a, E: ModelcarError> From<&'a E> for Failure<'a> {
    fn from(error: &'a E) -> Self {
        let (retryable, retry_after) = (error.is_retryable(), error.retry_after());
        Self { error, retryable, retry_after, pace: Pace::Jitter, outage: false }
    }
}

impl<'a> From<&'a Error> for Failure<'a> {
    /// Makes a failure that is final if the error was retried already where it came from, so that tries do not
    /// multiply.
    fn from(error: &'a Error) -> Self {
        let (retryable, retry_after) = (error.is_worth_another_try(), error.retry_after());
        Self { error, retryable, retry_after, pace: Pace::Jitter, outage: false }
    }
}

impl Failure<'_> {
    /// Overrides whether another try may succeed, for a caller that knows more than the error says.
    pub(crate) fn retryable(self, retryable: bool) -> Self {
        Self { retryable, ..self }
    }

    /// Overrides how long the server asks to wait before the next try.
    pub(crate) fn retry_after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }

    /// Says whether the server is out of reach: no answer, or one of a proxy before the server.
    pub(crate) fn outage(self, outage: bool) -> Self {
        Self { outage, ..self }
    }

    /// Leaves the wait out. A caller does that when the next try differs from the failed one and may well succeed.
    pub(crate) fn at_once(self) -> Self {
        Self { pace: Pace::AtOnce, ..self }
    }

    /// Waits as long as the policy permits. A caller does that when only time can help: a server that is slow to agree
    /// with itself.
    pub(crate) fn unhurried(self) -> Self {
        Self { pace: Pace::Unhurried, ..self }
    }
}

impl RetryPolicy {
    /// Makes a policy of `attempts` tries for each request, the first one included, with an unlimited budget.
    ///
    /// The wait before the second try is at most `base`; the limit doubles before each further try, up to 30 seconds.
    pub(crate) fn new(attempts: u32, base: Duration, progress: Arc<dyn Progress>) -> Self {
        Self {
            attempts,
            outage_attempts: attempts,
            reached: AtomicBool::new(false),
            base,
            budget: Duration::MAX,
            spent: Mutex::default(),
            cancelled: watch::Sender::new(false),
            progress,
        }
    }

    /// Sets the number of tries of each request, the first one included, while a server is out of reach after
    /// [`reached`](Self::reached). A number below the usual one has no effect.
    pub(crate) fn with_outage_attempts(self, outage_attempts: u32) -> Self {
        Self { outage_attempts: outage_attempts.max(self.attempts), ..self }
    }

    /// Takes note that work with the server has begun, which would be lost. Before, a server that is out of reach may have
    /// a wrong name, and somebody may wait for an answer.
    pub(crate) fn reached(&self) {
        self.reached.store(true, Ordering::Relaxed);
    }

    /// Limits the time that failures may cost over all requests: waits, and the time of failed tries.
    pub(crate) fn with_budget(self, budget: Duration) -> Self {
        Self { budget, ..self }
    }

    /// Returns whether another try may follow the try with the number `attempt`, counted from 1, and waits before it.
    ///
    /// `lost` is the time that the failed try took, as far as it was not [spent](Self::spend) yet. `what` names the
    /// request in progress events and in the log. The wait ends with `false` as soon as somebody calls
    /// [`cancel`](Self::cancel).
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

    /// As [`next_attempt`](Self::next_attempt), without waiting: returns the wait, or `None` when no further try may
    /// follow.
    ///
    /// A retry whose wait would exceed the budget does not happen, and its wait does not count as spent: a server that
    /// asks for a long wait ends its own request and no other one. If the result is a wait, the progress has been told of
    /// the retry.
    pub(crate) fn next_wait(&self, what: &str, attempt: u32, lost: Duration, failure: Failure<'_>) -> Option<Duration> {
        let waited_for = failure.outage && self.reached.load(Ordering::Relaxed);
        let attempts = if waited_for { self.outage_attempts } else { self.attempts };
        if !failure.retryable || attempt >= attempts || *self.cancelled.borrow() {
            return None;
        }
        let wait = match failure.pace {
            Pace::AtOnce => Duration::ZERO,
            Pace::Jitter => backoff(self.base, attempt, failure.retry_after),
            Pace::Unhurried => backoff(self.base, attempt, failure.retry_after).max(bound(self.base, attempt)),
        };
        // A wait that does not happen costs nothing: other requests may still be tried again.
        if self.spend(lost).saturating_add(wait) > self.budget {
            tracing::info!(what, "the retry budget is spent");
            return None;
        }
        self.spend(wait);
        progress::retrying(&*self.progress, what, (attempt + 1, attempts), wait, text::chain(failure.error));
        Some(wait)
    }

    /// Returns the progress that receives an event before each further try.
    #[cfg(feature = "hub")]
    pub(crate) fn progress(&self) -> &dyn Progress {
        &*self.progress
    }

    /// Adds `time` to the time that failures have cost, and returns the new sum.
    pub(crate) fn spend(&self, time: Duration) -> Duration {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        *spent = spent.saturating_add(time);
        *spent
    }

    /// Ends all waits now and allows no further try until [`resume`](Self::resume). Requests that are under way go on.
    pub(crate) fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    /// Allows further tries again.
    pub(crate) fn resume(&self) {
        self.cancelled.send_replace(false);
    }
}

/// Returns the longest wait that the client chooses by itself after the try with the number `attempt`.
fn bound(base: Duration, attempt: u32) -> Duration {
    base.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(BACKOFF_MAX)
}

/// Returns the wait after the try with the number `attempt`: a random time below a limit that doubles with each try,
/// or the time that the server asks for if that is longer.
///
/// The time is random from zero on ("full jitter"), so that clients that failed together do not come back together.
/// The randomness is that of a hasher's keys: no generator of random numbers is needed for it.
fn backoff(base: Duration, attempt: u32, retry_after: Option<Duration>) -> Duration {
    let bound = bound(base, attempt);
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
        let policy = RetryPolicy::new(9, base, Arc::new(NoProgress));
        assert_eq!(policy.next_wait("try", 3, Duration::ZERO, Failure::from(&error).unhurried()), Some(base * 4));
    }

    #[test]
    fn a_wait_that_does_not_fit_leaves_the_budget_to_others() {
        let policy = policy(9, Duration::from_secs(10));
        let error = error();
        let long = Failure::from(&error).retry_after(Some(Duration::from_mins(4)));
        assert_eq!(policy.next_wait("try", 1, Duration::from_secs(1), long), None);
        assert_eq!(policy.spend(Duration::ZERO), Duration::from_secs(1), "the failed try alone counts");
        assert_eq!(policy.next_wait("try", 1, Duration::ZERO, Failure::from(&error)), Some(Duration::ZERO));
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

    #[test]
    fn a_server_that_was_there_is_waited_for() {
        let policy = policy(2, Duration::MAX).with_outage_attempts(4);
        let error = error();
        let tries = |outage| {
            let failure = Failure::from(&error).outage(outage);
            (1..9).take_while(|attempt| policy.next_wait("try", *attempt, Duration::ZERO, failure).is_some()).count()
                + 1
        };
        assert_eq!((tries(false), tries(true)), (2, 2), "its name may be wrong");
        policy.reached();
        assert_eq!((tries(false), tries(true)), (2, 4));
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
