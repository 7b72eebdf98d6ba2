//! Reads facts from the `config.json` of a transformers model.

use serde_json::Value;

use super::{ModelFacts, Task};

/// Longest text that is taken over into an annotation.
const TEXT_MAX_CHARS: usize = 128;
/// No length and no count is as large as this number.
const NUMBER_MAX: u64 = 1 << 40;

/// Returns whether a number can be a length or a count.
pub(super) fn is_count(number: u64) -> bool {
    (1..NUMBER_MAX).contains(&number)
}

/// Adds what a model's configuration says to `facts`.
pub(super) fn add(facts: &mut ModelFacts, config: &Value) {
    facts.architecture = config["architectures"][0].as_str().and_then(text);
    facts.remote_code = config["auto_map"].is_object().then_some(true);
    facts.task = facts.architecture.as_deref().and_then(|architecture| task(architecture, config));
    facts.quantization = config["quantization_config"]["quant_method"].as_str().and_then(text);
    let model = Part { outer: config, inner: inner(config) };
    facts.context_length =
        model.number(&["max_position_embeddings", "max_sequence_length", "n_positions", "seq_length", "n_ctx"]);
    facts.cache_bytes_per_token = cache_bytes_per_token(&model);
    facts.attention_heads = attention_heads(&model);
}

/// Returns `value` when it fits an annotation: at most 128 characters, not empty and without control characters.
pub(super) fn text(value: &str) -> Option<String> {
    let fits = !value.is_empty() && value.chars().count() <= TEXT_MAX_CHARS && !value.chars().any(char::is_control);
    fits.then(|| value.to_owned())
}

/// Returns the configuration of the language model inside a multimodal model, or null where there is none.
fn inner(config: &Value) -> &Value {
    ["text_config", "llm_config", "language_config"]
        .into_iter()
        .map(|key| &config[key])
        .find(|part| part.is_object())
        .unwrap_or(&Value::Null)
}

/// The configuration of a model. A key of the inner language model wins over the same key of the whole model.
struct Part<'a> {
    outer: &'a Value,
    inner: &'a Value,
}

impl Part<'_> {
    /// Returns the value of the first of `keys` that has a number; `None` when the number can't be a length or a count.
    fn number(&self, keys: &[&str]) -> Option<u64> {
        let find = |part: &Value| keys.iter().find_map(|key| part[*key].as_u64());
        find(self.inner).or_else(|| find(self.outer)).filter(|number| is_count(*number))
    }
}

/// Tells the task by the name of the model's transformers class. The ending `ForConditionalGeneration` is ambiguous:
/// models that read images, translators and speech recognition have it. Other keys of the configuration tell these
/// apart.
fn task(architecture: &str, config: &Value) -> Option<Task> {
    let ends = |endings: &[&str]| endings.iter().any(|ending| architecture.ends_with(ending));
    let sees = ["vision_config", "vision_tower"].iter().any(|key| !config[key].is_null());
    let encodes =
        config["is_encoder_decoder"] == true || ends(&["T5ForConditionalGeneration", "BartForConditionalGeneration"]);
    let hears = !config["num_mel_bins"].is_null();
    if ends(&["ForCausalLM", "LMHeadModel"]) {
        Some(Task::TextGeneration)
    } else if ends(&["MTModel"]) || (ends(&["ForConditionalGeneration"]) && encodes && !sees && !hears) {
        Some(Task::TextToText)
    } else if ends(&["ForConditionalGeneration"]) && encodes && !sees {
        None
    } else if ends(&["ForConditionalGeneration", "ForVision2Seq"]) {
        Some(Task::ImageTextToText)
    } else if ends(&["ForSequenceClassification", "ForTokenClassification"]) {
        Some(Task::Classification)
    } else if ends(&["BertModel", "RobertaModel", "MPNetModel", "BertForMaskedLM", "RobertaForMaskedLM"]) {
        Some(Task::Embedding)
    } else {
        None
    }
}

fn attention_heads(model: &Part<'_>) -> Option<u64> {
    model.number(&["num_attention_heads", "n_head", "num_heads"])
}

/// Returns the bytes of the KV cache for one token: keys and values of every layer, two bytes a number.
///
/// Models with multi-head latent attention (`kv_lora_rank`) cache one compressed vector for all heads.
fn cache_bytes_per_token(model: &Part<'_>) -> Option<u64> {
    let layers = model.number(&["num_hidden_layers", "n_layer", "num_layers"])?;
    if let Some(rank) = model.number(&["kv_lora_rank"]) {
        let rope = model.number(&["qk_rope_head_dim"]).unwrap_or(0);
        return layers.checked_mul(rank.checked_add(rope)?)?.checked_mul(2);
    }
    let heads = attention_heads(model)?;
    let kv_heads = model.number(&["num_key_value_heads"]).unwrap_or(heads);
    let head_dim = match model.number(&["head_dim"]) {
        Some(dim) => dim,
        None => model.number(&["hidden_size", "n_embd", "d_model"])? / heads,
    };
    layers.checked_mul(kv_heads)?.checked_mul(head_dim)?.checked_mul(2 * 2)
}
