//! When a request is sent again, and how long to wait before.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use crate::{
    http::chain,
    progress::{self, Progress},
    source::SourceError,
};

/// Longest wait between two tries without a word from the server.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// Longest wait a server can impose.
const MAX_PATIENCE: Duration = Duration::from_mins(5);

/// How stubborn requests are.
#[derive(Debug, Clone)]
pub(super) struct Retry {
    pub(super) attempts: u32,
    pub(super) base: Duration,
    /// Who is told of every try that follows.
    pub(super) progress: Arc<dyn Progress>,
}

impl Retry {
    /// Returns how long to wait after `fault`, the `failures`-th one of `what`, or the error when it is the last. The
    /// wait is told.
    pub(super) fn after(&self, what: &str, fault: Fault, failures: u32) -> Result<Duration, SourceError> {
        if !fault.transient || failures >= self.attempts {
            return Err(fault.error);
        }
        let delay = fault.wait.map_or_else(|| self.backoff(failures), |wait| wait.min(MAX_PATIENCE));
        progress::retrying(&*self.progress, what, failures + 1, delay, chain(&fault.error));
        Ok(delay)
    }

    /// Doubles each time; half of it is chance, so that parts that broke together do not come back together.
    fn backoff(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let half = self.base.saturating_mul(factor).min(MAX_BACKOFF) / 2;
        let chance = RandomState::new().hash_one(failures) % 1000;
        half + half * u32::try_from(chance).unwrap_or_default() / 1000
    }
}

/// An error and whether it is worth another try.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) error: SourceError,
    pub(super) transient: bool,
    /// How long the server wants to be left alone, or a reason not to wait at all.
    pub(super) wait: Option<Duration>,
}

impl Fault {
    /// An error that stays.
    pub(super) fn fatal(error: SourceError) -> Self {
        Self { error, transient: false, wait: None }
    }

    /// An error that may pass.
    pub(super) fn passing(error: SourceError) -> Self {
        Self { error, transient: true, wait: None }
    }
}

/// Reads the seconds to wait out of the Hub's `RateLimit: "api";r=0;t=55`, one more than told because its clock is
/// not ours. `None` while requests remain.
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
        let retry = Retry { attempts: 3, base: Duration::from_millis(500), progress: Arc::new(NoProgress) };
        let first = retry.after("try", fault(true, None), 1).unwrap();
        let second = retry.after("try", fault(true, None), 2).unwrap();
        assert!((250..=500).contains(&first.as_millis()), "{first:?}");
        assert!((500..=1000).contains(&second.as_millis()), "{second:?}");
        assert!(retry.after("try", fault(true, None), 3).is_err());
        assert!(retry.after("try", fault(false, None), 1).is_err());
        assert!(retry.backoff(u32::MAX) <= MAX_BACKOFF);
    }

    #[test]
    fn the_server_s_word_counts_up_to_five_minutes() {
        let retry = Retry { attempts: 2, base: Duration::ZERO, progress: Arc::new(NoProgress) };
        let told = |seconds| retry.after("try", fault(true, Some(Duration::from_secs(seconds))), 1).unwrap();
        assert_eq!(told(7), Duration::from_secs(7));
        assert_eq!(told(7000), MAX_PATIENCE);
    }

    #[test]
    fn the_rate_limit_header_is_read() {
        assert_eq!(rate_limit_wait("\"api\";r=0;t=55"), Some(Duration::from_secs(56)));
        assert_eq!(rate_limit_wait("\"api\"; r=0; t=1"), Some(Duration::from_secs(2)));
        assert_eq!(rate_limit_wait("\"api\";r=12;t=55"), None);
        assert_eq!(rate_limit_wait("nonsense"), None);
    }
}
