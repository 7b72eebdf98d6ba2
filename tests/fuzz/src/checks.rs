//! What every target checks, and the faults that are planted to prove that a target finds faults.

use std::{error::Error, fmt::Display, hint::black_box};

/// Bytes that a message may have, beside what it repeats of the input.
const MESSAGE_BYTES: usize = 4096;
/// How often one message may repeat the whole input.
const REPEATS: usize = 4;

/// Checks that a message is not much longer than the input that it is about.
pub(crate) fn brief(message: impl Display, data: &[u8]) {
    let len = message.to_string().len();
    assert!(len <= MESSAGE_BYTES + REPEATS * data.len(), "a message of {len} bytes about {} bytes", data.len());
}

/// Checks the messages of an error and of its causes.
pub(crate) fn brief_error(error: &dyn Error, data: &[u8]) {
    let mut next = Some(error);
    while let Some(error) = next {
        brief(error, data);
        next = error.source();
    }
}

/// Panics where what was read is larger than in any seed, by three steps. The steps are branches of their own, so that
/// libFuzzer keeps an input that is one step nearer. Only `tests/fuzz/run --planted` plants it.
pub(crate) fn planted(read: impl TryInto<u64>, steps: [u64; 3]) {
    let read = read.try_into().unwrap_or_default();
    if cfg!(feature = "planted") && black_box(read) > steps[0] && black_box(read) > steps[1] {
        assert!(black_box(read) <= steps[2], "the planted fault");
    }
}
