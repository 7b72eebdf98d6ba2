//! Facts about a model that are known without loading the weights: architecture, parameters, dtype, context length.
//!
//! The facts are read while an image is planned, from a few small files and the headers of the weight files. The facts
//! become annotations of the image's manifests and index, so a program that writes Kubernetes manifests for the image
//! later reads the index alone.
//!
//! Reading the headers moves some bytes of every weight file. [`StatedFacts`] of an existing image with the same files
//! save this traffic.
//!
//! The same files give the same facts, from any source. A file that can't be read as expected is a [`Flaw`] of the
//! model; only a failure of the source is an error.

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

/// Facts about a model. Every field is optional, because no fact can be read from every kind of model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelFacts {
    /// File format of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<WeightFormat>,
    /// Library that the files are laid out for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<Library>,
    /// Transformers class that loads the model, for example `Qwen2ForCausalLM`. For GGUF, llama.cpp's name of the
    /// architecture, for example `qwen2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// What the model is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// Number format (dtype) that takes most bytes of the weights, as the weight files name the format, for example
    /// `BF16`. For GGUF, the same as `quantization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// Quantization method of a transformers model, for example `gptq`, or type of a GGUF model, for example `Q4_K_M`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    /// Number of parameters: elements of the tensors that a server loads. Packed quantizations store several parameters
    /// in one element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<u64>,
    /// Size of the weight files that a server loads, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_bytes: Option<u64>,
    /// Longest sequence that the model was made for, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
    /// Bytes that one token takes in the KV cache of the attention, at 16 bits a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_bytes_per_token: Option<u64>,
    /// Number of attention heads. vLLM divides them among the GPUs of one model (tensor parallelism).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_heads: Option<u64>,
    /// Whether the model has a chat template, in a file of its own, in the tokenizer's configuration or in the GGUF
    /// header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<bool>,
    /// Path of the first file of a GGUF model, for servers that want the path of a file and not of a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Whether the model has Python code of its own (`auto_map`), which a server runs only with `trust_remote_code`.
    /// `None` where there is no such code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_code: Option<bool>,
    /// The model that an adapter was trained on, as the adapter names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_base: Option<String>,
    /// Rank of an adapter (`r` of `LoRA`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_rank: Option<u64>,
    /// Kinds of flaws, by [`Flaw::code`]. Empty for a model without flaws.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub flaws: BTreeSet<String>,
}

impl ModelFacts {
    /// Returns whether no server can load the model, because files are missing or broken.
    pub fn is_broken(&self) -> bool {
        self.flaws.iter().any(|code| Flaw::is_broken_code(code))
    }
}

/// File format of the weights.
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

/// What a model is for. Only tasks that are served differently are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Writes text.
    TextGeneration,
    /// Writes text about images.
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

    /// Returns whether vLLM serves models of this task as generators of text.
    pub fn suits_vllm(self) -> bool {
        matches!(self, Self::TextGeneration | Self::ImageTextToText)
    }
}

/// Implements [`fmt::Display`], and `from_text` for the way back, by the text of each variant.
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
