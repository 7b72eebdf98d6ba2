//! Acts on the decisions for one push: reads, verifies and remembers layers of registries.

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

/// Waits before a layer whose reading broke off is read again.
const READ_AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// What is done with each layer of one plan, in one repository, under one set of tags.
#[derive(Debug)]
pub(crate) struct DecidedPush {
    plan: Plan,
    decisions: Vec<Decision>,
    known: Option<KnownInRegistry>,
    sink: Arc<RegistrySink>,
}

impl DecidedPush {
    pub(super) fn new(plan: Plan, known: Option<KnownInRegistry>, sink: Arc<RegistrySink>) -> Self {
        let decisions = match &known {
            Some(known) => known.decisions.clone(),
            None => vec![Decision::default(); plan.layers().len()],
        };
        Self { plan, decisions, known, sink }
    }

    /// Sends every layer of `plan`.
    pub(crate) fn without_reuse(plan: Plan, sink: Arc<RegistrySink>) -> Self {
        Self::new(plan, None, sink)
    }

    /// Returns the plan, with the contents of a directory's files where an image may hold them.
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

    /// Returns where the image goes, to clear up and to ask which tags are set once the push was stopped.
    pub(crate) fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.sink) as _
    }

    /// Returns the plan, what is known of its layers, and where the image goes.
    pub(crate) fn into_parts(self) -> (Plan, Option<KnownInRegistry>, Arc<RegistrySink>) {
        (self.plan, self.known, self.sink)
    }
}

/// The decisions for a plan, and what a push needs to act on them.
#[derive(Debug)]
pub(crate) struct KnownInRegistry {
    pub(super) decisions: Vec<Decision>,
    pub(super) published: bool,
    pub(super) verify: bool,
    pub(super) checkpoints: Option<Arc<Checkpoints>>,
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

    async fn layer_done(&self, layer: &Layer, mtime: u64, verified: &VerifiedBlob) {
        if let Some(checkpoints) = self.checkpoints.as_ref().filter(|_| self.decisions.len() > 1) {
            checkpoints.note(layer, mtime, verified).await;
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

fn has_digest(candidate: &LayerCandidate, read: Result<Digest>) -> Result<bool> {
    match read {
        Ok(digest) => Ok(digest == candidate.digest),
        Err(error) if error.kind() == ErrorKind::Integrity => Ok(false),
        Err(error) => Err(error),
    }
}
