//! When a request to the Hub is sent again: the library's policy, with the failures of this source.

use std::{sync::Arc, time::Duration};

use crate::{
    http::retry::{Failure, RetryPolicy},
    progress::Progress,
    source::SourceError,
};

/// The policy of all requests to one Hub.
#[derive(Debug, Clone)]
pub(super) struct Retry {
    policy: Arc<RetryPolicy>,
    /// Receives an event before each further try.
    pub(super) progress: Arc<dyn Progress>,
}

impl Retry {
    /// Allows `attempts` tries of a request, with waits from `base` on.
    pub(super) fn new(attempts: u32, base: Duration, progress: Arc<dyn Progress>) -> Self {
        Self { policy: Arc::new(RetryPolicy::new(attempts, base, Arc::clone(&progress))), progress }
    }

    /// Returns how long to wait after `fault`, the failure with the number `failures` of the request `what`. The wait is
    /// reported to the progress.
    ///
    /// # Errors
    /// The fault's error, when no other try may follow.
    pub(super) fn after(&self, what: &str, fault: Fault, failures: u32) -> Result<Duration, SourceError> {
        let failure = Failure::from(&fault.error).retryable(fault.transient).retry_after(fault.wait);
        let failure = if fault.wait == Some(Duration::ZERO) { failure.at_once() } else { failure };
        self.policy.next_wait(what, failures, Duration::ZERO, failure).ok_or(fault.error)
    }
}

/// An error, and whether another try may succeed.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) error: SourceError,
    pub(super) transient: bool,
    /// How long the server asks to wait; zero when the next try goes to another place and needs no wait.
    pub(super) wait: Option<Duration>,
}

impl Fault {
    /// An error that another try can't change.
    pub(super) fn fatal(error: SourceError) -> Self {
        Self { error, transient: false, wait: None }
    }

    /// An error that another try may not meet.
    pub(super) fn passing(error: SourceError) -> Self {
        Self { error, transient: true, wait: None }
    }
}

/// Returns the wait that the Hub's header `RateLimit: "api";r=0;t=55` asks for: `t` seconds, and one more because the
/// Hub's clock may differ. `None` while requests remain.
pub(super) fn rate_limit_wait(header: &str) -> Option<Duration> {
    let value = |name: &str| {
        let mut params = header.split([';', ',']).map(str::trim);
        params.find_map(|param| param.strip_prefix(name)?.strip_prefix('=')?.parse::<u64>().ok())
    };
    match (value("r"), value("t")) {
        (None | Some(0), Some(seconds)) => Some(Duration::from_secs(seconds.saturating_add(1))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::NoProgress;

    fn fault(transient: bool, wait: Option<Duration>) -> Fault {
        Fault { error: SourceError::InvalidRepository("x".into()), transient, wait }
    }

    #[test]
    fn waits_grow_and_end() {
        let retry = Retry::new(3, Duration::from_millis(500), Arc::new(NoProgress));
        for (failures, most) in [(1, 500), (2, 1000)] {
            let wait = retry.after("try", fault(true, None), failures).unwrap();
            assert!(wait.as_millis() <= most, "{wait:?}");
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

    #[test]
    fn the_rate_limit_header_is_read() {
        assert_eq!(rate_limit_wait("\"api\";r=0;t=55"), Some(Duration::from_secs(56)));
        assert_eq!(rate_limit_wait("\"api\"; r=0; t=1"), Some(Duration::from_secs(2)));
        assert_eq!(rate_limit_wait("\"api\";r=12;t=55"), None);
        assert_eq!(rate_limit_wait("nonsense"), None);
    }
}
