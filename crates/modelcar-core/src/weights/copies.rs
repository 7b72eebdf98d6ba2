//! Finds copies: weight files that hold the same weights as another file, the counterpart. The counterpart is packed,
//! and the copy stays out.
//!
//! A copy is recognized by its name, its folder and a fitting size. No file is left out because of its format alone: a
//! part of a model (a value head, an encoder, a dense layer) often comes in another format than the rest.

use super::{
    Count,
    name::{Format, WeightName, is_consolidated, split},
    set::WeightSet,
};
use crate::{ModelPath, path::has_extension, source::SourceFile};

/// Names of folders at the root that hold the whole model once more, in a format for other programs.
const WHOLE_COPIES: [&str; 6] = ["original", "metal", "onnx", "openvino", "coreml", "saved_model"];
/// Stems of weight files that hold a whole model, as opposed to a part of one.
const WHOLE_MODELS: [&str; 4] = ["model", "pytorch_model", "diffusion_pytorch_model", "open_clip_model"];
/// Allowance for headers, padding and the overhead of an archive, in bytes. Only the size of a tiny file depends on
/// these.
const SLACK_BYTES: u64 = 4 << 10;
/// Counts of fewer tensor elements are not compared: no model that is served is so small.
const COUNT_MIN: u64 = 1 << 20;

/// Returns the name of the folder with a whole copy that a file is in, if any. A Core ML package (`.mlpackage`,
/// `.mlmodelc`) counts as `coreml` wherever it is.
pub(super) fn whole_copy_folder(path: &ModelPath) -> Option<&'static str> {
    let (first, _) = path.as_str().split_once('/')?;
    let inside =
        split(path.as_str()).0.split('/').any(|folder| folder.ends_with(".mlpackage") || folder.ends_with(".mlmodelc"));
    WHOLE_COPIES.into_iter().find(|folder| *folder == first).or(inside.then_some("coreml"))
}

/// Returns whether a folder for whole copies may hold a copy of `model`: the folder has weights, and no weight file is
/// larger than 4.5 times the model. A copy at fp32 of a model at 8 bits is four times as large.
pub(super) fn folder_may_repeat(files: &[&SourceFile], model: &WeightSet<'_>) -> bool {
    /// Allowance for the headers and the graph of a small model, in bytes.
    const SLACK_BYTES: u64 = 64 << 10;
    let is_weights = |file: &&&SourceFile| {
        let extensions = ["pb", "mlmodel"];
        WeightName::parse(&file.path).is_some()
            || extensions.iter().any(|extension| has_extension(file.path.file_name(), extension))
    };
    let largest = files.iter().filter(is_weights).map(|file| file.size).max();
    largest.is_some_and(|largest| largest <= (model.bytes / 2).saturating_mul(9) + SLACK_BYTES)
}

/// Returns the complete set of safetensors files at the root that holds the whole model, without a precision in the
/// name.
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

/// Returns whether `copy`, which is outside every folder for whole copies, repeats the whole `model` at the root.
pub(super) fn repeats_whole_model(copy: &WeightSet<'_>, model: &WeightSet<'_>, count: &mut Count<'_>) -> bool {
    match copy.name.format {
        Format::Gguf => gguf_repeats(copy, model, count),
        Format::Lite => true,
        // An export to ONNX has the name of the file that was exported.
        Format::Onnx => copy.name.folder.is_empty() && WHOLE_MODELS.contains(&copy.name.stem),
        _ => copy.name.folder.is_empty() && is_consolidated(copy.name.stem) && same_size(copy, model, count),
    }
}

/// Returns whether a GGUF file repeats the whole model, by the number of tensor elements. Its size in bytes says
/// nothing, because a quantization has any size. A GGUF file of the language part of a multimodal model has fewer
/// elements than the whole model: from half as many to 10 % more are accepted. Without counts the answer is yes.
fn gguf_repeats(copy: &WeightSet<'_>, model: &WeightSet<'_>, count: &mut Count<'_>) -> bool {
    match counts(copy, model, count) {
        Some((own, whole)) => own <= whole.saturating_add(whole / 10) && own >= whole / 2,
        None => true,
    }
}

/// Returns whether two sets, which have the same folder and family of names, hold the same weights.
pub(super) fn repeats(copy: &WeightSet<'_>, other: &WeightSet<'_>, count: &mut Count<'_>) -> bool {
    // Only some tensors of an ONNX model are quantized, so the ratio of the sizes can have any value up to 1.
    if copy.name.format == Format::Onnx && copy.name.precision.is_some() {
        return copy.bytes <= other.bytes.saturating_add(SLACK_BYTES);
    }
    same_size(copy, other, count)
}

/// Compares the numbers of tensor elements, which may differ by 2 %. Where the headers were not read, the ratio of the
/// sizes in bytes has to be one that a change of precision explains.
fn same_size(copy: &WeightSet<'_>, other: &WeightSet<'_>, count: &mut Count<'_>) -> bool {
    match counts(copy, other, count) {
        Some((own, others)) => own.abs_diff(others) <= others / 50,
        None if matches!(copy.name.format, Format::Keras | Format::Rust) => export_fits(copy.bytes, other.bytes),
        None => ratio_fits(copy.bytes, other.bytes),
    }
}

/// Returns whether the size of a Keras or rust-bert export fits. Such an export stores a tensor twice that two layers
/// share, such as the embedding of the vocabulary: of `bert-base-uncased`, TensorFlow's file has 536 MB and the
/// safetensors file 440 MB. So any ratio of the sizes between ¼ and 4 fits.
fn export_fits(copy: u64, other: u64) -> bool {
    let (least, most) = (other / 4 - other / 40, other.saturating_mul(4).saturating_add(other / 2));
    (least.saturating_sub(SLACK_BYTES)..=most.saturating_add(SLACK_BYTES)).contains(&copy)
}

/// Returns the numbers of tensor elements of both sets; `None` when one is unknown or too small to be compared.
fn counts(copy: &WeightSet<'_>, other: &WeightSet<'_>, count: &mut Count<'_>) -> Option<(u64, u64)> {
    let (own, others) = (count(&copy.files), count(&other.files));
    own.zip(others).filter(|(own, others)| *own >= COUNT_MIN && *others >= COUNT_MIN)
}

/// Returns whether two sizes are those of the same weights at two precisions: a ratio of ¼, ½, 1, 2 or 4, within 10 %.
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
