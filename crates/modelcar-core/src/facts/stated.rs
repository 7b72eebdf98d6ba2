//! Facts that an image states of itself: right for other files too when those are the same.

use std::collections::BTreeMap;

use super::{ModelFacts, annotations, files};
use crate::{ContentId, ModelPath, source::SourceFile, weights::indexed};

/// What an image states of its model, and the files that it holds. Whoever may write the image may have made it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedFacts {
    pub(super) facts: ModelFacts,
    files: Vec<SourceFile>,
}

impl StatedFacts {
    /// Takes the facts from a manifest's annotations; `files` are those of its layers. `None` when other rules made
    /// them, or somebody by hand.
    pub fn new(annotations: &BTreeMap<String, String>, files: Vec<SourceFile>) -> Option<Self> {
        let ours = annotations.get(annotations::RULES).is_some_and(|rules| rules == annotations::RULES_VERSION);
        ours.then(|| {
            let mut facts = ModelFacts::from_annotations(annotations);
            facts.file = facts.file.filter(|name| files.iter().any(|file| file.path.as_str() == name));
            Self { facts, files }
        })
    }

    /// Returns whether reading `model`, the files of a model, would give the same facts: all that facts are read from is the same.
    pub(super) fn are_of(&self, model: &[&SourceFile]) -> bool {
        self.holds(model, files::tells)
    }

    /// Returns whether the weights among the files of `model`, and their indexes, are the image's.
    pub(super) fn are_of_weights(&self, model: &[&SourceFile]) -> bool {
        self.holds(model, |file| files::may_hold_weights(file) || indexed(&file.path).is_some())
    }

    fn holds(&self, files: &[&SourceFile], counts: fn(&SourceFile) -> bool) -> bool {
        let own: Vec<&SourceFile> = self.files.iter().collect();
        contents(&own, counts).is_some_and(|own| contents(files, counts) == Some(own))
    }
}

/// Returns what the files that count hold; `None` when that is not known of one.
fn contents<'a>(
    files: &[&'a SourceFile],
    counts: fn(&SourceFile) -> bool,
) -> Option<BTreeMap<&'a ModelPath, (u64, ContentId)>> {
    let counted = files.iter().filter(|file| counts(file));
    counted.map(|file| Some((&file.path, (file.size, file.content?)))).collect()
}
