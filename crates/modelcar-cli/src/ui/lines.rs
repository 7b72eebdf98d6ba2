//! Progress as lines, for logs and for a stderr that is no terminal.
//!
//! A line is written for each event that matters. If none is written for some time, a line says how far the command
//! is, so that a build system does not take the command for one that hangs.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use modelcar_core::{
    progress::{Event, Phase, Progress},
    text::one_line,
};

use super::{
    beat::{self, Beats},
    stderr::{say, warn},
    words::{count, duration, left_out, percent, rate, retrying, size, starts_over, time_left},
};

/// Time without a line after which a line says how far the command is, at the beginning. Together with the interval of
/// the thread it is below ten seconds.
const LINE_EVERY: Duration = Duration::from_secs(9);
/// As [`LINE_EVERY`], for a command that runs long: together with the interval of the thread below 30 seconds.
const LINE_EVERY_MAX: Duration = Duration::from_secs(29);
/// The time between two lines grows with the time that the command has run, divided by this.
const LINE_GROWTH: u32 = 20;
/// Time without a byte after which a line says so, in place of the rate.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// Returns how long a command that has run for `time` writes no line.
pub(super) fn line_every(time: Duration) -> Duration {
    (time / LINE_GROWTH).clamp(LINE_EVERY, LINE_EVERY_MAX)
}

/// Writes progress as lines.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<State>);

/// What the next line says.
#[derive(Debug, Default)]
struct State {
    /// The phase that began last.
    phase: Option<Phase>,
    /// When the phase began.
    since: Option<Instant>,
    /// When the first line could have been written.
    begun: Option<Instant>,
    /// When the last line was written.
    last: Option<Instant>,
    /// When the layers began. The rate is counted from here: planning and hashing are not part of it.
    start: Option<Instant>,
    /// Bytes of the layers that are sent. Reused layers are subtracted.
    total: u64,
    /// Bytes of layers that were sent so far. The bytes of a layer that starts over are subtracted.
    moved: u64,
    /// When bytes of a layer moved last.
    byte: Option<Instant>,
    /// Layers of the plan, and those of them that are in place.
    layers_planned: usize,
    layers_done: usize,
    /// The layers that are being sent, by their number in the plan.
    layers: BTreeMap<usize, Shown>,
    /// The files of a directory that are being hashed or fetched: which of the two, bytes in all, and bytes that are
    /// done.
    files: Option<(&'static str, u64, u64)>,
    /// Whether the image is published. No further line is due then.
    published: bool,
}

/// A layer that is being sent.
#[derive(Debug, Default)]
struct Shown {
    /// Safe to print on one line.
    title: String,
    /// Size of the layer in bytes.
    size: u64,
    /// Bytes of this layer that were sent since it started, or started over.
    moved: u64,
}

impl Lines {
    /// Returns the progress, with a thread that writes a line when one is due.
    pub(super) fn beating() -> Arc<Self> {
        beat::start(Self::default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beats for Lines {
    fn beat(&self, now: Instant) {
        let line = self.state().line_if_due(now);
        if let Some(line) = line {
            say(&line);
        }
    }
}

impl State {
    /// Returns a line if the last one was written too long before `now`, and notes `now` as the time of the last line.
    fn line_if_due(&mut self, now: Instant) -> Option<String> {
        let (begun, last) = (*self.begun.get_or_insert(now), *self.last.get_or_insert(now));
        let every = line_every(now.saturating_duration_since(begun));
        if self.published || now.saturating_duration_since(last) < every {
            return None;
        }
        self.last = Some(now);
        Some(self.how_far(now))
    }

    /// Returns how far the command is. The time that is left is computed from the average rate.
    fn how_far(&self, now: Instant) -> String {
        let since = |then: Option<Instant>| then.map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
        if let Some((act, all, done)) = self.files {
            return format!("{act} {}% ({} of {})", percent(done, all), size(done), size(all));
        }
        let Some(phase) = self.phase else { return "working".to_owned() };
        if phase != Phase::Layers {
            return format!("{phase}: {}", duration(since(self.since)));
        }
        let (done, all) = (self.moved, self.total);
        let mut parts = vec![
            format!("{}% ({} of {})", percent(done, all), size(done), size(all)),
            format!("{} of {}", self.layers_done, count(self.layers_planned, "layer")),
        ];
        let silent = since(self.byte.or(self.start));
        if silent >= SILENT_AFTER {
            parts.push(format!("no byte for {}", duration(silent)));
        } else {
            let time = since(self.start);
            parts.push(format!("{}/s", size(rate(done, time))));
            parts.extend(time_left(done, all, time));
        }
        format!("{phase}: {}", parts.join(", "))
    }

    /// Notes an event and returns what is to be written about it.
    fn note(&mut self, event: &Event, now: Instant) -> Said {
        match event {
            Event::Phase { phase } if self.phase != Some(*phase) => {
                (self.phase, self.since) = (Some(*phase), Some(now));
                return Said::line(phase);
            }
            Event::HashStarted { files, bytes } => {
                self.files = Some(("hashed", *bytes, 0));
                return Said::line(format!("hashing {}, {}", count(*files, "file"), size(*bytes)));
            }
            Event::FetchStarted { files, bytes } => {
                self.files = Some(("fetched", *bytes, 0));
                return Said::line(format!("fetching {}, {}", count(*files, "file"), size(*bytes)));
            }
            Event::HashAdvanced { bytes } | Event::FetchAdvanced { bytes } => {
                if let Some(files) = &mut self.files {
                    files.2 += bytes;
                }
            }
            Event::HashDone | Event::FetchDone => self.files = None,
            Event::Planned { layers, bytes } => {
                (self.total, self.start, self.layers_planned) = (*bytes, Some(now), *layers);
                return Said::line(format!("{}, {}", count(*layers, "layer"), size(*bytes)));
            }
            Event::LeftOut { files, bytes } => return Said::line(left_out(*files, *bytes)),
            Event::Retrying { what, attempt, attempts, wait, reason } => {
                return Said::line(retrying(what, (*attempt, *attempts), *wait, reason));
            }
            Event::Warning { message } => return Said::Warning(message.clone()),
            Event::Published { .. } => self.published = true,
            event => return self.note_layer(event, now),
        }
        Said::Nothing
    }

    /// As [`note`](Self::note), for the events of layers.
    fn note_layer(&mut self, event: &Event, now: Instant) -> Said {
        match event {
            Event::LayerStarted { layer, title, size } => {
                self.layers.insert(*layer, Shown { title: one_line(title), size: *size, moved: 0 });
            }
            Event::LayerAdvanced { layer, bytes } => {
                self.moved += bytes;
                self.byte = Some(now);
                if let Some(shown) = self.layers.get_mut(layer) {
                    shown.moved += bytes;
                }
            }
            Event::LayerRestarted { layer, reason } => {
                if let Some(shown) = self.layers.get_mut(layer) {
                    self.moved = self.moved.saturating_sub(std::mem::take(&mut shown.moved));
                }
                return Said::Warning(starts_over(*layer, reason));
            }
            Event::LayerDone { layer, digest } => {
                self.layers_done += 1;
                if let Some(shown) = self.layers.remove(layer) {
                    return Said::line(format!("layer {} {} {} {digest}", layer + 1, shown.title, size(shown.size)));
                }
            }
            Event::LayerReused { layer, title, size: bytes, from } => {
                self.total = self.total.saturating_sub(*bytes);
                self.layers_done += 1;
                let (title, bytes, from) = (one_line(title), size(*bytes), one_line(from));
                return Said::line(format!("layer {} {title} {bytes} is reused from {from}", layer + 1));
            }
            _ => {}
        }
        Said::Nothing
    }
}

/// What is written because of an event.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// The event only changes what the next line says.
    Nothing,
    /// A line of progress.
    Line(String),
    /// A warning, which begins with `warning:`.
    Warning(String),
}

impl Said {
    fn line(text: impl fmt::Display) -> Self {
        Self::Line(text.to_string())
    }
}

impl Progress for Lines {
    fn report(&self, event: &Event) {
        let now = Instant::now();
        let mut state = self.state();
        let said = state.note(event, now);
        if said != Said::Nothing {
            state.last = Some(now);
        }
        drop(state);
        match said {
            Said::Nothing => {}
            Said::Line(text) => say(&text),
            Said::Warning(text) => warn(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use modelcar_core::Digest;

    use super::*;

    #[test]
    fn no_ten_seconds_pass_without_a_line() {
        assert!(LINE_EVERY + beat::LOOK_EVERY < Duration::from_secs(10));
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let mut state = State::default();
        assert_eq!(state.line_if_due(at(0)), None);
        state.note(&Event::Phase { phase: Phase::Registry }, at(0));
        assert_eq!(state.line_if_due(at(8)), None);
        assert_eq!(state.line_if_due(at(9)).as_deref(), Some("ask the registry: 9 s"));
        assert_eq!(state.line_if_due(at(10)), None);

        state.note(&Event::Planned { layers: 2, bytes: 100 << 20 }, at(10));
        state.note(&Event::Phase { phase: Phase::Layers }, at(10));
        let line = state.line_if_due(at(18));
        assert_eq!(line.as_deref(), Some("move the layers: 0% (0 B of 100.0 MiB), 0 of 2 layers, 0 B/s"));
        state.note(&Event::LayerAdvanced { layer: 0, bytes: 50 << 20 }, at(25));
        state.note(&Event::LayerDone { layer: 0, digest: Digest::of("") }, at(25));
        let line = state.line_if_due(at(30));
        let said = "move the layers: 50% (50.0 MiB of 100.0 MiB), 1 of 2 layers, 2.5 MiB/s, 20 s left";
        assert_eq!(line.as_deref(), Some(said));
        let line = state.line_if_due(at(60));
        let said = "move the layers: 50% (50.0 MiB of 100.0 MiB), 1 of 2 layers, no byte for 35 s";
        assert_eq!(line.as_deref(), Some(said));
    }

    #[test]
    fn a_long_push_writes_fewer_lines() {
        assert!(LINE_EVERY_MAX + beat::LOOK_EVERY < Duration::from_secs(30));
        let begun = Instant::now();
        let mut state = State::default();
        let lines =
            (0..7200).filter(|second| state.line_if_due(begun + Duration::from_secs(*second)).is_some()).count();
        assert!((240..300).contains(&lines), "{lines} lines in two hours");
    }

    #[test]
    fn a_phase_is_said_once_and_a_retry_each_time() {
        let mut state = State::default();
        let phase = Event::Phase { phase: Phase::List };
        assert_eq!(state.note(&phase, Instant::now()), Said::line("list the files"));
        assert_eq!(state.note(&phase, Instant::now()), Said::Nothing);
        let (what, reason) = ("upload a".to_owned(), "status 503".to_owned());
        let retrying = Event::Retrying { what, attempt: 2, attempts: 5, wait: Duration::from_millis(1500), reason };
        let said = Said::line("try 2 of 5 in 1.5 s: upload a: status 503");
        assert_eq!(state.note(&retrying, Instant::now()), said);
    }
}
