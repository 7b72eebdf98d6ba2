//! Reads the licence from a model card: the `README.md` of a model on the Hub, with YAML front matter.

/// Most bytes of a model card that are read: the front matter is at its beginning.
pub(super) const CARD_MAX_BYTES: u64 = 1 << 20;
/// Name of the model card.
pub(super) const CARD: &str = "README.md";
/// Most characters of a licence that are kept.
const MAX_LICENSE_CHARS: usize = 200;

/// Returns the licence in the front matter of `card`, in the form that the Hub source has: one id, several ids joined
/// with commas, or the `license_name` where the id is `other`.
///
/// Only the part of YAML is parsed that model cards use: keys at the start of a line, plain and quoted texts, lists in
/// brackets, and lists with one item a line.
pub(super) fn license(card: &str) -> Option<String> {
    stated_license(value(card, "license")?, || value(card, "license_name"))
}

/// Returns the licence in a form for annotations: `license`, or `name` where `license` is `other`, without control
/// characters. `None` when nothing is left.
pub(super) fn stated_license(license: String, name: impl FnOnce() -> Option<String>) -> Option<String> {
    let told = if license == "other" { name().unwrap_or(license) } else { license };
    let clean: String = told.chars().filter(|c| !c.is_control()).take(MAX_LICENSE_CHARS).collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}

/// Returns the value of a key in the front matter. The items of a list are joined with commas.
fn value(card: &str, key: &str) -> Option<String> {
    let mut lines = card.strip_prefix('\u{feff}').unwrap_or(card).lines();
    lines.next().filter(|line| line.trim_end() == "---")?;
    let mut lines = lines.take_while(|line| line.trim_end() != "---");
    let rest = lines.find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix(':'))?;
    let items: Vec<String> = match plain(rest) {
        "" => lines.map_while(|line| line.trim_start().strip_prefix("- ")).map(scalar).collect(),
        list if list.starts_with('[') => {
            list.trim_start_matches('[').trim_end_matches(']').split(',').map(scalar).collect()
        }
        text => vec![scalar(text)],
    };
    let items: Vec<String> = items.into_iter().filter(|item| !item.is_empty()).collect();
    (!items.is_empty()).then(|| items.join(", "))
}

/// Returns a text without white space around it, and without a comment behind it unless the text is quoted.
fn plain(text: &str) -> &str {
    let text = text.trim();
    if text.starts_with(['"', '\'']) { text } else { text.split(" #").next().unwrap_or_default().trim() }
}

/// Returns a single text without its quotes; an empty text for YAML's null.
fn scalar(text: &str) -> String {
    let text = plain(text);
    for quote in ['"', '\''] {
        if let Some((inner, _)) = text.strip_prefix(quote).and_then(|rest| rest.rsplit_once(quote)) {
            return inner.to_owned();
        }
    }
    if matches!(text, "~" | "null") || text.starts_with('#') { String::new() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_read_from_the_front_matter() {
        for (front, expected) in [
            ("license: apache-2.0\ntags:\n- x", Some("apache-2.0")),
            ("tags:\n- license: no\nlicense: \"mit\" # ours", Some("mit")),
            ("license: mit # ours", Some("mit")),
            ("license:\n- mit\n- 'apache-2.0'\nother: x", Some("mit, apache-2.0")),
            ("license:\n  - mit\n", Some("mit")),
            ("license: [mit, apache-2.0]", Some("mit, apache-2.0")),
            ("license: other\nlicense_name: llama3", Some("llama3")),
            ("license_name: llama3\nlicense: other", Some("llama3")),
            ("license: other", Some("other")),
            ("license: a\u{7}b", Some("ab")),
            ("license:", None),
            ("license: ~", None),
            ("license: []", None),
            ("language: en", None),
        ] {
            assert_eq!(license(&format!("---\n{front}\n---\n# Title\nlicense: no")).as_deref(), expected, "{front}");
        }
        assert_eq!(license("# Title\nlicense: mit"), None);
        assert_eq!(license("---\r\nlicense: mit\r\n---\r\n").as_deref(), Some("mit"));
        assert_eq!(license(""), None);
    }
}
