//! Facts that an existing image states in its annotations. They are reused for a model with the same files.

use std::collections::{BTreeMap, BTreeSet};

use super::{ModelFacts, annotations, files};
use crate::{ContentId, ModelPath, source::SourceFile, weights::indexed};

/// The facts that an image's annotations state, and the files that the image holds. The facts are untrusted: anybody
/// who may push the image can have made them up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedFacts {
    pub(super) facts: ModelFacts,
    files: Vec<SourceFile>,
}

impl StatedFacts {
    /// Takes the facts from the annotations of a manifest. `files` are the files in the manifest's layers. `None` when
    /// the facts were read by another version of the rules, or a fact was stated by hand.
    pub fn new(annotations: &BTreeMap<String, String>, files: Vec<SourceFile>) -> Option<Self> {
        let ours = annotations.get(annotations::RULES).is_some_and(|rules| rules == annotations::RULES_VERSION);
        ours.then(|| {
            let mut facts = ModelFacts::from_annotations(annotations);
            facts.file = facts.file.filter(|name| files.iter().any(|file| file.path.as_str() == name));
            Self { facts, files }
        })
    }

    /// Returns whether the image has files of the same paths as `model`, and every file from which facts are read has
    /// the same content. Facts and flaws depend on the paths of other files too: an unfinished download, a model in a
    /// folder, a vocabulary that tells the library.
    pub(super) fn are_of(&self, model: &[&SourceFile]) -> bool {
        let own: BTreeSet<&ModelPath> = self.files.iter().map(|file| &file.path).collect();
        own == model.iter().map(|file| &file.path).collect() && self.holds(model, files::tells)
    }

    /// Returns whether the weight files of `model`, and their indexes, have the same paths and contents in the image, and
    /// whether a server would load the same of them: that depends on which configurations are there.
    pub(super) fn are_of_weights(&self, model: &[&SourceFile]) -> bool {
        let is = |name: &str, path: &ModelPath| path.as_str() == name;
        let same = [files::CONFIG, files::PIPELINE].into_iter().all(|name| {
            self.files.iter().any(|file| is(name, &file.path)) == model.iter().any(|file| is(name, &file.path))
        });
        same && self.holds(model, |file| files::may_hold_weights(file) || indexed(&file.path).is_some())
    }

    /// Compares those files of the image and of `files` for which `counts` returns `true`.
    fn holds(&self, files: &[&SourceFile], counts: impl Fn(&SourceFile) -> bool) -> bool {
        let own: Vec<&SourceFile> = self.files.iter().collect();
        contents(&own, &counts).is_some_and(|own| contents(files, &counts) == Some(own))
    }
}

/// Returns size and content id of the files for which `counts` returns `true`, by path; `None` when a content id is
/// unknown.
fn contents<'a>(
    files: &[&'a SourceFile],
    counts: &impl Fn(&SourceFile) -> bool,
) -> Option<BTreeMap<&'a ModelPath, (u64, ContentId)>> {
    let counted = files.iter().filter(|file| counts(file));
    counted.map(|file| Some((&file.path, (file.size, file.content?)))).collect()
}
