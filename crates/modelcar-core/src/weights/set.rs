//! Sets of weight files: one file, or all shards of one.

use std::collections::{BTreeMap, BTreeSet};

use super::name::{Format, WeightName};
use crate::source::SourceFile;

/// A weight file, or the shards of one.
#[derive(Debug, Clone)]
pub(crate) struct WeightSet<'a> {
    /// The name that all of them have, the shard aside.
    pub(crate) name: WeightName<'a>,
    /// The files, by path.
    pub(crate) files: Vec<&'a SourceFile>,
    /// Size of all of them in bytes.
    pub(crate) bytes: u64,
    numbers: BTreeSet<u32>,
}

/// Groups the weight files among `files`; other files are passed over.
pub(crate) fn sets<'a>(files: impl IntoIterator<Item = &'a SourceFile>) -> Vec<WeightSet<'a>> {
    let mut sets: BTreeMap<_, WeightSet<'a>> = BTreeMap::new();
    for file in files {
        let Some(name) = WeightName::parse(&file.path) else { continue };
        let extension = file.path.file_name().rsplit_once('.').map_or("", |(_, extension)| extension);
        // The parts of an ONNX model lie in several files; its data is one of them.
        let extension = if name.format == Format::Onnx { "" } else { extension };
        let key = (name.folder, name.stem, name.format, name.precision, name.shard.map(|shard| shard.of), extension);
        let set = sets.entry(key).or_insert_with(|| WeightSet {
            name: name.clone(),
            files: Vec::new(),
            bytes: 0,
            numbers: BTreeSet::new(),
        });
        set.bytes = set.bytes.saturating_add(file.size);
        set.numbers.extend(name.shard.map(|shard| shard.number));
        set.files.push(file);
    }
    let mut sets: Vec<_> = sets.into_values().collect();
    for set in &mut sets {
        set.files.sort_by(|a, b| a.path.cmp(&b.path));
    }
    sets
}

impl WeightSet<'_> {
    /// Returns the numbers of the shards that are not there. Shards count from 1; TensorFlow's count from 0.
    pub(crate) fn missing(&self) -> Vec<u32> {
        let Some(shard) = self.name.shard else { return Vec::new() };
        let first = u32::from(!self.numbers.contains(&0));
        let all = first..shard.of.saturating_add(first);
        // What a hostile name claims is not counted through.
        all.filter(|number| !self.numbers.contains(number)).take(MISSING_MAX).collect()
    }

    /// Returns whether no shard is missing.
    pub(crate) fn is_complete(&self) -> bool {
        self.name.shard.is_none_or(|shard| u32::try_from(self.numbers.len()).is_ok_and(|count| count >= shard.of))
    }

    /// Returns the name of the shard with a number, as the names of the other shards are written.
    pub(crate) fn shard_name(&self, number: u32) -> String {
        let Some((first, shard)) = self.files.first().zip(self.name.shard) else { return String::new() };
        let own = WeightName::parse(&first.path).and_then(|name| name.shard).unwrap_or(shard);
        let path = first.path.as_str();
        let Some((head, tail)) = path.rsplit_once("-of-") else { return path.to_owned() };
        let digits = head.rsplit_once('-').map_or(0, |(_, digits)| digits.len());
        let Some(head) = head.strip_suffix(&format!("{:0digits$}", own.number)) else { return path.to_owned() };
        format!("{head}{number:0digits$}-of-{tail}")
    }

    /// Returns the first file, and how many more there are, for people.
    pub(crate) fn title(&self) -> String {
        match self.files.as_slice() {
            [] => String::new(),
            [file] => format!("`{}`", file.path),
            [first, more @ ..] => format!("`{}` and {} more", first.path, more.len()),
        }
    }
}

/// Most missing shards that are told.
const MISSING_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<SourceFile> {
        paths.iter().map(|path| SourceFile { path: path.parse().unwrap(), size: 10, content: None }).collect()
    }

    #[test]
    fn shards_are_one_set() {
        let files = files(&[
            "README.md",
            "m-00001-of-00003.safetensors",
            "m-00003-of-00003.safetensors",
            "m.safetensors",
            "onnx/model.onnx",
            "onnx/model.onnx_data",
        ]);
        let sets = sets(&files);
        assert_eq!(sets.iter().map(|set| set.files.len()).collect::<Vec<_>>(), [1, 2, 2]);
        let shards = &sets[1];
        assert_eq!((shards.bytes, shards.missing(), shards.is_complete()), (20, vec![2], false));
        assert_eq!(shards.shard_name(2), "m-00002-of-00003.safetensors");
        assert_eq!(shards.title(), "`m-00001-of-00003.safetensors` and 1 more");
        assert!(sets[0].is_complete() && sets[0].missing().is_empty());
    }

    #[test]
    fn shards_may_count_from_zero() {
        let files = files(&["m-0-of-2.bin", "m-1-of-2.bin"]);
        assert!(sets(&files)[0].is_complete());
    }
}
