//! Parses the name of a weight file: folder, stem (the model or part of it), precision, shard and format.

use crate::{ModelPath, path::has_extension};

/// The formats of weight files, best first. Of two files with the same weights, the file of the better format is
/// packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Format {
    Safetensors,
    /// Pickled tensors of `PyTorch`. A `.bin` file of `CTranslate2` counts as this format too.
    Pickle,
    /// Keras, with which TensorFlow models are saved.
    Keras,
    Flax,
    /// Weights of rust-bert (`.ot`).
    Rust,
    Onnx,
    Gguf,
    /// TensorFlow Lite.
    Lite,
}

/// Extensions of weight files, each with the format of the file.
const EXTENSIONS: [(&str, Format); 12] = [
    ("safetensors", Format::Safetensors),
    ("bin", Format::Pickle),
    ("pth", Format::Pickle),
    ("pt", Format::Pickle),
    ("ckpt", Format::Pickle),
    ("h5", Format::Keras),
    ("msgpack", Format::Flax),
    ("ot", Format::Rust),
    ("onnx", Format::Onnx),
    ("onnx_data", Format::Onnx),
    ("gguf", Format::Gguf),
    ("tflite", Format::Lite),
];

/// Words behind a dot that name a precision: `model.fp16.safetensors`. `ema` and `non_ema` name no precision: such
/// files hold other weights.
const PRECISIONS: [&str; 10] = ["fp32", "f32", "fp16", "f16", "bf16", "fp8", "int8", "8bit", "int4", "4bit"];
/// Words behind an underscore that name the precision of an ONNX file, as `optimum` and transformers.js write them:
/// `model_q4f16.onnx`.
const ONNX_PRECISIONS: [&str; 13] =
    ["fp32", "fp16", "bf16", "int8", "uint8", "q8", "q4", "q4f16", "bnb4", "quantized", "qint8", "quint8", "int4"];

/// The number of a shard and the number of all shards: `00001-of-00002`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    pub(crate) number: u32,
    pub(crate) of: u32,
}

/// The parsed name of a weight file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WeightName<'a> {
    /// Folder inside the model; empty for the root.
    pub(crate) folder: &'a str,
    /// The name without extension, shard and precision: `model` of `model.fp16-00001-of-00002.safetensors`.
    pub(crate) stem: &'a str,
    pub(crate) precision: Option<&'a str>,
    pub(crate) shard: Option<Shard>,
    pub(crate) format: Format,
}

impl<'a> WeightName<'a> {
    /// Parses the path of a file; `None` when the name is not that of a weight file.
    pub(crate) fn parse(path: &'a ModelPath) -> Option<Self> {
        let (folder, name) = split(path.as_str());
        // `tokenizer.bin` is a vocabulary, not weights.
        if name.starts_with("tokenizer") {
            return None;
        }
        let (extension, format) = EXTENSIONS.into_iter().find(|(extension, _)| has_extension(name, extension))?;
        let mut stem = name.get(..name.len().checked_sub(extension.len() + 1)?)?;
        let mut precision = take_precision(&mut stem, format);
        let shard = take_shard(&mut stem);
        precision = precision.or_else(|| take_precision(&mut stem, format));
        if is_consolidated(name) {
            stem = "consolidated";
        }
        Some(Self { folder, stem, precision, shard, format })
    }

    /// Returns the stem without the words that name a framework: `pytorch_model` and `tf_model` are both `model`.
    pub(crate) fn family(&self) -> String {
        let is_framework = |word: &&str| ["pytorch", "tf", "flax", "rust"].contains(word);
        let words: Vec<&str> = self.stem.split('_').filter(|word| !is_framework(word)).collect();
        words.join("_")
    }
}

/// Returns whether the name of a file is that of a whole model in the format of Meta or Mistral
/// (`consolidated.00.pth`).
pub(crate) fn is_consolidated(name: &str) -> bool {
    name.starts_with("consolidated")
}

/// Splits a path into folder and name. The folder of a file at the root is empty.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Takes `-00001-of-00002` off the end of `stem`.
fn take_shard(stem: &mut &str) -> Option<Shard> {
    let (head, of) = stem.rsplit_once("-of-")?;
    let (head, number) = head.rsplit_once('-')?;
    let shard = Shard { number: digits(number)?, of: digits(of)? };
    *stem = head;
    Some(shard)
}

/// Parses a number of one to six digits.
fn digits(text: &str) -> Option<u32> {
    let fits = (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

/// Takes a precision off the end of `stem`. The name of a GGUF file has none: its quantization is part of the stem.
pub(super) fn take_precision<'a>(stem: &mut &'a str, format: Format) -> Option<&'a str> {
    let (head, precision) = match format {
        Format::Gguf => return None,
        Format::Onnx => stem.rsplit_once('_').filter(|(_, word)| ONNX_PRECISIONS.contains(word))?,
        _ => stem.rsplit_once('.').filter(|(_, word)| PRECISIONS.contains(&word.to_ascii_lowercase().as_str()))?,
    };
    *stem = head;
    Some(precision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_stem_precision_shard_and_format() {
        let shard = |number, of| Some(Shard { number, of });
        for (path, folder, stem, precision, of, format) in [
            ("model.safetensors", "", "model", None, None, Format::Safetensors),
            ("a/b/pytorch_model-00002-of-00003.bin", "a/b", "pytorch_model", None, shard(2, 3), Format::Pickle),
            ("model.fp16-00001-of-00002.safetensors", "", "model", Some("fp16"), shard(1, 2), Format::Safetensors),
            ("model-00001-of-00002.fp16.safetensors", "", "model", Some("fp16"), shard(1, 2), Format::Safetensors),
            (
                "unet/diffusion_pytorch_model.non_ema.bin",
                "unet",
                "diffusion_pytorch_model.non_ema",
                None,
                None,
                Format::Pickle,
            ),
            ("onnx/model_q4f16.onnx", "onnx", "model", Some("q4f16"), None, Format::Onnx),
            ("Q4_K_M/m-Q4_K_M-00001-of-00002.gguf", "Q4_K_M", "m-Q4_K_M", None, shard(1, 2), Format::Gguf),
            ("consolidated.00.pth", "", "consolidated", None, None, Format::Pickle),
            ("consolidated-00001-of-00002.safetensors", "", "consolidated", None, shard(1, 2), Format::Safetensors),
            ("a-of-b.pt", "", "a-of-b", None, None, Format::Pickle),
        ] {
            let path = path.parse().unwrap();
            let expected = WeightName { folder, stem, precision, shard: of, format };
            assert_eq!(WeightName::parse(&path), Some(expected));
        }
        for path in ["config.json", "tokenizer.bin", "model.safetensors.index.json", "README.md", ".bin"] {
            assert_eq!(WeightName::parse(&path.parse().unwrap()), None, "{path}");
        }
    }

    #[test]
    fn frameworks_name_the_same_model_differently() {
        for (path, family) in [
            ("pytorch_model.bin", "model"),
            ("tf_model.h5", "model"),
            ("flax_model.msgpack", "model"),
            ("rust_model.ot", "model"),
            ("diffusion_pytorch_model.safetensors", "diffusion_model"),
            ("diffusion_flax_model.msgpack", "diffusion_model"),
            ("open_clip_pytorch_model.bin", "open_clip_model"),
            ("value_head.bin", "value_head"),
        ] {
            assert_eq!(WeightName::parse(&path.parse().unwrap()).unwrap().family(), family, "{path}");
        }
    }
}
