//! The two output streams: the answer on stdout, everything else on stderr.

mod bars;
mod lines;
mod stderr;
mod words;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    sync::Arc,
};

use indicatif::ProgressDrawTarget;
use modelcar_core::{
    progress::{NoProgress, Progress},
    push::Pushed,
    reuse::LayerAction,
    text::one_line,
};
use modelcar_kserve::sizing::{NodeDisk, PullTime};

use self::{bars::Bars, lines::Lines, stderr::on_screen};
pub(crate) use self::{
    stderr::{say, warn, write_stderr},
    words::{count, size},
};
use crate::{
    args::ProgressMode,
    hint::{self, Failure},
    interrupt::INTERRUPTED,
    outcome::Outcome,
};

/// Removes the progress bars, prints the answer or the failure, and returns the exit status.
pub(crate) fn finish(result: Result<Outcome, Failure>) -> ExitCode {
    if let Some(screen) = on_screen(None) {
        let _terminal_is_gone = screen.clear();
    }
    match result {
        Ok(Outcome::Answer(text)) => print(&text, ExitCode::SUCCESS),
        Ok(Outcome::No(text)) => print(&text, ExitCode::from(1)),
        Ok(Outcome::Waiting(text)) => print(&text, ExitCode::from(3)),
        Ok(Outcome::Unknown(text)) => print(&text, ExitCode::from(2)),
        Ok(Outcome::Late(text, failure)) => {
            let status = print(&text, ExitCode::from(2));
            say(&failure.to_string());
            status
        }
        Ok(Outcome::Interrupted(published)) => {
            say(&format!("interrupted: {}", hint::published(published.as_ref())));
            ExitCode::from(INTERRUPTED)
        }
        Err(failure) => {
            say(&failure.to_string());
            ExitCode::from(2)
        }
    }
}

/// Prints the answer and returns `status`. If stdout can't be written, that is a failure, except for a broken pipe:
/// the program that reads the answer, such as `head`, needs no more of it. A diff may end in spaces, which stay.
fn print(answer: &str, status: ExitCode) -> ExitCode {
    match writeln!(io::stdout().lock(), "{}", answer.trim_end_matches('\n')) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            // The answer may be the digest of an image that is published by now.
            say(answer.trim_end());
            finish(Err(Failure::new(error, "write the answer to stdout").hint("the answer stands above, on stderr")))
        }
        // On a broken pipe whoever reads the answer has enough of it.
        _ => status,
    }
}

/// Returns the progress for `mode`. `Auto` shows bars if stderr is a terminal, and lines otherwise.
pub(crate) fn progress(mode: ProgressMode) -> Arc<dyn Progress> {
    match mode {
        ProgressMode::None => Arc::new(NoProgress),
        ProgressMode::Auto if io::stderr().is_terminal() => {
            let bars = Bars::new(ProgressDrawTarget::stderr());
            on_screen(Some(bars.ticking()));
            Arc::new(bars)
        }
        ProgressMode::Auto | ProgressMode::Plain => Lines::beating(),
    }
}

/// Writes one line to stderr that sums a push up, unless progress is switched off.
pub(crate) fn summary(mode: ProgressMode, source: &str, pushed: &Pushed) {
    if mode != ProgressMode::None {
        say(&summed_up(source, pushed));
    }
}

/// Returns the line that sums a push up. The rate is the bytes sent, divided by the duration of the whole run.
fn summed_up(source: &str, pushed: &Pushed) -> String {
    let (built, seconds) = (&pushed.built, pushed.elapsed.as_secs_f64());
    let tags: Vec<_> = pushed.tags.iter().map(ToString::to_string).collect();
    let total = built.layers.iter().map(|layer| layer.size).sum();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rate for people"
    )]
    let rate = (built.bytes_sent as f64 / seconds.max(0.001)) as u64;
    let ways = [
        (LayerAction::Upload, "sent"),
        (LayerAction::Reuse, "reused"),
        (LayerAction::Mount, "mounted"),
        (LayerAction::Copy, "copied"),
    ];
    let of = |way: LayerAction| built.layers.iter().filter(|layer| layer.action == way).count();
    let ways: Vec<_> = ways.iter().map(|(way, done)| (of(*way), done)).filter(|(number, _)| *number > 0).collect();
    let ways: Vec<_> = ways.iter().map(|(number, done)| format!("{number} {done}")).collect();
    let sent = match built.bytes_sent {
        0 => format!("nothing sent, {seconds:.1} s"),
        bytes => format!("{} sent in {seconds:.1} s, {}/s", size(bytes), size(rate)),
    };
    format!(
        "pushed {} as {}: {} of {} ({}); {sent}",
        one_line(source),
        tags.join(", "),
        count(built.layers.len(), "layer"),
        size(total),
        ways.join(", "),
    )
}

/// Returns how much disk the image needs on a node, as two lines of text.
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

/// Returns how long a node takes to pull the image, as text: one line, and a second one if a single layer decides it.
pub(crate) fn pull_time(pull: &PullTime) -> String {
    let large = if pull.has_large_layer() {
        format!(
            "        one layer has {}: only a node that downloads layers in chunks pulls it faster\n",
            size(pull.largest_layer_bytes)
        )
    } else {
        String::new()
    };
    format!("pull    {pull} (docs/node-sizing.md)\n{large}")
}
