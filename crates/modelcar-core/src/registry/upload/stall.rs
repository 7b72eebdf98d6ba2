//! How the bytes of one request move: whether the registry takes them, and how long it has not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// How often the watchdog looks.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Shows how a request's body moves.
#[derive(Debug, Clone)]
pub(super) struct Gauge(Arc<Needle>);

#[derive(Debug)]
struct Needle {
    born: Instant,
    /// When the registry last took something, or was last given something after a wait, in milliseconds after `born`.
    moved: AtomicU64,
    /// Whether the registry could take more than the body's source gives.
    waiting: AtomicBool,
    ended: AtomicBool,
}

impl Gauge {
    /// A gauge of a body that begins now; `ended` when it has no byte.
    pub(super) fn new(ended: bool) -> Self {
        let (moved, waiting) = (AtomicU64::new(0), AtomicBool::new(false));
        Self(Arc::new(Needle { born: Instant::now(), moved, waiting, ended: AtomicBool::new(ended) }))
    }

    /// Takes note that the registry was given bytes, the last ones when the body has `ended`.
    pub(super) fn moves(&self, ended: bool) {
        let millis = u64::try_from(self.0.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.moved.store(millis, Ordering::Relaxed);
        self.0.waiting.store(false, Ordering::Relaxed);
        self.0.ended.store(ended, Ordering::Relaxed);
    }

    /// Takes note that the registry wants bytes which the source does not have yet. A source has watchdogs of its own.
    pub(super) fn waits(&self) {
        self.0.waiting.store(true, Ordering::Relaxed);
    }

    /// Returns whether the last byte was handed over.
    pub(super) fn has_ended(&self) -> bool {
        self.0.ended.load(Ordering::Relaxed)
    }

    /// Returns how long the registry has taken nothing of what there is for it.
    pub(super) fn silence(&self) -> Duration {
        if self.0.waiting.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        self.0.born.elapsed().saturating_sub(Duration::from_millis(self.0.moved.load(Ordering::Relaxed)))
    }

    /// Resolves to the seconds of silence once there were too many: `moving` while there are bytes to send,
    /// `committing` after the last one.
    pub(super) async fn stalled(&self, moving: Duration, committing: Duration) -> u64 {
        loop {
            sleep(WATCH_EVERY.min(moving).min(committing)).await;
            let (silence, patience) = (self.silence(), if self.has_ended() { committing } else { moving });
            if silence >= patience {
                return silence.as_secs();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_the_registrys_silence_counts() {
        let (gauge, second) = (Gauge::new(false), Duration::from_secs(1));
        let watched = gauge.clone();
        let watchdog = tokio::spawn(async move { watched.stalled(5 * second, 10 * second).await });
        gauge.waits();
        sleep(100 * second).await;
        assert_eq!(gauge.silence(), Duration::ZERO, "the source is waited for");
        gauge.moves(false);
        sleep(4 * second).await;
        assert_eq!(gauge.silence(), 4 * second);
        gauge.moves(true);
        assert!(gauge.has_ended());
        sleep(9 * second).await;
        assert!(!watchdog.is_finished(), "after the last byte more silence is borne");
        assert_eq!(watchdog.await.unwrap(), 10);
    }
}
