//! What a running build tells whoever watches it.
//!
//! Order of events: one [`Event::Planned`], perhaps an [`Event::LeftOut`]; then for each layer [`Event::LayerStarted`],
//! any number of [`Event::LayerAdvanced`], [`Event::LayerResent`] and [`Event::LayerRestarted`], and one
//! [`Event::LayerDone`]; or a lone [`Event::LayerReused`]. Layers run side by side, so events of different layers
//! interleave. Last comes [`Event::Published`]. Before [`Event::Planned`], a directory's files may be hashed:
//! [`Event::HashStarted`], any number of [`Event::HashAdvanced`], and [`Event::HashDone`]; this may happen more than once,
//! never side by side. After an error no further event is promised.

use crate::Digest;

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
