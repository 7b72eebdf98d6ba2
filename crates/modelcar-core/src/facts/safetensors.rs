//! The header of a safetensors file: the length of the JSON as 64-bit little-endian number, then the JSON
//! (<https://github.com/huggingface/safetensors>).

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::index;

/// Bytes before the JSON: the length of the JSON.
pub(super) const PREFIX_BYTES: u64 = 8;
/// Longest JSON that is read, in bytes; the Hub's own client has the same limit.
pub(super) const HEADER_MAX_BYTES: u64 = 25_000_000;

/// Longest JSON that the format allows, in bytes.
const HEADER_LONGEST: u64 = 100_000_000;
/// Most dimensions of a tensor; more than any tensor has.
const SIDES_MAX: usize = 8;
/// Most dtypes of a model; more than there are.
const FORMATS_MAX: usize = 64;
/// The only key of the JSON that is not the name of a tensor.
const METADATA: &str = "__metadata__";

/// The tensors of one file or of several, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tensors {
    /// Elements and bytes of the tensors, by dtype.
    pub(super) counts: BTreeMap<String, Count>,
    /// A hash of each tensor's name, by `index::hash`.
    pub(super) names: Vec<u64>,
    /// Where the last tensor ends, in bytes from the end of the header.
    pub(super) end: u64,
}

/// Elements and bytes of all tensors of one dtype.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) elements: u64,
    pub(super) bytes: u64,
}

/// A tensor, as the header describes it.
#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Elements,
    data_offsets: (u64, u64),
}

/// The number of elements of a tensor: the product of the dimensions in its shape. The dimensions are not kept, because
/// a hostile header may list millions.
struct Elements(u64);

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sides;

        impl<'de> Visitor<'de> for Sides {
            type Value = Elements;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {SIDES_MAX} sides")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sides: A) -> Result<Elements, A::Error> {
                let (mut product, mut count) = (1_u64, 0);
                while let Some(side) = sides.next_element()? {
                    count += 1;
                    let fits = (count <= SIDES_MAX).then(|| product.checked_mul(side)).flatten();
                    product = fits.ok_or_else(|| A::Error::custom("a tensor with too many sides or elements"))?;
                }
                Ok(Elements(product))
            }
        }

        deserializer.deserialize_seq(Sides)
    }
}

impl<'de> Deserialize<'de> for Tensors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Header;

        impl<'de> Visitor<'de> for Header {
            type Value = Tensors;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tensors, A::Error> {
                let mut tensors = Tensors::default();
                while let Some(name) = entries.next_key::<String>()? {
                    if name == METADATA {
                        entries.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let Tensor { dtype, shape, data_offsets: (start, end) } = entries.next_value()?;
                    let count = end.checked_sub(start).map(|bytes| Count { elements: shape.0, bytes });
                    tensors.names.push(index::hash(&name));
                    tensors.end = tensors.end.max(end);
                    let added = count.and_then(|count| tensors.add(&dtype, count));
                    added.ok_or_else(|| A::Error::custom("a tensor that makes no sense"))?;
                }
                Ok(tensors)
            }
        }

        deserializer.deserialize_map(Header)
    }
}

/// Returns the length of the header's JSON in bytes, which the first eight bytes of a file state. `None` when the
/// format allows no such length.
pub(super) fn header_len(prefix: &[u8]) -> Option<u64> {
    let len = u64::from_le_bytes(prefix.get(..8)?.try_into().ok()?);
    (2..=HEADER_LONGEST).contains(&len).then_some(len)
}

/// Counts the tensors of a header's JSON; `None` when the JSON is malformed.
pub(super) fn parse(header: &[u8]) -> Option<Tensors> {
    serde_json::from_slice(header).ok()
}

impl Tensors {
    /// Adds a count of one dtype; `None` when a sum overflows, or there are too many dtypes.
    fn add(&mut self, dtype: &str, more: Count) -> Option<()> {
        let dtype = super::config::text(dtype)?;
        if self.counts.len() == FORMATS_MAX && !self.counts.contains_key(&dtype) {
            return None;
        }
        let count = self.counts.entry(dtype).or_default();
        count.elements = count.elements.checked_add(more.elements)?;
        count.bytes = count.bytes.checked_add(more.bytes)?;
        Some(())
    }

    /// Adds the counts of another file, without the names. `None` as for `add`.
    pub(super) fn merge(&mut self, other: &Self) -> Option<()> {
        other.counts.iter().try_for_each(|(dtype, count)| self.add(dtype, *count))
    }

    /// Returns the number of elements of all dtypes; `None` when the sum overflows.
    pub(super) fn elements(&self) -> Option<u64> {
        self.counts.values().try_fold(0_u64, |sum, count| sum.checked_add(count.elements))
    }

    /// Returns the dtype that takes most bytes.
    pub(super) fn dtype(&self) -> Option<&str> {
        self.counts.iter().max_by_key(|(_, count)| count.bytes).map(|(dtype, _)| dtype.as_str())
    }
}
