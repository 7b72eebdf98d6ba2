//! Lines on stderr. While there are progress bars, the lines are written above them.

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use indicatif::MultiProgress;
use modelcar_core::text::one_line;

/// The progress bars on the terminal, if there are any.
///
/// It is a static because the log and the warnings have no other way to know of the bars.
static SCREEN: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// Sets the bars that are on the terminal, and returns those that were there before.
pub(super) fn on_screen(screen: Option<MultiProgress>) -> Option<MultiProgress> {
    std::mem::replace(&mut *SCREEN.lock().unwrap_or_else(PoisonError::into_inner), screen)
}

/// Writes a warning to stderr, as one line. Control characters in `text` are made harmless.
pub(crate) fn warn(text: &str) {
    say(&format!("warning: {}", one_line(text)));
}

/// Writes a text and a line end to stderr. `text` must be safe to print. An error, such as a closed stderr, is
/// ignored.
pub(crate) fn say(text: &str) {
    write_stderr(format!("{text}\n").as_bytes());
}

/// Writes whole lines to stderr. The bars are cleared before and drawn again afterwards.
pub(crate) fn write_stderr(lines: &[u8]) {
    let write = || {
        let _nobody_reads = io::stderr().lock().write_all(lines);
    };
    let screen = SCREEN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match screen {
        Some(screen) => screen.suspend(write),
        None => write(),
    }
}
