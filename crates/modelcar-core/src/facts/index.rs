//! Reads an index of shards (`model.safetensors.index.json`), whose `weight_map` says which file holds which tensor.
//!
//! The index is parsed as a stream: its tens of megabytes are not turned into a tree of values.

use std::{
    collections::BTreeSet,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};

/// Largest index that is read, in bytes, because the index is held in memory.
pub(super) const INDEX_MAX_BYTES: u64 = 32 << 20;
/// Most files of an index that are kept; more than any index names.
const FILES_MAX: usize = 100_000;

/// Returns a hash of a tensor's name, which takes less memory than the name: a mixture-of-experts model has some
/// hundred thousand tensors.
pub(super) fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// The files that an index names, and the tensors that no file has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// The files, as the index writes them: relative to the folder of the index.
    pub(super) files: BTreeSet<String>,
    /// Name of the first tensor that no file has.
    pub(super) first: Option<String>,
    /// Number of tensors that no file has.
    pub(super) unknown: usize,
}

/// Reads an index. `known` are the hashes of the names of all tensors in the model's files; `None`, when a header could
/// not be read, compares no tensor. Returns `None` when the bytes are not an index.
pub(super) fn read(bytes: &[u8], known: Option<&BTreeSet<u64>>) -> Option<Named> {
    let mut named = Named::default();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    Index { named: &mut named, known }.deserialize(&mut deserializer).ok()?;
    Some(named)
}

/// Reads the JSON object of an index. Every key except `weight_map` is skipped.
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

/// Reads `weight_map`: the names of tensors, each with the file that holds the tensor.
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
