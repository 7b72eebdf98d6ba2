//! Colour of the first words of errors, warnings and hints: that of the help.

use std::{ffi::OsString, io};

use anstream::AutoStream;
use clap::{
    ColorChoice, ValueEnum,
    builder::{Styles, styling::Style},
};

/// What `--color` takes.
pub(crate) type When = ColorChoice;

/// Sets whether colours are used, for the help and its errors too.
///
/// The help is written while the command line is parsed. So this looks for `--color` beforehand, in `args`.
pub(super) fn start(args: impl Iterator<Item = OsString>) {
    let choice = match asked(args).unwrap_or_default() {
        When::Auto => anstream::ColorChoice::Auto,
        When::Always => anstream::ColorChoice::Always,
        When::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// Returns the last value of `--color`. The parser refuses what is no such value.
fn asked(args: impl Iterator<Item = OsString>) -> Option<When> {
    let (mut asked, mut is_value) = (None, false);
    for arg in args.take_while(|arg| arg != "--") {
        let arg = arg.to_string_lossy();
        let value = if is_value { Some(&*arg) } else { arg.strip_prefix("--color=") };
        asked = value.and_then(|value| When::from_str(value, false).ok()).or(asked);
        is_value = !is_value && arg == "--color";
    }
    asked
}

/// First words of lines, with the style that the help has for the same kind of text.
fn styles() -> [(&'static str, Style); 3] {
    let styles = Styles::styled();
    [("error:", *styles.get_error()), ("warning:", styles.get_invalid().bold()), ("hint:", *styles.get_valid())]
}

/// Returns `text` with the first words of its lines coloured, if stderr takes colours.
pub(super) fn paint(text: &str) -> String {
    match AutoStream::choice(&io::stderr()) {
        anstream::ColorChoice::Never => text.to_owned(),
        _ => painted(text),
    }
}

fn painted(text: &str) -> String {
    let styles = styles();
    let lines = text.split('\n').map(|line| {
        let found = styles.iter().find_map(|(word, style)| Some((word, style, line.strip_prefix(word)?)));
        found.map_or_else(|| line.to_owned(), |(word, style, rest)| format!("{style}{word}{style:#}{rest}"))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_are_painted() {
        let text = painted("error: a\n  caused by: error: b\nhint: c");
        assert_eq!(text, "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m a\n  caused by: error: b\n\u{1b}[32mhint:\u{1b}[0m c");
    }

    #[test]
    fn the_option_is_found_before_the_parser_runs() {
        let asked = |args: &[&str]| asked(args.iter().map(OsString::from));
        assert_eq!(asked(&["modelcar", "--color=always", "push"]), Some(When::Always));
        assert_eq!(asked(&["modelcar", "push", "--color", "never", "-h"]), Some(When::Never));
        assert_eq!(asked(&["modelcar", "--color", "loud"]), None);
        assert_eq!(asked(&["modelcar", "--", "--color=always"]), None);
    }
}
