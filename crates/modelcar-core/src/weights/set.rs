//! Sets of weight files: a single file, or the shards of one model.

use std::collections::{BTreeMap, BTreeSet};

use super::name::{Format, WeightName};
use crate::source::SourceFile;

/// A weight file, or shards that belong together.
#[derive(Debug, Clone)]
pub(crate) struct WeightSet<'a> {
    /// The parsed name, which all files have in common except for the number of the shard.
    pub(crate) name: WeightName<'a>,
    /// The files, by path.
    pub(crate) files: Vec<&'a SourceFile>,
    /// Size of all files in bytes.
    pub(crate) bytes: u64,
    /// The numbers of the shards that are there.
    numbers: BTreeSet<u32>,
}

/// Groups the weight files among `files` into sets. Other files are ignored.
pub(crate) fn sets<'a>(files: impl IntoIterator<Item = &'a SourceFile>) -> Vec<WeightSet<'a>> {
    let mut sets: BTreeMap<_, WeightSet<'a>> = BTreeMap::new();
    for file in files {
        let Some(name) = WeightName::parse(&file.path) else { continue };
        let extension = file.path.file_name().rsplit_once('.').map_or("", |(_, extension)| extension);
        // An ONNX model has its graph in `model.onnx` and its data in `model.onnx_data`: both belong to one set.
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
    /// Returns the numbers of the shards that are missing, at most [`MISSING_MAX`]. Shards are counted from 1, or from
    /// 0 when there is a shard 0, as TensorFlow writes them.
    pub(crate) fn missing(&self) -> Vec<u32> {
        // A hostile name may claim a million shards.
        self.gaps().take(MISSING_MAX).collect()
    }

    /// Returns the numbers of all shards that are missing.
    fn gaps(&self) -> impl Iterator<Item = u32> {
        let first = u32::from(!self.numbers.contains(&0));
        let all = self.name.shard.map_or(0..0, |shard| first..shard.of.saturating_add(first));
        all.filter(|number| !self.numbers.contains(number))
    }

    /// Returns whether no shard is missing.
    pub(crate) fn is_complete(&self) -> bool {
        self.gaps().next().is_none()
    }

    /// Returns the path of the shard with a number, with as many digits as the paths of the other shards have.
    pub(crate) fn shard_name(&self, number: u32) -> String {
        let Some((first, shard)) = self.files.first().zip(self.name.shard) else { return String::new() };
        let own = WeightName::parse(&first.path).and_then(|name| name.shard).unwrap_or(shard);
        let path = first.path.as_str();
        let Some((head, tail)) = path.rsplit_once("-of-") else { return path.to_owned() };
        let digits = head.rsplit_once('-').map_or(0, |(_, digits)| digits.len());
        let Some(head) = head.strip_suffix(&format!("{:0digits$}", own.number)) else { return path.to_owned() };
        format!("{head}{number:0digits$}-of-{tail}")
    }

    /// Returns the path of the first file and the number of further files, for people.
    pub(crate) fn title(&self) -> String {
        match self.files.as_slice() {
            [] => String::new(),
            [file] => format!("`{}`", file.path),
            [first, more @ ..] => format!("`{}` and {} more", first.path, more.len()),
        }
    }
}

/// Most missing shards that are counted.
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
        let files = self::files(&["m-0-of-2.bin", "m-2-of-2.bin"]);
        assert_eq!((sets(&files)[0].is_complete(), sets(&files)[0].missing()), (false, vec![1]));
    }
}
