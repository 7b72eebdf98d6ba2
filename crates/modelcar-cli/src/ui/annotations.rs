//! What an image says of its model, in words for people: the annotations of an image, and the facts in a plan.

use std::{collections::BTreeMap, fmt::Write};

use modelcar_core::{facts::ModelFacts, text::one_line};

use super::{
    row,
    words::{count, size},
};

/// How the value of an annotation is written.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// As it is.
    Text,
    /// A number of bytes.
    Bytes,
    /// A number of bytes for each token.
    BytesPerToken,
    /// A number of tokens.
    Tokens,
    /// A number of parameters.
    Parameters,
    /// `true` or `false`.
    YesNo,
    /// The version of the rules by which the facts were read.
    Rules,
}

/// The annotations that have a word of their own, in the order in which they are shown.
const WORDS: [(&str, &str, Form); 24] = [
    ("org.opencontainers.image.title", "title", Form::Text),
    ("org.opencontainers.image.source", "source", Form::Text),
    ("org.opencontainers.image.version", "version", Form::Text),
    ("org.opencontainers.image.revision", "revision", Form::Text),
    ("org.opencontainers.image.licenses", "licence", Form::Text),
    ("org.opencontainers.image.base.name", "base", Form::Text),
    ("org.opencontainers.image.base.digest", "base digest", Form::Text),
    ("io.modelcar.model.architecture", "architecture", Form::Text),
    ("io.modelcar.model.task", "task", Form::Text),
    ("io.modelcar.model.format", "format", Form::Text),
    ("io.modelcar.model.library", "library", Form::Text),
    ("io.modelcar.model.parameters", "parameters", Form::Parameters),
    ("io.modelcar.model.dtype", "dtype", Form::Text),
    ("io.modelcar.model.quantization", "quantization", Form::Text),
    ("io.modelcar.model.weight-bytes", "weights", Form::Bytes),
    ("io.modelcar.model.context-length", "context length", Form::Tokens),
    ("io.modelcar.model.cache-bytes-per-token", "KV cache", Form::BytesPerToken),
    ("io.modelcar.model.chat-template", "chat template", Form::YesNo),
    ("io.modelcar.model.file", "first file", Form::Text),
    ("io.modelcar.model.remote-code", "remote code", Form::YesNo),
    ("io.modelcar.model.adapter-base", "adapter of", Form::Text),
    ("io.modelcar.model.adapter-rank", "adapter rank", Form::Text),
    ("io.modelcar.model.flaws", "flaws", Form::Text),
    ("io.modelcar.model.rules", "facts", Form::Rules),
];

/// Returns the annotations of an image as lines: first those that have a word of their own, then all others by their keys.
/// Anybody can have written the values: one that has not the form of its annotation is shown as it is.
pub(crate) fn annotations(annotations: &BTreeMap<String, String>) -> String {
    let known = WORDS.iter().filter_map(|(key, word, form)| Some((*word, told(annotations.get(*key)?, *form))));
    let is_other = |key: &&String| WORDS.iter().all(|(known, ..)| known != key);
    let others = annotations.keys().filter(is_other).map(|key| (key.as_str(), annotations[key].clone()));
    let lines: Vec<_> = known.chain(others).map(|(word, value)| (one_line(word), one_line(&value))).collect();
    let width = lines.iter().map(|(word, _)| word.chars().count()).max().unwrap_or_default();
    lines.iter().fold(String::new(), |mut text, (word, value)| {
        let _infallible = writeln!(text, "{word:<width$}  {value}");
        text
    })
}

/// Returns the value of an annotation as people write it.
fn told(value: &str, form: Form) -> String {
    let number = || value.parse::<u64>().ok();
    let told = match form {
        Form::Text => None,
        Form::Bytes => number().map(size),
        Form::BytesPerToken => number().map(|bytes| format!("{} for each token", size(bytes))),
        Form::Tokens => number().map(|tokens| count(tokens, "token")),
        Form::Parameters => number().map(parameters),
        Form::YesNo => value.parse().ok().map(|is| if is { "yes" } else { "no" }.to_owned()),
        Form::Rules => number().map(|version| format!("read by version {version} of modelcar's rules")),
    };
    told.unwrap_or_else(|| value.to_owned())
}

/// Returns what a plan knows of the model, as rows; nothing where it knows nothing.
pub(crate) fn facts(facts: &ModelFacts) -> String {
    let is_type_told = facts.quantization.is_some() && facts.quantization == facts.dtype;
    let kind = [
        facts.architecture.as_deref().map(one_line),
        facts.task.map(|task| task.to_string()),
        facts.format.map(|format| format.to_string()),
        facts.quantization.as_deref().filter(|_| !is_type_told).map(one_line),
    ];
    let numbers = [
        facts.parameters.map(|number| {
            let dtype = facts.dtype.as_deref().map(|dtype| format!(" in {}", one_line(dtype))).unwrap_or_default();
            format!("{} parameters{dtype}", parameters(number))
        }),
        facts.dtype.as_deref().filter(|_| facts.parameters.is_none()).map(one_line),
        facts.context_length.map(|tokens| format!("context length {}", count(tokens, "token"))),
        facts.adapter_base.as_deref().map(|base| format!("adapter of {}", one_line(base))),
    ];
    let parts: Vec<String> = kind.into_iter().chain(numbers).flatten().collect();
    if parts.is_empty() { String::new() } else { row("model", &parts.join(", ")) }
}

/// Formats a number of parameters for people: `23328`, `494 million`, `7.6 billion`.
fn parameters(number: u64) -> String {
    let with_unit = |unit: u64, name: &str| {
        if number < 100 * unit {
            let tenths = (number + unit / 20) / (unit / 10);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        } else {
            format!("{} {name}", number.saturating_add(unit / 2) / unit)
        }
    };
    match number {
        ..1_000_000 => number.to_string(),
        1_000_000..999_500_000 => with_unit(1_000_000, "million"),
        _ => with_unit(1_000_000_000, "billion"),
    }
}

#[cfg(test)]
mod tests {
    use modelcar_core::facts::{Task, WeightFormat};

    use super::*;

    fn all_facts() -> ModelFacts {
        let text = |text: &str| Some(text.to_owned());
        ModelFacts {
            format: Some(WeightFormat::Safetensors),
            architecture: text("LlamaForCausalLM"),
            task: Some(Task::TextGeneration),
            dtype: text("BF16"),
            quantization: text("gptq"),
            parameters: Some(7_615_616_512),
            weight_bytes: Some(15_231_233_024),
            context_length: Some(32_768),
            cache_bytes_per_token: Some(57_344),
            chat_template: Some(true),
            file: text("model.gguf"),
            remote_code: Some(false),
            adapter_base: text("acme/base"),
            adapter_rank: Some(16),
            flaws: ["missing-shard".to_owned()].into(),
            ..ModelFacts::default()
        }
    }

    #[test]
    fn every_fact_has_a_word() {
        for key in all_facts().to_annotations().keys() {
            assert!(WORDS.iter().any(|(known, ..)| known == key), "{key}");
        }
        let shown = annotations(&all_facts().to_annotations());
        assert!(!shown.contains("io.modelcar"), "{shown}");
        for line in ["parameters      7.6 billion", "weights         14.2 GiB", "context length  32768 tokens"] {
            assert!(shown.contains(line), "{shown}");
        }
        assert!(shown.contains("KV cache        56.0 KiB for each token\nchat template   yes\n"), "{shown}");
    }

    #[test]
    fn what_has_no_word_or_no_number_stays_as_it_is() {
        let pairs = [("io.modelcar.model.parameters", "many"), ("com.example/x", "1")];
        let shown = annotations(&pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        assert_eq!(shown, "parameters     many\ncom.example/x  1\n");
        assert_eq!(annotations(&BTreeMap::new()), "");
    }

    #[test]
    fn a_plan_tells_what_it_knows() {
        let shown = facts(&all_facts());
        let words = "model   LlamaForCausalLM, text-generation, safetensors, gptq, 7.6 billion parameters in BF16, context length \
                     32768 tokens, adapter of acme/base";
        assert_eq!(shown.split_whitespace().collect::<Vec<_>>(), words.split_whitespace().collect::<Vec<_>>());
        let gguf = ModelFacts {
            dtype: Some("Q4_K_M".to_owned()),
            quantization: Some("Q4_K_M".to_owned()),
            ..ModelFacts::default()
        };
        assert_eq!(facts(&gguf), "model   Q4_K_M\n");
        assert_eq!(facts(&ModelFacts::default()), "");
    }

    #[test]
    fn parameters_are_rounded() {
        for (number, told) in [
            (0, "0"),
            (999_999, "999999"),
            (1_000_000, "1.0 million"),
            (22_713_216, "22.7 million"),
            (494_032_768, "494 million"),
            (999_499_999, "999 million"),
            (999_500_000, "1.0 billion"),
            (7_615_616_512, "7.6 billion"),
            (235_093_634_560, "235 billion"),
            (1_026_408_232_448, "1026 billion"),
        ] {
            assert_eq!(parameters(number), told);
        }
        assert!(parameters(u64::MAX).ends_with(" billion"));
    }
}
