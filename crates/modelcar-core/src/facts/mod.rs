//! What is known of a model without its weights: architecture, parameters, number format, context length.
//!
//! The facts are read while an image is planned, from a few small files and the headers of the weight files, and
//! written into the manifests' annotations. Whoever renders manifests later needs the image's index alone.
//!
//! Reading them moves some bytes of every weight file. What an image states of the same files spares that.
//!
//! Equal files give equal facts, from any source: what can't be read as expected is a flaw of the model, and only a
//! source that fails is an error.

mod annotations;
mod begin;
mod config;
mod examine;
mod files;
mod flaw;
mod gguf;
mod index;
mod kind;
mod loaded;
#[cfg_attr(not(feature = "push"), allow(dead_code, reason = "only a push compares what was read with what is packed"))]
mod proof;
mod read;
mod safetensors;
mod shape;
mod stated;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

#[cfg(feature = "push")]
pub(crate) use self::examine::{count_with_proof, examine_with_proof};
pub use self::{
    examine::{Examined, count_tensors, examine},
    flaw::Flaw,
    kind::Library,
    stated::StatedFacts,
};

/// What is known of a model. Every field is optional: models come in many forms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelFacts {
    /// Form of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<WeightFormat>,
    /// Library that the files are laid out for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<Library>,
    /// Class that loads the model, for example `Qwen2ForCausalLM`; the architecture's name for GGUF.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// What the model is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// Number format that holds most of the weights, as the weight files name it, for example `BF16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// Quantization method or type, for example `gptq` or `Q4_K_M`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    /// Number of elements of the tensors that a server loads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<u64>,
    /// Bytes of the weight files that a server loads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_bytes: Option<u64>,
    /// Longest sequence, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
    /// Bytes that one token takes in the attention cache at 16 bits a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_bytes_per_token: Option<u64>,
    /// Whether the tokenizer brings a chat template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<bool>,
    /// The weight file to name where a folder won't do: the first one of a GGUF model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Whether the model brings code of its own, which a server runs only when it is told to (`auto_map`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_code: Option<bool>,
    /// The model that an adapter was trained on, as the adapter names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_base: Option<String>,
    /// Rank of an adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_rank: Option<u64>,
    /// Kinds of flaws, by [`Flaw::code`]. Empty for a model that is whole.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub flaws: BTreeSet<String>,
}

impl ModelFacts {
    /// Returns whether no server can load the model: the image was made although files are missing or broken.
    pub fn is_broken(&self) -> bool {
        self.flaws.iter().any(|code| Flaw::is_broken_code(code))
    }
}

/// Form of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightFormat {
    /// safetensors files.
    Safetensors,
    /// GGUF, the format of llama.cpp.
    Gguf,
    /// Pickled `PyTorch` files.
    Pytorch,
    /// ONNX.
    Onnx,
}

/// What a model is for, as far as the way it is served goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Writes text.
    TextGeneration,
    /// Writes text about what it is shown.
    ImageTextToText,
    /// Rewrites text by an encoder and a decoder: translators, T5, BART.
    #[serde(rename = "text2text-generation")]
    TextToText,
    /// Turns text into vectors.
    Embedding,
    /// Sorts text into classes.
    Classification,
}

impl Task {
    /// Returns whether the model generates text, token by token.
    pub fn is_generative(self) -> bool {
        matches!(self, Self::TextGeneration | Self::ImageTextToText | Self::TextToText)
    }

    /// Returns whether vLLM is made for such models.
    pub fn suits_vllm(self) -> bool {
        matches!(self, Self::TextGeneration | Self::ImageTextToText)
    }
}

macro_rules! text_enum {
    ($type:ty, $($variant:ident => $text:literal),+) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),+ })
            }
        }

        impl $type {
            fn from_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
text_enum!(WeightFormat, Safetensors => "safetensors", Gguf => "gguf", Pytorch => "pytorch", Onnx => "onnx");
text_enum!(
    Task,
    TextGeneration => "text-generation",
    ImageTextToText => "image-text-to-text",
    TextToText => "text2text-generation",
    Embedding => "embedding",
    Classification => "classification"
);
