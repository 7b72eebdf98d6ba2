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
        needed.extend(
            Numbered::parse(name)
                .into_iter()
                .flat_map(|shard| shard.all(|name| there.contains(&*beside(name))))
                .map(|name| beside(&name)),
        );
        if INDEXES.iter().any(|end| name.ends_with(end))
            && let Some(place) = dir.place(path)
        {
            let index: Index = serde_json::from_slice(&read_up_to(place, INDEX_MAX_BYTES)?).map_err(|error| {
                let reason = format!("is not the index of a model's weights: {error}");
                SourceError::BadEntry { path: place.to_owned(), reason }
            })?;
            let named: BTreeSet<String> = index.weight_map.values().filter_map(Value::as_str).map(beside).collect();
            // The tools can fetch a part of the files: an index without any of its shards is of weights in a format
            // that nobody wanted, when the folder has others.
            let is_wanted = named.iter().any(|name| there.contains(name.as_str()));
            if is_wanted || !holds_weights(&there, folder) {
                needed.extend(named);
            }
        }
    }
    let mut missing: Vec<String> = needed.into_iter().filter(|name| !there.contains(name.as_str())).collect();
    if !there.iter().any(|path| WEIGHTS.iter().any(|extension| has_extension(path, extension))) && missing.is_empty() {
        missing.push("any file of weights".to_owned());
    }
    Ok(missing)
}

/// Returns whether a folder, without those below, has a weight file.
fn holds_weights(there: &BTreeSet<&str>, folder: &str) -> bool {
    let is_weights = |path: &str| WEIGHTS.iter().any(|extension| has_extension(path, extension));
    there.iter().any(|path| path.rsplit_once('/').map_or("", |(folder, _)| folder) == folder && is_weights(path))
}

/// The name of a shard: `model-00001-of-00003.safetensors`.
struct Numbered<'a> {
    stem: &'a str,
    count: u32,
    extension: &'a str,
}

impl<'a> Numbered<'a> {
    /// Parses a name; `None` when the name is not that of a shard.
    fn parse(name: &'a str) -> Option<Self> {
        let (before, after) = name.rsplit_once("-of-")?;
        let (stem, number) = before.rsplit_once('-')?;
        let (count, extension) = after.split_once('.')?;
        let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        let count: u32 = count.parse().ok().filter(|_| is_number(number) && is_number(count))?;
        (count <= PARTS_MAX).then_some(Self { stem, count, extension })
    }

    /// Returns the names of all shards, counted from 0 if shard 0 `is_there`, and from 1 otherwise.
    fn all(&self, is_there: impl Fn(&str) -> bool) -> Vec<String> {
        let first = u32::from(!is_there(&self.name(0)));
        (first..self.count + first).map(|number| self.name(number)).collect()
    }

    fn name(&self, number: u32) -> String {
        format!("{}-{number:05}-of-{:05}.{}", self.stem, self.count, self.extension)
    }
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
        let all = |name, zero| Numbered::parse(name).map(|shard| shard.all(|name| zero && name.contains("-00000-")));
        let (zero, one, two) = ("m-00000-of-00002.gguf", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf");
        assert_eq!(all(two, false).unwrap(), [one, two]);
        assert_eq!(all(one, true).unwrap(), [zero, one]);
        for name in ["model.safetensors", "a-1-of-2.bin", "x-of-y.z", "m-00001-of-99999.bin"] {
            assert!(all(name, false).is_none(), "{name}");
        }
    }
}
