//! What the Hub answers: listings, descriptions and headers.

use std::collections::BTreeSet;

use modelcar_core::{ContentId, source::fuzz};

use crate::checks::{brief_error, planted};

/// Most bytes of all files of a listing.
const BYTES_MAX: u64 = 1 << 53;

/// A page of a listing, or a model's description.
pub(crate) fn listing(data: &[u8]) {
    match fuzz::description(data) {
        Some(Ok((repository, commit, license))) => {
            assert!(repository.len() < 256 && commit.len() == 40, "`{repository}` at `{commit}`");
            assert!(
                license.as_ref().is_none_or(|license| license.chars().count() <= 200),
                "a long licence: {license:?}"
            );
        }
        Some(Err(error)) => brief_error(&error, &[]),
        None => {}
    }
    let files = match fuzz::listing(data) {
        Some(Ok(files)) => files,
        Some(Err(error)) => return brief_error(&error, data),
        None => return,
    };
    let paths: BTreeSet<_> = files.iter().map(|file| &file.path).collect();
    assert_eq!(paths.len(), files.len(), "a path is there twice");
    assert!(files.iter().all(|file| file.content.is_some()), "a file can't be verified");
    assert!(files.iter().map(|file| file.size).sum::<u64>() <= BYTES_MAX, "too many bytes");
    let large = files.iter().find(|file| matches!(file.content, Some(ContentId::Sha256(_))));
    planted(large.map_or(0, |file| file.path.as_str().len()), [13, 15, 17]);
}

/// `Link`, `Content-Range` and `ETag`.
pub(crate) fn headers(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Some((first, last, total)) = fuzz::content_range(text) {
        assert!(first <= last && total.is_none_or(|total| last < total), "{first} to {last} of {total:?}");
        let again = format!("bytes {first}-{last}/{}", total.map_or("*".to_owned(), |total| total.to_string()));
        assert_eq!(fuzz::content_range(&again), Some((first, last, total)), "another range");
    }
    if let Some(id) = fuzz::etag_id(text) {
        let id = id.to_string();
        let (_, digits) = id.split_once(':').expect("a content id has a kind");
        assert!(text.to_ascii_lowercase().contains(digits), "another content id");
    }
    if let Some(link) = fuzz::next_link(text) {
        assert!(!link.contains('>'), "a link that goes on behind its end: {link}");
        assert_eq!(fuzz::next_link(&format!("<{link}>; rel=next")), Some(link), "another link");
        planted(link.len(), [60, 62, 64]);
    }
}
