//! Texts that others chose, made fit for a terminal and a comment.

/// Returns `text` as one line that does nothing: new lines and tabulators become spaces, and whatever else ends a line,
/// moves a terminal's cursor, turns the direction of writing or is no character to YAML becomes `�`.
///
/// Titles, platforms and file names of an image are what its writer wanted them to be.
pub fn one_line(text: &str) -> String {
    let safe = |c| match c {
        '\n' | '\r' | '\t' => ' ',
        c if is_harmless(c) => c,
        _ => char::REPLACEMENT_CHARACTER,
    };
    text.chars().map(safe).collect()
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
}
