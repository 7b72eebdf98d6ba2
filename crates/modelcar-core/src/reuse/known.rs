//! The interface through which a build learns which layers exist already.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;

use super::action::LayerCandidate;
use crate::{
    Digest,
    error::Result,
    plan::{Layer, Plan},
    sink::VerifiedBlob,
    source::Source,
};

/// Layers of one plan that may exist already.
#[async_trait]
pub(crate) trait KnownLayers: Send + Sync + Debug {
    /// Returns whether every layer is in the sink and every tag points to the plan's image already.
    fn is_published(&self) -> bool;

    /// Returns the layers that can be used for layer number `layer` of the plan, counted from 0. The first was seen in
    /// the registry.
    fn candidates(&self, layer: usize) -> &[LayerCandidate];

    /// Returns the candidate as a source of its own files when the candidate has to be copied; `None` when the sink can
    /// get the candidate by itself.
    fn copy_source(&self, candidate: &LayerCandidate, layer: &Layer, mtime: u64) -> Option<Arc<dyn Source>>;

    /// Returns whether a layer must be verified before it is reused.
    fn verifies(&self) -> bool;

    /// Reads a layer of the sink from its first byte to its last. Returns whether the layer is, byte for byte, the
    /// layer that the plan describes.
    ///
    /// # Errors
    /// When the layer can't be read. Such an error says nothing about the layer's bytes.
    async fn verify(&self, candidate: &LayerCandidate, index: usize, layer: &Layer, mtime: u64) -> Result<bool>;

    /// Records that a layer is in the sink, so that a push that is killed can be resumed. Returns whether it is recorded.
    async fn layer_done(&self, layer: &Layer, mtime: u64, verified: &VerifiedBlob) -> bool;

    /// Records that the image is published. `layers` are in the plan's order, each with its digest and whether its
    /// bytes are proven.
    async fn published(&self, plan: &Plan, layers: &[(Digest, bool)]);
}

/// Knows no layer: every layer is uploaded.
#[derive(Debug)]
pub(crate) struct NoneKnown;

#[async_trait]
impl KnownLayers for NoneKnown {
    fn is_published(&self) -> bool {
        false
    }

    fn candidates(&self, _layer: usize) -> &[LayerCandidate] {
        &[]
    }

    fn copy_source(&self, _candidate: &LayerCandidate, _layer: &Layer, _mtime: u64) -> Option<Arc<dyn Source>> {
        None
    }

    fn verifies(&self) -> bool {
        false
    }

    async fn verify(&self, _candidate: &LayerCandidate, _index: usize, _layer: &Layer, _mtime: u64) -> Result<bool> {
        Ok(false)
    }

    async fn layer_done(&self, _layer: &Layer, _mtime: u64, _sealed: &VerifiedBlob) -> bool {
        false
    }

    async fn published(&self, _plan: &Plan, _layers: &[(Digest, bool)]) {}
}
