//! The `Range` header in the answer to a status request of an upload (distribution-spec "Pushing a blob in chunks").

/// Returns how many bytes the registry holds, from a header of the form `0-<last>`.
///
/// Returns `None` for a header that proves nothing: `0-0`, which means one byte and, in CNCF distribution, also no
/// byte; and a header with a unit, which the specification does not define. Quay sends a unit (`bytes=0--1` for no
/// byte) and counts one byte too many.
pub(super) fn held(text: &str) -> Option<u64> {
    let (first, last) = text.trim().split_once('-')?;
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| plain)
    };
    match (number(first)?, number(last)?) {
        (0, last) if last > 0 => last.checked_add(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_is_plain_counts() {
        for (text, expected) in [
            ("0-9", Some(10)),
            (" 0-9 ", Some(10)),
            ("bytes=0-9", None),
            ("bytes 0-9", None),
            ("bytes=0--1", None),
            ("0--1", None),
            ("0-0", None),
            ("", None),
            ("-", None),
            ("5-9", None),
            ("0-+9", None),
            ("0-9-9", None),
            ("0-18446744073709551615", None),
            ("0-18446744073709551616", None),
        ] {
            assert_eq!(held(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn survives_range(text in any::<String>(), last in 1..u64::MAX) {
            let _nothing_is_promised = held(&text);
            prop_assert_eq!(held(&format!("0-{last}")), Some(last + 1));
        }
    }
}
