//! Owns numbers that compress as weights do: bfloat16, normally distributed.

use std::io::{self, Write};

use modelcar_testkit::Content;

/// The standard deviation of usual weights.
const DEVIATION: f32 = 0.02;
/// The standard deviation of a sum of four numbers of 16 bits.
const SUM_DEVIATION: f32 = 37_837.0;

/// Writes the header of the safetensors file `like`, and as many bytes of numbers as the file has.
pub(crate) fn write_weights(out: &mut impl Write, like: &Content, seed: u64) -> io::Result<()> {
    let header = 8 + u64::from_le_bytes(like.bytes(0, 8)[..].try_into().map_err(io::Error::other)?);
    out.write_all(&like.bytes(0, header))?;
    let mut state = seed << 40;
    (0..(like.len() - header) / 2).try_for_each(|_| {
        state += 1;
        out.write_all(&weight(mix(state)))
    })
}

/// Makes a number of 64 random bits: the sum of four numbers of 16 bits is close enough to a normal distribution.
fn weight(random: u64) -> [u8; 2] {
    let [a, b, c, d] = [0, 16, 32, 48].map(|shift| f32::from((random >> shift) as u16));
    let number = (a + b + c + d - 131_070.0) * (DEVIATION / SUM_DEVIATION);
    let [_, _, low, high] = number.to_le_bytes();
    [low, high]
}

/// The finishing step of the splitmix64 generator, of a multiple of its constant.
fn mix(state: u64) -> u64 {
    let mut value = state.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use modelcar_testkit::synthetic_model;

    use super::*;

    #[test]
    fn gzip_takes_a_fifth_off_as_of_real_weights() {
        let model = synthetic_model(1, 4 << 20);
        let (_, shard) = model.files().find(|(_, file)| file.lfs).unwrap();
        let mut out = Vec::new();
        write_weights(&mut out, &shard.content, 1).unwrap();
        assert_eq!(out.len() as u64, shard.size());
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
        encoder.write_all(&out).unwrap();
        let share = encoder.finish().unwrap().len() * 100 / out.len();
        assert!((74..86).contains(&share), "{share} %");
    }
}
