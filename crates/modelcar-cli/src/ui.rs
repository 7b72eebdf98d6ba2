//! The two streams: the answer on stdout, everything else on stderr.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytesize::ByteSize;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use modelcar_core::{
    kserve::sizing::NodeDisk,
    progress::{Event, NoProgress, Progress},
    sink::Published,
};

use crate::{args::ProgressMode, commands::Outcome, hint::Failure};

/// Prints the answer or the failure and returns the exit status.
pub(crate) fn finish(result: Result<Outcome, Failure>) -> ExitCode {
    match result {
        Ok(Outcome::Answer(text)) => print(&text, ExitCode::SUCCESS),
        Ok(Outcome::No(text)) => print(&text, ExitCode::from(1)),
        Ok(Outcome::Unknown(text)) => print(&text, ExitCode::from(2)),
        Ok(Outcome::Interrupted(published)) => {
            say(&format!("interrupted: {}", self::published(published.as_ref())));
            ExitCode::from(130)
        }
        Err(failure) => {
            say(&failure.to_string());
            ExitCode::from(2)
        }
    }
}

fn print(answer: &str, status: ExitCode) -> ExitCode {
    match writeln!(io::stdout().lock(), "{}", answer.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            finish(Err(Failure::new(error, "write the answer to stdout")))
        }
        // On a broken pipe whoever reads the answer has enough of it.
        _ => status,
    }
}

/// Returns what was given a name before the end came.
pub(crate) fn published(published: Option<&Published>) -> String {
    let Some(Published { digest, names, perhaps }) = published else { return "nothing was published".to_owned() };
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    let certain = match quoted.len() {
        0 => None,
        1 => Some(format!("{} points to `{digest}` already", quoted[0])),
        _ => Some(format!("{} point to `{digest}` already", quoted.join(", "))),
    };
    let uncertain = perhaps.as_ref().map(|name| format!("`{name}` may point to `{digest}` by now"));
    certain.into_iter().chain(uncertain).collect::<Vec<_>>().join("; ")
}

/// Writes a warning to stderr.
pub(crate) fn warn(text: &str) {
    say(&format!("warning: {text}"));
}

/// Writes a line to stderr; a closed stderr is nobody's fault.
pub(crate) fn say(text: &str) {
    let _nobody_reads = writeln!(io::stderr().lock(), "{text}");
}

/// Returns what shows progress in the way that was asked for.
pub(crate) fn progress(mode: ProgressMode) -> Arc<dyn Progress> {
    match mode {
        ProgressMode::None => Arc::new(NoProgress),
        ProgressMode::Auto if io::stderr().is_terminal() => Arc::new(Bars::new()),
        ProgressMode::Auto | ProgressMode::Plain => Arc::new(Lines::default()),
    }
}

fn left_out(files: usize, bytes: u64) -> String {
    let files = if files == 1 { "1 file".to_owned() } else { format!("{files} files") };
    format!("{files} of {} left out, `modelcar plan` says why", size(bytes))
}

/// Formats a size for people.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// Returns what an image takes on a node, as lines for people.
pub(crate) fn node_disk(disk: &NodeDisk) -> String {
    let (containerd, crio, gke) = (&disk.containerd, &disk.crio, &disk.gke);
    format!(
        "node    {} on disk with containerd; {} with CRI-O or discard_unpacked_layers, {} while pulling\n\
         gke     boot disk of {} GiB: {} reserved, {} for eviction, {} for pods; a GPU server's image comes \
         on top, 30 GiB and more (docs/node-sizing.md)\n",
        size(containerd.rest),
        size(crio.rest),
        size(crio.peak),
        gke.gib,
        gke.reserved_gib,
        gke.eviction_gib,
        gke.allocatable_gib,
    )
}

/// Bars on a terminal: one for the total and one for each layer in flight.
#[derive(Debug)]
struct Bars {
    screen: MultiProgress,
    total: ProgressBar,
    layers: Mutex<BTreeMap<usize, ProgressBar>>,
}

impl Bars {
    fn new() -> Self {
        let screen = MultiProgress::new();
        let total = screen
            .add(ProgressBar::new(0).with_style(style("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left")));
        Self { screen, total, layers: Mutex::default() }
    }

    fn with_layer(&self, layer: usize, act: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = self.layers.lock().unwrap_or_else(PoisonError::into_inner).get(&layer) {
            act(bar);
        }
    }

    fn end_layer(&self, layer: usize) {
        if let Some(bar) = self.layers.lock().unwrap_or_else(PoisonError::into_inner).remove(&layer) {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Bars {
    fn report(&self, event: &Event) {
        match event {
            Event::Planned { bytes, .. } => self.total.set_length(*bytes),
            Event::LeftOut { files, bytes } => self.screen.suspend(|| say(&left_out(*files, *bytes))),
            Event::LayerStarted { layer, title, size } => {
                let bar = ProgressBar::new(*size)
                    .with_style(style("  {msg:40!} {bar:24} {bytes}/{total_bytes}"))
                    .with_message(title.clone());
                let bar = self.screen.insert_before(&self.total, bar);
                self.layers.lock().unwrap_or_else(PoisonError::into_inner).insert(*layer, bar);
            }
            Event::LayerAdvanced { layer, bytes } => {
                self.total.inc(*bytes);
                self.with_layer(*layer, |bar| bar.inc(*bytes));
            }
            Event::LayerRestarted { layer, reason } => {
                self.with_layer(*layer, |bar| {
                    self.total.set_position(self.total.position().saturating_sub(bar.position()));
                    bar.set_position(0);
                });
                self.screen.suspend(|| say(&format!("warning: layer {layer} starts over: {reason}")));
            }
            Event::LayerReused { size, .. } => self.total.inc(*size),
            Event::LayerDone { layer, .. } => self.end_layer(*layer),
            Event::Published { .. } => self.total.finish_and_clear(),
            Event::Warning { message } => self.screen.suspend(|| say(&format!("warning: {message}"))),
            _ => {}
        }
    }
}

/// How often a line tells how far a long build is.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Lines for logs.
#[derive(Debug)]
struct Lines {
    start: Instant,
    total: AtomicU64,
    moved: AtomicU64,
    last: Mutex<Instant>,
    layers: Mutex<BTreeMap<usize, Shown>>,
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
            start: now,
            total: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            last: Mutex::new(now),
            layers: Mutex::default(),
        }
    }
}

impl Lines {
    fn advance(&self, layer: usize, bytes: u64) {
        let moved = self.moved.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if let Some(shown) = self.layers.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&layer) {
            shown.moved += bytes;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() < LINE_EVERY {
            return;
        }
        *last = Instant::now();
        let seconds = self.start.elapsed().as_secs().max(1);
        let (total, rate) = (self.total.load(Ordering::Relaxed), (moved / seconds).max(1));
        let left = total.saturating_sub(moved) / rate;
        say(&format!("{} of {}, {}/s, {left} s left", size(moved), size(total), size(rate)));
    }
}

impl Progress for Lines {
    fn report(&self, event: &Event) {
        let layers = || self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Planned { layers, bytes } => {
                self.total.store(*bytes, Ordering::Relaxed);
                say(&format!("{layers} layers, {}", size(*bytes)));
            }
            Event::LeftOut { files, bytes } => say(&left_out(*files, *bytes)),
            Event::LayerStarted { layer, title, size } => {
                layers().insert(*layer, Shown { title: title.clone(), size: *size, moved: 0 });
            }
            Event::LayerAdvanced { layer, bytes } => self.advance(*layer, *bytes),
            Event::LayerRestarted { layer, reason } => {
                if let Some(shown) = layers().get_mut(layer) {
                    self.moved.fetch_sub(std::mem::take(&mut shown.moved), Ordering::Relaxed);
                }
                say(&format!("warning: layer {layer} starts over: {reason}"));
            }
            Event::LayerDone { layer, digest } => {
                if let Some(shown) = layers().remove(layer) {
                    say(&format!("layer {layer} {} {} {digest}", shown.title, size(shown.size)));
                }
            }
            Event::LayerReused { layer, title, size: bytes, from } => {
                self.total.fetch_sub(*bytes, Ordering::Relaxed);
                say(&format!("layer {layer} {title} {} is reused from {from}", size(*bytes)));
            }
            Event::Warning { message } => say(&format!("warning: {message}")),
            _ => {}
        }
    }
}
