//! Progress as lines, for logs.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use modelcar_core::{
    progress::{Event, Progress},
    text::one_line,
};

use super::{count, left_out, say, size, warn};

/// How often a line tells how far a long build is.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Lines for logs.
#[derive(Debug)]
pub(super) struct Lines {
    /// When the layers began: planning and hashing are not part of the rate.
    start: OnceLock<Instant>,
    total: AtomicU64,
    moved: AtomicU64,
    last: Mutex<Instant>,
    layers: Mutex<BTreeMap<usize, Shown>>,
    /// The files of a directory that are being hashed: bytes in all, and done.
    hashed: Mutex<(u64, u64)>,
}

/// A layer in flight, as the lines tell of it.
#[derive(Debug, Default)]
struct Shown {
    title: String,
    size: u64,
    moved: u64,
}

impl Default for Lines {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            start: OnceLock::new(),
            total: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            last: Mutex::new(now),
            layers: Mutex::default(),
            hashed: Mutex::default(),
        }
    }
}

impl Lines {
    /// Returns whether it is time for another line; then it is taken.
    fn is_due(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.elapsed() >= LINE_EVERY;
        if due {
            *last = Instant::now();
        }
        due
    }

    fn hash(&self, bytes: u64) {
        let mut hashed = self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
        hashed.1 += bytes;
        if self.is_due() {
            say(&format!("hashed {} of {}", size(hashed.1), size(hashed.0)));
        }
    }

    fn advance(&self, layer: usize, bytes: u64) {
        let moved = self.moved.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if let Some(shown) = self.layers.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&layer) {
            shown.moved += bytes;
        }
        if !self.is_due() {
            return;
        }
        let seconds = self.start.get_or_init(Instant::now).elapsed().as_secs().max(1);
        let (total, rate) = (self.total.load(Ordering::Relaxed), (moved / seconds).max(1));
        let left = total.saturating_sub(moved) / rate;
        say(&format!("{} of {}, {}/s, {left} s left", size(moved), size(total), size(rate)));
    }
}

impl Progress for Lines {
    fn report(&self, event: &Event) {
        let layers = || self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::HashStarted { files, bytes } => {
                *self.hashed.lock().unwrap_or_else(PoisonError::into_inner) = (*bytes, 0);
                say(&format!("hashing {}, {}", count(*files, "file"), size(*bytes)));
            }
            Event::HashAdvanced { bytes } => self.hash(*bytes),
            Event::Planned { layers, bytes } => {
                self.total.store(*bytes, Ordering::Relaxed);
                self.start.get_or_init(Instant::now);
                say(&format!("{}, {}", count(*layers, "layer"), size(*bytes)));
            }
            Event::LeftOut { files, bytes } => say(&left_out(*files, *bytes)),
            Event::LayerStarted { layer, title, size } => {
                layers().insert(*layer, Shown { title: one_line(title), size: *size, moved: 0 });
            }
            Event::LayerAdvanced { layer, bytes } => self.advance(*layer, *bytes),
            Event::LayerRestarted { layer, reason } => {
                if let Some(shown) = layers().get_mut(layer) {
                    self.moved.fetch_sub(std::mem::take(&mut shown.moved), Ordering::Relaxed);
                }
                warn(&format!("layer {layer} starts over: {reason}"));
            }
            Event::LayerDone { layer, digest } => {
                if let Some(shown) = layers().remove(layer) {
                    say(&format!("layer {layer} {} {} {digest}", shown.title, size(shown.size)));
                }
            }
            Event::LayerReused { layer, title, size: bytes, from } => {
                self.total.fetch_sub(*bytes, Ordering::Relaxed);
                say(&format!("layer {layer} {} {} is reused from {}", one_line(title), size(*bytes), one_line(from)));
            }
            Event::Warning { message } => warn(message),
            _ => {}
        }
    }
}
