//! What a running build tells whoever watches it.
//!
//! Order of events: one [`Event::Planned`], perhaps an [`Event::LeftOut`]; then for each layer [`Event::LayerStarted`],
//! any number of [`Event::LayerAdvanced`], [`Event::LayerResent`] and [`Event::LayerRestarted`], and one
//! [`Event::LayerDone`], perhaps an [`Event::LayerKept`]; or a lone [`Event::LayerReused`]. Layers run side by side, so events of different layers
//! interleave. Last comes [`Event::Published`]. Before [`Event::Planned`], a directory's files may be hashed:
//! [`Event::HashStarted`], any number of [`Event::HashAdvanced`], and [`Event::HashDone`]; this may happen more than once,
//! never side by side. A download has [`Event::FetchStarted`], [`Event::FetchAdvanced`] and [`Event::FetchDone`] in place of
//! layers. [`Event::Phase`], [`Event::Retrying`] and [`Event::Warning`] may come at any time. After an error
//! no further event is promised.

use std::{fmt, time::Duration};

use crate::Digest;

/// What a push is at. Steps that run side by side each tell when they begin: the last one told is the one to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The revision becomes a commit.
    Resolve,
    /// The files of the source are listed.
    List,
    /// The headers of weight files are read, for what they say of the model.
    ReadHeaders,
    /// The image below the weights is looked up.
    Base,
    /// The registry is asked what it holds, and whether it would take the push.
    Registry,
    /// Layers move.
    Layers,
    /// Configs, manifests and the index are stored, and the tags are set.
    Publish,
    /// The published image is read back.
    Verify,
}

impl Phase {
    /// Tells the watcher and the log that this step begins.
    pub fn begin(self, progress: &dyn Progress) {
        tracing::debug!("{self}");
        progress.report(&Event::Phase { phase: self });
    }
}

impl Phase {
    /// Returns the stable name of the phase, for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::List => "list",
            Self::ReadHeaders => "headers",
            Self::Base => "base",
            Self::Registry => "registry",
            Self::Layers => "layers",
            Self::Publish => "publish",
            Self::Verify => "verify",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolve the revision",
            Self::List => "list the files",
            Self::ReadHeaders => "read the headers of the weights",
            Self::Base => "look up the base",
            Self::Registry => "ask the registry",
            Self::Layers => "move the layers",
            Self::Publish => "publish the image",
            Self::Verify => "verify the image",
        })
    }
}

/// One step of a build. Layers are named by their index in the plan.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// Files of a directory are read to learn their content, and nothing else.
    HashStarted {
        /// Number of files.
        files: usize,
        /// Sum of their sizes in bytes.
        bytes: u64,
    },
    /// More bytes of those files were hashed.
    HashAdvanced {
        /// Bytes since the last event.
        bytes: u64,
    },
    /// All of those files are hashed.
    HashDone,
    /// Files of a download are fetched, and nothing else.
    FetchStarted {
        /// Number of files.
        files: usize,
        /// Bytes of them that are not there yet.
        bytes: u64,
    },
    /// More bytes of those files have come.
    FetchAdvanced {
        /// Bytes since the last event.
        bytes: u64,
    },
    /// All of those files are there.
    FetchDone,
    /// Another step begins.
    Phase {
        /// Which one.
        phase: Phase,
    },
    /// A request, or an upload, failed in a way that may pass; it is tried again after a wait.
    Retrying {
        /// What is tried, for people.
        what: String,
        /// Number of the try that follows, from 2.
        attempt: u32,
        /// Largest number of tries, the first one included.
        attempts: u32,
        /// The wait before it.
        wait: Duration,
        /// Why the last try failed, for people.
        reason: String,
    },
    /// The plan is fixed and work begins.
    Planned {
        /// Number of weight layers.
        layers: usize,
        /// Sum of the layers' sizes in bytes.
        bytes: u64,
    },
    /// Files of the source stay out of the image, git's own not counted. [`Plan::left_out`](crate::Plan::left_out) has
    /// the reasons.
    LeftOut {
        /// Number of files.
        files: usize,
        /// Sum of their sizes in bytes.
        bytes: u64,
    },
    /// A layer's bytes begin to flow.
    LayerStarted {
        /// Index of the layer.
        layer: usize,
        /// What the layer holds, for people.
        title: String,
        /// Size in bytes.
        size: u64,
    },
    /// More bytes of a layer were handed to the sink.
    LayerAdvanced {
        /// Index of the layer.
        layer: usize,
        /// Bytes since the last event of this layer.
        bytes: u64,
    },
    /// Bytes of a layer that had been handed to the sink were read and handed to it once more, after a connection broke.
    /// They are not part of what [`Event::LayerAdvanced`] counts.
    LayerResent {
        /// Index of the layer.
        layer: usize,
        /// Bytes since the last event of this layer.
        bytes: u64,
    },
    /// A layer starts over from its first byte; what [`Event::LayerAdvanced`] counted so far is void.
    LayerRestarted {
        /// Index of the layer.
        layer: usize,
        /// Why, for people.
        reason: String,
    },
    /// The layer's bytes are not needed: they are where they should be.
    LayerReused {
        /// Index of the layer.
        layer: usize,
        /// What the layer holds, for people.
        title: String,
        /// Size in bytes.
        size: u64,
        /// Where it is from, for people.
        from: String,
    },
    /// A layer is verified and committed.
    LayerDone {
        /// Index of the layer.
        layer: usize,
        /// Digest of the layer.
        digest: Digest,
    },
    /// A checkpoint of a layer that is done was written: if the push ends early, the next one finds the layer.
    LayerKept {
        /// Index of the layer.
        layer: usize,
    },
    /// The index is in place under its names.
    Published {
        /// Digest of the index.
        digest: Digest,
    },
    /// Something the user should know that stops nothing.
    Warning {
        /// The text.
        message: String,
    },
}

/// Receives [`Event`]s. Called from many tasks at once and on the path of the bytes: implementations must not block
/// and must not panic. Byte counts come coalesced, at most one event a mebibyte and layer
/// or file.
pub trait Progress: Send + Sync + std::fmt::Debug {
    /// Takes note of `event`.
    fn report(&self, event: &Event);
}

/// Ignores every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn report(&self, _event: &Event) {}
}

/// Returns a [`Progress`] that calls `report` with every event. What holds for [`Progress`] holds for `report`.
pub fn from_fn(report: impl Fn(&Event) + Send + Sync + 'static) -> impl Progress {
    FromFn(report)
}

struct FromFn<F>(F);

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFn")
    }
}

impl<F: Fn(&Event) + Send + Sync> Progress for FromFn<F> {
    fn report(&self, event: &Event) {
        (self.0)(event);
    }
}

/// Tells the watcher and the log of a try that follows a failure.
pub(crate) fn retrying(
    progress: &dyn Progress,
    what: &str,
    (attempt, attempts): (u32, u32),
    wait: Duration,
    reason: String,
) {
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(what, attempt, attempts, wait_ms, reason, "trying again");
    progress.report(&Event::Retrying { what: what.to_owned(), attempt, attempts, wait, reason });
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_function_is_told() {
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&seen);
        let progress = from_fn(move |event| kept.lock().unwrap().push(format!("{event:?}")));
        Phase::List.begin(&progress);
        retrying(&progress, "get", (2, 5), Duration::from_secs(1), "503".to_owned());
        let seen = seen.lock().unwrap();
        assert_eq!(seen[0], "Phase { phase: List }");
        assert!(seen[1].starts_with("Retrying { what: \"get\", attempt: 2, attempts: 5, wait: 1s"), "{seen:?}");
    }
}
