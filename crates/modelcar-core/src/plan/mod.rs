//! The plan: which file goes where in the image, decided before any byte moves.
//!
//! Planning reads no file and asks no server. Everything that can change the image's digest is a field of [`Plan`],
//! except the contents of the files. What changes only the speed is no field of [`Plan`]. A plan in a file is a
//! [`LockFile`]: a build from the lock file, on any machine and of the same contents, gives the same digest.

mod layering;
mod limits;
mod lock;
mod private;
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
    /// Which files of the source are packed.
    pub selection: Selection,
    /// How the packed files are spread over layers.
    pub layering: Layering,
    /// Modification time of every tar entry and creation time of the image, in seconds since 1970
    /// (`SOURCE_DATE_EPOCH`).
    pub mtime: u64,
    /// Platforms of the image. Empty means every platform of the base.
    pub platforms: Vec<Platform>,
    /// Annotations of the user. They replace annotations with the same key that come from the source or the base.
    pub annotations: BTreeMap<String, String>,
    /// Make an image although files of the model are missing or broken
    /// ([`Flaw::is_broken`](crate::facts::Flaw::is_broken)). The image's annotations name the kinds of flaws.
    /// [`Plan::new`] looks at no content and does not read this option.
    pub allow_incomplete: bool,
}

/// A layer of the image with files of the model, in contrast to the layers of the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// The files, sorted by path.
    pub files: Vec<SourceFile>,
    /// Size of the layer's uncompressed tar archive in bytes, which is also the size of the blob.
    pub size: u64,
    /// Digest of the recipe, by which equal layers are known before they are built. `None` while the content of a file
    /// is not known.
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

    /// Returns what the layer holds, for people: the path of the only file, or the number of files.
    pub fn title(&self) -> String {
        match self.files.as_slice() {
            [file] => file.path.to_string(),
            files => format!("{} files", files.len()),
        }
    }

    /// Returns the bytes of the layer's files, without tar headers and padding.
    pub fn content_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// Everything that determines an image's digest, except the contents of the files. Deserializing a plan fails unless
/// its sizes and recipes follow from its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(!try_from))]
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

/// A plan as a lock file states it, not checked yet.
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

/// Why no plan can be made of some files, or why a lock file can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Nothing to pack.
    #[error("no file is left to pack{}", match .left_out.len() { 0 => ": the source is empty".to_owned(), 1 => ": the only one was left out".to_owned(), n => format!(": all {n} were left out") })]
    NoFiles {
        /// The files that were left out.
        left_out: Vec<LeftOut>,
    },
    /// A pattern is not a valid glob.
    #[error("`{pattern}` is not a valid glob pattern")]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// The source has the same weights in several forms (GGUF quantizations or precisions), and [`Selection::weights`]
    /// does not choose one.
    #[error("the source holds the weights in {} forms, choose one: {}", .choices.len(), .choices.iter().map(|choice| format!("`{}` ({} bytes)", choice.pattern, choice.bytes)).collect::<Vec<_>>().join(", "))]
    SeveralForms {
        /// The forms to choose from.
        choices: Vec<WeightChoice>,
    },
    /// A pattern of [`Selection::weights`] matches no weight file.
    #[error("no weight file matches `{pattern}`")]
    NoSuchWeights {
        /// The pattern by which weights were chosen.
        pattern: String,
    },
    /// The base does not have a platform.
    #[error("the base has no platform `{wanted}`, only {offered}")]
    NoPlatform {
        /// The platform that was asked for.
        wanted: Platform,
        /// The platforms of the base, joined with commas.
        offered: String,
    },
    /// An annotation's key is empty, or has white space or a control character.
    #[error("`{0}` is not an annotation key")]
    BadAnnotation(String),
    /// The sizes of the files add up to more than a quarter of what 64 bits hold.
    #[error("the sizes of the model's files add up to more than 64 bits hold")]
    TooLarge,
    /// Two files would be the same file on a file system that ignores letter case or Unicode normalization.
    #[error("`{first}` and `{second}` differ only in letter case or Unicode form")]
    SameName {
        /// One of them.
        first: ModelPath,
        /// The other.
        second: ModelPath,
    },
    /// A path is the path of a file, and of a folder that another file is in.
    #[error("`{file}` is a file and the folder of `{inside}`")]
    FileAndFolder {
        /// The file.
        file: ModelPath,
        /// A file in the folder of that path.
        inside: ModelPath,
    },
    /// The manifest names every file, and would be larger than registries accept.
    #[error("a manifest that names {files} files has {bytes} bytes, and registries accept at most {max}")]
    ManifestTooLarge {
        /// Number of files.
        files: usize,
        /// Size of the manifest in bytes.
        bytes: u64,
        /// Largest size of a manifest that registries accept, in bytes.
        max: u64,
    },
    /// The files are in more folders than any model has, or the folders' paths are too long together.
    #[error(
        "the files lie in too many folders: at most {}, with names of at most {} MiB in all",
        limits::FOLDERS_MAX,
        limits::FOLDER_NAMES_MAX_BYTES >> 20
    )]
    TooManyFolders,
    /// A time in seconds since 1970 that a tar header can't hold.
    #[error("the time {0} is later than a tar header can hold, {MAX_TIME}")]
    BadTime(u64),
    /// A lock file is not JSON of the expected schema.
    #[error("the lock file is not valid JSON of this version")]
    BadLock(#[source] serde_json::Error),
    /// The parts of a lock file contradict one another, or the lock file's version is not known.
    #[error("the lock file is not consistent: {0}")]
    InconsistentLock(String),
}

impl ModelcarError for PlanError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

impl Plan {
    /// Decides what an image of `files` on `base` looks like. Whether two files hold the same weights is guessed from
    /// the files' names and sizes alone; [`compared`](Self::compared) is more exact.
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

    /// As [`new`](Self::new), with the number of tensor elements of the files that [`Selection::compared`] names. Files
    /// whose `counts` differ do not hold the same weights.
    ///
    /// [`count_tensors`](crate::facts::count_tensors) reads the counts from the source.
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

    /// Returns the layers with files of the model, bottom first. The layers of the base are below these.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Returns the packed files that usually hold passwords, tokens or private keys, by their names: `.env`, `id_rsa`,
    /// `*.key` and the like. Whoever can pull the image can read these files.
    pub fn private_files(&self) -> impl Iterator<Item = &SourceFile> {
        self.layers.iter().flat_map(|layer| &layer.files).filter(|file| private::is_private(&file.path))
    }

    /// Returns the files that stay out, with reasons.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Returns the base, with only those platforms that the image has.
    pub fn base(&self) -> &BaseImage {
        &self.base
    }

    /// Returns where the model came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the annotations. Every manifest and the index of the image have all of them.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// Returns the modification time of every tar entry, in seconds since 1970.
    pub fn mtime(&self) -> u64 {
        self.mtime
    }

    /// Returns the bytes of all packed files, without tar headers and padding.
    pub fn content_bytes(&self) -> u64 {
        self.layers.iter().map(Layer::content_bytes).sum()
    }

    /// Returns the bytes of all weight layers, tar headers and padding included.
    pub fn layer_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// Returns the plan with the content ids of `files`, matched by path, and with the recipes that follow from these.
    /// A file that `files` do not have, or have without a content id, keeps the content id that the plan has.
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

    /// Returns the plan with annotations that state `facts`. An annotation that the plan has already is not replaced.
    #[must_use]
    pub fn with_facts(mut self, facts: &ModelFacts) -> Self {
        facts.annotate(&mut self.annotations);
        self
    }

    /// Checks what a lock file claims: the version of the layer format, the time, paths without collisions, and sizes
    /// and recipes that follow from the files.
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

/// The last second since 1970 that the eleven octal digits of a tar header hold, in the year 2242.
const MAX_TIME: u64 = 0o77_777_777_777;

/// Returns whether the sum of the files' sizes is so small that adding tar headers and padding can't overflow 64 bits.
pub(crate) fn is_bounded<'a>(files: impl IntoIterator<Item = &'a SourceFile>) -> bool {
    let total = files.into_iter().try_fold(0_u64, |sum, file| sum.checked_add(file.size));
    total.is_some_and(|total| total < u64::MAX / 4)
}

fn is_annotation_key(key: &str) -> bool {
    !key.is_empty() && !key.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// Returns the base with only the platforms that are `wanted`, or with all platforms where `wanted` is empty.
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

/// Returns the annotations that image-spec's annotations.md defines, with values of the source and the base.
/// Annotations of the user replace these.
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
