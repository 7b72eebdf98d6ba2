//! The header of a GGUF file (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>): metadata, then the list of
//! tensors. All numbers are little-endian.

use std::collections::BTreeMap;

use super::{
    ModelFacts, Task,
    config::{is_count, text},
};

/// Longest header that is read, in bytes. The header contains the tokenizer, so several megabytes are usual.
pub(super) const HEADER_MAX_BYTES: u64 = 64 << 20;

/// The first bytes of every GGUF file.
const MAGIC: &[u8] = b"GGUF";
/// Most keys and most tensors of a file; more than any file has.
const COUNT_MAX: u64 = 1 << 20;
/// Most dimensions of a tensor; more than any tensor has.
const DIMENSIONS_MAX: u32 = 8;
/// The type `array` of a metadata value.
const ARRAY: u32 = 9;
/// The type `string` of a metadata value.
const STRING: u32 = 8;

/// Why a header could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes end before the header does.
    NeedMore,
    /// The bytes are not a GGUF header of version 2 or 3.
    Invalid,
}

/// The metadata of a header that facts are read from, and the size of the tensors.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// Metadata of integer types of 32 and 64 bits, by key.
    numbers: BTreeMap<String, u64>,
    /// Metadata of type `string`, by key, except long ones.
    texts: BTreeMap<String, String>,
    has_chat_template: bool,
    /// Number of elements of all tensors in this file.
    pub(super) elements: u64,
    /// Smallest size of a whole file with this header, in bytes. A smaller file is truncated.
    pub(super) file_bytes: u64,
}

/// Reads a header from the first bytes of a file.
pub(super) fn parse(bytes: &[u8]) -> Result<Header, Stop> {
    let mut cursor = Cursor { bytes };
    if cursor.take(4)? != MAGIC || !(2..=3).contains(&cursor.u32()?) {
        return Err(Stop::Invalid);
    }
    let (tensors, keys) = (cursor.u64()?, cursor.u64()?);
    if tensors > COUNT_MAX || keys > COUNT_MAX {
        return Err(Stop::Invalid);
    }
    let mut header = Header::default();
    for _ in 0..keys {
        header.pair(&mut cursor)?;
    }
    let mut data_bytes = 0_u64;
    for _ in 0..tensors {
        cursor.string()?;
        let dimensions = cursor.u32()?;
        if dimensions > DIMENSIONS_MAX {
            return Err(Stop::Invalid);
        }
        let mut elements = 1_u64;
        for _ in 0..dimensions {
            elements = elements.checked_mul(cursor.u64()?).ok_or(Stop::Invalid)?;
        }
        header.elements = header.elements.checked_add(elements).ok_or(Stop::Invalid)?;
        let (kind, offset) = (cursor.u32()?, cursor.u64()?);
        let bytes = tensor_bytes(kind, elements).ok_or(Stop::Invalid)?;
        data_bytes = data_bytes.max(offset.checked_add(bytes).ok_or(Stop::Invalid)?);
    }
    let header_bytes = (bytes.len() - cursor.bytes.len()) as u64;
    let alignment = header.numbers.get("general.alignment").copied().filter(|alignment| is_count(*alignment));
    let data_start = header_bytes.next_multiple_of(alignment.unwrap_or(DEFAULT_ALIGNMENT));
    // A file without tensors may end behind the header, without padding.
    header.file_bytes = if tensors == 0 { header_bytes } else { data_start.saturating_add(data_bytes) };
    Ok(header)
}

impl Header {
    /// Reads one key of the metadata and its value.
    fn pair(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        let key = String::from_utf8_lossy(cursor.string()?).into_owned();
        let kind = cursor.u32()?;
        match kind {
            STRING => {
                let value = cursor.string()?;
                self.has_chat_template |= key == "tokenizer.chat_template" && !value.is_empty();
                if let Some(value) = std::str::from_utf8(value).ok().and_then(text) {
                    self.texts.insert(key, value);
                }
            }
            ARRAY => cursor.skip_array(0)?,
            kind => {
                let bytes = cursor.take(scalar_bytes(kind)?)?;
                if let Some(number) = integer(kind, bytes) {
                    self.numbers.insert(key, number);
                }
            }
        }
        Ok(())
    }

    /// Adds what the header of a model's first file says to `facts`.
    pub(super) fn add_to(&self, facts: &mut ModelFacts) {
        let Some(architecture) = self.texts.get("general.architecture") else { return };
        let number =
            |key: &str| self.numbers.get(&format!("{architecture}.{key}")).copied().filter(|value| is_count(*value));
        facts.architecture = Some(architecture.clone());
        facts.task = Some(if architecture.contains("bert") { Task::Embedding } else { Task::TextGeneration });
        facts.context_length = number("context_length");
        facts.chat_template = Some(self.has_chat_template);
        let file_type = self.numbers.get("general.file_type");
        facts.quantization = file_type.and_then(|kind| file_type_name(*kind)).map(str::to_owned);
        let heads = number("attention.head_count");
        facts.attention_heads = heads;
        let head_dim = number("attention.key_length")
            .or_else(|| number("embedding_length").zip(heads).map(|(width, heads)| width / heads));
        let kv_heads = number("attention.head_count_kv").or(heads);
        let numbers = number("block_count").zip(kv_heads).zip(head_dim);
        facts.cache_bytes_per_token = numbers.and_then(|((layers, heads), dim)| {
            // Keys and values, two bytes a number.
            layers.checked_mul(heads)?.checked_mul(dim)?.checked_mul(2 * 2)
        });
    }
}

/// The offset of the tensor data in the file is a multiple of this many bytes, unless `general.alignment` says
/// otherwise.
const DEFAULT_ALIGNMENT: u64 = 32;

/// Returns the size of a tensor in bytes; `None` when the size overflows 64 bits. A tensor of an unknown type counts 0
/// bytes, so that no file with a newer quantization is taken for truncated.
fn tensor_bytes(kind: u32, elements: u64) -> Option<u64> {
    // Elements and bytes of a block, by the numbers of `ggml_type` (ggml.h) and the block structs of ggml-common.h.
    let (block, bytes) = match kind {
        0 | 26 => (1, 4),
        1 | 25 | 30 => (1, 2),
        24 => (1, 1),
        27 | 28 => (1, 8),
        2 | 20 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        9 => (32, 36),
        10 => (256, 84),
        11 | 21 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        15 => (256, 292),
        16 => (256, 66),
        17 => (256, 74),
        18 => (256, 98),
        19 => (256, 50),
        22 => (256, 82),
        23 => (256, 136),
        29 => (256, 56),
        39 => (32, 17),
        _ => return Some(0),
    };
    elements.div_ceil(block).checked_mul(bytes)
}

/// Returns the name of a quantization, by llama.cpp's numbers of `general.file_type`; `None` for an unknown number.
fn file_type_name(kind: u64) -> Option<&'static str> {
    Some(match kind {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        7 => "Q8_0",
        8 => "Q5_0",
        9 => "Q5_1",
        10 => "Q2_K",
        11 => "Q3_K_S",
        12 => "Q3_K_M",
        13 => "Q3_K_L",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        18 => "Q6_K",
        32 => "BF16",
        _ => return None,
    })
}

/// Returns an integer of 32 or 64 bits, signed or unsigned; `None` for a negative one and for every other type.
fn integer(kind: u32, bytes: &[u8]) -> Option<u64> {
    match kind {
        4 => Some(u32::from_le_bytes(bytes.try_into().ok()?).into()),
        5 => u64::try_from(i32::from_le_bytes(bytes.try_into().ok()?)).ok(),
        10 => Some(u64::from_le_bytes(bytes.try_into().ok()?)),
        11 => u64::try_from(i64::from_le_bytes(bytes.try_into().ok()?)).ok(),
        _ => None,
    }
}

/// Returns the size of a scalar metadata value in bytes, by the number of its type.
fn scalar_bytes(kind: u32) -> Result<u64, Stop> {
    match kind {
        0 | 1 | 7 => Ok(1),
        2 | 3 => Ok(2),
        4..=6 => Ok(4),
        10..=12 => Ok(8),
        _ => Err(Stop::Invalid),
    }
}

/// The bytes of a header that are still to be read.
struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Takes the next `len` bytes. No part of a valid header is longer than [`HEADER_MAX_BYTES`].
    fn take(&mut self, len: u64) -> Result<&'a [u8], Stop> {
        if len > HEADER_MAX_BYTES {
            return Err(Stop::Invalid);
        }
        let len = usize::try_from(len).map_err(|_| Stop::Invalid)?;
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(Stop::NeedMore)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, Stop> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes(bytes.try_into().map_err(|_| Stop::Invalid)?))
    }

    fn u64(&mut self) -> Result<u64, Stop> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| Stop::Invalid)?))
    }

    /// Takes a string: its length in bytes as a 64-bit number, then the bytes.
    fn string(&mut self) -> Result<&'a [u8], Stop> {
        let len = self.u64()?;
        self.take(len)
    }

    /// Skips an array: the type of the values, the number of values, then the values.
    fn skip_array(&mut self, depth: u32) -> Result<(), Stop> {
        let (kind, len) = (self.u32()?, self.u64()?);
        match kind {
            STRING => {
                for _ in 0..len {
                    self.string()?;
                }
            }
            // The format allows arrays of arrays. Deeper nesting than two levels is refused, so that the stack can't
            // overflow.
            ARRAY if depth < 2 => {
                for _ in 0..len {
                    self.skip_array(depth + 1)?;
                }
            }
            kind => {
                self.take(scalar_bytes(kind)?.checked_mul(len).ok_or(Stop::Invalid)?)?;
            }
        }
        Ok(())
    }
}
