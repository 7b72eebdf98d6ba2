//! Owns ready-made model trees.

use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::{Value, json};

use crate::content::Content;
use crate::tree::ModelTree;

const README: &str = "---\nlicense: apache-2.0\nlibrary_name: transformers\n\
pipeline_tag: text-generation\ntags:\n- tiny\n- test\n---\n\n# Tiny\n\nA model for tests.\n";

const ATTRIBUTES: &str = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n\
*.bin filter=lfs diff=lfs merge=lfs -text\n";

/// A small valid Hub-like tree: configs, tokenizer, a nested folder and two safetensors shards.
pub fn tiny_model() -> ModelTree {
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 128,
        "num_hidden_layers": 2, "vocab_size": 256, "torch_dtype": "bfloat16",
    });
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
    });
    let pooling = json!({"word_embedding_dimension": 128, "pooling_mode_mean_tokens": true});
    shards(2, 100_000, true)
        .file(".gitattributes", ATTRIBUTES)
        .file("README.md", README)
        .file("config.json", pretty(&config))
        .file("tokenizer.json", pretty(&tokenizer))
        .file("1_Pooling/config.json", pretty(&pooling))
}

/// A model of `count` safetensors shards of about `bytes` each, made on demand.
pub fn synthetic_model(count: usize, bytes: u64) -> ModelTree {
    shards(count, bytes, false)
        .file(".gitattributes", ATTRIBUTES)
        .file("README.md", README)
        .file("config.json", pretty(&json!({"model_type": "llama", "vocab_size": 256})))
        .file("generation_config.json", pretty(&json!({"temperature": 0.7, "top_p": 0.8})))
        .file("tokenizer_config.json", pretty(&json!({"model_max_length": 4096})))
}

/// A model of one small shard and `count` small files of `bytes` each, in folders of 500, all kept in git.
pub fn many_small_files(count: usize, bytes: u64) -> ModelTree {
    let files = (0..count).map(|number| {
        let path = format!("part-{:03}/{number:05}.txt", number / 500);
        (path, Content::Seeded { seed: 0x736d_616c_6c00 + number as u64, len: bytes })
    });
    files.fold(synthetic_model(1, 100_000), |tree, (path, content)| tree.file(&path, content))
}

/// [`synthetic_model`] with other bytes in its last shard: what a new revision often is.
pub fn revised_model(model: &ModelTree) -> ModelTree {
    let (path, last) = model.files().filter(|(_, file)| file.lfs).last().expect("a model has shards");
    // Size and header stay the same, so that nobody can tell the revisions apart without reading.
    model.clone().lfs(path, other_weights(&last.content, 0x7265_7669_7365))
}

/// A safetensors file with the header of `content` and other bytes behind the header.
pub fn other_weights(content: &Content, seed: u64) -> Content {
    let prefix = content.bytes(0, 8);
    let header = prefix.as_ref().try_into().map_or(0, |len| 8 + u64::from_le_bytes(len));
    let head = Content::Bytes(content.bytes(0, header));
    Content::Concat(vec![head, Content::Seeded { seed, len: content.len() - header }])
}

/// A complete safetensors file with one BF16 tensor of `elements` elements.
pub fn safetensors_bytes(name: &str, elements: u64, seed: u64) -> Bytes {
    safetensors(name, elements, seed).bytes(0, u64::MAX)
}

fn shards(count: usize, bytes: u64, in_memory: bool) -> ModelTree {
    let mut tree = ModelTree::new();
    let mut map = serde_json::Map::new();
    for number in 1..=count {
        let path = format!("model-{number:05}-of-{count:05}.safetensors");
        let tensor = format!("model.layers.{}.weight", number - 1);
        let mut content = safetensors(&tensor, bytes / 2, 0x6d6f_6465_6c00 + number as u64);
        if in_memory {
            content = Content::Bytes(content.bytes(0, u64::MAX));
        }
        map.insert(tensor, json!(path));
        tree = tree.lfs(&path, content);
    }
    let total = (bytes / 2) * 2 * count as u64;
    let index = json!({"metadata": {"total_size": total}, "weight_map": map});
    tree.file("model.safetensors.index.json", pretty(&index))
}

fn safetensors(name: &str, elements: u64, seed: u64) -> Content {
    let len = elements * 2;
    let tensor = json!({"dtype": "BF16", "shape": [elements], "data_offsets": [0, len]});
    let mut header = json!({"__metadata__": {"format": "pt"}, name: tensor}).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut head = BytesMut::with_capacity(8 + header.len());
    head.put_u64_le(header.len() as u64);
    head.put_slice(header.as_bytes());
    Content::Concat(vec![head.freeze().into(), Content::Seeded { seed, len }])
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_have_a_valid_header() {
        let tree = synthetic_model(3, 5_000_000);
        let (path, shard) = tree.files().find(|(_, file)| file.lfs).unwrap();
        assert_eq!(path, "model-00001-of-00003.safetensors");
        let length = u64::from_le_bytes(shard.content.bytes(0, 8)[..].try_into().unwrap());
        let header: Value = serde_json::from_slice(&shard.content.bytes(8, length)).unwrap();
        assert_eq!(header["model.layers.0.weight"]["data_offsets"][1], 5_000_000);
        assert_eq!(shard.size(), 8 + length + 5_000_000);
    }

    #[test]
    fn a_revision_changes_the_last_shard_alone() {
        let (model, revised) = (synthetic_model(3, 500_000), revised_model(&synthetic_model(3, 500_000)));
        assert_eq!(model.paths(), revised.paths());
        let changed: Vec<_> =
            model.files().filter(|(path, file)| revised.get(path).unwrap().sha256() != file.sha256()).collect();
        assert_eq!(changed.len(), 1);
        assert_eq!(changed[0].0, "model-00003-of-00003.safetensors");
        assert_eq!(revised.get(changed[0].0).unwrap().size(), changed[0].1.size());
    }
}
