//! Progress as bars, for a terminal.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use modelcar_core::{
    progress::{Event, Progress},
    text::one_line,
};

use super::{
    settings::columns,
    stderr::{say, warn},
    words::{cut_middle, duration, left_out, rate, retrying, size, starts_over, time_left},
};

/// Progress bars: one row for each layer that is being sent, and the last row for the total.
#[derive(Debug)]
pub(super) struct Bars {
    /// All rows.
    screen: MultiProgress,
    /// The last row: a spinner while the push is prepared, and then the bar of all layers together.
    total: ProgressBar,
    /// The bars of the layers that are being sent, by the layer's number in the plan.
    layers: Mutex<BTreeMap<usize, ProgressBar>>,
    /// The bar of the files of a directory, while they are hashed or fetched.
    files: Mutex<Option<ProgressBar>>,
    /// When bytes of a layer moved last.
    byte: Arc<Mutex<Instant>>,
    /// Layers that are in place, and layers of the plan.
    counted: Mutex<(usize, usize)>,
}

/// Time without a byte after which the last row says so, in place of the rate.
const SILENT_AFTER: Duration = Duration::from_secs(10);
/// The part of a row's columns that the name of a layer takes.
const NAME_PART: (usize, usize) = (2, 5);

impl Bars {
    /// Makes the bars and draws them to `target`.
    pub(super) fn new(target: ProgressDrawTarget) -> Self {
        let screen = MultiProgress::with_draw_target(target);
        let total = screen.add(ProgressBar::new(0).with_style(style(BEFORE)));
        let byte = Arc::new(Mutex::new(Instant::now()));
        Self { screen, total, layers: Mutex::default(), files: Mutex::default(), byte, counted: Mutex::default() }
    }

    /// Lets the last row move by itself. Returns the screen, through which other lines must be written.
    pub(super) fn ticking(&self) -> MultiProgress {
        self.total.enable_steady_tick(TICK);
        self.screen.clone()
    }

    fn files(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_byte(&self) {
        *self.byte.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns the style of the last row, from the plan on.
    fn total_style(&self) -> ProgressStyle {
        let byte = Arc::clone(&self.byte);
        style(TOTAL).with_key("speed", move |state: &ProgressState, row: &mut dyn Write| {
            let silent = byte.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
            let _infallible =
                row.write_str(&speed(state.pos(), state.len().unwrap_or_default(), state.elapsed(), silent));
        })
    }

    /// Counts a layer that is in place.
    fn count_layer(&self) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.0 += 1;
        self.total.set_prefix(format!("{}/{}", counted.0, counted.1));
    }

    fn count_files(&self, bytes: u64, what: &'static str) {
        let bar = ProgressBar::new(bytes).with_style(style(FILES)).with_message(what);
        *self.files() = Some(self.screen.insert_before(&self.total, bar));
    }

    /// Calls `act` with the bar of a layer, if the layer is being sent.
    fn with_layer(&self, layer: usize, act: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = self.layers.lock().unwrap_or_else(PoisonError::into_inner).get(&layer) {
            act(bar);
        }
    }

    /// Removes the bar of a layer.
    fn end_layer(&self, layer: usize) {
        if let Some(bar) = self.layers.lock().unwrap_or_else(PoisonError::into_inner).remove(&layer) {
            bar.finish_and_clear();
        }
    }
}

/// Templates of the rows. Each fits into one row of the terminal: the bar itself takes what the other fields leave.
const LAYER: &str = "  {msg} {wide_bar} {bytes}/{total_bytes}";
/// The files that are hashed or fetched.
const FILES: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}";
/// The last row, before the image is planned.
const BEFORE: &str = "{spinner} {msg} {elapsed}";
/// The last row, from the plan on.
const TOTAL: &str = "{spinner} {msg} {prefix} {wide_bar} {bytes}/{total_bytes}{speed}";

/// How often the last row moves.
const TICK: Duration = Duration::from_millis(500);

/// Returns what stands behind the bytes of the last row: the average rate and the time that is left, as far as they are
/// known, or how long no byte has moved.
fn speed(done: u64, all: u64, time: Duration, silent: Duration) -> String {
    if silent >= SILENT_AFTER && done < all {
        return format!(" no byte for {}", duration(silent));
    }
    let left = time_left(done, all, time).map(|left| format!(" {left}")).unwrap_or_default();
    match rate(done, time) {
        0 => String::new(),
        rate => format!(" {}/s{left}", size(rate)),
    }
}

/// Returns the style of a template. A template with an error would give indicatif's own style instead.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Bars {
    fn report(&self, event: &Event) {
        match event {
            Event::HashStarted { bytes, .. } => self.count_files(*bytes, "hashing the files"),
            Event::FetchStarted { bytes, .. } => self.count_files(*bytes, "fetching the files"),
            Event::HashAdvanced { bytes } | Event::FetchAdvanced { bytes } => {
                if let Some(bar) = &*self.files() {
                    bar.inc(*bytes);
                }
            }
            Event::HashDone | Event::FetchDone => {
                if let Some(bar) = self.files().take() {
                    bar.finish_and_clear();
                }
            }
            Event::Planned { layers, bytes } => {
                self.counted.lock().unwrap_or_else(PoisonError::into_inner).1 = *layers;
                self.total.set_prefix(format!("0/{layers}"));
                self.total.set_style(self.total_style());
                self.note_byte();
                self.total.set_length(*bytes);
                // Planning and hashing are not part of the rate.
                self.total.reset_elapsed();
                self.total.reset_eta();
            }
            Event::LeftOut { files, bytes } => say(&left_out(*files, *bytes)),
            Event::LayerStarted { layer, title, size } => {
                let width = columns() * NAME_PART.0 / NAME_PART.1;
                let name = format!("{:<width$}", cut_middle(&one_line(title), width));
                let bar = ProgressBar::new(*size).with_style(style(LAYER)).with_message(name);
                let bar = self.screen.insert_before(&self.total, bar);
                self.layers.lock().unwrap_or_else(PoisonError::into_inner).insert(*layer, bar);
            }
            Event::LayerAdvanced { layer, bytes } => {
                self.note_byte();
                self.total.inc(*bytes);
                self.with_layer(*layer, |bar| bar.inc(*bytes));
            }
            Event::LayerRestarted { layer, reason } => {
                self.with_layer(*layer, |bar| {
                    self.total.set_position(self.total.position().saturating_sub(bar.position()));
                    bar.set_position(0);
                });
                warn(&starts_over(*layer, reason));
            }
            // Counted as moved, it would falsify the rate and the time left.
            Event::LayerReused { size, .. } => {
                self.total.set_length(self.total.length().unwrap_or_default().saturating_sub(*size));
                self.count_layer();
            }
            Event::LayerDone { layer, .. } => {
                self.end_layer(*layer);
                self.count_layer();
            }
            Event::Published { .. } => self.total.finish_and_clear(),
            Event::Warning { message } => warn(message),
            Event::Phase { phase } => self.total.set_message(phase.to_string()),
            Event::Retrying { what, attempt, attempts, wait, reason } => {
                say(&retrying(what, (*attempt, *attempts), *wait, reason));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use indicatif::TermLike;
    use modelcar_core::{Digest, progress::Phase};

    use super::*;

    /// A terminal of 80 columns that remembers what was written.
    #[derive(Debug, Clone, Default)]
    struct Screen(Arc<Mutex<Vec<String>>>);

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, line: &str) -> io::Result<()> {
            self.write_str(line)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push(text.to_owned());
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn bars() -> (Screen, Bars) {
        let screen = Screen::default();
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255);
        (screen, Bars::new(target))
    }

    const LAYER_BYTES: u64 = 1_073_000_000;

    #[test]
    fn a_bar_is_one_row_of_80_columns() {
        let (screen, bars) = bars();
        bars.report(&Event::HashStarted { files: 2, bytes: LAYER_BYTES });
        bars.report(&Event::HashAdvanced { bytes: 1 << 20 });
        bars.report(&Event::HashDone);
        bars.report(&Event::Phase { phase: Phase::Layers });
        bars.report(&Event::Planned { layers: 1, bytes: LAYER_BYTES });
        let title = "model-00001-of-00002.safetensors and more that finds no room".to_owned();
        bars.report(&Event::LayerStarted { layer: 0, title, size: LAYER_BYTES });
        for _ in 0..10 {
            bars.report(&Event::LayerAdvanced { layer: 0, bytes: LAYER_BYTES / 11 });
        }
        let rows = screen.0.lock().unwrap().clone();
        for said in ["hashing the files", "model-0… more that finds no room ", "move the layers 0/1", "iB/s"] {
            assert!(rows.iter().any(|row| row.contains(said)), "{said}: {rows:#?}");
        }
        let wide: Vec<_> = rows.iter().filter(|row| row.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{wide:#?}");
    }

    #[test]
    fn the_last_row_tells_what_is_known() {
        let seconds = Duration::from_secs;
        assert_eq!(speed(0, 100, seconds(0), seconds(0)), "");
        assert_eq!(speed(10 << 20, 100 << 20, seconds(2), seconds(0)), " 5.0 MiB/s");
        assert_eq!(speed(50 << 20, 100 << 20, seconds(10), seconds(0)), " 5.0 MiB/s 10 s left");
        assert_eq!(speed(50 << 20, 100 << 20, seconds(50), seconds(40)), " no byte for 40 s");
    }

    #[test]
    fn what_is_reused_does_not_count_as_moved() {
        let (_, bars) = bars();
        bars.report(&Event::Planned { layers: 2, bytes: 100 });
        let (title, from) = ("a".to_owned(), "b".to_owned());
        bars.report(&Event::LayerReused { layer: 0, title: title.clone(), size: 90, from });
        bars.report(&Event::LayerStarted { layer: 1, title, size: 10 });
        bars.report(&Event::LayerAdvanced { layer: 1, bytes: 10 });
        assert_eq!((bars.total.position(), bars.total.length()), (10, Some(10)));
        bars.report(&Event::LayerDone { layer: 1, digest: Digest::of("x") });
    }
}
