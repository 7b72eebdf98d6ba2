//! Lines on stderr. While there are progress bars, the lines are written above them.

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use indicatif::MultiProgress;
use modelcar_core::text::one_line;

use super::{
    color::paint,
    events::{self, Record},
    fold::fold_message,
    settings::Show,
};
use crate::hint::Failure;

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
    let message = &one_line(text);
    match Show::get() {
        Show::Json => events::emit(&Record::Warning { message }),
        _ => write_line(&paint(&fold_message(&format!("warning: {message}")))),
    }
}

/// Writes what is neither a warning nor an error, unless nothing but those is wanted.
pub(crate) fn note(text: &str) {
    match Show::get() {
        Show::Quiet => {}
        Show::Json => events::emit(&Record::Message { message: text }),
        Show::Lines | Show::Bars => say(text),
    }
}

/// Writes why a command failed, and what to do about it.
pub(super) fn fail(failure: &Failure) {
    match Show::get() {
        Show::Json => {
            let texts = failure.texts();
            let (message, causes) = texts.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
            let (kind, retryable) = (failure.kind(), failure.is_retryable());
            events::emit(&Record::Error { kind, retryable, message, causes, hints: failure.hints() });
        }
        _ => write_line(&paint(&fold_message(&failure.to_string()))),
    }
}

/// Writes why a command line can't be parsed.
pub(crate) fn refuse(text: &str) {
    write_line(&paint(text));
}

/// Says that the user stopped the command, and what is there now.
pub(super) fn interrupted(message: &str) {
    match Show::get() {
        Show::Json => events::emit(&Record::Interrupted { message }),
        _ if message.is_empty() => say("interrupted"),
        _ => say(&format!("interrupted: {message}")),
    }
}

/// Writes a line of the log.
pub(crate) fn log(line: &[u8]) {
    match Show::get() {
        Show::Json => events::emit(&Record::Log { message: String::from_utf8_lossy(line).trim_end() }),
        _ => write_stderr(line),
    }
}

/// Writes a message to stderr, on a terminal broken between words. `text` must be safe to print.
pub(super) fn say(text: &str) {
    write_line(&fold_message(text));
}

/// Writes a text and a line end to stderr. An error, such as a closed stderr, is ignored.
fn write_line(text: &str) {
    write_stderr(format!("{text}\n").as_bytes());
}

/// Writes whole lines to stderr. The bars are cleared before and drawn again afterwards.
fn write_stderr(lines: &[u8]) {
    let write = || {
        let _nobody_reads = io::stderr().lock().write_all(lines);
    };
    let screen = SCREEN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match screen {
        Some(screen) => screen.suspend(write),
        None => write(),
    }
}
