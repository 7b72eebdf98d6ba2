//! Sizes, counts and sentences that bars, lines and answers have in common.

use std::{fmt::Display, time::Duration};

use bytesize::ByteSize;
use modelcar_core::text::one_line;

/// Says that `what` is tried again after `wait`, and why. `attempt` is the number of the next try, counted from 1, of
/// `attempts`.
///
/// Most reasons begin with what was tried. Then `what` is not written a second time.
pub(super) fn retrying(what: &str, (attempt, attempts): (u32, u32), wait: Duration, reason: &str) -> String {
    let seconds = wait.as_secs_f64();
    let failed = if reason.starts_with(what) { reason.to_owned() } else { format!("{what}: {reason}") };
    format!("try {attempt} of {attempts} in {seconds:.1} s: {}", one_line(&failed))
}

/// Says how many files of the source are not part of the image.
pub(super) fn left_out(files: usize, bytes: u64) -> String {
    format!("{} of {} left out, `modelcar plan` says why", count(files, "file"), size(bytes))
}

/// Says that a layer is sent again from its first byte. `layer` is its index in the plan.
pub(super) fn starts_over(layer: usize, reason: &str) -> String {
    format!("layer {} starts over: {reason}", layer + 1)
}

/// Returns how much of `all` is done, as a percentage that is 100 only at the end.
pub(super) fn percent(done: u64, all: u64) -> u64 {
    done.saturating_mul(100).checked_div(all).unwrap_or(100).min(100)
}

/// Returns the average rate in bytes a second.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rate for people"
)]
pub(super) fn rate(bytes: u64, time: Duration) -> u64 {
    (bytes as f64 / time.as_secs_f64().max(0.001)) as u64
}

/// Shortest time after which a rate says something about the time that is left.
const RATE_AFTER: Duration = Duration::from_secs(5);

/// Returns the time that is left, `12 s left`, from the average rate of `done` bytes in `time`. `None` while that rate is
/// unknown or zero.
pub(super) fn time_left(done: u64, all: u64, time: Duration) -> Option<String> {
    let rate = rate(done, time);
    let is_known = rate > 0 && time >= RATE_AFTER;
    is_known.then(|| format!("{} left", duration(Duration::from_secs(all.saturating_sub(done).div_ceil(rate)))))
}

/// Formats a time for people: `45 s`, `12 min`, `3 h 20 min`.
pub(super) fn duration(time: Duration) -> String {
    let (seconds, minutes) = (time.as_secs(), time.as_secs().div_ceil(60));
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

/// Cuts `text` in its middle, so that it has at most `width` characters. More is kept of the end: there are the numbers of
/// shards.
pub(super) fn cut_middle(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let head = kept / 4;
    let chars = |skip: usize, take: usize| text.chars().skip(skip).take(take);
    chars(0, head).chain(['…']).chain(chars(length - (kept - head), length)).collect()
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
    use super::*;

    #[test]
    fn names_keep_their_ends() {
        let name = "transformer/diffusion_pytorch_model-00001-of-00003.safetensors";
        assert_eq!(cut_middle(name, 32), "transfo…001-of-00003.safetensors");
        assert_eq!(cut_middle(name, 32).chars().count(), 32);
        assert_eq!(cut_middle("模型-00001", 8), "模型-00001");
        assert_eq!(cut_middle("模型-00001", 5), "模…001");
        assert_eq!(cut_middle("ab", 1), "…");
    }

    #[test]
    fn times_are_told_in_the_units_of_people() {
        let told = [0, 119, 120, 121, 7199, 7200, 12_000].map(|seconds| duration(Duration::from_secs(seconds)));
        assert_eq!(told, ["0 s", "119 s", "2 min", "3 min", "120 min", "2 h 0 min", "3 h 20 min"]);
    }

    #[test]
    fn no_time_is_left_while_the_rate_is_not_known() {
        let left = |done, seconds| time_left(done, 100, Duration::from_secs(seconds));
        assert_eq!(left(0, 60), None);
        assert_eq!(left(50, 4), None);
        assert_eq!(left(50, 10).as_deref(), Some("10 s left"));
        assert_eq!(left(100, 10).as_deref(), Some("0 s left"));
    }

    #[test]
    fn one_is_not_many() {
        let counts = [0_u64, 1, 2].map(|number| super::count(number, "layer"));
        assert_eq!(counts, ["0 layers", "1 layer", "2 layers"]);
    }
}
