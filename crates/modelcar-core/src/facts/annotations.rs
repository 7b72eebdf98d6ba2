//! Facts as annotations of a manifest, and back.

use std::collections::BTreeMap;

use super::{ModelFacts, Task, WeightFormat};

const FORMAT: &str = "io.modelcar.model.format";
const ARCHITECTURE: &str = "io.modelcar.model.architecture";
const TASK: &str = "io.modelcar.model.task";
const DTYPE: &str = "io.modelcar.model.dtype";
const QUANTIZATION: &str = "io.modelcar.model.quantization";
const PARAMETERS: &str = "io.modelcar.model.parameters";
const WEIGHT_BYTES: &str = "io.modelcar.model.weight-bytes";
const CONTEXT_LENGTH: &str = "io.modelcar.model.context-length";
const CACHE_BYTES: &str = "io.modelcar.model.cache-bytes-per-token";
const CHAT_TEMPLATE: &str = "io.modelcar.model.chat-template";
const FILE: &str = "io.modelcar.model.file";

impl ModelFacts {
    /// Returns the annotations that state these facts.
    pub fn to_annotations(&self) -> BTreeMap<String, String> {
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        let pairs = [
            (FORMAT, self.format.map(|format| format.to_string())),
            (ARCHITECTURE, self.architecture.clone()),
            (TASK, self.task.map(|task| task.to_string())),
            (DTYPE, self.dtype.clone()),
            (QUANTIZATION, self.quantization.clone()),
            (PARAMETERS, number(self.parameters)),
            (WEIGHT_BYTES, number(self.weight_bytes)),
            (CONTEXT_LENGTH, number(self.context_length)),
            (CACHE_BYTES, number(self.cache_bytes_per_token)),
            (CHAT_TEMPLATE, self.chat_template.map(|has| has.to_string())),
            (FILE, self.file.clone()),
        ];
        pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }

    /// Returns the facts that `annotations` state. What is missing or makes no sense is left out.
    pub fn from_annotations(annotations: &BTreeMap<String, String>) -> Self {
        let text = |key| annotations.get(key).cloned();
        let number = |key| annotations.get(key).and_then(|value: &String| value.parse().ok());
        Self {
            format: annotations.get(FORMAT).and_then(|text| WeightFormat::from_text(text)),
            architecture: text(ARCHITECTURE),
            task: annotations.get(TASK).and_then(|text| Task::from_text(text)),
            dtype: text(DTYPE),
            quantization: text(QUANTIZATION),
            parameters: number(PARAMETERS),
            weight_bytes: number(WEIGHT_BYTES),
            context_length: number(CONTEXT_LENGTH),
            cache_bytes_per_token: number(CACHE_BYTES),
            chat_template: annotations.get(CHAT_TEMPLATE).and_then(|text| text.parse().ok()),
            file: text(FILE),
        }
    }
}
