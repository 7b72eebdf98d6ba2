//! When a part is asked for again, and how long to wait before.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use crate::{
    http::chain,
    progress::{self, NoProgress, Progress},
    source::SourceError,
};

/// Longest wait between two tries without a word from the server.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// Longest wait a server can impose.
const MAX_PATIENCE: Duration = Duration::from_mins(5);

/// How often a store is asked again after a failure that may pass.
#[derive(Debug, Clone)]
pub struct Retry {
    /// How often a part is asked for at most without progress in between.
    pub attempts: u32,
    /// Wait after the first failure; doubled after each further one, up to 30 s, half of it by chance.
    pub base: Duration,
    /// Who is told of every try that follows.
    pub progress: Arc<dyn Progress>,
}

impl Default for Retry {
    /// Five tries from 500 ms; nobody is told.
    fn default() -> Self {
        Self { attempts: 5, base: Duration::from_millis(500), progress: Arc::new(NoProgress) }
    }
}

impl Retry {
    /// Returns how long to wait after `fault`, the `failures`-th one of `what`, or the error when it is the last. The
    /// wait is told.
    pub(in crate::source) fn after(&self, what: &str, fault: Fault, failures: u32) -> Result<Duration, SourceError> {
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
pub struct Fault {
    pub(in crate::source) error: SourceError,
    pub(in crate::source) transient: bool,
    /// How long the server wants to be left alone, or a reason not to wait at all.
    pub(in crate::source) wait: Option<Duration>,
}

impl Fault {
    /// An error that stays.
    pub fn fatal(error: impl Into<SourceError>) -> Self {
        Self { error: error.into(), transient: false, wait: None }
    }

    /// An error that may pass.
    pub fn passing(error: impl Into<SourceError>) -> Self {
        Self { error: error.into(), transient: true, wait: None }
    }

    /// Says how long the store asks to be left alone before the next try; five minutes are waited at most.
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
}
