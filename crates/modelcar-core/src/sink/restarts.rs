//! Whether a sink opens a body again after a failure, and how long it waits before.

use std::time::Duration;

use crate::error::{Error, Result, chain};

/// Sources retry what is small (a part, a request) themselves; this is for what got past that.
const MAX_RESTARTS: u32 = 3;
const FIRST_DELAY: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 1000 });

/// Decides whether a body is worth another try.
pub(crate) struct Restarts<'a> {
    left: u32,
    delay: Duration,
    restarted: &'a (dyn Fn(String) + Send + Sync),
}

impl<'a> Restarts<'a> {
    pub(crate) fn new(restarted: &'a (dyn Fn(String) + Send + Sync)) -> Self {
        Self { left: MAX_RESTARTS, delay: FIRST_DELAY, restarted }
    }

    /// Waits and returns when `error` may pass, else gives it back.
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
