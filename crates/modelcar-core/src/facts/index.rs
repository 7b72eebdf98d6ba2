//! An index of shards: which file holds which tensor (`weight_map`).

use std::{
    collections::BTreeSet,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};

/// Larger indexes are not compared with what is there: they are held in memory.
pub(super) const INDEX_MAX_BYTES: u64 = 32 << 20;
/// More files are named by no index.
const FILES_MAX: usize = 100_000;

/// Returns a short stand-in for a tensor's name: models of many experts have some hundred thousand tensors.
pub(super) fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// What an index names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// The files, as the index writes them: beside it.
    pub(super) files: BTreeSet<String>,
    /// The first tensor that is not known.
    pub(super) first: Option<String>,
    /// Number of tensors that are not known.
    pub(super) unknown: usize,
}

/// Reads an index; `known` are the hashes of the tensors that are there, or `None` when these could not all be read.
/// Returns `None` when the file is no index.
pub(super) fn read(bytes: &[u8], known: Option<&BTreeSet<u64>>) -> Option<Named> {
    let mut named = Named::default();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    Index { named: &mut named, known }.deserialize(&mut deserializer).ok()?;
    Some(named)
}

struct Index<'a> {
    named: &'a mut Named,
    known: Option<&'a BTreeSet<u64>>,
}

impl<'de> DeserializeSeed<'de> for Index<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Index<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an index of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Self { named, known } = self;
        while let Some(key) = entries.next_key::<String>()? {
            if key == "weight_map" {
                entries.next_value_seed(WeightMap { named, known })?;
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct WeightMap<'a> {
    named: &'a mut Named,
    known: Option<&'a BTreeSet<u64>>,
}

impl<'de> DeserializeSeed<'de> for WeightMap<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for WeightMap<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("files by tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some((tensor, file)) = entries.next_entry::<String, String>()? {
            if self.known.is_some_and(|known| !known.contains(&hash(&tensor))) {
                self.named.unknown += 1;
                self.named.first.get_or_insert(tensor);
            }
            if self.named.files.len() < FILES_MAX && !self.named.files.contains(&file) {
                self.named.files.insert(file);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_that_no_file_has_are_counted() {
        let text = br#"{"metadata": {"total_size": 3}, "weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "2.safetensors"}}"#;
        let known = BTreeSet::from([hash("a")]);
        let named = read(text, Some(&known)).unwrap();
        assert_eq!((named.unknown, named.first.as_deref()), (2, Some("b")));
        assert_eq!(named.files.len(), 2);
        assert_eq!(read(text, None).unwrap().unknown, 0);
        for other in [&b"[]"[..], b"{", br#"{"weight_map": {"a": 1}}"#] {
            assert_eq!(read(other, None), None);
        }
    }
}
