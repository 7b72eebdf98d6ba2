//! Finds files that are missing from a snapshot in the Hugging Face cache. The cache has no list of a model's files, so
//! only files that other files demand are found.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde::Deserialize;
use serde_json::Value;

use super::read_up_to;
use crate::{
    ModelPath,
    path::has_extension,
    source::{DirSource, SourceError},
};

/// Most bytes of an index that are read. The largest known index has some 20 MB.
const INDEX_MAX_BYTES: u64 = 64 << 20;
/// Endings of index files, which name the shards in the same folder.
const INDEXES: [&str; 2] = [".safetensors.index.json", ".bin.index.json"];
/// Weights of the transformers library at the root, which can't be loaded without `config.json`.
const CONFIGURED: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];
/// Endings of weight files.
const WEIGHTS: [&str; 10] = ["safetensors", "gguf", "bin", "pt", "pth", "ckpt", "onnx", "h5", "msgpack", "npz"];
/// Most shards of a model; more than any model has.
const PARTS_MAX: u32 = 10_000;

/// An index: the file of each tensor.
#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    weight_map: BTreeMap<String, Value>,
}

/// Returns the paths of the files that a snapshot's other files demand and that are missing.
pub(super) fn missing(dir: &DirSource) -> Result<Vec<String>, SourceError> {
    let there: BTreeSet<&str> = dir.paths().map(ModelPath::as_str).collect();
    let mut needed = BTreeSet::new();
    for path in dir.paths() {
        let (folder, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
        let beside = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        if CONFIGURED.contains(&path.as_str()) {
            needed.insert("config.json".to_owned());
        }
        needed.extend(numbered(name).into_iter().map(|name| beside(&name)));
        if INDEXES.iter().any(|end| name.ends_with(end))
            && let Some(place) = dir.place(path)
        {
            let index: Index = serde_json::from_slice(&read_up_to(place, INDEX_MAX_BYTES)?).map_err(|error| {
                let reason = format!("is not the index of a model's weights: {error}");
                SourceError::BadEntry { path: place.to_owned(), reason }
            })?;
            needed.extend(index.weight_map.values().filter_map(Value::as_str).map(beside));
        }
    }
    let mut missing: Vec<String> = needed.into_iter().filter(|name| !there.contains(name.as_str())).collect();
    if !there.iter().any(|path| WEIGHTS.iter().any(|extension| has_extension(path, extension))) && missing.is_empty() {
        missing.push("any file of weights".to_owned());
    }
    Ok(missing)
}

/// Returns the names of all shards that the name of one shard tells of: three for `model-00001-of-00003.safetensors`.
/// Empty for a name that is not that of a shard.
fn numbered(name: &str) -> Vec<String> {
    let parts = || {
        let (before, after) = name.rsplit_once("-of-")?;
        let (stem, number) = before.rsplit_once('-')?;
        let (count, extension) = after.split_once('.')?;
        let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        let count: u32 = count.parse().ok().filter(|_| is_number(number) && is_number(count))?;
        let part = |at: u32| format!("{stem}-{at:05}-of-{count:05}.{extension}");
        // Shard 0 demands nothing: its siblings are counted from 0, and the names below from 1.
        let first = number.parse::<u32>().ok()?.min(1);
        (count <= PARTS_MAX && first == 1).then(|| (1..=count).map(part).collect())
    };
    parts().unwrap_or_default()
}

/// Refuses a cache with the unfinished blob of a download that was interrupted. The blob's name does not say which file
/// of which commit the blob belongs to.
pub(super) fn refuse_unfinished(blobs: &Path) -> Result<(), SourceError> {
    for entry in fs::read_dir(blobs).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(stem) = name.to_str().filter(|name| name.ends_with(".incomplete")) else { continue };
        // Newer tools put a name of their own between the hash and `.incomplete`.
        let blob = stem.split('.').next().unwrap_or_default();
        if !blobs.join(blob).exists() {
            return Err(SourceError::Unfinished { path: entry.path() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_tells_of_the_others() {
        assert_eq!(numbered("m-00002-of-00002.gguf"), ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]);
        for name in ["model.safetensors", "a-1-of-2.bin", "x-of-y.z", "m-00001-of-99999.bin", "m-00000-of-00002.bin"] {
            assert!(numbered(name).is_empty(), "{name}");
        }
    }
}
