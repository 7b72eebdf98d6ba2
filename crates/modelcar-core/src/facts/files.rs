//! Which files of a model tell its facts.

use super::WeightFormat;
use crate::{path, source::SourceFile};

pub(super) const CONFIG: &str = "config.json";
pub(super) const TOKENIZER: &str = "tokenizer_config.json";
/// Both are there in models of sentence-transformers.
pub(super) const EMBEDDING: [&str; 2] = ["modules.json", "config_sentence_transformers.json"];
pub(super) const CHAT_TEMPLATES: [&str; 2] = ["chat_template.jinja", "chat_template.json"];
/// Forms of weights, each with the endings of its files. The first form that a model has counts.
pub(super) const FORMATS: [(WeightFormat, &[&str]); 4] = [
    (WeightFormat::Safetensors, &["safetensors"]),
    (WeightFormat::Gguf, &["gguf"]),
    (WeightFormat::Pytorch, &["bin", "pth", "pt"]),
    (WeightFormat::Onnx, &["onnx"]),
];

/// Returns whether facts depend on a file.
pub(super) fn tells(file: &SourceFile) -> bool {
    let names = [CONFIG, TOKENIZER].into_iter().chain(EMBEDDING).chain(CHAT_TEMPLATES);
    is_weights(file) || names.into_iter().any(|name| file.path.as_str() == name)
}

/// Returns whether a file may be one of weights.
pub(super) fn is_weights(file: &SourceFile) -> bool {
    FORMATS.iter().any(|(_, extensions)| has_extension(file, extensions))
}

pub(super) fn has_extension(file: &SourceFile, extensions: &[&str]) -> bool {
    let name = file.path.file_name();
    // A vocabulary is no weights.
    !name.starts_with("tokenizer") && extensions.iter().any(|extension| path::has_extension(name, extension))
}
