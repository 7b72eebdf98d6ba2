//! Acts on the decisions for one push: reads and verifies layers of registries, writes checkpoints, and updates the
//! cache.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{TryStreamExt, future};

use super::{
    action::{Decision, LayerAction, LayerCandidate},
    blob_source::BlobSource,
    cache::Cache,
    checkpoint::Checkpoints,
    known::KnownLayers,
    repositories::Repositories,
};
use crate::{
    Digest, ErrorKind,
    error::Result,
    layer::LayerBlob,
    plan::{Layer, Plan},
    progress::NoProgress,
    registry::{RegistrySink, Repository},
    sink::{Blob, Sink, VerifiedBlob},
    source::{ReadBudget, Source},
};

/// Waits before a layer is read again after the connection broke.
const READ_AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// What is done with each layer of one plan, in one repository, under one set of tags.
#[derive(Debug)]
pub(crate) struct DecidedPush {
    /// The plan.
    plan: Plan,
    /// A decision for each layer, in the plan's order.
    decisions: Vec<Decision>,
    /// The means to act on the decisions; `None` when every layer is uploaded.
    known: Option<KnownInRegistry>,
    /// The sink of the image.
    sink: Arc<RegistrySink>,
}

impl DecidedPush {
    /// Combines a plan and its decisions. Without `known` every layer is uploaded.
    pub(super) fn new(plan: Plan, known: Option<KnownInRegistry>, sink: Arc<RegistrySink>) -> Self {
        let decisions = match &known {
            Some(known) => known.decisions.clone(),
            None => vec![Decision::default(); plan.layers().len()],
        };
        Self { plan, decisions, known, sink }
    }

    /// Uploads every layer of `plan`.
    pub(crate) fn without_reuse(plan: Plan, sink: Arc<RegistrySink>) -> Self {
        Self::new(plan, None, sink)
    }

    /// Returns the plan. Files of a directory have content ids if an image may hold the same files.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns a decision for each layer of the plan.
    pub(crate) fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// Returns whether every layer is in the repository and every tag points to the plan's image already.
    pub(crate) fn is_published(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.published)
    }

    /// Returns the sink, which is needed after a push was stopped: to delete upload sessions, and to ask which tags are
    /// set.
    pub(crate) fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.sink) as _
    }

    /// Returns the plan, the means to act on the decisions, and the sink.
    pub(crate) fn into_parts(self) -> (Plan, Option<KnownInRegistry>, Arc<RegistrySink>) {
        (self.plan, self.known, self.sink)
    }
}

/// The decisions for a plan, and what a push needs to act on them.
#[derive(Debug)]
pub(crate) struct KnownInRegistry {
    /// A decision for each layer, in the plan's order.
    pub(super) decisions: Vec<Decision>,
    /// Whether nothing is left to write.
    pub(super) published: bool,
    /// Whether each reused layer is read and checked first.
    pub(super) verify: bool,
    /// The checkpoints of this push, if they are switched on.
    pub(super) checkpoints: Option<Arc<Checkpoints>>,
    /// The local cache, if there is one.
    pub(super) cache: Option<Cache>,
    pub(super) repositories: Repositories,
}

#[async_trait]
impl KnownLayers for KnownInRegistry {
    fn is_published(&self) -> bool {
        self.published
    }

    fn candidates(&self, layer: usize) -> &[LayerCandidate] {
        self.decisions.get(layer).map_or(&[], |decision| &decision.candidates)
    }

    fn copy_source(&self, candidate: &LayerCandidate, layer: &Layer, mtime: u64) -> Option<Arc<dyn Source>> {
        if candidate.action() != LayerAction::Copy {
            return None;
        }
        Some(source(&self.repositories.get(&candidate.place)?, candidate, layer, mtime))
    }

    fn verifies(&self) -> bool {
        self.verify
    }

    /// Reads the layer up to three times if the network fails.
    async fn verify(&self, candidate: &LayerCandidate, index: usize, layer: &Layer, mtime: u64) -> Result<bool> {
        let target = self.repositories.target();
        for wait in READ_AGAIN {
            match read_whole(target, candidate, index, layer, mtime).await {
                Err(error) if error.kind() == ErrorKind::Network => tokio::time::sleep(wait).await,
                outcome => return has_digest(candidate, outcome),
            }
        }
        has_digest(candidate, read_whole(target, candidate, index, layer, mtime).await)
    }

    /// Writes a checkpoint, unless the plan has one layer only: its push is finished with the layer.
    async fn layer_done(&self, layer: &Layer, mtime: u64, verified: &VerifiedBlob) -> bool {
        match self.checkpoints.as_ref().filter(|_| self.decisions.len() > 1) {
            Some(checkpoints) => checkpoints.note(layer, mtime, verified).await,
            None => false,
        }
    }

    async fn published(&self, plan: &Plan, layers: &[(Digest, bool)]) {
        if let Some(cache) = &self.cache {
            let known = plan.layers().iter().zip(layers).filter_map(|(layer, (digest, proven))| {
                layer.recipe.map(|recipe| (recipe, *digest, layer.size, *proven))
            });
            cache.note(known.collect(), self.repositories.target().name()).await;
        }
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.clear().await;
        }
    }
}

/// Returns a layer of `repository` as the source of the layer's own files.
fn source(repository: &Repository, candidate: &LayerCandidate, layer: &Layer, mtime: u64) -> Arc<dyn Source> {
    let blob = repository.blob(format!("layer `{}`", candidate.digest), candidate.digest, candidate.size);
    Arc::new(BlobSource::new(Box::new(blob), candidate.digest, layer, mtime))
}

/// Reads a layer of the target, and returns the digest of the layer that its files give in modelcar's format.
async fn read_whole(
    target: &Repository,
    candidate: &LayerCandidate,
    index: usize,
    layer: &Layer,
    mtime: u64,
) -> Result<Digest> {
    let source = source(target, candidate, layer, mtime);
    let body = LayerBlob::new(index, layer.clone(), mtime, source, ReadBudget::sequential(), Arc::new(NoProgress));
    let open = body.open();
    open.stream.try_for_each(|_bytes| future::ready(Ok(()))).await?;
    Ok(open.verified.await?.digest)
}

/// Returns whether a layer has the digest of the candidate. Wrong bytes are an answer, other failures are errors.
fn has_digest(candidate: &LayerCandidate, read: Result<Digest>) -> Result<bool> {
    match read {
        Ok(digest) => Ok(digest == candidate.digest),
        Err(error) if error.kind() == ErrorKind::Integrity => Ok(false),
        Err(error) => Err(error),
    }
}
