//! The plan: which file goes where in the image, decided before any byte moves.
//!
//! Planning is pure. All that can change a digest is a field of [`Plan`]; what only changes speed is not. A plan
//! written to a file is the lock file: replayed anywhere, equal contents give an equal digest.

mod layering;
mod limits;
mod lock;
pub(crate) mod recipe;
mod select;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::{
    layering::Layering,
    lock::LockFile,
    select::{LeftOut, Selection},
};
pub use crate::layer_format::LAYER_FORMAT;
pub use crate::weights::{TensorCounts, WeightChoice};
use crate::{
    Digest, ModelPath, Platform,
    base::BaseImage,
    error::{ErrorKind, ModelcarError},
    facts::ModelFacts,
    layer_format,
    source::{Origin, SourceFile},
};

/// What the user decides about an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// Which files.
    pub selection: Selection,
    /// How they are spread over layers.
    pub layering: Layering,
    /// Time of every entry and of the image, in seconds since 1970 (`SOURCE_DATE_EPOCH`).
    pub mtime: u64,
    /// Platforms to make; all that the base has when empty.
    pub platforms: Vec<Platform>,
    /// Annotations of the user, over those from the source.
    pub annotations: BTreeMap<String, String>,
    /// Make an image although files of the model are missing or broken ([`Flaw::is_broken`](crate::facts::Flaw::is_broken)). The image's annotations
    /// name the kinds of flaws.
    pub allow_incomplete: bool,
}

/// A weight layer: the files in it, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// The files.
    pub files: Vec<SourceFile>,
    /// Size of the layer in bytes.
    pub size: u64,
    /// Digest of the recipe, when every file's content is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Digest>,
}

impl Layer {
    pub(crate) fn new(files: Vec<SourceFile>, mtime: u64) -> Self {
        let size = layer_format::size(&files);
        let mut layer = Self { files, size, recipe: None };
        layer.recipe = recipe::digest(&layer, mtime);
        layer
    }

    /// Returns what the layer holds, for people.
    pub fn title(&self) -> String {
        match self.files.as_slice() {
            [file] => file.path.to_string(),
            files => format!("{} files", files.len()),
        }
    }

    /// Returns the bytes of the files in it.
    pub fn content_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// Everything an image's digest follows from, the files' contents aside. A plan that is deserialized is checked: sizes and
/// recipes have to follow from the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "ReadPlan")]
pub struct Plan {
    layer_format: u32,
    origin: Origin,
    mtime: u64,
    base: BaseImage,
    annotations: BTreeMap<String, String>,
    layers: Vec<Layer>,
    left_out: Vec<LeftOut>,
}

/// A plan as somebody wrote it, not checked yet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReadPlan {
    layer_format: u32,
    origin: Origin,
    mtime: u64,
    base: BaseImage,
    annotations: BTreeMap<String, String>,
    layers: Vec<ReadLayer>,
    left_out: Vec<LeftOut>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReadLayer {
    files: Vec<SourceFile>,
    size: u64,
    #[serde(default)]
    recipe: Option<Digest>,
}

impl TryFrom<ReadPlan> for Plan {
    type Error = PlanError;

    fn try_from(read: ReadPlan) -> Result<Self, PlanError> {
        let layer = |ReadLayer { files, size, recipe }| Layer { files, size, recipe };
        let plan = Self {
            layer_format: read.layer_format,
            origin: read.origin,
            mtime: read.mtime,
            base: read.base,
            annotations: read.annotations,
            layers: read.layers.into_iter().map(layer).collect(),
            left_out: read.left_out,
        };
        plan.check()?;
        Ok(plan)
    }
}

/// Why files make no image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Nothing to pack.
    #[error("no file is left to pack{}", match .left_out.len() { 0 => ": the source is empty".to_owned(), 1 => ": the only one was left out".to_owned(), n => format!(": all {n} were left out") })]
    NoFiles {
        /// The files that were left out.
        left_out: Vec<LeftOut>,
    },
    /// A pattern is no glob.
    #[error("`{pattern}` is not a pattern")]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// The source offers the same weights in several forms, and nothing tells which one is wanted.
    #[error("the source holds the weights in {} forms, choose one: {}", .choices.len(), .choices.iter().map(|choice| format!("`{}` ({} bytes)", choice.pattern, choice.bytes)).collect::<Vec<_>>().join(", "))]
    SeveralForms {
        /// What to choose from.
        choices: Vec<WeightChoice>,
    },
    /// The weights that were chosen are not there.
    #[error("no weight file matches `{pattern}`")]
    NoSuchWeights {
        /// The pattern by which weights were chosen.
        pattern: String,
    },
    /// The base does not have a platform.
    #[error("the base has no platform `{wanted}`, only {offered}")]
    NoPlatform {
        /// What was asked for.
        wanted: Platform,
        /// What there is.
        offered: String,
    },
    /// An annotation's key is not one.
    #[error("`{0}` is not an annotation key")]
    BadAnnotation(String),
    /// The files are more than an image can hold.
    #[error("the model's size overflows")]
    TooLarge,
    /// Two files would be one on a file system that folds letter case or Unicode forms.
    #[error("`{first}` and `{second}` differ only in letter case or Unicode form")]
    SameName {
        /// One of them.
        first: ModelPath,
        /// The other.
        second: ModelPath,
    },
    /// A path can't be both.
    #[error("`{file}` is a file and the folder of `{inside}`")]
    FileAndFolder {
        /// The file.
        file: ModelPath,
        /// A file below it.
        inside: ModelPath,
    },
    /// The manifest, which names every file, would be one that no registry takes.
    #[error("a manifest that names {files} files has {bytes} bytes, registries take {max}")]
    ManifestTooLarge {
        /// Number of files.
        files: usize,
        /// Size of the manifest in bytes.
        bytes: u64,
        /// Largest size that is taken.
        max: u64,
    },
    /// The files lie in more folders than any model has.
    #[error(
        "the files lie in too many folders: at most {}, with names of at most {} MiB in all",
        limits::FOLDERS_MAX,
        limits::FOLDER_NAMES_MAX_BYTES >> 20
    )]
    TooManyFolders,
    /// A time that no tar header holds.
    #[error("the time {0} is later than a tar header can hold, {MAX_TIME}")]
    BadTime(u64),
    /// A lock file can't be read.
    #[error("the lock file is not valid JSON of this version")]
    BadLock(#[source] serde_json::Error),
    /// A lock file contradicts itself.
    #[error("the lock file is not consistent: {0}")]
    InconsistentLock(String),
}

impl ModelcarError for PlanError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

impl Plan {
    /// Decides what an image of `files` on `base` looks like. Names and sizes alone tell which files hold the same weights.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn new(
        origin: &Origin,
        files: Vec<SourceFile>,
        base: &BaseImage,
        options: &PlanOptions,
    ) -> Result<Self, PlanError> {
        Self::compared(origin, files, &TensorCounts::default(), base, options)
    }

    /// As [`new`](Self::new), where `counts` tells how many numbers the files hold that
    /// [`Selection::compared`] names: files whose counts differ do not hold the same weights.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn compared(
        origin: &Origin,
        files: Vec<SourceFile>,
        counts: &TensorCounts,
        base: &BaseImage,
        options: &PlanOptions,
    ) -> Result<Self, PlanError> {
        if options.mtime > MAX_TIME {
            return Err(PlanError::BadTime(options.mtime));
        }
        if let Some(key) = options.annotations.keys().find(|key| !is_annotation_key(key)) {
            return Err(PlanError::BadAnnotation(key.clone()));
        }
        let (files, left_out) = options.selection.apply(files, counts)?;
        if !is_bounded(&files) {
            return Err(PlanError::TooLarge);
        }
        limits::check(files.iter().map(|file| &file.path))?;
        let base = narrow(base, &options.platforms)?;
        let below = base.platforms.iter().map(|platform| platform.layers.len()).max().unwrap_or(0);
        let room = options.layering.max_layers.saturating_sub(below);
        let layers = layering::spread(files, &options.layering, room);
        Ok(Self {
            layer_format: LAYER_FORMAT,
            annotations: annotations(origin, &base, &options.annotations),
            origin: origin.clone(),
            mtime: options.mtime,
            base,
            layers: layers.into_iter().map(|files| Layer::new(files, options.mtime)).collect(),
            left_out,
        })
    }

    /// Returns the weight layers, bottom first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Returns the files that stay out, with reasons.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Returns the base with the platforms that are made.
    pub fn base(&self) -> &BaseImage {
        &self.base
    }

    /// Returns where the model came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the annotations of every manifest and of the index.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// Returns the time of every entry, in seconds since 1970.
    pub fn mtime(&self) -> u64 {
        self.mtime
    }

    /// Returns the bytes of all files in the image.
    pub fn content_bytes(&self) -> u64 {
        self.layers.iter().map(Layer::content_bytes).sum()
    }

    /// Returns the bytes of all weight layers.
    pub fn layer_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// Returns the plan with the contents that `files` state, for the files that it has in common with them.
    #[must_use]
    pub fn with_contents(mut self, files: Vec<SourceFile>) -> Self {
        let contents: BTreeMap<_, _> = files.into_iter().map(|file| (file.path, file.content)).collect();
        for layer in &mut self.layers {
            for file in &mut layer.files {
                file.content = contents.get(&file.path).copied().flatten().or(file.content);
            }
            layer.recipe = recipe::digest(layer, self.mtime);
        }
        self
    }

    /// Returns the plan with annotations that state `facts`. Annotations that are there already stay.
    #[must_use]
    pub fn with_facts(mut self, facts: &ModelFacts) -> Self {
        facts.annotate(&mut self.annotations);
        self
    }

    /// Checks what a lock file claims: sizes and recipes follow from the files.
    fn check(&self) -> Result<(), PlanError> {
        let wrong = |what: String| Err(PlanError::InconsistentLock(what));
        if self.layer_format != LAYER_FORMAT {
            return wrong(format!("layer format {} is not {LAYER_FORMAT}", self.layer_format));
        }
        if self.mtime > MAX_TIME {
            return Err(PlanError::BadTime(self.mtime));
        }
        if self.layers.is_empty() || self.base.platforms.is_empty() {
            return wrong("it has no layer or no platform".to_owned());
        }
        if !is_bounded(self.layers.iter().flat_map(|layer| &layer.files)) {
            return Err(PlanError::TooLarge);
        }
        let mut seen = std::collections::BTreeSet::new();
        for layer in &self.layers {
            let sorted = layer.files.is_sorted_by(|a, b| a.path < b.path);
            if layer.files.is_empty() || !sorted || !layer.files.iter().all(|file| seen.insert(&file.path)) {
                return wrong(format!("layer `{}` is empty, unsorted or repeats a file", layer.title()));
            }
        }
        limits::check(seen.iter().copied())?;
        for layer in &self.layers {
            if Layer::new(layer.files.clone(), self.mtime) != *layer {
                return wrong(format!("size or recipe of layer `{}` does not follow from its files", layer.title()));
            }
        }
        Ok(())
    }
}

/// The last second that a tar header's eleven octal digits hold, in the year 2242.
const MAX_TIME: u64 = 0o77_777_777_777;

/// Returns whether the files' sizes leave room for headers and padding when they are summed up.
pub(crate) fn is_bounded<'a>(files: impl IntoIterator<Item = &'a SourceFile>) -> bool {
    let total = files.into_iter().try_fold(0_u64, |sum, file| sum.checked_add(file.size));
    total.is_some_and(|total| total < u64::MAX / 4)
}

fn is_annotation_key(key: &str) -> bool {
    !key.is_empty() && !key.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn narrow(base: &BaseImage, wanted: &[Platform]) -> Result<BaseImage, PlanError> {
    let mut base = base.clone();
    for platform in wanted {
        if !base.platforms.iter().any(|offered| platform.accepts(&offered.platform)) {
            let offered: Vec<_> = base.platforms.iter().map(|offered| offered.platform.to_string()).collect();
            return Err(PlanError::NoPlatform { wanted: platform.clone(), offered: offered.join(", ") });
        }
    }
    if !wanted.is_empty() {
        base.platforms.retain(|offered| wanted.iter().any(|platform| platform.accepts(&offered.platform)));
    }
    base.platforms.sort_by(|a, b| a.platform.cmp(&b.platform));
    Ok(base)
}

/// Annotation keys of image-spec annotations.md, from the model card and the base; the user's own win.
fn annotations(origin: &Origin, base: &BaseImage, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let digest = base.digest.map(|digest| digest.to_string());
    let known = [
        ("title", &origin.title),
        ("source", &origin.url),
        ("version", &origin.version),
        ("revision", &origin.commit),
        ("licenses", &origin.license),
        ("base.name", &base.name),
        ("base.digest", &digest),
    ];
    let known = known
        .into_iter()
        .filter_map(|(key, value)| value.clone().map(|value| (format!("org.opencontainers.image.{key}"), value)));
    known.chain(own.clone()).collect()
}

#[cfg(test)]
mod tests;
