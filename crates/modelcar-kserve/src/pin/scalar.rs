//! Which bytes of a text each byte of a scalar's value was read from.

use granit_parser::ScalarStyle;

use super::tree::Node;

/// For each byte of a value, and for its end, the place in the text.
#[derive(Debug)]
pub(super) struct Origin(Vec<usize>);

impl Origin {
    /// Follows the value of `node`, as it stands in `text`. `None` if the value was folded, or is written in a way that is
    /// not followed.
    pub(super) fn of(node: &Node<'_>, value: &str, style: ScalarStyle, text: &str) -> Option<Self> {
        let source = text.get(node.span.clone())?;
        let inner = |quote| source.strip_prefix(quote).and_then(|source| source.strip_suffix(quote));
        let (at, written) = match style {
            ScalarStyle::Plain => (0, pairs(source, None)?),
            ScalarStyle::SingleQuoted => (1, pairs(inner('\'')?, Some("''"))?),
            ScalarStyle::DoubleQuoted => (1, escaped(inner('"')?)?),
            ScalarStyle::Literal | ScalarStyle::Folded => (0, block(source, node.column)),
        };
        let mut origin = Vec::with_capacity(value.len() + 1);
        let mut written = written.into_iter();
        let mut end = node.span.start + at;
        let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        // Empty lines before a block's first line are not in its span.
        let content = if is_block { value.trim_start_matches('\n') } else { value };
        origin.resize(value.len() - content.len(), node.span.start);
        for c in content.chars() {
            let Some((range, read)) = written.next() else {
                // A block that ends with the text is read as if a line end stood there.
                if c == '\n' && is_block {
                    origin.push(end);
                    continue;
                }
                return None;
            };
            if read != c {
                return None;
            }
            origin.extend(std::iter::repeat_n(node.span.start + at + range.start, c.len_utf8()));
            end = node.span.start + at + range.end;
        }
        origin.push(end);
        Some(Self(origin))
    }

    /// Returns the bytes of the text from which the bytes of the value from `start` to `end` were read.
    pub(super) fn range(&self, start: usize, end: usize) -> Option<std::ops::Range<usize>> {
        Some(*self.0.get(start)?..*self.0.get(end)?)
    }
}

/// Characters that were read, with the bytes of the source that each was written in.
type Written = Vec<(std::ops::Range<usize>, char)>;

/// Reads a source in which only `double` stands for one character: its first.
fn pairs(source: &str, double: Option<&str>) -> Option<Written> {
    let mut written = Vec::with_capacity(source.len());
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        let len = match double.filter(|double| source[at..].starts_with(double)) {
            Some(double) => double.len(),
            None => c.len_utf8(),
        };
        if matches!(c, '\n' | '\r') {
            return None;
        }
        written.push((at..at + len, c));
        at += len;
    }
    Some(written)
}

/// Reads a source with the escapes of double quotes. `None` for a fold.
fn escaped(source: &str) -> Option<Written> {
    let mut written = Vec::with_capacity(source.len());
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        if matches!(c, '\n' | '\r') {
            return None;
        }
        let (read, len) = if c == '\\' { escape(&source[at + 1..])? } else { (Some(c), c.len_utf8()) };
        if let Some(read) = read {
            written.push((at..at + len, read));
        }
        at += len;
    }
    Some(written)
}

/// Reads what stands behind a backslash. Returns the character, none for an escaped line end, and the bytes with the
/// backslash.
fn escape(rest: &str) -> Option<(Option<char>, usize)> {
    let c = rest.chars().next()?;
    let digits = match c {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        '\n' | '\r' => {
            let line_end = if rest.starts_with("\r\n") { 2 } else { 1 };
            let indent = rest[line_end..].len() - rest[line_end..].trim_start_matches([' ', '\t']).len();
            return Some((None, 1 + line_end + indent));
        }
        _ => {
            let read = match c {
                '0' => '\0',
                'a' => '\u{7}',
                'b' => '\u{8}',
                't' | '\t' => '\t',
                'n' => '\n',
                'v' => '\u{b}',
                'f' => '\u{c}',
                'r' => '\r',
                'e' => '\u{1b}',
                'N' => '\u{85}',
                '_' => '\u{a0}',
                'L' => '\u{2028}',
                'P' => '\u{2029}',
                c @ (' ' | '"' | '/' | '\\') => c,
                _ => return None,
            };
            return Some((Some(read), 1 + c.len_utf8()));
        }
    };
    let code = u32::from_str_radix(rest.get(1..=digits)?, 16).ok()?;
    Some((Some(char::from_u32(code)?), 2 + digits))
}

/// Reads the lines of a block without the first `indent` spaces of each. The first line has lost its spaces already.
fn block(source: &str, indent: usize) -> Written {
    let mut written = Vec::with_capacity(source.len());
    let mut at = 0;
    for (number, line) in source.split_inclusive('\n').enumerate() {
        let spaces = line.len() - line.trim_start_matches(' ').len();
        let skipped = if number == 0 { 0 } else { spaces.min(indent) };
        let (content, end) = match line.strip_suffix('\n') {
            Some(content) => (content.strip_suffix('\r').unwrap_or(content), true),
            None => (line, false),
        };
        let skipped = skipped.min(content.len());
        let chars = content[skipped..].char_indices();
        written.extend(chars.map(|(place, c)| {
            let start = at + skipped + place;
            (start..start + c.len_utf8(), c)
        }));
        if end {
            written.push((at + content.len()..at + line.len(), '\n'));
        }
        at += line.len();
    }
    written
}

#[cfg(test)]
mod tests {
    use super::super::tree::{Kind, Tree};

    use super::*;

    /// Returns the source of `part` of the value behind the key `k`.
    fn source(text: &str, part: &str) -> Option<String> {
        let tree = Tree::parse(text).unwrap();
        let Kind::Mapping(pairs) = &tree.node(tree.documents[0]).kind else { panic!("no mapping") };
        let node = tree.node(pairs[0].1);
        let Kind::Scalar(value, style) = &node.kind else { panic!("no scalar") };
        let start = value.find(part).unwrap_or_else(|| panic!("{value:?} has no {part:?}"));
        let range = Origin::of(node, value, *style, text)?.range(start, start + part.len())?;
        Some(text[range].to_owned())
    }

    #[test]
    fn every_style_is_followed() {
        for (text, part, expected) in [
            ("k: é/b:c # d", "b:c", "b:c"),
            ("k: 'it''s b:c'", "'s b:c", "''s b:c"),
            ("k: \"\\u00e9\\/\\x62\\U0000003ac\"", "/b:c", "\\/\\x62\\U0000003ac"),
            ("k: \"a\\\n     b:c\"", "b:c", "b:c"),
            ("k: \"a\\\r\n  b:c\\t\"", "b:c\t", "b:c\\t"),
            ("k: |\n  é\n\n   x\n  b:c\n", "x\nb:c", "x\n  b:c"),
            ("k: |\r\n  a\r\n  b:c\r\n", "a\nb:c", "a\r\n  b:c"),
            ("k: |-\n\n\n  a\n  b:c", "b:c", "b:c"),
            ("k: |2\n    a\n  b:c", "a\nb:c", "a\n  b:c"),
            ("k: >-\n  b:c\n", "b:c", "b:c"),
            ("k: >\n  b:c", "b:c", "b:c"),
        ] {
            assert_eq!(source(text, part).as_deref(), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_folded_is_not_followed() {
        for text in ["k: a\n  b:c", "k: 'a\n  b:c'", "k: \"a\n  b:c\"", "k: >-\n  a\n  b:c\n"] {
            assert_eq!(source(text, "b:c"), None, "{text:?}");
        }
    }
}
