//! SHA-256 of a stream and of a stretch inside it, for the price of one.
//!
//! A file in a tar layer is hashed twice: as the file, whose digest its source vouches for, and as a part of the
//! layer. The tar header before it is a multiple of 64 bytes, so both hashes see the same blocks. They then share the
//! message schedule, and their rounds fill each other's waits: one SHA-256 leaves half of a core's SHA unit idle,
//! because each round needs the one before.
//!
//! [`TwinSha256`] works with any stream; it is fast while the stretch begins at a multiple of 64 bytes, which is
//! where a tar file's content always lies.

#[cfg(target_arch = "x86_64")]
mod x86;

use std::fmt;

use sha2::{Digest, Sha256, block_api::compress256};

const BLOCK: usize = 64;
const INITIAL: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

type State = [u32; 8];

/// A running SHA-256 of a stream, and at times of a stretch inside it.
///
/// ```
/// use sha2::{Digest, Sha256};
/// let mut hash = twin_sha256::TwinSha256::new();
/// hash.update(&[0; 512]);
/// hash.begin_stretch();
/// hash.update(b"content");
/// assert_eq!(hash.end_stretch(), Some(Sha256::digest(b"content").into()));
/// hash.update(&[0; 505]);
/// assert_eq!(hash.finish(), <[u8; 32]>::from(Sha256::digest([&[0; 512][..], b"content", &[0; 505]].concat())));
/// ```
#[derive(Clone)]
pub struct TwinSha256 {
    state: State,
    /// Bytes of the stream.
    len: u64,
    /// The bytes of the stream's unfinished block; `len % 64` of them count.
    block: [u8; BLOCK],
    stretch: Option<Stretch>,
}

#[derive(Clone)]
enum Stretch {
    /// Began at a multiple of 64 bytes: its blocks are the stream's.
    Aligned {
        state: State,
        len: u64,
    },
    Odd(Sha256),
}

impl Default for TwinSha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TwinSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwinSha256").field("len", &self.len).finish_non_exhaustive()
    }
}

impl TwinSha256 {
    /// Begins a stream.
    pub fn new() -> Self {
        Self { state: INITIAL, len: 0, block: [0; BLOCK], stretch: None }
    }

    /// Returns the number of bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns whether there are no bytes so far.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Begins a stretch here; one that has not ended is forgotten.
    pub fn begin_stretch(&mut self) {
        self.stretch = Some(match self.filled() {
            0 => Stretch::Aligned { state: INITIAL, len: 0 },
            _ => Stretch::Odd(Sha256::new()),
        });
    }

    /// Takes the next bytes of the stream and, within one, of the stretch.
    pub fn update(&mut self, mut bytes: &[u8]) {
        match &mut self.stretch {
            Some(Stretch::Odd(hasher)) => hasher.update(bytes),
            Some(Stretch::Aligned { len, .. }) => *len += bytes.len() as u64,
            None => (),
        }
        let filled = self.filled();
        self.len += bytes.len() as u64;
        if filled > 0 {
            let take = bytes.len().min(BLOCK - filled);
            self.block[filled..filled + take].copy_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if filled + take < BLOCK {
                return;
            }
            let block = self.block;
            self.compress(&[block]);
        }
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        self.compress(blocks);
        self.block[..rest.len()].copy_from_slice(rest);
    }

    /// Ends the stretch and returns its digest, or `None` when there is none.
    pub fn end_stretch(&mut self) -> Option<[u8; 32]> {
        let filled = self.filled();
        Some(match self.stretch.take()? {
            Stretch::Aligned { state, len } => pad(state, len, &self.block[..filled]),
            Stretch::Odd(hasher) => hasher.finalize().into(),
        })
    }

    /// Returns the stream's digest.
    pub fn finish(self) -> [u8; 32] {
        pad(self.state, self.len, &self.block[..self.filled()])
    }

    fn filled(&self) -> usize {
        usize::try_from(self.len % BLOCK as u64).unwrap_or_default()
    }

    fn compress(&mut self, blocks: &[[u8; BLOCK]]) {
        match &mut self.stretch {
            Some(Stretch::Aligned { state, .. }) => compress_twin(&mut self.state, state, blocks),
            _ => compress256(&mut self.state, blocks),
        }
    }
}

/// Compresses the same blocks into both states.
fn compress_twin(a: &mut State, b: &mut State, blocks: &[[u8; BLOCK]]) {
    #[cfg(target_arch = "x86_64")]
    if x86::compress_twin(a, b, blocks) {
        return;
    }
    // Block by block, so that a core with wide execution overlaps the two.
    for block in blocks.chunks(1) {
        compress256(a, block);
        compress256(b, block);
    }
}

/// Adds the padding of FIPS 180-4 §5.1.1 to a state that has taken all of `len` bytes but `rest`.
fn pad(mut state: State, len: u64, rest: &[u8]) -> [u8; 32] {
    let mut blocks = [[0; BLOCK]; 2];
    let tail = blocks.as_flattened_mut();
    tail[..rest.len()].copy_from_slice(rest);
    tail[rest.len()] = 0x80;
    let end = if rest.len() < BLOCK - 8 { BLOCK } else { 2 * BLOCK };
    tail[end - 8..end].copy_from_slice(&(len * 8).to_be_bytes());
    compress256(&mut state, &blocks[..end / BLOCK]);
    let mut digest = [0; 32];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(bytes: &[u8]) -> [u8; 32] {
        Sha256::digest(bytes).into()
    }

    proptest! {
        #[test]
        fn both_digests_are_those_of_sha2(
            bytes in prop::collection::vec(any::<u8>(), 0..2000),
            begin in 0_usize..1000,
            aligned in any::<bool>(),
            len in 0_usize..1000,
            cuts in prop::collection::vec(1_usize..300, 1..20),
        ) {
            let begin = (if aligned { begin / BLOCK * BLOCK } else { begin }).min(bytes.len());
            let end = (begin + len).min(bytes.len());
            let mut hash = TwinSha256::new();
            let mut cuts = cuts.iter().cycle();
            let mut feed = |hash: &mut TwinSha256, mut bytes: &[u8]| {
                while !bytes.is_empty() {
                    let (now, later) = bytes.split_at((*cuts.next().unwrap()).min(bytes.len()));
                    hash.update(now);
                    bytes = later;
                }
            };
            feed(&mut hash, &bytes[..begin]);
            hash.begin_stretch();
            feed(&mut hash, &bytes[begin..end]);
            prop_assert_eq!(hash.end_stretch(), Some(of(&bytes[begin..end])));
            feed(&mut hash, &bytes[end..]);
            prop_assert_eq!(hash.len(), bytes.len() as u64);
            prop_assert_eq!(hash.finish(), of(&bytes));
        }

        #[test]
        fn the_portable_way_agrees(a in any::<State>(), b in any::<State>(), bytes in any::<[[u8; BLOCK]; 5]>()) {
            let (mut a1, mut b1, mut a2, mut b2) = (a, b, a, b);
            compress_twin(&mut a1, &mut b1, &bytes);
            compress256(&mut a2, &bytes);
            compress256(&mut b2, &bytes);
            prop_assert_eq!((a1, b1), (a2, b2));
        }
    }

    #[test]
    fn stretches_may_follow_each_other() {
        let mut hash = TwinSha256::new();
        assert_eq!(hash.end_stretch(), None);
        for size in [0, 1, 55, 56, 63, 64, 65, 4096] {
            hash.begin_stretch();
            hash.update(&vec![7; size]);
            assert_eq!(hash.end_stretch(), Some(of(&vec![7; size])), "{size}");
            hash.update(&vec![0; (BLOCK - size % BLOCK) % BLOCK]);
        }
    }
}
