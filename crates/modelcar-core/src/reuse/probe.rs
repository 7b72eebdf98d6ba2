//! Asks registries the questions of `decide`, for each layer of a plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::{StreamExt, future, stream};

use super::{
    action::{Decision, LayerAction, LayerCandidate, Place},
    apply::{DecidedPush, KnownInRegistry},
    checkpoint::Checkpoints,
    decide::{Answers, Candidates, Question, Step, decide, decision, in_images},
    image_layer::{ImageLayer, SeenLayer},
    inventory::Inventory,
};
use crate::{
    Digest, ModelPath,
    error::Result,
    image,
    plan::{Layer, Plan},
    progress::Event,
    registry::{Access, RegistrySink},
    source::{Source, SourceFile},
};

/// Number of layers, or blobs, that registries are asked for side by side.
const REQUESTS: usize = 16;

/// What earlier pushes left in the repository that is pushed to.
#[derive(Debug, Clone, Copy)]
struct Noted<'a> {
    /// The checkpoints, if they are switched on.
    checkpoints: Option<&'a Checkpoints>,
    /// Finished layers of pushes of directories, with the shapes of the plan's layers.
    shapes: &'a [ImageLayer],
}

/// Returns the layers that earlier pushes of directories have finished, for the layers of `plan` without a recipe.
async fn finished_shapes(plan: &Plan, checkpoints: &Checkpoints) -> Vec<ImageLayer> {
    let unknown: Vec<&Layer> = plan.layers().iter().filter(|layer| layer.recipe.is_none()).collect();
    let looking = unknown.into_iter().map(|layer| checkpoints.look_up_shape(layer, plan.mtime()));
    stream::iter(looking.collect::<Vec<_>>()).buffered(REQUESTS).filter_map(future::ready).collect().await
}

impl Inventory {
    /// Decides for each layer of `plan`. Files of a directory are hashed if an image or a checkpoint holds files of the same
    /// paths and sizes; the plan in the result has their content ids. A registry that can't be asked about a layer counts as one
    /// without the layer.
    ///
    /// # Errors
    /// When a file of the source can't be read.
    pub(crate) async fn decide(self, plan: Plan, source: &dyn Source, sink: Arc<RegistrySink>) -> Result<DecidedPush> {
        let checkpoints = self.options.checkpoints.then(|| {
            let target = self.repositories.target().clone();
            Arc::new(Checkpoints::new(target, Arc::clone(&self.options.progress)))
        });
        let shapes = match &checkpoints {
            Some(checkpoints) => finished_shapes(&plan, checkpoints).await,
            None => Vec::new(),
        };
        let plan = self.identify(plan, source, &shapes).await?;
        let noted = Noted { checkpoints: checkpoints.as_deref(), shapes: &shapes };
        let deciding = plan.layers().iter().map(|layer| self.decide_layer(&plan, layer, noted));
        let decisions: Vec<_> = stream::iter(deciding.collect::<Vec<_>>()).buffered(REQUESTS).collect().await;
        let published = self.is_published(&plan, &decisions).await;
        let known = KnownInRegistry {
            decisions,
            published,
            verify: self.options.verify,
            checkpoints,
            cache: self.options.cache,
            repositories: self.repositories,
        };
        Ok(DecidedPush::new(plan, Some(known), sink))
    }

    /// Adds content ids to the layers without a recipe whose paths and sizes are those of a layer of an image, or of one
    /// of the `finished` layers. Hashing a file costs as much as reading it, so other files are left alone.
    async fn identify(&self, plan: Plan, source: &dyn Source, finished: &[ImageLayer]) -> Result<Plan> {
        let shape = |files: &[SourceFile]| -> Vec<(ModelPath, u64)> {
            files.iter().map(|file| (file.path.clone(), file.size)).collect()
        };
        let seen = self.seen.iter().map(|seen| &seen.layer);
        let known: BTreeSet<_> = seen.chain(finished).map(|layer| shape(&layer.files)).collect();
        let unknown =
            plan.layers().iter().filter(|layer| layer.recipe.is_none() && known.contains(&shape(&layer.files)));
        let files: Vec<SourceFile> = unknown.flat_map(|layer| layer.files.clone()).collect();
        if files.is_empty() {
            return Ok(plan);
        }
        Ok(plan.with_contents(source.identify(files).await?))
    }

    /// Decides for one layer. A layer without a recipe is uploaded.
    async fn decide_layer(&self, plan: &Plan, layer: &Layer, noted: Noted<'_>) -> Decision {
        let Some(recipe) = layer.recipe else { return Decision::default() };
        let mut answers = Answers::new();
        let mut candidates = self.in_images(&recipe, layer, plan.mtime());
        // Checkpoints are looked for in any case: a push that was killed just before its end left them behind.
        let near = Candidates { near: candidates.near.clone(), ..Candidates::default() };
        let (mut found, noted) =
            future::join(self.probe(&near, &mut answers), self.noted(&recipe, layer, plan.mtime(), noted)).await;
        if found.is_empty() {
            candidates.noted = noted;
            found = self.probe(&candidates, &mut answers).await;
        }
        decision(found, plan, layer, &self.seen)
    }

    /// Asks registries until the decision is made.
    async fn probe(&self, candidates: &Candidates, answers: &mut Answers) -> Vec<LayerCandidate> {
        loop {
            match decide(candidates, answers) {
                Step::Use(found) => return found,
                Step::Ask(question) => {
                    let there = self.is_there(&question).await;
                    answers.insert(question, there);
                }
            }
        }
    }

    /// Returns whether a blob is in a place. A failed request counts as no.
    async fn is_there(&self, Question { place, digest, size }: &Question) -> bool {
        match self.repositories.get(place) {
            Some(repository) => repository.blob_exists(Access::Pull, digest, *size).await.unwrap_or(false),
            None => false,
        }
    }

    /// Returns the layers of images that state `recipe`. A layer that states `recipe` falsely causes a warning.
    fn in_images(&self, recipe: &Digest, layer: &Layer, mtime: u64) -> Candidates {
        let is_far = |place: &Place| matches!(place, Place::Elsewhere(_));
        let (found, false_ones) = in_images(recipe, layer, mtime, &self.seen);
        let mut false_ones = false_ones.into_iter().filter(|seen| self.options.copy || !is_far(&seen.place));
        if let Some(seen) = false_ones.next() {
            let others = match false_ones.count() {
                0 => "it is not reused".to_owned(),
                more => format!("it is not reused, nor are {more} others that state this recipe falsely"),
            };
            let SeenLayer { layer, from, .. } = seen;
            let message =
                format!("layer `{}` of `{from}` states a recipe that is not that of its files: {others}", layer.digest);
            self.options.progress.report(&Event::Warning { message });
        }
        let (far, near) = found.into_iter().partition(|candidate| is_far(&candidate.place));
        Candidates { near, noted: Vec::new(), far: if self.options.copy { far } else { Vec::new() } }
    }

    /// Returns the layer of `recipe` in the checkpoint of an earlier push and in the local cache.
    async fn noted(
        &self,
        recipe: &Digest,
        layer: &Layer,
        mtime: u64,
        Noted { checkpoints, shapes }: Noted<'_>,
    ) -> Vec<LayerCandidate> {
        let checkpoint = async {
            let by_shape = shapes.iter().find(|found| found.recipe == *recipe).cloned();
            let found = match by_shape {
                Some(found) => Some(found),
                None => checkpoints?.look_up(recipe).await,
            };
            let found = found.filter(|found| found.is_consistent(mtime))?;
            let from = "the checkpoint of an earlier push".to_owned();
            Some(LayerCandidate { digest: found.digest, size: found.size, place: Place::Here, from })
        };
        checkpoint.await.into_iter().chain(self.in_cache(recipe, layer)).collect()
    }

    /// Returns the layer of `recipe` in the local cache: in the repository that is pushed to, then in other
    /// repositories of the same registry. The cache may be out of date, so each place is asked.
    fn in_cache(&self, recipe: &Digest, layer: &Layer) -> Vec<LayerCandidate> {
        let known = self.options.cache.as_ref().and_then(|cache| cache.get(recipe));
        let Some(known) = known.filter(|known| known.size == layer.size) else { return Vec::new() };
        let target = self.repositories.target();
        let candidate = |place, name: &str| LayerCandidate {
            digest: known.digest,
            size: known.size,
            place,
            from: format!("the local cache ({name})"),
        };
        let here = candidate(Place::Here, &target.name());
        let siblings = known.repositories.iter().filter(|name| **name != target.name()).filter_map(|name| {
            let repository = name.strip_prefix(target.image().registry())?.strip_prefix('/')?;
            Some(candidate(Place::Sibling(repository.to_owned()), name))
        });
        std::iter::once(here).chain(siblings).collect()
    }

    /// Returns whether nothing is left to write: every layer is in the repository, every tag points to the plan's
    /// index, and the repository has every blob that the manifests name. What was read as a manifest is not asked for
    /// again.
    async fn is_published(&self, plan: &Plan, decisions: &[Decision]) -> bool {
        let first = |(decision, layer): (&Decision, &Layer)| match decision.candidates.first() {
            Some(candidate) if decision.action == LayerAction::Reuse => candidate.verified(layer),
            _ => None,
        };
        let Some(verified) = decisions.iter().zip(plan.layers()).map(first).collect::<Option<Vec<_>>>() else {
            return false;
        };
        let images = plan.base().platforms.iter().map(|target| image::platform_image(plan, target, &verified));
        let Ok(images) = images.collect::<Result<Vec<_>, _>>() else { return false };
        let Ok(index) = image::index(plan, &images) else { return false };
        if !self.options.tags.iter().all(|tag| self.tags.get(tag) == Some(&index.digest)) {
            return false;
        }
        let configs = images.iter().map(|image| (Digest::of(&image.config), image.config.len() as u64));
        let base = plan.base().platforms.iter().flat_map(|target| &target.layers);
        let blobs: BTreeMap<Digest, u64> = configs.chain(base.map(|layer| (layer.digest, layer.size))).collect();
        let there = blobs
            .into_iter()
            .map(|(digest, size)| async move { self.is_there(&Question { place: Place::Here, digest, size }).await });
        stream::iter(there).buffer_unordered(REQUESTS).all(future::ready).await
    }
}
