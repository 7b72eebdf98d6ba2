//! What the Hub answers, as bytes, for the fuzzing of `tests/fuzz` alone.

use super::{
    api::RawInfo,
    headers,
    listing::{self, Entries},
    tree::Siblings,
};
use crate::{
    ContentId,
    source::{Answerer, SourceError, SourceFile, Unwanted},
};

const MODEL: &str = "acme/tiny";

/// Checks a page of a listing, or the files in a model's description. `None` for another document.
pub fn listing(json: &[u8]) -> Option<Result<Vec<SourceFile>, SourceError>> {
    let page = serde_json::from_slice::<Entries>(json);
    let entries = page.or_else(|_| serde_json::from_slice::<Siblings>(json).map(|found| found.siblings)).ok()?.0;
    Some(listing::check(
        MODEL,
        &Answerer::Mirror("hub.test".into()),
        entries,
        &Unwanted::by(|name| name.ends_with('~')),
    ))
}

/// Returns repository, commit and licence of a model's description. `None` for another document.
pub fn description(json: &[u8]) -> Option<Result<(String, String, Option<String>), SourceError>> {
    let info: RawInfo = serde_json::from_slice(json).ok()?;
    Some(info.check(MODEL, "main").map(|info| (info.repository, info.commit, info.license)))
}

/// Returns the next page that a `Link` header names.
pub fn next_link(header: &str) -> Option<&str> {
    headers::next_link(header)
}

/// Returns the first byte, the last byte and the total of a `Content-Range` header.
pub fn content_range(header: &str) -> Option<(u64, u64, Option<u64>)> {
    headers::content_range(header).map(|range| (range.first, range.last, range.total))
}

/// Returns the content id in an `ETag` header.
pub fn etag_id(header: &str) -> Option<ContentId> {
    headers::etag_id(header)
}
