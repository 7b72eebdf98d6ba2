//! Sizes, counts and sentences that bars, lines and answers have in common.

use std::{fmt::Display, time::Duration};

use bytesize::ByteSize;
use modelcar_core::text::one_line;

/// Says that `what` is tried again after `wait`, and why. `attempt` is the number of the next try, counted from 1.
///
/// Most reasons begin with what was tried. Then `what` is not written a second time.
pub(super) fn retrying(what: &str, attempt: u32, wait: Duration, reason: &str) -> String {
    let seconds = wait.as_secs_f64();
    let failed = if reason.starts_with(what) { reason.to_owned() } else { format!("{what}: {reason}") };
    format!("try {attempt} in {seconds:.1} s: {}", one_line(&failed))
}

/// Says how many files of the source are not part of the image.
pub(super) fn left_out(files: usize, bytes: u64) -> String {
    format!("{} of {} left out, `modelcar plan` says why", count(files, "file"), size(bytes))
}

/// Formats a number of bytes for people, in binary units: `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// Returns a number with its noun: `1 layer`, `2 layers`.
pub(crate) fn count<N: Copy + Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_is_not_many() {
        let counts = [0_u64, 1, 2].map(|number| super::count(number, "layer"));
        assert_eq!(counts, ["0 layers", "1 layer", "2 layers"]);
    }
}
