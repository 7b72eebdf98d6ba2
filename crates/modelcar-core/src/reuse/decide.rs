//! What is done with each layer of a plan: the same decisions for whoever asks and for the push that follows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::{
    blob_source::BlobSource,
    cache::Cache,
    checkpoint::Checkpoints,
    knowledge::{Knowledge, Sighting},
};
use crate::{
    ContentId, Digest, ErrorKind, ModelPath,
    error::Result,
    image,
    layer::LayerBody,
    plan::{Layer, Plan},
    progress::{Event, NoProgress},
    registry::{Access, RegistrySink, Repository},
    sink::{Body, KnownBlob, Sealed, Sink},
    source::{Source, SourceFile, Window},
};

/// Requests side by side.
const REQUESTS: usize = 16;
/// Waits before a layer whose reading broke off is read again.
const READ_AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// What is done with a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Its files are read from the source and uploaded.
    #[default]
    Upload,
    /// It is in the repository already.
    Reuse,
    /// The registry takes it over from another of its repositories.
    Mount,
    /// It is read from another registry and uploaded.
    Copy,
}

/// Where a layer is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In the repository that is pushed to.
    Here,
    /// In another repository of the same registry.
    Sibling(Repository),
    /// In another registry.
    Elsewhere(Repository),
}

/// A layer that may serve for one of the plan.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) place: Place,
    /// Who says so, for people.
    pub(crate) from: String,
}

impl Candidate {
    pub(crate) fn way(&self) -> Way {
        match self.place {
            Place::Here => Way::Reuse,
            Place::Sibling(_) => Way::Mount,
            Place::Elsewhere(_) => Way::Copy,
        }
    }

    /// Returns the blob as a sink is asked for it.
    pub(crate) fn blob(&self) -> KnownBlob {
        let repository = match &self.place {
            Place::Sibling(repository) => Some(repository.image().repository().to_owned()),
            Place::Here | Place::Elsewhere(_) => None,
        };
        KnownBlob { digest: self.digest, size: self.size, repository }
    }

    /// Returns what the layer is when it is what it should be: one that was made to `layer`'s recipe.
    pub(crate) fn sealed(&self, layer: &Layer) -> Option<Sealed> {
        let files = layer.files.iter().map(|file| file.content).collect::<Option<Vec<_>>>()?;
        Some(Sealed { digest: self.digest, size: self.size, diff_id: self.digest, files })
    }

    /// Returns the layer as the source of its own files.
    pub(crate) fn source(&self, repository: &Repository, layer: &Layer, mtime: u64) -> Arc<dyn Source> {
        let blob = repository.blob(format!("layer `{}`", self.digest), self.digest, self.size);
        Arc::new(BlobSource::new(Box::new(blob), self.digest, layer, mtime))
    }
}

/// A file that an image holds under another path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Renamed {
    /// The path there.
    pub from: ModelPath,
    /// The path in the plan.
    pub to: ModelPath,
}

/// What is done with one layer, and why.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// What is done.
    pub way: Way,
    /// Digest of the layer, when it is known before its bytes are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Where the layer is from: an image, a checkpoint, the local cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Files whose content is known under another path. The path is part of a layer, so that it is a new one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub renamed: Vec<Renamed>,
    /// Whoever can serve, the first one proven to be there.
    #[serde(skip)]
    pub(crate) candidates: Vec<Candidate>,
}

/// What is done with each layer of one plan, in one repository, under one set of tags.
#[derive(Debug)]
pub(crate) struct DecidedPush {
    plan: Plan,
    reuse: Reuse,
    sink: Arc<RegistrySink>,
}

impl DecidedPush {
    /// Sends every layer of `plan`.
    pub(crate) fn without_reuse(plan: Plan, sink: Arc<RegistrySink>) -> Self {
        let decisions = vec![Decision::default(); plan.layers().len()];
        Self { plan, reuse: Reuse { decisions, ..Reuse::default() }, sink }
    }

    /// Returns the plan, with the contents of a directory's files where an image may hold them.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns a decision for each layer of the plan.
    pub(crate) fn decisions(&self) -> &[Decision] {
        &self.reuse.decisions
    }

    /// Returns whether every layer is in the repository and every tag points to the plan's image already.
    pub(crate) fn is_published(&self) -> bool {
        self.reuse.published
    }

    /// Returns where the image goes, to clear up and to ask what has a name once the push was stopped.
    pub(crate) fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.sink) as _
    }

    pub(crate) fn into_parts(self) -> (Plan, Reuse, Arc<RegistrySink>) {
        (self.plan, self.reuse, self.sink)
    }
}

/// The decisions for a plan, and what a push needs to act on them.
#[derive(Debug, Default)]
pub(crate) struct Reuse {
    decisions: Vec<Decision>,
    published: bool,
    pub(crate) verify: bool,
    pub(crate) checkpoints: Option<Arc<Checkpoints>>,
    cache: Option<Cache>,
    target: Option<Repository>,
}

impl Reuse {
    pub(crate) fn is_published(&self) -> bool {
        self.published
    }

    pub(crate) fn candidates(&self, layer: usize) -> &[Candidate] {
        self.decisions.get(layer).map_or(&[], |decision| &decision.candidates)
    }

    /// Reads a layer of the target from its first byte to its last. Returns whether it is, byte for byte, the layer
    /// that the plan describes.
    ///
    /// # Errors
    /// When it can't be read, which says nothing of its bytes.
    pub(crate) async fn is_true(&self, candidate: &Candidate, index: usize, layer: &Layer, mtime: u64) -> Result<bool> {
        let Some(target) = &self.target else { return Ok(false) };
        for wait in READ_AGAIN {
            match read_whole(target, candidate, index, layer, mtime).await {
                Err(error) if error.kind() == ErrorKind::Network => tokio::time::sleep(wait).await,
                outcome => return is_it(candidate, outcome),
            }
        }
        is_it(candidate, read_whole(target, candidate, index, layer, mtime).await)
    }

    /// Keeps what a push has learnt: `layers` in the plan's order, each with whether its bytes are proven.
    pub(crate) async fn remember(&self, plan: &Plan, layers: &[(Digest, bool)]) {
        let (Some(cache), Some(target)) = (&self.cache, &self.target) else { return };
        let known =
            plan.layers().iter().zip(layers).filter_map(|(layer, (digest, proven))| {
                layer.recipe.map(|recipe| (recipe, *digest, layer.size, *proven))
            });
        cache.note(known.collect(), target.name()).await;
    }
}

async fn read_whole(
    target: &Repository,
    candidate: &Candidate,
    index: usize,
    layer: &Layer,
    mtime: u64,
) -> Result<Digest> {
    let source = candidate.source(target, layer, mtime);
    let body = LayerBody::new(index, layer.clone(), mtime, source, Window::sequential(), Arc::new(NoProgress));
    let open = body.open();
    open.stream.try_for_each(|_bytes| std::future::ready(Ok(()))).await?;
    Ok(open.sealed.await?.digest)
}

fn is_it(candidate: &Candidate, read: Result<Digest>) -> Result<bool> {
    match read {
        Ok(digest) => Ok(digest == candidate.digest),
        Err(error) if error.kind() == ErrorKind::Integrity => Ok(false),
        Err(error) => Err(error),
    }
}

impl Knowledge {
    /// Decides for each layer of `plan`. A directory's files are read where an image holds files of the same paths and
    /// sizes; the plan that comes back states their contents.
    ///
    /// # Errors
    /// When a file can't be read.
    pub(crate) async fn decide(self, plan: Plan, source: &dyn Source, sink: Arc<RegistrySink>) -> Result<DecidedPush> {
        let plan = self.identify(plan, source).await?;
        let target = self.options.target.clone();
        let progress = Arc::clone(&self.options.progress);
        let checkpoints =
            self.options.checkpoints.then(|| Arc::new(Checkpoints::new(target.clone(), Arc::clone(&progress))));
        let mut reuse = Reuse {
            decisions: Vec::new(),
            published: false,
            verify: self.options.verify,
            checkpoints,
            cache: self.options.cache.clone(),
            target: Some(target),
        };
        let deciding = plan.layers().iter().map(|layer| self.decide_layer(&plan, layer, reuse.checkpoints.as_deref()));
        reuse.decisions = stream::iter(deciding.collect::<Vec<_>>()).buffered(REQUESTS).collect().await;
        reuse.published = self.is_published(&plan, &reuse.decisions).await;
        Ok(DecidedPush { plan, reuse, sink })
    }

    async fn identify(&self, plan: Plan, source: &dyn Source) -> Result<Plan> {
        let shape = |files: &[SourceFile]| -> Vec<(ModelPath, u64)> {
            files.iter().map(|file| (file.path.clone(), file.size)).collect()
        };
        let known: BTreeSet<_> = self.seen.iter().map(|seen| shape(&seen.layer.files)).collect();
        let unknown =
            plan.layers().iter().filter(|layer| layer.recipe.is_none() && known.contains(&shape(&layer.files)));
        let files: Vec<SourceFile> = unknown.flat_map(|layer| layer.files.clone()).collect();
        if files.is_empty() {
            return Ok(plan);
        }
        Ok(plan.with_contents(source.identify(files).await?))
    }

    async fn decide_layer(&self, plan: &Plan, layer: &Layer, checkpoints: Option<&Checkpoints>) -> Decision {
        let Some(recipe) = layer.recipe else { return Decision::default() };
        // Checkpoints are looked for in any case: a push that was killed just before its end left them behind.
        let checkpoint = async {
            let found = checkpoints?.look_up(&recipe).await.filter(|found| found.is_consistent(plan.mtime()))?;
            let from = "the checkpoint of an earlier push".to_owned();
            Some(Candidate { digest: found.digest, size: found.size, place: Place::Here, from })
        };
        let (near, far): (Vec<_>, Vec<_>) = self
            .in_images(&recipe, layer, plan.mtime())
            .into_iter()
            .partition(|candidate| !matches!(candidate.place, Place::Elsewhere(_)));
        let (mut candidates, checkpoint) = futures_util::join!(self.first_proven(near), checkpoint);
        // What is in this registry already need not be copied.
        if candidates.is_empty() {
            candidates = self.first_proven(checkpoint.into_iter().chain(self.in_cache(&recipe, layer)).collect()).await;
        }
        if candidates.is_empty() {
            candidates = self.first_proven(far).await;
        }
        match candidates.first() {
            Some(first) => Decision {
                way: first.way(),
                digest: Some(first.digest),
                from: Some(first.from.clone()),
                renamed: Vec::new(),
                candidates,
            },
            None => Decision { renamed: self.renamed(plan, layer), ..Decision::default() },
        }
    }

    /// Returns the layers of this recipe in the named images, in their order.
    fn in_images(&self, recipe: &Digest, layer: &Layer, mtime: u64) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for Sighting { layer: found, place, from } in &self.seen {
            let usable = self.options.copy || !matches!(place, Place::Elsewhere(_));
            if found.recipe != *recipe || !usable {
                continue;
            }
            if found.is_consistent(mtime) && found.size == layer.size {
                let (digest, size) = (found.digest, found.size);
                candidates.push(Candidate { digest, size, place: place.clone(), from: from.clone() });
            } else {
                let message = format!(
                    "layer `{}` of `{from}` states a recipe that is not that of its files: it is not reused",
                    found.digest
                );
                self.options.progress.report(&Event::Warning { message });
            }
        }
        candidates
    }

    fn in_cache(&self, recipe: &Digest, layer: &Layer) -> Vec<Candidate> {
        let known = self.options.cache.as_ref().and_then(|cache| cache.get(recipe));
        let Some(known) = known.filter(|known| known.size == layer.size) else { return Vec::new() };
        let target = &self.options.target;
        let from = |name: &str| format!("the local cache ({name})");
        let candidate =
            |place, name: &str| Candidate { digest: known.digest, size: known.size, place, from: from(name) };
        let here = candidate(Place::Here, &target.name());
        let siblings = known.repositories.iter().filter(|name| **name != target.name()).filter_map(|name| {
            let repository = name.strip_prefix(target.image().registry())?.strip_prefix('/')?;
            Some(candidate(Place::Sibling(self.sibling(repository)?), name))
        });
        std::iter::once(here).chain(siblings).collect()
    }

    /// Returns another repository of the target's registry, always the same handle: a client is not cheap.
    fn sibling(&self, name: &str) -> Option<Repository> {
        let mut siblings = self.siblings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = siblings.get(name) {
            return Some(known.clone());
        }
        let sibling = self.options.target.sibling(name).ok()?;
        siblings.insert(name.to_owned(), sibling.clone());
        Some(sibling)
    }

    /// Drops what comes before the first layer that is there. What comes after it stays, for the case that it is gone
    /// after all.
    async fn first_proven(&self, candidates: Vec<Candidate>) -> Vec<Candidate> {
        let mut left = candidates.into_iter();
        while let Some(mut candidate) = left.next() {
            let (digest, size) = (candidate.digest, candidate.size);
            let offers = async |repository: &Repository| {
                repository.blob_exists(Access::Pull, &digest, size).await.unwrap_or(false)
            };
            let there = match &candidate.place {
                Place::Here => offers(&self.options.target).await,
                Place::Sibling(_) if offers(&self.options.target).await => {
                    candidate.place = Place::Here;
                    true
                }
                Place::Sibling(repository) | Place::Elsewhere(repository) => offers(repository).await,
            };
            if there {
                return std::iter::once(candidate).chain(left).collect();
            }
        }
        Vec::new()
    }

    /// Finds files of a new layer that an image holds under a path which the plan does not have any more.
    fn renamed(&self, plan: &Plan, layer: &Layer) -> Vec<Renamed> {
        let planned: BTreeSet<&ModelPath> =
            plan.layers().iter().flat_map(|layer| &layer.files).map(|file| &file.path).collect();
        let wanted: BTreeMap<(ContentId, u64), &ModelPath> =
            layer.files.iter().filter_map(|file| Some(((file.content?, file.size), &file.path))).collect();
        let mut renamed: BTreeMap<&ModelPath, &ModelPath> = BTreeMap::new();
        for file in self.seen.iter().flat_map(|seen| &seen.layer.files) {
            let now = file.content.and_then(|content| wanted.get(&(content, file.size)));
            if let Some(now) = now.filter(|_| !planned.contains(&file.path)) {
                renamed.entry(now).or_insert(&file.path);
            }
        }
        renamed.into_iter().map(|(to, from)| Renamed { from: from.clone(), to: to.clone() }).collect()
    }

    /// Looks whether nothing is left to write. All that the index names is asked for, but what was read as a manifest.
    async fn is_published(&self, plan: &Plan, decisions: &[Decision]) -> bool {
        let first = |(decision, layer): (&Decision, &Layer)| match decision.candidates.first() {
            Some(candidate) if decision.way == Way::Reuse => candidate.sealed(layer),
            _ => None,
        };
        let Some(sealed) = decisions.iter().zip(plan.layers()).map(first).collect::<Option<Vec<_>>>() else {
            return false;
        };
        let images = plan.base().platforms.iter().map(|target| image::platform_image(plan, target, &sealed));
        let Ok(images) = images.collect::<Result<Vec<_>, _>>() else { return false };
        let Ok(index) = image::index(plan, &images) else { return false };
        if !self.options.tags.iter().all(|tag| self.tags.get(tag) == Some(&index.digest)) {
            return false;
        }
        let configs = images.iter().map(|image| (Digest::of(&image.config), image.config.len() as u64));
        let base = plan.base().platforms.iter().flat_map(|target| &target.layers);
        let blobs: BTreeSet<(Digest, u64)> = configs.chain(base.map(|layer| (layer.digest, layer.size))).collect();
        let target = &self.options.target;
        let there = blobs.into_iter().map(|(digest, size)| async move {
            target.blob_exists(Access::Pull, &digest, size).await.unwrap_or(false)
        });
        stream::iter(there).buffer_unordered(REQUESTS).all(std::future::ready).await
    }
}
