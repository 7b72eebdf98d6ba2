//! The header of a safetensors file: eight bytes of length, then JSON (<https://github.com/huggingface/safetensors>).

use std::collections::BTreeMap;

use serde::Deserialize;

/// Bytes before the JSON.
pub(super) const PREFIX_BYTES: u64 = 8;
/// Longest header that is read: what the Hub's own client reads.
pub(super) const HEADER_MAX_BYTES: u64 = 25_000_000;

/// Elements and bytes by number format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tensors(pub(super) BTreeMap<String, Count>);

/// How much there is of one number format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) elements: u64,
    pub(super) bytes: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Tensor { dtype: String, shape: Vec<u64>, data_offsets: (u64, u64) },
    // `__metadata__`, whatever it holds.
    Other(serde::de::IgnoredAny),
}

/// Returns the length of the header's JSON, when the file can be what it says it is.
pub(super) fn header_len(prefix: &[u8], file_size: u64) -> Option<u64> {
    let len = u64::from_le_bytes(prefix.get(..8)?.try_into().ok()?);
    (len <= HEADER_MAX_BYTES && len <= file_size.checked_sub(PREFIX_BYTES)?).then_some(len)
}

/// Counts the tensors of a header.
pub(super) fn parse(header: &[u8]) -> Option<Tensors> {
    let entries: BTreeMap<String, Entry> = serde_json::from_slice(header).ok()?;
    let mut tensors = Tensors::default();
    for entry in entries.into_values() {
        let Entry::Tensor { dtype, shape, data_offsets: (start, end) } = entry else { continue };
        let elements = shape.iter().try_fold(1_u64, |product, side| product.checked_mul(*side))?;
        tensors.add(&dtype, Count { elements, bytes: end.checked_sub(start)? })?;
    }
    Some(tensors)
}

impl Tensors {
    fn add(&mut self, dtype: &str, more: Count) -> Option<()> {
        let count = self.0.entry(super::config::text(dtype)?).or_default();
        count.elements = count.elements.checked_add(more.elements)?;
        count.bytes = count.bytes.checked_add(more.bytes)?;
        Some(())
    }

    /// Adds the tensors of another file.
    pub(super) fn merge(&mut self, other: &Self) -> Option<()> {
        other.0.iter().try_for_each(|(dtype, count)| self.add(dtype, *count))
    }

    /// Returns the elements of all formats.
    pub(super) fn elements(&self) -> Option<u64> {
        self.0.values().try_fold(0_u64, |sum, count| sum.checked_add(count.elements))
    }

    /// Returns the format that holds most bytes.
    pub(super) fn dtype(&self) -> Option<&str> {
        self.0.iter().max_by_key(|(_, count)| count.bytes).map(|(dtype, _)| dtype.as_str())
    }
}
