//! Long lines of an answer on a terminal: they are broken between words. In a pipe and in a file a line stays one line.

use super::settings::{answer_columns, message_columns};

/// Columns of a row that [`row`] writes. Rows are the same on a terminal and in a file, unless the terminal is narrower.
const ROW_COLUMNS: usize = 80;
/// Columns of the names of rows.
const NAME_COLUMNS: usize = 8;
/// Fewest columns that are left for the text behind an indent: on a narrower terminal the indent goes.
const TEXT_COLUMNS_MIN: usize = 20;

/// Returns a line as it is shown: on a terminal broken between words, the further lines behind `indent` spaces.
pub(crate) fn fold(line: &str, indent: usize) -> String {
    answer_columns().map_or_else(|| line.to_owned(), |columns| folded(line, indent, columns))
}

/// Returns the lines of a message as they are shown: on a terminal broken between words, with further lines two spaces behind
/// the first.
pub(super) fn fold_message(text: &str) -> String {
    let Some(columns) = message_columns() else { return text.to_owned() };
    let lines = text.lines().map(|line| {
        let indent = line.len() - line.trim_start_matches(' ').len();
        folded(line, indent + 2, columns)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns a name and a text as lines that fit into 80 columns, the text in a column of its own.
pub(super) fn row(name: &str, text: &str) -> String {
    let columns = answer_columns().map_or(ROW_COLUMNS, |columns| columns.min(ROW_COLUMNS));
    let width = NAME_COLUMNS - 1;
    folded(&format!("{name:<width$} {text}"), NAME_COLUMNS, columns) + "\n"
}

/// Breaks a line between words. A word that is wider than the line stays whole, so that a URL can be copied, and so does a
/// command between backticks that fits into one line. Spaces between words that stay on one line stay too.
fn folded(text: &str, indent: usize, columns: usize) -> String {
    let indent = if columns >= indent + TEXT_COLUMNS_MIN { indent } else { 0 };
    let (mut lines, mut line) = (String::new(), String::new());
    let mut has_word = false;
    for (number, word) in words(text, columns - indent).enumerate() {
        let width = line.chars().count() + 1 + word.chars().count();
        if has_word && !word.is_empty() && width > columns {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line = " ".repeat(indent);
            has_word = false;
        } else if number > 0 {
            line.push(' ');
        }
        line.push_str(word);
        // The name of a row, and what is indented, is no place to break: a wide word behind it would only move.
        has_word = has_word || (!word.is_empty() && line.chars().count() > indent);
    }
    lines + &line
}

/// Splits a text at each space, but not between backticks if what is between them fits into `columns`.
fn words(text: &str, columns: usize) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let ends = text.match_indices(' ').map(|(at, _)| at).chain([text.len()]);
        let is_whole = |end: &usize| text[..*end].matches('`').count().is_multiple_of(2);
        let whole = ends.clone().find(is_whole).filter(|end| text[..*end].chars().count() <= columns);
        let end = whole.or_else(|| ends.clone().next())?;
        rest = text.get(end + 1..);
        Some(&text[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_fits_into_80_columns() {
        let url = "https://example.com/".repeat(5);
        let text = row("node", &format!("{} {url} end", ["word"; 30].join(" ")));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("node    word word") && lines[1].starts_with("        word"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= 80 || line.trim() == url), "{text}");
        assert_eq!(text.split_whitespace().filter(|word| *word == "word").count(), 30);
    }

    #[test]
    fn lines_are_broken_between_words() {
        let line = "name    ok       one two  three";
        assert_eq!(folded(line, 17, 80), line);
        let four = format!("{line} four, and a text that goes on");
        assert_eq!(
            folded(&four, 17, 40),
            "name    ok       one two  three four,\n                 and a text that goes on"
        );
        assert_eq!(folded("do: run `modelcar push` now", 4, 24), "do: run `modelcar push`\n    now");
        assert_eq!(folded("do: please run `modelcar push`, now", 4, 26), "do: please run\n    `modelcar push`, now");
        let long = "do: run `modelcar push --base scratch` now";
        assert_eq!(folded(long, 4, 24), "do: run `modelcar push\n    --base scratch` now", "too wide for one line");
        assert_eq!(folded("do: a ` b and more words", 4, 24), "do: a ` b and more words");
        assert_eq!(folded("  a bb ccc", 4, 6), "  a bb\nccc", "no room for the indent");
        assert_eq!(folded("        https://example.com/a/long/name", 8, 30), "        https://example.com/a/long/name");
    }
}
