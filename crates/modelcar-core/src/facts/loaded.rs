//! Which of a model's weight files a server loads. Parameters and bytes are counted over these files, so that no weight
//! counts twice.

use globset::GlobSet;

use super::files;
use crate::{
    path::is_projector,
    source::SourceFile,
    weights::{self, sets, split},
};

/// Returns the weight files among `files` that a server loads: no copies of other files and no checkpoints of a
/// training. Of a diffusers pipeline, these are the files in the folders of its parts; of a model with weights at the
/// root, the files at the root and in the folders of sentence-transformers modules.
pub(super) fn loaded<'a>(files: &[&'a SourceFile]) -> Vec<&'a SourceFile> {
    let surplus = weights::surplus(files, &GlobSet::empty(), &mut |_| None);
    let mut weights: Vec<&SourceFile> = files
        .iter()
        .copied()
        .filter(|file| files::is_weights(file) && !surplus.files.contains_key(&file.path))
        .collect();
    let has = |name: &str| files.iter().any(|file| file.path.as_str() == name);
    if has(files::PIPELINE) {
        // A weight file at the root of a diffusers pipeline repeats all parts in one file.
        weights.retain(|file| !folder(file).is_empty());
    } else if has(files::CONFIG) && weights.iter().any(|file| folder(file).is_empty()) {
        weights.retain(|file| folder(file).is_empty() || is_module(folder(file)));
    }
    weights
}

fn folder(file: &SourceFile) -> &str {
    split(file.path.as_str()).0
}

/// Returns whether a folder is one of a sentence-transformers module, such as `2_Dense`.
fn is_module(folder: &str) -> bool {
    folder
        .split_once('_')
        .is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the files of the first GGUF model among `files`, by path, and behind these the projectors (`mmproj`), which
/// turn images into tokens.
pub(super) fn gguf_model<'a>(files: &[&'a SourceFile]) -> Vec<&'a SourceFile> {
    let (projectors, models): (Vec<&SourceFile>, Vec<&SourceFile>) =
        files.iter().copied().partition(|file| is_projector(file.path.as_str()));
    let is_model = |file: &&SourceFile| !file.path.file_name().to_ascii_lowercase().contains("imatrix");
    let mut sets = sets(models.into_iter().filter(is_model));
    sets.sort_by(|a, b| a.files.first().map(|file| &file.path).cmp(&b.files.first().map(|file| &file.path)));
    let mut model = sets.into_iter().next().map(|set| set.files).unwrap_or_default();
    model.extend(projectors);
    model
}
