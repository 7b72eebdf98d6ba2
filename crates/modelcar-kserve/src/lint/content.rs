//! What the content of small files tells: pointers in the place of files, and indexes of shards.

use std::{
    collections::BTreeSet,
    fmt,
    io::{BufReader, Read},
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

/// The first line of a git-lfs pointer, without the number of its version.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
/// A pointer has three short lines.
const POINTER_MAX_BYTES: u64 = 1024;
/// Longest index that is read: hundreds of thousands of tensors.
const INDEX_MAX_BYTES: u64 = 32 << 20;
/// Most shards of an index that are kept; no model has as many.
const SHARDS_MAX: usize = 20_000;

/// What the content of a file tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// The file is a git-lfs pointer.
    Pointer,
    /// The file is an index, which names these files of its folder.
    Index(BTreeSet<String>),
}

impl Content {
    /// Reads a file of `size` bytes, if its name or its size says that it may be one of these.
    pub(super) fn read(path: &str, size: u64, content: impl Read) -> Option<Self> {
        if !path.starts_with("models/") {
            return None;
        }
        if path.ends_with(".index.json") && size <= INDEX_MAX_BYTES {
            let index: Index = serde_json::from_reader(BufReader::new(content)).ok()?;
            return (!index.weight_map.0.is_empty()).then_some(Self::Index(index.weight_map.0));
        }
        let mut start = Vec::new();
        if size > POINTER_MAX_BYTES || content.take(POINTER.len() as u64).read_to_end(&mut start).is_err() {
            return None;
        }
        (start == POINTER).then_some(Self::Pointer)
    }

    /// Returns the memory that it takes.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Pointer => 0,
            Self::Index(shards) => shards.iter().map(|shard| size_of::<String>() * 2 + shard.len()).sum(),
        }
    }
}

/// An index of shards, such as `model.safetensors.index.json`.
#[derive(Deserialize)]
struct Index {
    weight_map: Shards,
}

/// The files that a map from tensors to files names.
struct Shards(BTreeSet<String>);

impl<'de> Deserialize<'de> for Shards {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Files;

        impl<'de> Visitor<'de> for Files {
            type Value = Shards;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from tensors to files")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shards, A::Error> {
                let mut files = BTreeSet::new();
                while let Some((_, file)) = map.next_entry::<serde::de::IgnoredAny, String>()? {
                    if files.len() < SHARDS_MAX {
                        files.insert(file);
                    }
                }
                Ok(Shards(files))
            }
        }

        deserializer.deserialize_map(Files)
    }
}
