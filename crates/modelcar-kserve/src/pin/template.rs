//! Hides the actions of a template, `{{ … }}`, so that the rest of the text can be read as YAML.
//!
//! Every hidden byte is replaced by one other byte, so that places in the hidden text are places in the template.

/// What stands in the place of an action inside a line. No reference has this character.
const FILLER: &str = "~";

/// Returns `text` with its actions hidden: lines of actions alone become empty, an action inside a line becomes filler.
/// `None` if an action does not end, or goes over several lines together with other text.
pub(super) fn hidden(text: &str) -> Option<String> {
    let mut view = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        // Lines that an action holds together.
        let (mut at, mut has_text, mut spans) = (0, false, Vec::new());
        let end = loop {
            let left = &rest[at..];
            let Some(c) = left.chars().next() else { break at };
            if left.starts_with("{{") {
                let len = action(left)?;
                spans.push(at..at + len);
                at += len;
                continue;
            }
            at += c.len_utf8();
            has_text |= !c.is_whitespace() && c != '\u{feff}';
            if c == '\n' {
                break at;
            }
        };
        let lines = &rest[..end];
        let is_inline = has_text && spans.iter().any(|span| lines[span.clone()].contains('\n'));
        if is_inline {
            return None;
        }
        let filler = if has_text { FILLER } else { " " };
        let mut from = 0;
        for span in spans {
            view.push_str(&lines[from..span.start]);
            let kept = lines[span.clone()].bytes();
            kept.for_each(|byte| view.push_str(if byte == b'\n' { "\n" } else { filler }));
            from = span.end;
        }
        view.push_str(&lines[from..]);
        rest = &rest[end..];
    }
    Some(view)
}

/// Returns the bytes of the action at the start of `text`. Braces in its texts and comments don't end an action.
fn action(text: &str) -> Option<usize> {
    let inner = text[2..].trim_start_matches('-').trim_start();
    if inner.starts_with("/*") {
        let comment = text.find("*/")?;
        return text[comment..].find("}}").map(|end| comment + end + 2);
    }
    let mut quote = None;
    let mut chars = text.char_indices().skip(2);
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None, '"' | '`') => quote = Some(c),
            (None, '}') if text[at..].starts_with("}}") => return Some(at + 2),
            (Some('"'), '\\') => drop(chars.next()),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_hidden_and_places_stay() {
        for (text, expected) in [
            ("a: 1\n", "a: 1\n"),
            ("{{- if .a }}\na: {{ .b }}\n  {{- end -}} \n", "            \na: ~~~~~~~~\n              \n"),
            ("a: {{ \"}}\" }}x{{ `}}` }}\n", "a: ~~~~~~~~~~x~~~~~~~~~~\n"),
            ("{{/* é\n }} */}}\nb: 1", "       \n        \nb: 1"),
            ("{{ define \"x\"\n }}\r\na: 1\r\n", "             \n   \r\na: 1\r\n"),
            ("a: {{ .é }}", "a: ~~~~~~~~~"),
        ] {
            let view = hidden(text).unwrap();
            assert_eq!((view.as_str(), view.len()), (expected, text.len()));
        }
    }

    #[test]
    fn what_can_not_be_hidden_is_left() {
        for text in ["a: {{ .b\n", "a: {{ .b\n }}\n", "{{ \"x }}\n", "{{/* x }}\n"] {
            assert_eq!(hidden(text), None, "{text:?}");
        }
    }
}
