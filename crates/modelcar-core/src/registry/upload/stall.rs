//! Detects an upload request whose bytes the registry has stopped taking.
//!
//! An HTTP client can't tell a slow registry from one that takes nothing any more. The watch sees when the client asks
//! for the next bytes of the body: as long as the registry takes bytes, the client asks again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// Interval at which the watch compares the idle time with its limit.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Records how the body of one request is taken by the HTTP client, and resolves when the registry stalls.
#[derive(Debug, Clone)]
pub(super) struct StallWatch(Arc<Activity>);

/// What is known about the body of one request. Clones of the watch share it.
#[derive(Debug)]
struct Activity {
    /// When the request was made.
    started: Instant,
    /// Time of the last write, in milliseconds after `started`.
    last_write: AtomicU64,
    /// Whether the HTTP client wants bytes that the body's source does not have yet.
    starved: AtomicBool,
    /// Whether the last byte of the body was handed to the HTTP client.
    ended: AtomicBool,
}

impl StallWatch {
    /// Starts to watch a body. `ended` is true for a body without bytes.
    pub(super) fn new(ended: bool) -> Self {
        let (last_write, starved) = (AtomicU64::new(0), AtomicBool::new(false));
        Self(Arc::new(Activity { started: Instant::now(), last_write, starved, ended: AtomicBool::new(ended) }))
    }

    /// Records that bytes were handed to the HTTP client. `ended` is true with the last bytes of the body.
    pub(super) fn on_write(&self, ended: bool) {
        let millis = u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_write.store(millis, Ordering::Relaxed);
        self.0.starved.store(false, Ordering::Relaxed);
        self.0.ended.store(ended, Ordering::Relaxed);
    }

    /// Records that the HTTP client wants bytes which the source does not have yet. This time does not count as idle:
    /// sources have watchdogs of their own.
    pub(super) fn on_starved(&self) {
        self.0.starved.store(true, Ordering::Relaxed);
    }

    /// Returns whether the last byte was handed to the HTTP client.
    pub(super) fn has_ended(&self) -> bool {
        self.0.ended.load(Ordering::Relaxed)
    }

    /// Returns how long the registry has taken none of the bytes that are ready for it.
    pub(super) fn idle(&self) -> Duration {
        if self.0.starved.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        self.0.started.elapsed().saturating_sub(Duration::from_millis(self.0.last_write.load(Ordering::Relaxed)))
    }

    /// Resolves to the idle time in seconds once the idle time reaches its limit: `sending` before the last byte,
    /// `committing` after it. Idle time is compared once a second. The future never resolves while the registry keeps
    /// taking bytes.
    pub(super) async fn stalled(&self, sending: Duration, committing: Duration) -> u64 {
        loop {
            sleep(WATCH_EVERY.min(sending).min(committing)).await;
            let (idle, limit) = (self.idle(), if self.has_ended() { committing } else { sending });
            if idle >= limit {
                return idle.as_secs();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_time_in_which_the_registry_takes_nothing_counts() {
        let (watch, second) = (StallWatch::new(false), Duration::from_secs(1));
        let watched = watch.clone();
        let watchdog = tokio::spawn(async move { watched.stalled(5 * second, 10 * second).await });
        watch.on_starved();
        sleep(100 * second).await;
        assert_eq!(watch.idle(), Duration::ZERO, "the source is waited for");
        watch.on_write(false);
        sleep(4 * second).await;
        assert_eq!(watch.idle(), 4 * second);
        watch.on_write(true);
        assert!(watch.has_ended());
        sleep(9 * second).await;
        assert!(!watchdog.is_finished(), "the limit is higher after the last byte");
        assert_eq!(watchdog.await.unwrap(), 10);
    }
}
