//! Decides which files of a model hold weights, which of these hold the same weights, and which files no server loads.
//! The decision rests on the files' names and sizes, and on the numbers of tensor elements where headers have been
//! read.
//!
//! A weight file is surplus for one of two reasons only. Either a counterpart (another file, or a complete set of
//! shards) holds the same weights, or the file is part of the state or of a checkpoint of a training.

mod copies;
mod index;
mod name;
mod set;
#[cfg(test)]
mod tests;
mod training;

use std::collections::{BTreeMap, BTreeSet};

use globset::GlobSet;

pub(crate) use self::{
    index::{Indexed, indexed},
    name::{Format, WeightName, split},
    set::{WeightSet, sets},
    training::is_in_checkpoint,
};
use crate::{ModelPath, path::is_projector, source::SourceFile};

/// One of several forms (GGUF quantizations, precisions) of the same weights, from which the user has to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightChoice {
    /// A glob that matches the files of this form and no others.
    pub pattern: String,
    /// Size of the files in bytes.
    pub bytes: u64,
}

/// The number of elements of all tensors in a weight file, for each file whose header has been read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TensorCounts(BTreeMap<ModelPath, u64>);

impl TensorCounts {
    /// Adds up the counts of `files`; `None` when the count of a file is unknown.
    pub(crate) fn of(&self, files: &[&SourceFile]) -> Option<u64> {
        files.iter().try_fold(0_u64, |sum, file| sum.checked_add(*self.0.get(&file.path)?))
    }
}

impl FromIterator<(ModelPath, u64)> for TensorCounts {
    fn from_iter<I: IntoIterator<Item = (ModelPath, u64)>>(counts: I) -> Self {
        Self(counts.into_iter().collect())
    }
}

/// The files that need not be packed.
#[derive(Debug, Default)]
pub(crate) struct Surplus<'a> {
    /// The files that stay out, each with the reason for people.
    pub(crate) files: BTreeMap<&'a ModelPath, String>,
    /// The forms from which the user has to choose; empty when no choice is open.
    pub(crate) choices: Vec<WeightChoice>,
}

/// Returns the number of tensor elements of some files together; `None` unless the headers of all these have been read.
pub(crate) type Count<'a> = dyn FnMut(&[&SourceFile]) -> Option<u64> + 'a;

/// Finds the surplus among `files`. Of files that hold the same weights, those are packed that `chosen` matches, if any
/// does.
pub(crate) fn surplus<'a>(files: &[&'a SourceFile], chosen: &GlobSet, count: &mut Count<'_>) -> Surplus<'a> {
    let mut out = training_state(files);
    let rest: Vec<&'a SourceFile> = files.iter().copied().filter(|file| !out.contains_key(&file.path)).collect();
    let mut forms = Forms::of(&rest, count);
    forms.choose(chosen);
    forms.drop_copies();
    for (form, reason) in forms.dropped() {
        out.extend(form.files.iter().map(|file| (&file.path, reason.clone())));
    }
    out.extend(index::of_dropped(&rest, &out));
    Surplus { choices: forms.choices(), files: out }
}

/// Finds the state and the checkpoints of a training. Checkpoints stay in when there are no other weights, and the
/// state when it holds the only weights.
fn training_state<'a>(files: &[&'a SourceFile]) -> BTreeMap<&'a ModelPath, String> {
    let holds_weights = |is_out: &dyn Fn(&ModelPath) -> bool| {
        files.iter().any(|file| WeightName::parse(&file.path).is_some() && !is_out(&file.path))
    };
    let checkpoint = |path: &ModelPath| training::is_state(path) || training::is_in_checkpoint(path);
    let is_out: &dyn Fn(&ModelPath) -> bool = if holds_weights(&checkpoint) {
        &checkpoint
    } else if holds_weights(&training::is_state) {
        &training::is_state
    } else {
        return BTreeMap::new();
    };
    let reason = |path: &ModelPath| {
        if training::is_state(path) {
            "is the state of a training, which no server loads"
        } else {
            "is part of a checkpoint of a training; the model itself lies outside"
        }
    };
    files.iter().filter(|file| is_out(&file.path)).map(|file| (&file.path, reason(&file.path).to_owned())).collect()
}

/// A form of weights in the source: a weight file, a set of shards, or a folder with a copy of the whole model.
struct Form<'a> {
    /// The weight file or shards; `None` for a folder.
    set: Option<WeightSet<'a>>,
    files: Vec<&'a SourceFile>,
    title: String,
    bytes: u64,
    /// Why the form stays out; `None` when it is packed.
    dropped: Option<String>,
    /// Whether the user's patterns match a file of the form.
    is_chosen: bool,
}

/// All forms, and which of them hold the same weights. Forms are named by their indexes in `all`.
struct Forms<'a> {
    /// In the order of preference, best first; folders with a copy of the whole model last.
    all: Vec<Form<'a>>,
    /// Pairs of a copy and its counterpart.
    copies: BTreeSet<(usize, usize)>,
    /// Pairs of forms with the same weights at two precisions, of which neither is preferred.
    alternatives: BTreeSet<(usize, usize)>,
}

impl<'a> Forms<'a> {
    fn of(files: &[&'a SourceFile], count: &mut Count<'_>) -> Self {
        let all = sets(files.iter().copied());
        let model = copies::root_model(&all);
        let folders = model.map(|model| copied_folders(files, model)).unwrap_or_default();
        let in_folder =
            |file: &&SourceFile| copies::whole_copy_folder(&file.path).is_some_and(|name| folders.contains_key(name));
        let mut rest = sets(files.iter().copied().filter(|file| !in_folder(file)));
        let indexes: BTreeSet<Indexed<'_>> = files.iter().filter_map(|file| indexed(&file.path)).collect();
        rest.sort_by_key(|set| rank(set, &indexes));
        let root = copies::root_model(&rest).and_then(|model| rest.iter().position(|set| std::ptr::eq(set, model)));
        let mut forms: Vec<Form<'a>> = rest.into_iter().map(Form::of_set).collect();
        let sets = forms.len();
        forms.extend(folders.into_iter().map(|(name, files)| Form::of_folder(name, files)));
        let of_folders = root.into_iter().flat_map(|root| (sets..forms.len()).map(move |folder| (folder, root)));
        let mut this = Self { copies: of_folders.collect(), alternatives: BTreeSet::new(), all: forms };
        this.find_copies_of_root(root, count);
        this.find_copies_in_folders(count);
        this
    }

    /// Finds the sets that repeat the whole model at the root.
    fn find_copies_of_root(&mut self, root: Option<usize>, count: &mut Count<'_>) {
        let Some((root, model)) = root.and_then(|root| Some((root, self.all[root].set.as_ref()?))) else { return };
        for (at, form) in self.all.iter().enumerate().filter(|(at, _)| *at != root) {
            if form.set.as_ref().is_some_and(|set| copies::repeats_whole_model(set, model, count)) {
                self.copies.insert((at, root));
            }
        }
    }

    /// Finds the sets that repeat another set in the same folder with a name of the same family.
    fn find_copies_in_folders(&mut self, count: &mut Count<'_>) {
        let mut families: BTreeMap<(&str, String), Vec<(usize, &WeightSet<'_>)>> = BTreeMap::new();
        for (at, form) in self.all.iter().enumerate() {
            if let Some(set) = &form.set {
                families.entry((set.name.folder, set.name.family())).or_default().push((at, set));
            }
        }
        for family in families.into_values() {
            for (place, (copy, set)) in family.iter().enumerate() {
                for (original, other) in &family[..place] {
                    if !other.is_complete() || !copies::repeats(set, other, count) {
                        continue;
                    }
                    let precisions = (set.name.precision, other.name.precision);
                    // A server loads the file without a precision in its name. Between two precisions the user chooses.
                    match precisions {
                        (Some(own), Some(others)) if own != others => self.alternatives.insert((*copy, *original)),
                        _ => self.copies.insert((*copy, *original)),
                    };
                }
            }
        }
    }

    /// Drops every form that holds the same weights as a form that `chosen` matches, directly or by way of other forms.
    fn choose(&mut self, chosen: &GlobSet) {
        for form in &mut self.all {
            form.is_chosen = form.files.iter().any(|file| chosen.is_match(file.path.as_str()));
        }
        let starts = (0..self.all.len()).filter(|at| self.all[*at].is_chosen);
        let mut reached: Vec<(usize, usize)> = starts.map(|at| (at, at)).collect();
        while let Some((at, start)) = reached.pop() {
            for next in self.same_weights(at) {
                let reason = format!("holds the same weights as {}, which was chosen", self.all[start].title);
                let form = &mut self.all[next];
                if !form.is_chosen && form.dropped.is_none() {
                    form.dropped = Some(reason);
                    reached.push((next, start));
                }
            }
        }
    }

    /// Returns the forms that hold the same weights as the form at `at`. All GGUF models are taken for the same
    /// weights. Accessories of a GGUF model are not returned.
    fn same_weights(&self, at: usize) -> Vec<usize> {
        let linked = self.copies.iter().chain(&self.alternatives).filter_map(|(a, b)| match (*a == at, *b == at) {
            (true, _) => Some(*b),
            (_, true) => Some(*a),
            _ => None,
        });
        let mut same: Vec<usize> = linked.collect();
        if self.all[at].is_gguf_model() {
            same.extend((0..self.all.len()).filter(|other| *other != at && self.all[*other].is_gguf_model()));
        }
        same.retain(|other| !self.all[*other].is_accessory());
        same
    }

    /// Drops every copy whose counterpart is packed, unless the user chose the copy.
    fn drop_copies(&mut self) {
        for at in 0..self.all.len() {
            if self.all[at].is_chosen || self.all[at].dropped.is_some() {
                continue;
            }
            let packed = |original: &usize| self.all[*original].dropped.is_none();
            let original = self.copies.range((at, 0)..(at + 1, 0)).map(|(_, original)| *original).find(packed);
            if let Some(original) = original {
                let title = &self.all[original].title;
                self.all[at].dropped = Some(format!("holds the same weights as {title}, which is packed"));
            }
        }
    }

    /// Returns the forms that stay out, with the reasons.
    fn dropped(&self) -> impl Iterator<Item = (&Form<'a>, &String)> {
        self.all.iter().filter_map(|form| Some((form, form.dropped.as_ref()?)))
    }

    /// Returns the forms from which the user has to choose: several GGUF models, or several precisions of a model of
    /// which every file has a precision in its name.
    fn choices(&self) -> Vec<WeightChoice> {
        let kept = || self.all.iter().filter(|form| form.dropped.is_none());
        let models: Vec<&Form<'_>> = kept().filter(|form| form.is_gguf_model()).collect();
        if models.len() > 1 && !models.iter().any(|form| form.is_chosen) {
            let others = kept().filter(|form| form.has_format(Format::Safetensors));
            return models.iter().copied().chain(others).map(Form::choice).collect();
        }
        let mut precisions: BTreeMap<(&str, &str, Format), Vec<&Form<'_>>> = BTreeMap::new();
        for form in kept().filter(|form| !form.is_chosen) {
            let Some(set) = form.set.as_ref().filter(|set| set.name.format < Format::Onnx) else { continue };
            precisions.entry((set.name.folder, set.name.stem, set.name.format)).or_default().push(form);
        }
        let undecided = |forms: &Vec<&Form<'_>>| {
            forms.len() > 1
                && forms.iter().all(|form| form.set.as_ref().is_some_and(|set| set.name.precision.is_some()))
        };
        precisions.into_values().find(undecided).unwrap_or_default().into_iter().map(Form::choice).collect()
    }
}

impl<'a> Form<'a> {
    fn of_set(set: WeightSet<'a>) -> Self {
        let (files, title, bytes) = (set.files.clone(), set.title(), set.bytes);
        Self { set: Some(set), files, title, bytes, dropped: None, is_chosen: false }
    }

    fn of_folder(folder: &str, files: Vec<&'a SourceFile>) -> Self {
        let bytes = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size));
        Self { set: None, files, title: format!("`{folder}/`"), bytes, dropped: None, is_chosen: false }
    }

    fn has_format(&self, format: Format) -> bool {
        self.set.as_ref().is_some_and(|set| set.name.format == format)
    }

    fn is_gguf_model(&self) -> bool {
        self.has_format(Format::Gguf) && !self.is_accessory()
    }

    /// Returns whether a GGUF file is not a model by itself: a projector (`mmproj`), which turns images into tokens, or
    /// an importance matrix (`imatrix`), with which a quantization was made.
    fn is_accessory(&self) -> bool {
        let name = self.files.first().map_or("", |file| file.path.file_name());
        self.has_format(Format::Gguf) && (is_projector(name) || name.to_ascii_lowercase().contains("imatrix"))
    }

    /// Returns the form as a choice, with a glob that matches the file or all shards.
    fn choice(&self) -> WeightChoice {
        let first = self.files.first().map_or("", |file| file.path.as_str());
        let number = self.set.as_ref().and_then(|set| set.name.shard).and(first.rsplit_once("-of-"));
        let pattern = match number.and_then(|(head, tail)| Some((head.rsplit_once('-')?.0, tail))) {
            Some((head, tail)) => format!("{}-*-of-{}", globset::escape(head), globset::escape(tail)),
            None => globset::escape(first),
        };
        WeightChoice { pattern, bytes: self.bytes }
    }
}

/// Returns the key that sorts forms by preference, best first. A name without a precision is best, then the better
/// format. Of a single file and shards of the same name, the shards are better if they have an index, and the file if
/// not.
fn rank<'a>(set: &WeightSet<'a>, indexes: &BTreeSet<Indexed<'_>>) -> (bool, Format, bool, &'a str, &'a str) {
    let WeightName { folder, stem, precision, shard, format } = set.name;
    let is_indexed = indexes.contains(&Indexed { folder, stem, precision, format });
    (precision.is_some(), format, shard.is_some() != is_indexed, folder, stem)
}

/// Returns the folders that hold a copy of the whole `model`, with the files in these folders.
fn copied_folders<'a>(files: &[&'a SourceFile], model: &WeightSet<'_>) -> BTreeMap<&'static str, Vec<&'a SourceFile>> {
    let mut folders: BTreeMap<&str, Vec<&'a SourceFile>> = BTreeMap::new();
    for file in files {
        if let Some(folder) = copies::whole_copy_folder(&file.path) {
            folders.entry(folder).or_default().push(file);
        }
    }
    folders.retain(|_, files| copies::folder_may_repeat(files, model));
    folders
}
