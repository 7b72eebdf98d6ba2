//! Progress as a stream of JSON, for programs that run modelcar: one object a line on stderr (`docs/json.md`).

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use modelcar_core::{
    Digest, ImageRef, Tag,
    progress::{Event, Phase, Progress},
};
use serde::Serialize;

use super::beat::{self, Beats};

/// Version of the stream. A release may add events and fields; what is removed or changes its meaning increases it.
const SCHEMA_VERSION: u32 = 1;
/// Shortest time between two events that tell how far a layer, or the files, are.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// Time without an event after which a heartbeat comes. Together with the interval of the thread it is below ten seconds.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(9);

/// One event, as the stream has it. Layers are counted from 1.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Record<'a> {
    /// The first event.
    Start {
        schema_version: u32,
        version: &'static str,
    },
    /// A step begins.
    Phase {
        phase: &'static str,
    },
    /// Files are hashed or fetched.
    FilesStarted {
        act: &'static str,
        files: usize,
        bytes: u64,
    },
    FilesProgress {
        act: &'static str,
        done_bytes: u64,
        bytes: u64,
    },
    FilesDone {
        act: &'static str,
    },
    /// The plan is fixed.
    Planned {
        layers: usize,
        bytes: u64,
    },
    LeftOut {
        files: usize,
        bytes: u64,
    },
    LayerStarted {
        layer: usize,
        title: &'a str,
        size: u64,
    },
    LayerProgress {
        layer: usize,
        done_bytes: u64,
        size: u64,
    },
    LayerRestarted {
        layer: usize,
        reason: &'a str,
    },
    LayerReused {
        layer: usize,
        title: &'a str,
        size: u64,
        from: &'a str,
    },
    LayerDone {
        layer: usize,
        digest: &'a Digest,
    },
    /// A request is tried again after a wait.
    Retry {
        what: &'a str,
        attempt: u32,
        attempts: u32,
        wait_seconds: f64,
        reason: &'a str,
    },
    /// Nothing else was told for a while.
    Heartbeat {
        phase: Option<&'static str>,
        silent_seconds: u64,
    },
    Published {
        digest: &'a Digest,
    },
    /// What a push did.
    Summary(Summary<'a>),
    Warning {
        message: &'a str,
    },
    /// A line of the log, with -v.
    Log {
        message: &'a str,
    },
    /// A line that is no warning.
    Message {
        message: &'a str,
    },
    Error {
        /// As in the document of a command that fails.
        kind: Option<&'static str>,
        retryable: bool,
        message: &'a str,
        causes: &'a [String],
        hints: &'a [String],
    },
    Interrupted {
        message: &'a str,
    },
    /// The last event.
    Done {
        exit_status: u8,
    },
}

/// What a push did, as a program reads it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary<'a> {
    /// The model, pinned: on the Hub with its commit.
    pub(super) source: &'a str,
    /// The pinned image.
    pub(super) image: &'a ImageRef,
    pub(super) tags: &'a [Tag],
    pub(super) layers: usize,
    /// Layers that no byte was sent for.
    pub(super) reused_layers: usize,
    /// Sum of the sizes of the layers.
    pub(super) layer_bytes: u64,
    pub(super) bytes_sent: u64,
    /// Duration of the whole command, planning included.
    pub(super) total_seconds: f64,
}

/// A record, and when it was written.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Line<'a> {
    #[serde(flatten)]
    record: &'a Record<'a>,
    /// Seconds since the stream began.
    seconds: f64,
}

/// When the stream began.
static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Writes the first event.
pub(super) fn start() {
    LazyLock::force(&BEGUN);
    emit(&Record::Start { schema_version: SCHEMA_VERSION, version: env!("CARGO_PKG_VERSION") });
}

/// Writes one event. An error, such as a closed stderr, is ignored.
pub(super) fn emit(record: &Record<'_>) {
    let line = Line { record, seconds: rounded(BEGUN.elapsed()) };
    if let Ok(mut line) = serde_json::to_vec(&line) {
        line.push(b'\n');
        let _nobody_reads = io::stderr().lock().write_all(&line);
    }
}

/// Returns seconds with three decimals.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Turns the events of the library into records.
#[derive(Debug, Default)]
pub(super) struct Events(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    phase: Option<Phase>,
    /// When the last record was written.
    last: Option<Instant>,
    /// Heartbeats since then.
    beats: u64,
    published: bool,
    layers: BTreeMap<usize, Moved>,
    files: Option<(&'static str, Moved)>,
}

/// A layer, or the files, on their way.
#[derive(Debug)]
struct Moved {
    size: u64,
    done: u64,
    /// When the last record about it was written.
    told: Option<Instant>,
}

impl Moved {
    fn new(size: u64, now: Instant) -> Self {
        Self { size, done: 0, told: Some(now) }
    }

    /// Counts bytes. Returns the bytes so far when they are to be told.
    fn advance(&mut self, bytes: u64, now: Instant) -> Option<u64> {
        self.done += bytes;
        let is_due = self.told.is_none_or(|told| now.saturating_duration_since(told) >= PROGRESS_EVERY);
        is_due.then(|| {
            self.told = Some(now);
            self.done
        })
    }
}

impl Events {
    /// Returns the progress, with a thread that writes heartbeats.
    pub(super) fn beating() -> Arc<Self> {
        beat::start(Self::default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beats for Events {
    fn beat(&self, now: Instant) {
        let mut state = self.state();
        let silent = now.saturating_duration_since(*state.last.get_or_insert(now));
        if !state.published && silent >= HEARTBEAT_EVERY {
            // The time of the last record stays: the next heartbeat tells the whole silence.
            let beats = silent.as_secs() / HEARTBEAT_EVERY.as_secs();
            if state.beats < beats {
                state.beats = beats;
                emit(&Record::Heartbeat { phase: state.phase.map(Phase::code), silent_seconds: silent.as_secs() });
            }
        }
    }
}

impl Progress for Events {
    fn report(&self, event: &Event) {
        let now = Instant::now();
        let mut state = self.state();
        if let Some(record) = state.note(event, now) {
            (state.last, state.beats) = (Some(now), 0);
            // Within the lock, so that the lines come in the order of the events.
            emit(&record);
        }
    }
}

impl State {
    /// Notes an event and returns what is to be told of it.
    fn note<'a>(&mut self, event: &'a Event, now: Instant) -> Option<Record<'a>> {
        Some(match event {
            Event::Phase { phase } if self.phase != Some(*phase) => {
                self.phase = Some(*phase);
                Record::Phase { phase: phase.code() }
            }
            Event::HashStarted { files, bytes } => self.files_started("hash", *files, *bytes, now),
            Event::FetchStarted { files, bytes } => self.files_started("fetch", *files, *bytes, now),
            Event::HashAdvanced { bytes } | Event::FetchAdvanced { bytes } => {
                let (act, moved) = self.files.as_mut()?;
                let done_bytes = moved.advance(*bytes, now)?;
                Record::FilesProgress { act, done_bytes, bytes: moved.size }
            }
            Event::HashDone | Event::FetchDone => Record::FilesDone { act: self.files.take()?.0 },
            Event::Planned { layers, bytes } => Record::Planned { layers: *layers, bytes: *bytes },
            Event::LeftOut { files, bytes } => Record::LeftOut { files: *files, bytes: *bytes },
            Event::Retrying { what, attempt, attempts, wait, reason } => {
                Record::Retry { what, attempt: *attempt, attempts: *attempts, wait_seconds: rounded(*wait), reason }
            }
            Event::Published { digest } => {
                self.published = true;
                Record::Published { digest }
            }
            Event::Warning { message } => Record::Warning { message },
            event => return self.note_layer(event, now),
        })
    }

    /// As [`note`](Self::note), for the events of layers.
    fn note_layer<'a>(&mut self, event: &'a Event, now: Instant) -> Option<Record<'a>> {
        Some(match event {
            Event::LayerStarted { layer, title, size } => {
                self.layers.insert(*layer, Moved::new(*size, now));
                Record::LayerStarted { layer: layer + 1, title, size: *size }
            }
            Event::LayerAdvanced { layer, bytes } => {
                let moved = self.layers.get_mut(layer)?;
                let done_bytes = moved.advance(*bytes, now)?;
                Record::LayerProgress { layer: layer + 1, done_bytes, size: moved.size }
            }
            Event::LayerRestarted { layer, reason } => {
                if let Some(moved) = self.layers.get_mut(layer) {
                    moved.done = 0;
                }
                Record::LayerRestarted { layer: layer + 1, reason }
            }
            Event::LayerReused { layer, title, size, from } => {
                Record::LayerReused { layer: layer + 1, title, size: *size, from }
            }
            Event::LayerDone { layer, digest } => {
                self.layers.remove(layer);
                Record::LayerDone { layer: layer + 1, digest }
            }
            _ => return None,
        })
    }

    fn files_started(&mut self, act: &'static str, files: usize, bytes: u64, now: Instant) -> Record<'static> {
        self.files = Some((act, Moved::new(bytes, now)));
        Record::FilesStarted { act, files, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(state: &mut State, event: &Event, now: Instant) -> Option<String> {
        state.note(event, now).map(|record| serde_json::to_string(&record).unwrap())
    }

    #[test]
    fn bytes_are_told_once_a_second() {
        let (mut state, begun) = (State::default(), Instant::now());
        let at = |ms: u64| begun + Duration::from_millis(ms);
        let (layer, size) = (0, 100);
        let started = told(&mut state, &Event::LayerStarted { layer, title: "a".to_owned(), size }, at(0));
        assert_eq!(started.as_deref(), Some(r#"{"event":"layerStarted","layer":1,"title":"a","size":100}"#));
        let advanced = Event::LayerAdvanced { layer, bytes: 10 };
        assert_eq!(told(&mut state, &advanced, at(900)), None);
        let line = told(&mut state, &advanced, at(1100));
        assert_eq!(line.as_deref(), Some(r#"{"event":"layerProgress","layer":1,"doneBytes":20,"size":100}"#));
        assert_eq!(told(&mut state, &advanced, at(1200)), None);
        assert!(told(&mut state, &Event::LayerRestarted { layer, reason: "b".to_owned() }, at(1300)).is_some());
        let line = told(&mut state, &advanced, at(3000));
        assert!(line.unwrap().contains(r#""doneBytes":10,"#), "what was sent before the restart is void");
    }

    #[test]
    fn a_retry_says_of_how_many() {
        let (what, reason, wait) = ("upload a".to_owned(), "status 503".to_owned(), Duration::from_millis(1500));
        let retrying = Event::Retrying { what, attempt: 2, attempts: 5, wait, reason };
        let said =
            r#"{"event":"retry","what":"upload a","attempt":2,"attempts":5,"waitSeconds":1.5,"reason":"status 503"}"#;
        assert_eq!(told(&mut State::default(), &retrying, Instant::now()).as_deref(), Some(said));
    }
}
