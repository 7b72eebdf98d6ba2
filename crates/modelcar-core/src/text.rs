//! Texts that others chose, made safe to print on one line.

/// Longest excerpt, in characters.
pub(crate) const EXCERPT_MAX_CHARS: usize = 300;

/// Returns `text` as one line that is safe to print: new lines and tabulators become spaces, and whatever else ends a
/// line, moves a terminal's cursor, turns the direction of writing or is no character to YAML becomes `�`.
///
/// Titles, platforms and file names of an image are what its writer wanted them to be.
///
/// ```
/// assert_eq!(modelcar_core::text::one_line("qwen\n\u{1b}[2J"), "qwen �[2J");
/// ```
pub fn one_line(text: &str) -> String {
    let safe = |c| match c {
        '\n' | '\r' | '\t' => ' ',
        c if is_harmless(c) => c,
        _ => char::REPLACEMENT_CHARACTER,
    };
    text.chars().map(safe).collect()
}

/// Returns the start of `text` as one line that is safe to print: words with one space between them, 300 characters at
/// most. It is meant for what a server or a program says, which may be a whole page.
pub fn excerpt(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let (mut line, mut left) = (String::new(), EXCERPT_MAX_CHARS + 1);
    // A text may have megabytes: what is not shown is not copied.
    for word in words {
        let space = if line.is_empty() { "" } else { " " };
        let before = line.len();
        line.extend(space.chars().chain(word.chars()).take(left));
        left -= line[before..].chars().count();
        if left == 0 {
            break;
        }
    }
    cut(&one_line(&line), EXCERPT_MAX_CHARS)
}

/// Returns an error and its causes as one line that is safe to print, 300 characters at most: servers have a part in
/// their texts.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    excerpt(&crate::error::chain(error))
}

/// Returns the first `most` characters of `text`, and `…` if there are more.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn is_harmless(c: char) -> bool {
    // U+0085 is a control character.
    let ends_line = matches!(c, '\u{2028}' | '\u{2029}');
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !(c.is_control() || ends_line || turns || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_the_line() {
        let hostile = "a\nb\r\u{85}\u{2028}\u{2029}\u{b}\u{c}\t\u{1b}[2J\u{202e}\u{feff}\u{0}z";
        assert_eq!(one_line(hostile), "a b ����� �[2J���z");
        assert_eq!(one_line("Qwen/模型 é 🚗 `x`"), "Qwen/模型 é 🚗 `x`");
    }

    #[test]
    fn an_excerpt_is_short_and_as_safe() {
        assert_eq!(excerpt(" a\n\n b\u{1b}c\u{202e}d "), "a b c�d");
        assert_eq!(excerpt(&"x".repeat(9000)).chars().count(), EXCERPT_MAX_CHARS + 1);
        assert_eq!(excerpt(&"x y ".repeat(9000)).chars().count(), EXCERPT_MAX_CHARS + 1);
        assert_eq!(excerpt(&"é ".repeat(EXCERPT_MAX_CHARS / 2)).chars().count(), EXCERPT_MAX_CHARS - 1);
    }
}
