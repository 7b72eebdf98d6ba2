//! Which files of a model tell its facts.

use super::WeightFormat;
use crate::{
    path,
    source::SourceFile,
    weights::{WeightName, indexed},
};

pub(super) const CONFIG: &str = "config.json";
pub(super) const TOKENIZER: &str = "tokenizer_config.json";
pub(super) const ADAPTER: &str = "adapter_config.json";
pub(super) const PIPELINE: &str = "model_index.json";
/// Both are there in models of sentence-transformers.
pub(super) const EMBEDDING: [&str; 2] = ["modules.json", "config_sentence_transformers.json"];
pub(super) const CHAT_TEMPLATES: [&str; 2] = ["chat_template.jinja", "chat_template.json"];
/// By these a server knows a model: of transformers, diffusers, an adapter, Mistral's own, `NeMo`, `open_clip`.
pub(super) const CONFIGURATIONS: [&str; 6] =
    [CONFIG, PIPELINE, ADAPTER, "params.json", "model_config.yaml", "open_clip_config.json"];
/// Forms of weights, each with the endings of its files. The first form that a model has counts.
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

/// Returns whether facts depend on a file.
pub(super) fn tells(file: &SourceFile) -> bool {
    let names = CONFIGURATIONS.into_iter().chain([TOKENIZER]).chain(EMBEDDING).chain(CHAT_TEMPLATES);
    may_hold_weights(file)
        || may_be_pointer(file)
        || indexed(&file.path).is_some()
        || names.into_iter().any(|name| file.path.as_str() == name)
}

/// Returns whether a file may be one of weights.
pub(super) fn is_weights(file: &SourceFile) -> bool {
    FORMATS.iter().any(|(_, extensions)| has_extension(file, extensions))
}

/// Returns whether a file may be one of weights of any format, known or not.
pub(super) fn may_hold_weights(file: &SourceFile) -> bool {
    is_weights(file) || WeightName::parse(&file.path).is_some() || has_extension(file, &OTHER_WEIGHTS)
}

/// Returns whether a file that is no weights is kept in git-lfs often, and small enough to be a pointer.
pub(super) fn may_be_pointer(file: &SourceFile) -> bool {
    let name = file.path.file_name();
    let is_vocabulary = ["tokenizer", "vocab", "merges"].iter().any(|start| name.starts_with(start))
        || ["model", "spm", "tiktoken"].iter().any(|extension| path::has_extension(name, extension));
    is_vocabulary && (1..=super::begin::POINTER_MAX_BYTES).contains(&file.size)
}

pub(super) fn has_extension(file: &SourceFile, extensions: &[&str]) -> bool {
    let name = file.path.file_name();
    // A vocabulary is no weights.
    !name.starts_with("tokenizer") && extensions.iter().any(|extension| path::has_extension(name, extension))
}
