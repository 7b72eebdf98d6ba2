//! Which weight files hold what another file holds too: that counterpart is packed, the copy stays out.
//!
//! A copy is known by its name, its folder and a size that fits. No file is left out because of its format alone: a part
//! of a model (a value head, an encoder, a dense layer) often comes in another format than the rest.

use super::{
    Count,
    name::{Format, WeightName, is_consolidated, split},
    set::WeightSet,
};
use crate::{ModelPath, path::has_extension, source::SourceFile};

/// Folders at the root that hold the whole model once more, for other programs.
const WHOLE_COPIES: [&str; 6] = ["original", "metal", "onnx", "openvino", "coreml", "saved_model"];
/// Stems of files that hold a whole model.
const WHOLE_MODELS: [&str; 4] = ["model", "pytorch_model", "diffusion_pytorch_model", "open_clip_model"];
/// Headers, padding and the overhead of an archive, which count only where a file is tiny.
const SLACK_BYTES: u64 = 4 << 10;
/// Below, counts say nothing: no model that is served has so few numbers.
const COUNT_MIN: u64 = 1 << 20;

/// Returns the folder of a whole copy that a file lies in.
pub(super) fn whole_copy_folder(path: &ModelPath) -> Option<&'static str> {
    let (first, _) = path.as_str().split_once('/')?;
    let inside =
        split(path.as_str()).0.split('/').any(|folder| folder.ends_with(".mlpackage") || folder.ends_with(".mlmodelc"));
    WHOLE_COPIES.into_iter().find(|folder| *folder == first).or(inside.then_some("coreml"))
}

/// Returns whether a folder of whole copies holds weights, none of them larger than the model at the highest precision.
pub(super) fn folder_may_repeat(files: &[&SourceFile], model: &WeightSet<'_>) -> bool {
    /// What a small model's headers and graph may take.
    const SLACK_BYTES: u64 = 64 << 10;
    let is_weights = |file: &&&SourceFile| {
        let extensions = ["pb", "mlmodel"];
        WeightName::parse(&file.path).is_some()
            || extensions.iter().any(|extension| has_extension(file.path.file_name(), extension))
    };
    let largest = files.iter().filter(is_weights).map(|file| file.size).max();
    largest.is_some_and(|largest| largest <= (model.bytes / 2).saturating_mul(9) + SLACK_BYTES)
}

/// Returns the set of safetensors files at the root that holds the whole model.
pub(super) fn root_model<'s, 'a>(sets: &'s [WeightSet<'a>]) -> Option<&'s WeightSet<'a>> {
    let is_model = |set: &&WeightSet<'_>| {
        set.name.folder.is_empty()
            && set.name.format == Format::Safetensors
            && set.name.precision.is_none()
            && WHOLE_MODELS.contains(&set.name.stem)
            && set.is_complete()
    };
    sets.iter().find(is_model)
}

/// Returns whether `copy`, which lies outside any folder of whole copies, repeats the whole model of `model`.
pub(super) fn repeats_whole_model(copy: &WeightSet<'_>, model: &WeightSet<'_>, count: &mut Count<'_>) -> bool {
    match copy.name.format {
        Format::Gguf => gguf_repeats(copy, model, count),
        Format::Lite => true,
        // An export has the name of what it is an export of.
        Format::Onnx => copy.name.folder.is_empty() && WHOLE_MODELS.contains(&copy.name.stem),
        _ => copy.name.folder.is_empty() && is_consolidated(copy.name.stem) && same_size(copy, model, count),
    }
}

/// A quantization has any size, and the part of a model that writes text fewer numbers than the whole: what it can't
/// have is more.
fn gguf_repeats(copy: &WeightSet<'_>, model: &WeightSet<'_>, count: &mut Count<'_>) -> bool {
    match counts(copy, model, count) {
        Some((own, whole)) => own <= whole.saturating_add(whole / 10) && own >= whole / 2,
        None => true,
    }
}

/// Returns whether two sets hold the same weights; they have one folder and family of names.
pub(super) fn repeats(copy: &WeightSet<'_>, other: &WeightSet<'_>, count: &mut Count<'_>) -> bool {
    // An ONNX model is quantized in part, so that no ratio holds.
    if copy.name.format == Format::Onnx && copy.name.precision.is_some() {
        return copy.bytes <= other.bytes.saturating_add(SLACK_BYTES);
    }
    same_size(copy, other, count)
}

/// Equal counts where headers tell; else a ratio of bytes that precision explains.
fn same_size(copy: &WeightSet<'_>, other: &WeightSet<'_>, count: &mut Count<'_>) -> bool {
    match counts(copy, other, count) {
        Some((own, others)) => own.abs_diff(others) <= others / 50,
        None if matches!(copy.name.format, Format::Keras | Format::Rust) => export_fits(copy.bytes, other.bytes),
        None => ratio_fits(copy.bytes, other.bytes),
    }
}

/// Exports of these frameworks hold weights twice that others share between two layers, such as the vocabulary's: of
/// `bert-base-uncased`, TensorFlow's file has 536 MB and the safetensors file 440 MB. Any ratio between ¼ and 4 fits.
fn export_fits(copy: u64, other: u64) -> bool {
    let (least, most) = (other / 4 - other / 40, other.saturating_mul(4).saturating_add(other / 2));
    (least.saturating_sub(SLACK_BYTES)..=most.saturating_add(SLACK_BYTES)).contains(&copy)
}

fn counts(copy: &WeightSet<'_>, other: &WeightSet<'_>, count: &mut Count<'_>) -> Option<(u64, u64)> {
    let (own, others) = (count(&copy.files), count(&other.files));
    own.zip(others).filter(|(own, others)| *own >= COUNT_MIN && *others >= COUNT_MIN)
}

/// Returns whether precision explains the ratio of two sizes: ¼, ½, 1, 2 or 4, within 10 %.
fn ratio_fits(copy: u64, other: u64) -> bool {
    [(1, 4), (1, 2), (1, 1), (2, 1), (4, 1)].into_iter().any(|(times, over): (u64, u64)| {
        let expected = other.saturating_mul(times) / over;
        copy.abs_diff(expected) <= (expected / 10).max(SLACK_BYTES)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_explains_some_ratios() {
        const MIB: u64 = 1 << 20;
        for (copy, other, fits) in [
            (100, 100, true),
            (109, 100, true),
            (111, 100, false),
            (150, 100, false),
            (200, 100, true),
            (50, 100, true),
            (26, 100, true),
            (400, 100, true),
            (300, 100, false),
            (1, 100, false),
        ] {
            assert_eq!(ratio_fits(copy * MIB, other * MIB), fits, "{copy} of {other}");
        }
        assert!(ratio_fits(99, 1200) && ratio_fits(0, 0) && !ratio_fits(0, MIB));
    }
}
