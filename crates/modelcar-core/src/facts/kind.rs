//! The library that a model is made for, by which a server is chosen.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files;
use crate::{path, source::SourceFile};

/// The library that a model's files are laid out for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Library {
    /// transformers: `config.json` with a model type.
    Transformers,
    /// sentence-transformers: `modules.json`.
    SentenceTransformers,
    /// diffusers: `model_index.json`, and one folder for each part of the pipeline.
    Diffusers,
    /// PEFT: an adapter such as `LoRA`, which needs its base model.
    Peft,
    /// llama.cpp: GGUF files.
    #[serde(rename = "llama.cpp")]
    LlamaCpp,
    /// `CTranslate2`: `model.bin` with a vocabulary (faster-whisper).
    #[serde(rename = "ctranslate2")]
    CTranslate2,
    /// Mistral's own format: `params.json` and `consolidated` weights.
    Mistral,
    /// MLX, for Apple's processors.
    Mlx,
    /// NVIDIA `NeMo`.
    Nemo,
    /// timm: image models.
    Timm,
    /// `open_clip`.
    #[serde(rename = "open_clip")]
    OpenClip,
    /// ONNX Runtime.
    Onnx,
}

/// The name of each library in annotations. JSON has the same names.
const NAMES: [(Library, &str); 12] = [
    (Library::Transformers, "transformers"),
    (Library::SentenceTransformers, "sentence-transformers"),
    (Library::Diffusers, "diffusers"),
    (Library::Peft, "peft"),
    (Library::LlamaCpp, "llama.cpp"),
    (Library::CTranslate2, "ctranslate2"),
    (Library::Mistral, "mistral"),
    (Library::Mlx, "mlx"),
    (Library::Nemo, "nemo"),
    (Library::Timm, "timm"),
    (Library::OpenClip, "open_clip"),
    (Library::Onnx, "onnx"),
];

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(library, _)| library == self).map_or("", |(_, name)| name))
    }
}

impl Library {
    pub(super) fn from_text(text: &str) -> Option<Self> {
        NAMES.iter().find(|(_, name)| *name == text).map(|(library, _)| *library)
    }

    /// Recognizes the library by the files' paths and by `config`, the `config.json` of the model or null where there
    /// is none. The first rule that holds decides.
    pub(super) fn of(files: &[&SourceFile], config: &Value) -> Option<Self> {
        let has = |name: &str| files.iter().any(|file| file.path.as_str() == name);
        let at_root = |extension: &str| {
            let is = |file: &&SourceFile| {
                !file.path.as_str().contains('/') && path::has_extension(file.path.file_name(), extension)
            };
            files.iter().copied().any(|file| is(&file))
        };
        let starts = |start: &str| files.iter().any(|file| file.path.as_str().starts_with(start));
        let vocabulary = starts("vocabulary.") || starts("shared_vocabulary.") || starts("source_vocabulary.");
        let rules: [(bool, Self); 12] = [
            (has(files::ADAPTER), Self::Peft),
            (has(files::PIPELINE), Self::Diffusers),
            (files::EMBEDDING.into_iter().all(has), Self::SentenceTransformers),
            (at_root("nemo") || (has("model_config.yaml") && starts("model_weights/")), Self::Nemo),
            (config["pretrained_cfg"].is_object(), Self::Timm),
            (is_mlx(config) || has("weights.npz"), Self::Mlx),
            (has("model.bin") && vocabulary, Self::CTranslate2),
            (has("params.json") && starts("consolidated") && !has("model.safetensors.index.json"), Self::Mistral),
            (has("open_clip_config.json"), Self::OpenClip),
            (config["model_type"].is_string() || config["architectures"].is_array(), Self::Transformers),
            (files.iter().any(|file| path::has_extension(file.path.as_str(), "gguf")), Self::LlamaCpp),
            (files.iter().any(|file| path::has_extension(file.path.as_str(), "onnx")), Self::Onnx),
        ];
        rules.into_iter().find(|(holds, _)| *holds).map(|(_, library)| library)
    }
}

/// Returns whether a configuration is one of MLX. MLX writes `quantization` with `group_size` and `bits`; transformers
/// writes `quantization_config` with `quant_method`.
fn is_mlx(config: &Value) -> bool {
    let quantization = &config["quantization"];
    quantization["group_size"].is_u64()
        && quantization["bits"].is_u64()
        && !config["quantization_config"]["quant_method"].is_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_library_is_known_by_its_files() {
        let llama = json!({"model_type": "llama", "architectures": ["LlamaForCausalLM"]});
        let mlx = json!({"model_type": "llama", "quantization": {"group_size": 64, "bits": 4}});
        let timm = json!({"architecture": "resnet50", "pretrained_cfg": {}});
        for (paths, config, library) in [
            (&["config.json", "model.safetensors"][..], &llama, "transformers"),
            (&["config.json", "modules.json", "config_sentence_transformers.json"], &llama, "sentence-transformers"),
            (&["model_index.json", "unet/config.json"], &Value::Null, "diffusers"),
            (&["adapter_config.json", "adapter_model.safetensors"], &Value::Null, "peft"),
            (&["m.gguf"], &Value::Null, "llama.cpp"),
            (&["config.json", "model.bin", "vocabulary.json"], &json!({}), "ctranslate2"),
            (&["params.json", "consolidated.safetensors", "tekken.json"], &Value::Null, "mistral"),
            (&["config.json", "model.safetensors"], &mlx, "mlx"),
            (&["weights.npz"], &json!({}), "mlx"),
            (&["a.nemo"], &Value::Null, "nemo"),
            (&["config.json", "model.safetensors"], &timm, "timm"),
            (&["open_clip_config.json"], &Value::Null, "open_clip"),
            (&["onnx/model.onnx"], &Value::Null, "onnx"),
        ] {
            let files: Vec<SourceFile> =
                paths.iter().map(|path| SourceFile { path: path.parse().unwrap(), size: 1, content: None }).collect();
            let found = Library::of(&files.iter().collect::<Vec<_>>(), config).unwrap();
            assert_eq!(found.to_string(), library, "{paths:?}");
            assert_eq!(Library::from_text(library), Some(found));
            assert_eq!(serde_json::to_value(found).unwrap(), library);
        }
        let unknown = SourceFile { path: "v1.ckpt".parse().unwrap(), size: 1, content: None };
        assert_eq!(Library::of(&[&unknown], &json!({})), None);
    }
}
