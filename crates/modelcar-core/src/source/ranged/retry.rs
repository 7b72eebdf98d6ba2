//! When a part is asked for again: the library's policy, with the failures of a source.

use std::{sync::Arc, time::Duration};

use crate::{
    progress::{NoProgress, Progress},
    retry::{Failure, RetryPolicy},
    source::SourceError,
};

/// A try that brought so many bytes before it broke is progress: failures are counted from there anew.
pub(super) const PROGRESS_BYTES: u64 = 256 << 10;

/// How often a store is asked again after a failure that may pass.
#[derive(Debug, Clone)]
pub struct Retry(Arc<RetryPolicy>);

impl Default for Retry {
    /// Five tries, ten of a store that is out of reach after bytes came, with waits from 500 ms on; no progress events.
    fn default() -> Self {
        Self::new(5, Duration::from_millis(500), Arc::new(NoProgress))
    }
}

impl Retry {
    /// Allows `attempts` tries of a part without progress in between, and twice as many of a store that is out of reach
    /// after bytes came. The wait before the second try is a random time up to `base`; the bound doubles with each further
    /// try, up to 30 s. `progress` receives an event before each further try.
    pub fn new(attempts: u32, base: Duration, progress: Arc<dyn Progress>) -> Self {
        Self(Arc::new(RetryPolicy::new(attempts, base, progress).with_outage_attempts(2 * attempts)))
    }

    /// Takes note that the store sends bytes: from now on a store that is out of reach is tried twice as often.
    pub(in crate::source) fn reached(&self) {
        self.0.reached();
    }

    #[cfg(feature = "hub")]
    pub(in crate::source) fn progress(&self) -> &dyn Progress {
        self.0.progress()
    }

    /// Returns how long to wait after `fault`, the failure with the number `failures` of the request `what`. The wait is
    /// reported to the progress.
    ///
    /// # Errors
    /// The fault's error, when no other try may follow.
    pub(in crate::source) fn after(&self, what: &str, fault: Fault, failures: u32) -> Result<Duration, SourceError> {
        let failure = Failure::from(&fault.error).retryable(fault.transient);
        let failure = failure.outage(fault.error.is_outage()).retry_after(fault.wait);
        let failure = if fault.wait == Some(Duration::ZERO) { failure.at_once() } else { failure };
        self.0.next_wait(what, failures, Duration::ZERO, failure).ok_or(fault.error)
    }
}

/// An error, and whether another try may succeed.
#[derive(Debug)]
pub struct Fault {
    pub(in crate::source) error: SourceError,
    pub(in crate::source) transient: bool,
    /// How long the server asks to wait; zero when the next try goes to another place and needs no wait.
    pub(in crate::source) wait: Option<Duration>,
}

impl Fault {
    /// An error that another try can't change.
    pub fn fatal(error: impl Into<SourceError>) -> Self {
        Self { error: error.into(), transient: false, wait: None }
    }

    /// An error that another try may not meet.
    pub fn passing(error: impl Into<SourceError>) -> Self {
        Self { error: error.into(), transient: true, wait: None }
    }

    /// Sets how long the store asks to wait before the next try. The reader waits five minutes at most; after zero the
    /// reader does not wait.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self { wait: Some(wait), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(transient: bool, wait: Option<Duration>) -> Fault {
        Fault { error: SourceError::InvalidRepository("x".into()), transient, wait }
    }

    #[test]
    fn waits_grow_and_end() {
        let retry = Retry::new(3, Duration::from_millis(500), Arc::new(NoProgress));
        for failures in 1..3 {
            let wait = retry.after("try", fault(true, None), failures).unwrap();
            assert!(wait <= Duration::from_millis(500 * u64::from(failures)), "{wait:?}");
        }
        assert!(retry.after("try", fault(true, None), 3).is_err());
        assert!(retry.after("try", fault(false, None), 1).is_err());
    }

    #[test]
    fn waits_of_the_server_are_obeyed_up_to_five_minutes() {
        let retry = Retry::new(2, Duration::from_mins(1), Arc::new(NoProgress));
        let told = |seconds| retry.after("try", fault(true, Some(Duration::from_secs(seconds))), 1).unwrap();
        assert_eq!(told(70), Duration::from_secs(70));
        assert_eq!(told(7000), Duration::from_mins(5));
        assert_eq!(told(0), Duration::ZERO, "a place that is known to have changed");
    }
}
