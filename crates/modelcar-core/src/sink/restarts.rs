//! Whether a sink opens a blob again after a failure, and how long the sink waits before.

use std::time::Duration;

use crate::error::{Error, Result, chain};

/// How often one blob is opened again. Sources retry small things (a range, a request) by themselves; restarts are for
/// failures that those retries did not cure.
const MAX_RESTARTS: u32 = 3;
/// Wait before the first restart. It doubles before each further restart: 1, 2 and 4 seconds. Tests wait milliseconds.
const FIRST_DELAY: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 1000 });

/// Counts the restarts of one blob.
pub(crate) struct Restarts<'a> {
    /// Restarts that are still allowed.
    left: u32,
    /// Wait before the next restart.
    delay: Duration,
    /// Is told the reason before each restart.
    restarted: &'a (dyn Fn(String) + Send + Sync),
}

impl<'a> Restarts<'a> {
    /// Starts to count for a blob that was not opened yet. `restarted` is called with the reason before each restart.
    pub(crate) fn new(restarted: &'a (dyn Fn(String) + Send + Sync)) -> Self {
        Self { left: MAX_RESTARTS, delay: FIRST_DELAY, restarted }
    }

    /// Waits and returns if the blob is to be opened again after `error`.
    ///
    /// # Errors
    /// `error` itself when it is final, was retried already where it came from, or the restarts are used up.
    pub(crate) async fn after(&mut self, error: Error) -> Result<()> {
        if self.left == 0 || !error.is_worth_another_try() {
            return Err(error);
        }
        (self.restarted)(chain(&error));
        tokio::time::sleep(self.delay).await;
        self.left -= 1;
        self.delay *= 2;
        Ok(())
    }
}
