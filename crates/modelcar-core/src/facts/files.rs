//! Names and endings of the files from which a model's facts are read.

use super::WeightFormat;
use crate::{
    path,
    source::SourceFile,
    weights::{WeightName, indexed},
};

pub(super) const CONFIG: &str = "config.json";
pub(super) const TOKENIZER: &str = "tokenizer_config.json";
/// The configuration of a PEFT adapter.
pub(super) const ADAPTER: &str = "adapter_config.json";
/// The configuration of a diffusers pipeline.
pub(super) const PIPELINE: &str = "model_index.json";
/// A model of sentence-transformers has both files.
pub(super) const EMBEDDING: [&str; 2] = ["modules.json", "config_sentence_transformers.json"];
/// Files with a chat template. A model without these may have the template in [`TOKENIZER`].
pub(super) const CHAT_TEMPLATES: [&str; 2] = ["chat_template.jinja", "chat_template.json"];
/// Configurations by which a server recognizes a model: of transformers, diffusers, an adapter (PEFT), Mistral, `NeMo`
/// and `open_clip`.
pub(super) const CONFIGURATIONS: [&str; 6] =
    [CONFIG, PIPELINE, ADAPTER, "params.json", "model_config.yaml", "open_clip_config.json"];
/// Formats of weights, each with the endings of its files. The first format that a model has is the format of the
/// model.
pub(super) const FORMATS: [(WeightFormat, &[&str]); 4] = [
    (WeightFormat::Safetensors, &["safetensors"]),
    (WeightFormat::Gguf, &["gguf"]),
    (WeightFormat::Pytorch, &["bin", "pth", "pt"]),
    (WeightFormat::Onnx, &["onnx"]),
];
/// Other endings of files that hold a whole model.
const OTHER_WEIGHTS: [&str; 14] = [
    "ckpt", "engine", "h5", "joblib", "keras", "mlmodel", "msgpack", "nemo", "npz", "ot", "pb", "pkl", "plan", "tflite",
];

/// Returns whether a fact or a flaw is read from the content of a file.
pub(super) fn tells(file: &SourceFile) -> bool {
    let names = CONFIGURATIONS.into_iter().chain([TOKENIZER]).chain(EMBEDDING).chain(CHAT_TEMPLATES);
    may_hold_weights(file)
        || may_be_pointer(file)
        || indexed(&file.path).is_some()
        || names.into_iter().any(|name| file.path.as_str() == name)
}

/// Returns whether a file has an ending of weights in one of [`FORMATS`].
pub(super) fn is_weights(file: &SourceFile) -> bool {
    FORMATS.iter().any(|(_, extensions)| has_extension(file, extensions))
}

/// Returns whether a file may hold weights, in one of [`FORMATS`] or in any other format.
pub(super) fn may_hold_weights(file: &SourceFile) -> bool {
    is_weights(file) || WeightName::parse(&file.path).is_some() || has_extension(file, &OTHER_WEIGHTS)
}

/// Returns whether a file is a vocabulary, which repositories often keep in git-lfs, and small enough to be a pointer.
pub(super) fn may_be_pointer(file: &SourceFile) -> bool {
    let name = file.path.file_name();
    let is_vocabulary = ["tokenizer", "vocab", "merges"].iter().any(|start| name.starts_with(start))
        || ["model", "spm", "tiktoken"].iter().any(|extension| path::has_extension(name, extension));
    is_vocabulary && (1..=super::begin::POINTER_MAX_BYTES).contains(&file.size)
}

/// Returns whether a file has one of the extensions of weights.
pub(super) fn has_extension(file: &SourceFile, extensions: &[&str]) -> bool {
    let name = file.path.file_name();
    // `tokenizer.bin` is a vocabulary, not weights.
    !name.starts_with("tokenizer") && extensions.iter().any(|extension| path::has_extension(name, extension))
}
