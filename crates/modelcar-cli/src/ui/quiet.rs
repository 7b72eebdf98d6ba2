//! No progress: of all events, the warnings alone are written.

use modelcar_core::progress::{Event, Progress};

use super::stderr::warn;

/// Writes warnings.
#[derive(Debug)]
pub(super) struct Quiet;

impl Progress for Quiet {
    fn report(&self, event: &Event) {
        match event {
            Event::Warning { message } => warn(message),
            Event::LayerRestarted { layer, reason } => warn(&super::words::starts_over(*layer, reason)),
            _ => {}
        }
    }
}
