//! The two streams: the answer on stdout, everything else on stderr.

mod bars;
mod lines;

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    process::ExitCode,
    sync::Arc,
};

use bytesize::ByteSize;
use indicatif::ProgressDrawTarget;
use modelcar_core::{
    progress::{NoProgress, Progress},
    sink::Published,
    text::one_line,
};
use modelcar_kserve::sizing::NodeDisk;

use self::{bars::Bars, lines::Lines};
use crate::{args::ProgressMode, hint::Failure, interrupt::INTERRUPTED, outcome::Outcome};

/// Prints the answer or the failure and returns the exit status.
pub(crate) fn finish(result: Result<Outcome, Failure>) -> ExitCode {
    match result {
        Ok(Outcome::Answer(text)) => print(&text, ExitCode::SUCCESS),
        Ok(Outcome::No(text)) => print(&text, ExitCode::from(1)),
        Ok(Outcome::Unknown(text)) => print(&text, ExitCode::from(2)),
        Ok(Outcome::Interrupted(published)) => {
            say(&format!("interrupted: {}", self::published(published.as_ref())));
            ExitCode::from(INTERRUPTED)
        }
        Err(failure) => {
            say(&failure.to_string());
            ExitCode::from(2)
        }
    }
}

fn print(answer: &str, status: ExitCode) -> ExitCode {
    match writeln!(io::stdout().lock(), "{}", answer.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            finish(Err(Failure::new(error, "write the answer to stdout")))
        }
        // On a broken pipe whoever reads the answer has enough of it.
        _ => status,
    }
}

/// Returns what was given a name before the end came.
pub(crate) fn published(published: Option<&Published>) -> String {
    let Some(Published { digest, names, perhaps }) = published else { return "nothing was published".to_owned() };
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    let certain = match quoted.len() {
        0 => None,
        1 => Some(format!("{} points to `{digest}` already", quoted[0])),
        _ => Some(format!("{} point to `{digest}` already", quoted.join(", "))),
    };
    let uncertain = perhaps.as_ref().map(|name| format!("`{name}` may point to `{digest}` by now"));
    certain.into_iter().chain(uncertain).collect::<Vec<_>>().join("; ")
}

/// Writes a warning to stderr.
pub(crate) fn warn(text: &str) {
    say(&format!("warning: {}", one_line(text)));
}

/// Writes a line to stderr; a closed stderr is nobody's fault.
pub(crate) fn say(text: &str) {
    let _nobody_reads = writeln!(io::stderr().lock(), "{text}");
}

/// Returns what shows progress in the way that was asked for.
pub(crate) fn progress(mode: ProgressMode) -> Arc<dyn Progress> {
    match mode {
        ProgressMode::None => Arc::new(NoProgress),
        ProgressMode::Auto if io::stderr().is_terminal() => Arc::new(Bars::new(ProgressDrawTarget::stderr())),
        ProgressMode::Auto | ProgressMode::Plain => Arc::new(Lines::default()),
    }
}

fn left_out(files: usize, bytes: u64) -> String {
    format!("{} of {} left out, `modelcar plan` says why", count(files, "file"), size(bytes))
}

/// Formats a size for people.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// Returns a number with its noun: `1 layer`, `2 layers`.
pub(crate) fn count<N: Copy + Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Returns what an image takes on a node, as lines for people.
pub(crate) fn node_disk(disk: &NodeDisk) -> String {
    let (containerd, crio, gke) = (&disk.containerd, &disk.crio, &disk.gke);
    format!(
        "node    {} on disk with containerd; {} with CRI-O or discard_unpacked_layers, {} while pulling\n\
         gke     boot disk of {} GiB: {} reserved, {} for eviction, {} for pods; a GPU server's image comes \
         on top, 30 GiB and more (docs/node-sizing.md)\n",
        size(containerd.rest),
        size(crio.rest),
        size(crio.peak),
        gke.gib,
        gke.reserved_gib,
        gke.eviction_gib,
        gke.allocatable_gib,
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_is_not_many() {
        let counts = [0_u64, 1, 2].map(|number| super::count(number, "layer"));
        assert_eq!(counts, ["0 layers", "1 layer", "2 layers"]);
    }
}
