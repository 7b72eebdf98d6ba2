//! What the user chose for stderr, once for the whole process.

use std::{
    io::{self, IsTerminal},
    os::fd::AsFd,
    sync::OnceLock,
};

use rustix::termios;

use crate::args::ProgressMode;

/// What is written to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// Errors, hints and warnings alone.
    Quiet,
    /// Progress as lines too.
    Lines,
    /// Progress as bars too.
    Bars,
    /// Everything as JSON, one event a line.
    Json,
}

/// Set by `main`. Warnings and the log have no other way to know of it.
static SHOW: OnceLock<Show> = OnceLock::new();

/// Fewest columns of a terminal on which bars say more than lines.
const COLUMNS_MIN: u16 = 60;
/// Fewest rows of a terminal for bars: eight layers in flight, the total, and the prompt above.
const ROWS_MIN: u16 = 10;

impl Show {
    /// Returns what `mode` means on this stderr.
    pub(super) fn of(mode: ProgressMode, is_quiet: bool) -> Self {
        match mode {
            _ if is_quiet && mode != ProgressMode::Json => Self::Quiet,
            ProgressMode::None => Self::Quiet,
            ProgressMode::Json => Self::Json,
            ProgressMode::Auto if has_room(std::env::var("TERM").ok().as_deref(), size()) => Self::Bars,
            ProgressMode::Plain | ProgressMode::Auto => Self::Lines,
        }
    }

    /// Sets what is shown, once.
    pub(super) fn set(self) {
        let _set_already = SHOW.set(self);
    }

    /// Returns what is shown.
    pub(super) fn get() -> Self {
        SHOW.get().copied().unwrap_or(Self::Lines)
    }
}

/// Returns the columns and rows of the terminal behind stderr; `None` if there is none.
fn size() -> Option<(u16, u16)> {
    size_of(&io::stderr())
}

/// Returns the columns and rows of the terminal behind `stream`; `None` if there is none.
fn size_of(stream: &(impl AsFd + IsTerminal)) -> Option<(u16, u16)> {
    if !stream.is_terminal() {
        return None;
    }
    let size = termios::tcgetwinsize(stream).ok()?;
    Some((size.ws_col, size.ws_row))
}

/// Returns the columns of the terminal that the answer goes to; `None` for a pipe, a file and a terminal that tells none.
pub(super) fn answer_columns() -> Option<usize> {
    size_of(&io::stdout()).map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0)
}

/// Returns the columns of the terminal that messages go to; `None` for a pipe, a file and a terminal that tells none.
pub(super) fn message_columns() -> Option<usize> {
    size().map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0)
}

/// Returns the columns of the terminal behind stderr, or the usual number.
pub(super) fn columns() -> usize {
    size().map_or(80, |(columns, _)| usize::from(columns).max(1))
}

/// Returns whether bars can be drawn. A dumb terminal can't move its cursor. A terminal without a size, such as a serial
/// line, tells 0.
fn has_room(term: Option<&str>, size: Option<(u16, u16)>) -> bool {
    let Some((columns, rows)) = size else { return false };
    term != Some("dumb") && columns >= COLUMNS_MIN && rows >= ROWS_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_need_a_terminal_with_room() {
        assert!(has_room(Some("xterm"), Some((80, 24))));
        for size in [None, Some((40, 24)), Some((80, 4)), Some((0, 0))] {
            assert!(!has_room(Some("xterm"), size), "{size:?}");
        }
        assert!(!has_room(Some("dumb"), Some((80, 24))));
    }

    #[test]
    fn quiet_goes_before_lines_and_bars() {
        assert_eq!(Show::of(ProgressMode::Plain, true), Show::Quiet);
        assert_eq!(Show::of(ProgressMode::None, false), Show::Quiet);
        assert_eq!(Show::of(ProgressMode::Plain, false), Show::Lines);
        assert_eq!(Show::of(ProgressMode::Json, true), Show::Json);
    }
}
