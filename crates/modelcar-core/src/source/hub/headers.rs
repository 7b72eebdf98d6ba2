//! Parsers of response headers: `Link`, `Content-Range` and `ETag`.

use crate::ContentId;

/// Returns the target of the first link whose relation is `next` (RFC 8288).
pub(super) fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some(start) = rest.find('<') {
        let after = &rest[start + 1..];
        let end = after.find('>')?;
        let (target, tail) = (&after[..end], &after[end + 1..]);
        let params = &tail[..end_of_link(tail)];
        if params.split(';').any(is_next) {
            return Some(target);
        }
        rest = &tail[params.len()..];
    }
    None
}

/// Returns the offset at which the parameters of a link end: at a comma outside of quotes.
fn end_of_link(params: &str) -> usize {
    let mut quoted = false;
    for (at, c) in params.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => return at,
            _ => {}
        }
    }
    params.len()
}

/// Returns whether a parameter of a link is `rel` with the relation `next`.
fn is_next(param: &str) -> bool {
    let Some((name, value)) = param.split_once('=') else { return false };
    let relations = value.trim().trim_matches('"');
    name.trim().eq_ignore_ascii_case("rel") && relations.split_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"))
}

/// `Content-Range: bytes first-last/total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub(super) first: u64,
    pub(super) last: u64,
    /// `None` for `*`.
    pub(super) total: Option<u64>,
}

/// Parses a `Content-Range` of a satisfied range.
pub(super) fn content_range(header: &str) -> Option<ContentRange> {
    let (unit, rest) = header.trim().split_once(' ')?;
    let (range, total) = rest.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = match total.trim() {
        "*" => None,
        digits => Some(number(digits)?),
    };
    let (first, last) = (number(first)?, number(last)?);
    let sane = unit.eq_ignore_ascii_case("bytes") && first <= last && total.is_none_or(|total| last < total);
    sane.then_some(ContentRange { first, last, total })
}

/// Parses digits only; `u64::from_str` also accepts a plus sign.
fn number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Reads a content id from an `ETag`: a SHA-256 or git blob id, with or without quotes and `W/`. `None` for any other
/// tag.
pub(super) fn etag_id(header: &str) -> Option<ContentId> {
    let tag = header.trim();
    let digits = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
    ContentId::sha256_from_hex(digits).or_else(|| ContentId::git_sha1_from_hex(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_is_found() {
        for (header, expected) in [
            ("<https://h/x?cursor=a%3D>; rel=\"next\"", Some("https://h/x?cursor=a%3D")),
            ("<https://h/p>; rel=\"prev\", <https://h/n>; rel=\"next\"", Some("https://h/n")),
            ("<https://h/n>; title=\"a, <b>; rel=next\"; rel=\"last next\"", Some("https://h/n")),
            ("<https://h/n>; title=\"a, b\"; rel=prev", None),
            ("<https://h/n>;rel=next", Some("https://h/n")),
            ("<https://h/a,b>; rel=\"next\"", Some("https://h/a,b")),
            ("<https://h/n>; rel=\"nextish\"", None),
            ("<https://h/n", None),
            ("", None),
        ] {
            assert_eq!(next_link(header), expected, "{header}");
        }
    }

    #[test]
    fn content_ranges_are_parsed_strictly() {
        let range = |first, last, total| Some(ContentRange { first, last, total });
        for (header, expected) in [
            ("bytes 0-9/10", range(0, 9, Some(10))),
            ("bytes 5-9/*", range(5, 9, None)),
            ("Bytes 5-9/100", range(5, 9, Some(100))),
            ("bytes 9-5/10", None),
            ("bytes 0-10/10", None),
            ("bytes */10", None),
            ("bytes +1-2/10", None),
            ("items 0-9/10", None),
            ("bytes 0-9", None),
            ("bytes 0-99999999999999999999/*", None),
            ("", None),
        ] {
            assert_eq!(content_range(header), expected, "{header}");
        }
    }

    #[test]
    fn entity_tags_are_stripped() {
        let sha = "ab".repeat(32);
        let git = "cd".repeat(20);
        assert_eq!(etag_id(&format!("W/\"{sha}\"")), ContentId::sha256_from_hex(&sha));
        assert_eq!(etag_id(&format!("\"{git}\"")), ContentId::git_sha1_from_hex(&git));
        assert_eq!(etag_id("\"abc-12\""), None);
    }

    proptest::proptest! {
        #[test]
        fn survives_link(text in proptest::prelude::any::<String>(), parts in proptest::collection::vec(
            proptest::sample::select(&["<", ">", ";", ",", " ", "\"", "\\", "rel=", "next", "rel=\"next\"", "https://h/x"][..]),
            0..24,
        )) {
            let _nothing_is_promised = (next_link(&text), content_range(&text), etag_id(&text));
            let near = parts.concat();
            if let Some(link) = next_link(&near) {
                proptest::prop_assert!(near.contains(link));
            }
            let _nothing_is_promised = (content_range(&near), etag_id(&near));
        }
    }
}
