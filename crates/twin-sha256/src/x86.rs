//! The two compressions in one loop, on the SHA extensions of x86.

use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x, _mm_sha256msg1_epu32,
    _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
};

use crate::{BLOCK, State};

/// Round constants, FIPS 180-4 §4.2.2.
const K: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
    [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
    [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
    [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
    [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
    [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
    [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
    [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
    [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];

/// Compresses `blocks` into both states; returns `false`, with nothing done, on a processor without the extensions.
pub(crate) fn compress_twin(a: &mut State, b: &mut State, blocks: &[[u8; BLOCK]]) -> bool {
    if !(is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1") && is_x86_feature_detected!("ssse3")) {
        return false;
    }
    #[expect(unsafe_code, reason = "the processor's features are known only at run time")]
    // SAFETY: the features that the function is compiled for were detected just above.
    unsafe {
        compress(a, b, blocks);
    }
    true
}

/// A state in the order that the instructions want.
#[derive(Clone, Copy)]
struct Lanes {
    abef: __m128i,
    cdgh: __m128i,
}

#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn load(state: &State) -> Lanes {
    let word = |index: usize| state[index].cast_signed();
    Lanes {
        abef: _mm_set_epi32(word(0), word(1), word(4), word(5)),
        cdgh: _mm_set_epi32(word(2), word(3), word(6), word(7)),
    }
}

#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn store(Lanes { abef, cdgh }: Lanes) -> State {
    [
        _mm_extract_epi32::<3>(abef),
        _mm_extract_epi32::<2>(abef),
        _mm_extract_epi32::<3>(cdgh),
        _mm_extract_epi32::<2>(cdgh),
        _mm_extract_epi32::<1>(abef),
        _mm_extract_epi32::<0>(abef),
        _mm_extract_epi32::<1>(cdgh),
        _mm_extract_epi32::<0>(cdgh),
    ]
    .map(i32::cast_unsigned)
}

impl Lanes {
    /// Two rounds.
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn rounds(self, words: __m128i) -> Self {
        Self { abef: _mm_sha256rnds2_epu32(self.cdgh, self.abef, words), cdgh: self.abef }
    }

    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn add(self, other: Self) -> Self {
        Self { abef: _mm_add_epi32(self.abef, other.abef), cdgh: _mm_add_epi32(self.cdgh, other.cdgh) }
    }
}

#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn words(block: &[u8; BLOCK]) -> [__m128i; 4] {
    let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let (halves, _) = block.as_chunks::<8>();
    let half = |index: usize| i64::from_le_bytes(halves[index]);
    let quad = |index: usize| _mm_shuffle_epi8(_mm_set_epi64x(half(2 * index + 1), half(2 * index)), big_endian);
    [quad(0), quad(1), quad(2), quad(3)]
}

#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn compress(a: &mut State, b: &mut State, blocks: &[[u8; BLOCK]]) {
    let (mut first, mut second) = (load(a), load(b));
    for block in blocks {
        let before = (first, second);
        let mut w = words(block);
        // Written out, because a loop would keep `w` in memory and cost a third of the speed.
        macro_rules! rounds {
            ($($group:literal)+) => {$({
                const NOW: usize = $group % 4;
                if $group >= 4 {
                    // The schedule, FIPS 180-4 §6.2.2: w[t] from w[t-16], w[t-15], w[t-7] and w[t-2].
                    let sum = _mm_sha256msg1_epu32(w[NOW], w[(NOW + 1) % 4]);
                    let sum = _mm_add_epi32(sum, _mm_alignr_epi8::<4>(w[(NOW + 3) % 4], w[(NOW + 2) % 4]));
                    w[NOW] = _mm_sha256msg2_epu32(sum, w[(NOW + 3) % 4]);
                }
                let [k0, k1, k2, k3] = K[$group].map(u32::cast_signed);
                let low = _mm_add_epi32(w[NOW], _mm_set_epi32(k3, k2, k1, k0));
                (first, second) = (first.rounds(low), second.rounds(low));
                let high = _mm_shuffle_epi32::<0x0e>(low);
                (first, second) = (first.rounds(high), second.rounds(high));
            })+};
        }
        rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        (first, second) = (first.add(before.0), second.add(before.1));
    }
    (*a, *b) = (store(first), store(second));
}
