//! Owns file contents: bytes in memory, bytes on disk, or pseudo-random bytes made on demand.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use bytes::{Bytes, BytesMut};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// Length of one block of seeded content.
const BLOCK: u64 = 1 << 20;
/// Bytes at the start of each block that depend on the block's number.
const STAMP: u64 = 8;
/// Bytes read from disk at a time.
const FILE_CHUNK: u64 = 256 << 10;
/// Seeds whose block is kept in memory.
const CACHED_SEEDS: usize = 256;

/// The bytes of one file; cheap to clone, readable at any offset.
#[derive(Clone, Debug)]
pub enum Content {
    /// Bytes held in memory.
    Bytes(Bytes),
    /// Pseudo-random bytes, a pure function of seed and offset; costs no memory or disk.
    Seeded {
        /// Chooses the bytes.
        seed: u64,
        /// Total length.
        len: u64,
    },
    /// A file on disk and its length.
    File(PathBuf, u64),
    /// Several contents one after another.
    Concat(Vec<Self>),
}

impl Content {
    /// Total length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Seeded { len, .. } | Self::File(_, len) => *len,
            Self::Concat(parts) => parts.iter().map(Self::len).sum(),
        }
    }

    /// True when there is not a single byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads `len` bytes from `offset`, cut at the end of the content.
    pub fn read(&self, offset: u64, len: u64) -> Chunks {
        let mut leaves = VecDeque::new();
        let end = offset.saturating_add(len).min(self.len());
        if offset < end {
            self.collect(offset, end - offset, &mut leaves);
        }
        Chunks { leaves, file: None, buffer: BytesMut::new() }
    }

    /// Reads a range into one buffer; panics when a file cannot be read.
    pub fn bytes(&self, offset: u64, len: u64) -> Bytes {
        let mut buffer = BytesMut::new();
        for chunk in self.read(offset, len) {
            buffer.extend_from_slice(&chunk.expect("content is readable"));
        }
        buffer.freeze()
    }

    /// SHA-256 in lower-case hex, computed on each call.
    pub fn sha256(&self) -> String {
        let mut hasher = Sha256::new();
        for chunk in self.read(0, u64::MAX) {
            hasher.update(chunk.expect("content is readable"));
        }
        hex(&hasher.finalize())
    }

    /// Git blob id (SHA-1 over `blob <len>\0` and the content), computed on each call.
    pub fn git_sha1(&self) -> String {
        let mut hasher = Sha1::new();
        hasher.update(format!("blob {}\0", self.len()));
        for chunk in self.read(0, u64::MAX) {
            hasher.update(chunk.expect("content is readable"));
        }
        hex(&hasher.finalize())
    }

    fn collect(&self, offset: u64, len: u64, leaves: &mut VecDeque<Leaf>) {
        let Self::Concat(parts) = self else {
            leaves.push_back(Leaf { content: self.clone(), offset, len });
            return;
        };
        let (mut start, end) = (0, offset + len);
        for part in parts {
            let stop = start + part.len();
            let (from, to) = (offset.max(start), end.min(stop));
            if from < to {
                part.collect(from - start, to - from, leaves);
            }
            start = stop;
        }
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Bytes(text.into())
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Bytes(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Content {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(bytes))
    }
}

/// Iterator over a range of a [`Content`]; chunks are at most 1 MiB unless held in memory.
#[derive(Debug)]
pub struct Chunks {
    leaves: VecDeque<Leaf>,
    file: Option<File>,
    buffer: BytesMut,
}

#[derive(Debug)]
struct Leaf {
    content: Content,
    offset: u64,
    len: u64,
}

impl Iterator for Chunks {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        let leaf = self.leaves.front_mut()?;
        let chunk = match &leaf.content {
            Content::Bytes(bytes) => {
                let start = to_usize(leaf.offset);
                bytes.slice(start..start + to_usize(leaf.len))
            }
            Content::Seeded { seed, .. } => seeded(*seed, leaf.offset, leaf.len),
            Content::File(path, _) => {
                let read = read_file(&mut self.file, &mut self.buffer, path, leaf.offset, leaf.len.min(FILE_CHUNK));
                match read {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        self.leaves.clear();
                        return Some(Err(error));
                    }
                }
            }
            Content::Concat(_) => unreachable!("collect() flattens concatenations"),
        };
        leaf.offset += chunk.len() as u64;
        leaf.len -= chunk.len() as u64;
        if leaf.len == 0 {
            self.leaves.pop_front();
            self.file = None;
        }
        Some(Ok(chunk))
    }
}

/// Reads into `buffer`, which takes its memory back once the bytes read before are dropped.
fn read_file(
    open: &mut Option<File>,
    buffer: &mut BytesMut,
    path: &PathBuf,
    offset: u64,
    len: u64,
) -> io::Result<Bytes> {
    if open.is_none() {
        *open = Some(File::open(path)?);
    }
    buffer.resize(to_usize(len), 0);
    if let Some(file) = open {
        file.read_exact_at(buffer, offset)?;
    }
    Ok(buffer.split().freeze())
}

/// The seeded bytes from `offset` up to the next stamp or block boundary.
fn seeded(seed: u64, offset: u64, len: u64) -> Bytes {
    let within = offset % BLOCK;
    if within < STAMP {
        let stamp = mix(seed ^ mix(offset / BLOCK)).to_le_bytes();
        let stop = STAMP.min(within + len);
        return Bytes::copy_from_slice(&stamp[to_usize(within)..to_usize(stop)]);
    }
    block(seed).slice(to_usize(within)..to_usize(BLOCK.min(within + len)))
}

/// The block repeated throughout one seed's content.
fn block(seed: u64) -> Bytes {
    static BLOCKS: OnceLock<Mutex<HashMap<u64, Bytes>>> = OnceLock::new();
    let mut blocks = BLOCKS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(block) = blocks.get(&seed) {
        return block.clone();
    }
    if blocks.len() >= CACHED_SEEDS {
        blocks.clear();
    }
    let mut block = BytesMut::with_capacity(to_usize(BLOCK));
    let mut state = seed;
    for _ in 0..BLOCK / 8 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        block.extend_from_slice(&mix(state).to_le_bytes());
    }
    blocks.entry(seed).or_insert(block.freeze()).clone()
}

/// The finishing step of the splitmix64 generator.
pub(crate) fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Lower-case hex of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string succeeds");
        text
    })
}

/// Narrows a length that is known to fit memory.
pub(crate) fn to_usize(value: u64) -> usize {
    usize::try_from(value).expect("length fits the address space")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_content_is_the_same_from_every_offset() {
        let content = Content::Seeded { seed: 7, len: 3 * BLOCK + 17 };
        let whole = content.bytes(0, u64::MAX);
        assert_eq!(whole.len() as u64, content.len());
        for offset in [0, 3, 8, BLOCK - 1, BLOCK, BLOCK + 5, 3 * BLOCK + 16] {
            let start = to_usize(offset);
            assert_eq!(content.bytes(offset, 40), whole.slice(start..whole.len().min(start + 40)));
        }
        assert_ne!(whole.slice(0..8), whole.slice(to_usize(BLOCK)..to_usize(BLOCK) + 8));
    }

    #[test]
    fn concatenation_reads_across_parts() {
        let content = Content::Concat(vec!["abc".into(), "".into(), "defg".into()]);
        assert_eq!(content.bytes(2, 3), "cde");
        assert_eq!(content.bytes(6, 9), "g");
        assert_eq!(content.bytes(7, 9), "");
    }

    #[test]
    fn digests_match_known_values() {
        let hello = Content::from("hello\n");
        assert_eq!(hello.git_sha1(), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(hello.sha256(), "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
    }
}
