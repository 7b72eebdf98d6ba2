//! A thread that lets a command say that it still runs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How often the thread looks whether something is due.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Progress that has something to say when nothing has happened for a while.
pub(super) trait Beats: Send + Sync + 'static {
    /// Says it, if it is due.
    fn beat(&self, now: Instant);
}

/// Starts the thread. The thread ends when the last holder drops the returned value.
pub(super) fn start<T: Beats>(progress: T) -> Arc<T> {
    let progress = Arc::new(progress);
    let weak = Arc::downgrade(&progress);
    let beat = move || {
        while let Some(progress) = weak.upgrade() {
            progress.beat(Instant::now());
            drop(progress);
            std::thread::sleep(LOOK_EVERY);
        }
    };
    // Without the thread, lines come with events alone.
    let _no_thread = std::thread::Builder::new().name("heartbeat".to_owned()).spawn(beat);
    progress
}
