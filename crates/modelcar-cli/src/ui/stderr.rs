//! Lines on stderr, above the bars.

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use indicatif::MultiProgress;
use modelcar_core::text::one_line;

/// The bars on the terminal, while there are any.
static SCREEN: Mutex<Option<MultiProgress>> = Mutex::new(None);

pub(super) fn on_screen(screen: Option<MultiProgress>) -> Option<MultiProgress> {
    std::mem::replace(&mut *SCREEN.lock().unwrap_or_else(PoisonError::into_inner), screen)
}

/// Writes a warning to stderr.
pub(crate) fn warn(text: &str) {
    say(&format!("warning: {}", one_line(text)));
}

/// Writes a line to stderr; a closed stderr is nobody's fault.
pub(crate) fn say(text: &str) {
    write_stderr(format!("{text}\n").as_bytes());
}

/// Writes whole lines to stderr; the bars make room for them.
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
