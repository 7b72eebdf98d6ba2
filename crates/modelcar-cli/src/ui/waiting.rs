//! Progress of a command that asks a server a few questions: a line when the server is slow, and none when it is not.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use modelcar_core::progress::{Event, Progress};

use super::{
    beat::{self, Beats},
    lines::line_every,
    stderr::{say, warn},
    words::{duration, retrying, starts_over},
};

/// Writes how long the command has waited, warnings, and tries after a failure.
#[derive(Debug)]
pub(super) struct Waiting {
    /// What is being done.
    act: &'static str,
    /// When it began.
    begun: Instant,
    /// When the last line was written.
    last: Mutex<Instant>,
}

impl Waiting {
    /// Returns the progress, with a thread that writes a line when one is due.
    pub(super) fn beating(act: &'static str) -> Arc<Self> {
        beat::start(Self::new(act, Instant::now()))
    }

    fn new(act: &'static str, begun: Instant) -> Self {
        Self { act, begun, last: Mutex::new(begun) }
    }

    /// Returns a line if the last one was written too long before `now`.
    fn line_if_due(&self, now: Instant) -> Option<String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = now.saturating_duration_since(self.begun);
        if now.saturating_duration_since(*last) < line_every(waited) {
            return None;
        }
        *last = now;
        Some(format!("{}: {}", self.act, duration(waited)))
    }

    fn say(&self, text: impl fmt::Display) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        say(&text.to_string());
    }
}

impl Beats for Waiting {
    fn beat(&self, now: Instant) {
        if let Some(line) = self.line_if_due(now) {
            say(&line);
        }
    }
}

impl Progress for Waiting {
    fn report(&self, event: &Event) {
        match event {
            Event::Warning { message } => warn(message),
            Event::LayerRestarted { layer, reason } => warn(&starts_over(*layer, reason)),
            Event::Retrying { what, attempt, attempts, wait, reason } => {
                self.say(retrying(what, (*attempt, *attempts), *wait, reason));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_slow_server_is_told_and_a_quick_one_is_not() {
        let begun = Instant::now();
        let waiting = Waiting::new("ask the registry", begun);
        let line = |seconds| waiting.line_if_due(begun + Duration::from_secs(seconds));
        assert_eq!(line(8), None);
        assert_eq!(line(9).as_deref(), Some("ask the registry: 9 s"));
        assert_eq!(line(17), None);
        assert_eq!(line(18).as_deref(), Some("ask the registry: 18 s"));
    }
}
