//! Decides between reuse, mount, copy and upload. The functions compute data from data; `probe` asks the registries.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    action::{Decision, LayerCandidate, Place, Renamed},
    image_layer::SeenLayer,
};
use crate::{
    ContentId, Digest, ModelPath,
    plan::{Layer, Plan},
};

/// Layers that may serve for one layer of the plan, the cheapest place first.
#[derive(Debug, Clone, Default)]
pub(super) struct Candidates {
    /// Layers of images in this registry.
    pub(super) near: Vec<LayerCandidate>,
    /// Layers of checkpoints and of the local cache. They are used only when no image of this registry has the layer.
    pub(super) noted: Vec<LayerCandidate>,
    /// Layers of images in other registries, which have to be copied. They are used only when this registry does not
    /// have the layer.
    pub(super) far: Vec<LayerCandidate>,
}

/// The question to a registry whether a blob is in a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Question {
    /// The repository that is asked.
    pub(super) place: Place,
    /// Digest of the blob.
    pub(super) digest: Digest,
    /// Size of the blob, in bytes.
    pub(super) size: u64,
}

/// Whether the blob is there, for each question that was asked.
pub(super) type Answers = BTreeMap<Question, bool>;

/// The next step towards a decision.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A registry must be asked first.
    Ask(Question),
    /// The layers that can be used: the first is there, the others are fallbacks. If the list is empty, the layer is
    /// uploaded.
    Use(Vec<LayerCandidate>),
}

/// Decides which of `candidates` can be used, or returns the next question that a registry must answer. Questions come
/// one at a time, because most layers are found by the first. The caller adds the answer and calls again.
pub(super) fn decide(candidates: &Candidates, answers: &Answers) -> Step {
    for tier in [&candidates.near, &candidates.noted, &candidates.far] {
        match first_there(tier, answers) {
            Step::Use(found) if found.is_empty() => {}
            step => return step,
        }
    }
    Step::Use(Vec::new())
}

/// Drops the candidates before the first one that is there. Later candidates are kept as fallbacks, without a question.
fn first_there(tier: &[LayerCandidate], answers: &Answers) -> Step {
    for (at, candidate) in tier.iter().enumerate() {
        // A layer that is in the repository already need not be mounted.
        let places = match &candidate.place {
            place @ Place::Sibling(_) => vec![Place::Here, place.clone()],
            place => vec![place.clone()],
        };
        for place in places {
            let question = Question { place: place.clone(), digest: candidate.digest, size: candidate.size };
            match answers.get(&question) {
                None => return Step::Ask(question),
                Some(false) => {}
                Some(true) => {
                    let first = LayerCandidate { place, ..candidate.clone() };
                    return Step::Use(std::iter::once(first).chain(tier[at + 1..].iter().cloned()).collect());
                }
            }
        }
    }
    Step::Use(Vec::new())
}

/// Returns the decision for `layer`. `found` is the list of [`Step::Use`].
pub(super) fn decision(found: Vec<LayerCandidate>, plan: &Plan, layer: &Layer, seen: &[SeenLayer]) -> Decision {
    match found.first() {
        Some(first) => Decision {
            action: first.action(),
            digest: Some(first.digest),
            from: Some(first.from.clone()),
            renamed: Vec::new(),
            candidates: found,
        },
        None if layer.recipe.is_some() => Decision { renamed: renamed(plan, layer, seen), ..Decision::default() },
        None => Decision::default(),
    }
}

/// Returns the layers of images that state `recipe`, in the images' order, and those that state `recipe` falsely: their
/// files have another recipe or size. Annotations can be written by anybody who may push to the repository.
pub(super) fn in_images<'a>(
    recipe: &Digest,
    layer: &Layer,
    mtime: u64,
    seen: &'a [SeenLayer],
) -> (Vec<LayerCandidate>, Vec<&'a SeenLayer>) {
    let stated = seen.iter().filter(|seen| seen.layer.recipe == *recipe);
    let (true_ones, false_ones): (Vec<_>, Vec<_>) =
        stated.partition(|seen| seen.layer.is_consistent(mtime) && seen.layer.size == layer.size);
    let candidate = |SeenLayer { layer, place, from }: &SeenLayer| LayerCandidate {
        digest: layer.digest,
        size: layer.size,
        place: place.clone(),
        from: from.clone(),
    };
    (true_ones.into_iter().map(candidate).collect(), false_ones)
}

/// Returns the files of a new layer that an image holds under a path which the plan does not have any more.
fn renamed(plan: &Plan, layer: &Layer, seen: &[SeenLayer]) -> Vec<Renamed> {
    let planned: BTreeSet<&ModelPath> =
        plan.layers().iter().flat_map(|layer| &layer.files).map(|file| &file.path).collect();
    let wanted: BTreeMap<(ContentId, u64), &ModelPath> =
        layer.files.iter().filter_map(|file| Some(((file.content?, file.size), &file.path))).collect();
    let mut renamed: BTreeMap<&ModelPath, &ModelPath> = BTreeMap::new();
    for file in seen.iter().flat_map(|seen| &seen.layer.files) {
        let now = file.content.and_then(|content| wanted.get(&(content, file.size)));
        if let Some(now) = now.filter(|_| !planned.contains(&file.path)) {
            renamed.entry(now).or_insert(&file.path);
        }
    }
    renamed.into_iter().map(|(to, from)| Renamed { from: from.clone(), to: to.clone() }).collect()
}
