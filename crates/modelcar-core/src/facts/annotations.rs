//! Facts as annotations of a manifest, and back.

use std::collections::{BTreeMap, BTreeSet};

use super::{Library, ModelFacts, Task, WeightFormat, config};
use crate::ModelPath;

/// What all keys of these annotations begin with.
const PREFIX: &str = "io.modelcar.model.";
const FORMAT: &str = "io.modelcar.model.format";
const ARCHITECTURE: &str = "io.modelcar.model.architecture";
const TASK: &str = "io.modelcar.model.task";
const DTYPE: &str = "io.modelcar.model.dtype";
const QUANTIZATION: &str = "io.modelcar.model.quantization";
const PARAMETERS: &str = "io.modelcar.model.parameters";
const WEIGHT_BYTES: &str = "io.modelcar.model.weight-bytes";
const CONTEXT_LENGTH: &str = "io.modelcar.model.context-length";
const CACHE_BYTES: &str = "io.modelcar.model.cache-bytes-per-token";
const ATTENTION_HEADS: &str = "io.modelcar.model.attention-heads";
const CHAT_TEMPLATE: &str = "io.modelcar.model.chat-template";
const FILE: &str = "io.modelcar.model.file";
const LIBRARY: &str = "io.modelcar.model.library";
const REMOTE_CODE: &str = "io.modelcar.model.remote-code";
const ADAPTER_BASE: &str = "io.modelcar.model.adapter-base";
const ADAPTER_RANK: &str = "io.modelcar.model.adapter-rank";
const FLAWS: &str = "io.modelcar.model.flaws";
/// Most kinds of flaws that one annotation states; more than there are kinds.
const FLAWS_MAX: usize = 32;

/// Key of the annotation with the version of the rules by which the facts were read. The annotation is missing where
/// the user stated a fact by hand.
pub(super) const RULES: &str = "io.modelcar.model.rules";
/// Version of the rules; raised when the same files give other facts than before.
pub(super) const RULES_VERSION: &str = "3";

impl ModelFacts {
    /// Adds the annotations that state these facts to `annotations`. An annotation that is there already is not
    /// replaced.
    pub(crate) fn annotate(&self, annotations: &mut BTreeMap<String, String>) {
        if !annotations.keys().any(|key| key.starts_with(PREFIX)) {
            annotations.insert(RULES.to_owned(), RULES_VERSION.to_owned());
        }
        for (key, value) in self.to_annotations() {
            annotations.entry(key).or_insert(value);
        }
    }

    /// Returns the annotations that state these facts. A value that [`Self::from_annotations`] would leave out is not
    /// written. So when annotations of this function are read and written again, every byte is the same.
    pub fn to_annotations(&self) -> BTreeMap<String, String> {
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        let text = |value: &Option<String>| value.as_deref().and_then(config::text);
        let pairs = [
            (FORMAT, self.format.map(|format| format.to_string())),
            (ARCHITECTURE, text(&self.architecture)),
            (TASK, self.task.map(|task| task.to_string())),
            (DTYPE, text(&self.dtype)),
            (QUANTIZATION, text(&self.quantization)),
            (PARAMETERS, number(self.parameters)),
            (WEIGHT_BYTES, number(self.weight_bytes)),
            (CONTEXT_LENGTH, number(self.context_length)),
            (CACHE_BYTES, number(self.cache_bytes_per_token)),
            (ATTENTION_HEADS, number(self.attention_heads)),
            (CHAT_TEMPLATE, self.chat_template.map(|has| has.to_string())),
            (FILE, self.file.as_deref().and_then(path)),
            (LIBRARY, self.library.map(|library| library.to_string())),
            (REMOTE_CODE, self.remote_code.map(|has| has.to_string())),
            (ADAPTER_BASE, text(&self.adapter_base)),
            (ADAPTER_RANK, number(self.adapter_rank)),
            (FLAWS, flaws(&self.flaws)),
        ];
        pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }

    /// Returns the facts that `annotations` state. A value that is missing or malformed is left out. The values are
    /// untrusted: anybody who may push the image can have written any value.
    pub fn from_annotations(annotations: &BTreeMap<String, String>) -> Self {
        let text = |key| annotations.get(key).and_then(|value: &String| config::text(value));
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
            attention_heads: number(ATTENTION_HEADS),
            chat_template: annotations.get(CHAT_TEMPLATE).and_then(|text| text.parse().ok()),
            file: annotations.get(FILE).and_then(|value| path(value)),
            library: annotations.get(LIBRARY).and_then(|text| Library::from_text(text)),
            remote_code: annotations.get(REMOTE_CODE).and_then(|text| text.parse().ok()),
            adapter_base: text(ADAPTER_BASE),
            adapter_rank: number(ADAPTER_RANK),
            flaws: annotations.get(FLAWS).map(|value| codes(value)).unwrap_or_default(),
        }
    }
}

/// Returns `value` when it is a path of a file in a model. A path may be longer than the other texts.
fn path(value: &str) -> Option<String> {
    value.parse::<ModelPath>().ok().map(|path| path.to_string())
}

/// Writes the codes of flaws as a list with commas; `None` when there is no code.
fn flaws(codes: &BTreeSet<String>) -> Option<String> {
    let codes: Vec<&str> = codes.iter().map(String::as_str).filter(|code| is_code(code)).take(FLAWS_MAX).collect();
    (!codes.is_empty()).then(|| codes.join(","))
}

/// Reads the codes of flaws from a list with commas.
fn codes(list: &str) -> BTreeSet<String> {
    list.split(',').filter(|code| is_code(code)).take(FLAWS_MAX).map(str::to_owned).collect()
}

fn is_code(code: &str) -> bool {
    (1..=32).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}
