//! The two output streams: the answer on stdout, everything else on stderr.

mod annotations;
mod bars;
mod beat;
mod color;
pub(crate) mod events;
mod fold;
mod kept;
mod lines;
mod quiet;
mod settings;
mod stderr;
mod summary;
mod waiting;
mod words;

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use indicatif::ProgressDrawTarget;
use modelcar_core::progress::Progress;
use modelcar_kserve::sizing::{NodeDisk, PullTime};

pub(crate) use self::{
    annotations::{annotations, facts},
    fold::fold,
    kept::Kept,
    stderr::{log, note, refuse, warn},
    summary::summary,
    words::{count, size},
};
use self::{
    bars::Bars,
    events::{Events, Record},
    fold::row,
    lines::Lines,
    quiet::Quiet,
    settings::Show,
    stderr::{fail, interrupted, on_screen, say},
    waiting::Waiting,
};
use crate::{args::ProgressMode, hint::Failure, interrupt::INTERRUPTED, outcome::Outcome};

/// Sets whether the help and messages have colours. It is called before the command line is parsed.
pub(crate) fn start_colors() {
    color::start(std::env::args_os());
}

/// Sets what is written to stderr from now on.
pub(crate) fn start(mode: ProgressMode, is_quiet: bool) {
    let show = Show::of(mode, is_quiet);
    show.set();
    if show == Show::Json {
        events::start();
    }
}

/// Removes the progress bars, prints the answer or the failure, and returns the exit status.
pub(crate) fn finish(result: Result<Outcome, Failure>) -> ExitCode {
    if let Some(screen) = on_screen(None) {
        let _terminal_is_gone = screen.clear();
    }
    let exit_status = end(result);
    if Show::get() == Show::Json {
        events::emit(&Record::Done { exit_status });
    }
    ExitCode::from(exit_status)
}

/// Prints the answer or the failure, and returns the exit status.
fn end(result: Result<Outcome, Failure>) -> u8 {
    match result {
        Ok(Outcome::Answer(text)) => print(&text, 0),
        Ok(Outcome::No(text)) => print(&text, 1),
        Ok(Outcome::Waiting(text)) => print(&text, 3),
        Ok(Outcome::Unknown(text)) => print(&text, 2),
        Ok(Outcome::Late(text, failure)) => {
            let status = print(&text, 2);
            fail(&failure);
            status
        }
        Ok(Outcome::Interrupted(left)) => {
            interrupted(&left);
            INTERRUPTED
        }
        Err(failure) => {
            fail(&failure);
            2
        }
    }
}

/// Prints the answer and returns `status`. If stdout can't be written, that is a failure, except for a broken pipe:
/// the program that reads the answer, such as `head`, needs no more of it. A diff may end in spaces, which stay.
fn print(answer: &str, status: u8) -> u8 {
    match writeln!(io::stdout().lock(), "{}", answer.trim_end_matches('\n')) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            // The answer may be the digest of an image that is published by now.
            let answer = answer.trim_end();
            match Show::get() {
                Show::Json => events::emit(&Record::Message { message: answer }),
                _ => say(answer),
            }
            end(Err(Failure::new(error, "write the answer to stdout").hint("the answer stands above, on stderr")))
        }
        // On a broken pipe whoever reads the answer has enough of it.
        _ => status,
    }
}

/// Returns the progress that was chosen with [`start`].
pub(crate) fn progress() -> Arc<dyn Progress> {
    match Show::get() {
        Show::Quiet => Arc::new(Quiet),
        Show::Json => Events::beating(),
        Show::Lines => Lines::beating(),
        Show::Bars => {
            let bars = Bars::new(ProgressDrawTarget::stderr());
            on_screen(Some(bars.ticking()));
            Arc::new(bars)
        }
    }
}

/// Returns the progress of a command that asks a server a few questions: without bars, and without a line unless the server
/// is slow. `act` says what is being done.
pub(crate) fn waiting(act: &'static str) -> Arc<dyn Progress> {
    match Show::get() {
        Show::Quiet => Arc::new(Quiet),
        Show::Json => Events::beating(),
        Show::Lines | Show::Bars => Waiting::beating(act),
    }
}

/// Returns how much disk the image needs on a node, as text.
pub(crate) fn node_disk(disk: &NodeDisk) -> String {
    let (containerd, crio, gke) = (&disk.containerd, &disk.crio, &disk.gke);
    let node = format!(
        "{} on disk with containerd; {} with CRI-O or discard_unpacked_layers, {} while pulling",
        size(containerd.rest),
        size(crio.rest),
        size(crio.peak),
    );
    let gke = format!(
        "boot disk of {} GiB: {} reserved, {} for eviction, {} for pods; a GPU server's image comes on top, 30 GiB and more",
        gke.gib, gke.reserved_gib, gke.eviction_gib, gke.allocatable_gib,
    );
    row("node", &node) + &row("gke", &gke)
}

/// Returns how long a node takes to pull the image, as text, and where all of this is explained.
pub(crate) fn pull_time(pull: &PullTime) -> String {
    let large = if pull.has_large_layer() {
        let bytes = size(pull.largest_layer_bytes);
        format!(". One layer has {bytes}: only a node that downloads layers in chunks pulls it faster")
    } else {
        String::new()
    };
    row("pull", &format!("{pull}{large}")) + &row("", concat!("see ", docs!("node-sizing.md")))
}
