//! Reads a published image back: a registry may say that it stored an image and not have all of it.
//!
//! A registry with a stale cache answers a HEAD for a blob that is gone, and stores no manifest that it believes to have.
//! A sign-in page answers 200 to every request. Some registries keep half of an upload. A pull would fail in each case,
//! so the push reads what a pull reads: every document as a whole, and of each layer the last byte.

use std::fmt;

use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::{
    Method, Response, StatusCode,
    header::{HeaderMap, HeaderValue, RANGE},
};
use tokio::time::Instant;

use super::{blob::REDIRECTS_MAX, error::RegistryError, repository::Repository, request::Scope};
use crate::{
    Digest, Tag,
    error::{Error, ErrorKind, Result, chain},
    http,
    progress::Event,
    retry::Failure,
    sink::Blob,
};

/// Number of parts that are read side by side.
const READS: usize = 16;
/// Number of tries after which a tag that points to another image counts as moved by another push.
const MOVED_TRIES: u32 = 3;

/// What a published image consists of.
#[derive(Debug)]
pub(crate) struct StoredImage {
    /// Digest of the index.
    pub(crate) index: Digest,
    /// Digests of the manifests that the index lists.
    pub(crate) manifests: Vec<Digest>,
    /// Digest and size in bytes of each config.
    pub(crate) configs: Vec<(Digest, u64)>,
    /// Digest and size in bytes of each layer: those of the base and those with weights.
    pub(crate) layers: Vec<(Digest, u64)>,
}

impl StoredImage {
    /// Lists the parts to read, the index by its digest and by each tag.
    fn parts(&self, tags: &[Tag]) -> Vec<Part> {
        let tags = tags.iter().map(|tag| Part::Tag(tag.clone(), self.index));
        let manifests = self.manifests.iter().map(|digest| Part::Manifest(*digest));
        let configs = self.configs.iter().map(|(digest, size)| Part::Config(*digest, *size));
        let layers = self.layers.iter().map(|(digest, size)| Part::Layer(*digest, *size));
        [Part::Index(self.index)].into_iter().chain(tags).chain(manifests).chain(configs).chain(layers).collect()
    }
}

/// A part of an image that is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Index(Digest),
    /// A tag, and the digest of the index that the tag was set to.
    Tag(Tag, Digest),
    Manifest(Digest),
    Config(Digest, u64),
    Layer(Digest, u64),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(digest) => write!(f, "index `{digest}`"),
            Self::Tag(tag, _) => write!(f, "tag `{tag}`"),
            Self::Manifest(digest) => write!(f, "manifest `{digest}`"),
            Self::Config(digest, _) => write!(f, "config `{digest}`"),
            Self::Layer(digest, _) => write!(f, "layer `{digest}`"),
        }
    }
}

/// Why a part was not read.
#[derive(Debug)]
enum Lack {
    /// The tag points to another image.
    Moved(Digest),
    /// The part is missing or wrong. A registry that is slow to agree may give it a moment later.
    Missing(String),
    /// The request failed after all its tries, or the login may not read.
    Failed(String),
}

impl Lack {
    fn not_there() -> Self {
        Self::Missing("is not there (404)".to_owned())
    }

    /// Judges a request that failed. `send` has tried a temporary failure again already.
    fn of(error: &Error) -> Self {
        let is_final = error.is_retryable() || matches!(error.kind(), ErrorKind::Auth | ErrorKind::Denied);
        let reason = format!("can't be read: {}", error.chain());
        if is_final { Self::Failed(reason) } else { Self::Missing(reason) }
    }
}

impl Repository {
    /// Reads a published image as a pull does: the index by its digest and by each of `tags`, every manifest and config
    /// by its digest, and of every layer the last byte. What does not come is read again, within the retry policy,
    /// because some registries are slow to agree. A tag that points to another image by then causes a warning: another
    /// push moved it.
    ///
    /// # Errors
    /// [`RegistryError::NotReadable`] with all parts that did not come.
    pub(super) async fn read_back(&self, image: &StoredImage, tags: &[Tag]) -> Result<(), RegistryError> {
        let (mut wanted, mut attempt) = (image.parts(tags), 1);
        loop {
            let begun = Instant::now();
            let lost = self.lacks(wanted).await;
            let may_come = lost.iter().any(|(_, lack)| match lack {
                Lack::Missing(_) => true,
                Lack::Moved(_) => attempt < MOVED_TRIES,
                Lack::Failed(_) => false,
            });
            let error = self.not_readable(image.index, &lost);
            let failure = Failure::from(&error).retryable(may_come).unhurried();
            let act = format!("read image `{}` back", image.index);
            if lost.is_empty() || !self.inner().retry.next_attempt(&act, attempt, begun.elapsed(), failure).await {
                return self.judge(image.index, lost);
            }
            wanted = lost.into_iter().map(|(part, _)| part).collect();
            attempt += 1;
        }
    }

    /// Reads parts side by side, and returns those that did not come.
    async fn lacks(&self, wanted: Vec<Part>) -> Vec<(Part, Lack)> {
        let reads = wanted.into_iter().map(|part| async move {
            let lack = self.read_part(&part).await.unwrap_or_else(|error| Some(Lack::of(&error)));
            lack.map(|lack| (part, lack))
        });
        stream::iter(reads).buffered(READS).filter_map(std::future::ready).collect().await
    }

    /// Makes the error for all of `lost`.
    fn not_readable(&self, digest: Digest, lost: &[(Part, Lack)]) -> RegistryError {
        let missing = lost.iter().map(|(part, lack)| format!("{part} {lack}")).collect();
        let blobs = lost.iter().filter_map(|(part, lack)| match (part, lack) {
            (Part::Config(digest, _) | Part::Layer(digest, _), Lack::Missing(_)) => Some(*digest),
            _ => None,
        });
        let documents = lost.iter().filter_map(|(part, lack)| match (part, lack) {
            (Part::Index(digest) | Part::Tag(_, digest) | Part::Manifest(digest), Lack::Missing(_)) => Some(*digest),
            _ => None,
        });
        let (blobs, manifests) = (blobs.collect(), documents.collect());
        RegistryError::NotReadable { repository: self.name(), digest, missing, blobs, manifests }
    }

    /// Warns of the tags that another push moved. All other parts that are lost are an error.
    fn judge(&self, digest: Digest, lost: Vec<(Part, Lack)>) -> Result<(), RegistryError> {
        let (moved, missing): (Vec<_>, Vec<_>) = lost.into_iter().partition(|(_, lack)| matches!(lack, Lack::Moved(_)));
        for (part, lack) in moved {
            let message = format!(
                "{part} of `{}` {lack}, not to `{digest}`: another push moved it, or the registry answers from a stale \
                 cache",
                self.name()
            );
            self.inner().progress.report(&Event::Warning { message });
        }
        if missing.is_empty() { Ok(()) } else { Err(self.not_readable(digest, &missing)) }
    }

    /// Reads one part. Returns what is wrong with it, if anything is.
    ///
    /// # Errors
    /// When a request gets no answer, or an answer that says nothing about the part.
    async fn read_part(&self, part: &Part) -> Result<Option<Lack>> {
        Ok(match part {
            Part::Index(digest) | Part::Manifest(digest) => match self.manifest(&digest.to_string()).await? {
                Some(_) => None,
                None => Some(Lack::not_there()),
            },
            Part::Tag(tag, digest) => match self.manifest(tag.as_str()).await? {
                Some(found) if found.digest == *digest => None,
                Some(found) => Some(Lack::Moved(found.digest)),
                None => Some(Lack::not_there()),
            },
            Part::Config(digest, size) => {
                self.read_config(*digest, *size).await?;
                None
            }
            Part::Layer(digest, size) => self.read_end(digest, *size).await?.map(Lack::Missing),
        })
    }

    /// Reads a config and checks its digest. A config that is too long is not read to its end.
    async fn read_config(&self, digest: Digest, size: u64) -> Result<()> {
        let open = self.blob(format!("config `{digest}`"), digest, size).open();
        let (mut bytes, mut read) = (open.stream, 0);
        while let Some(chunk) = bytes.try_next().await? {
            read += chunk.len() as u64;
            if read > size {
                break;
            }
        }
        drop(bytes);
        open.verified.await.map(drop)
    }

    /// Reads the last byte of a blob. Returns what is wrong with the blob, if anything is. A registry that ignores the
    /// range answers with the whole blob, of which only the header is read.
    ///
    /// # Errors
    /// When the request gets no answer, or is refused for another reason than a missing blob.
    pub(super) async fn read_end(&self, digest: &Digest, size: u64) -> Result<Option<String>, RegistryError> {
        let inner = self.inner();
        let act = format!("read the end of blob `{digest}`");
        let mut headers = HeaderMap::new();
        let last = size.saturating_sub(1);
        if size > 0 {
            let range = HeaderValue::from_str(&format!("bytes={last}-{last}"));
            headers.insert(RANGE, range.map_err(|_| inner.protocol(&act, "the range is no valid header"))?);
        }
        let mut url = inner.url(&format!("blobs/{digest}")).await?;
        for _hop in 0..REDIRECTS_MAX {
            let response = inner.send(&act, Scope::Pull, Method::GET, &url, &headers, None).await?;
            match response.status() {
                status if status.is_redirection() => url = inner.follow(&url, &act, &response).await?,
                StatusCode::NOT_FOUND => return Ok(Some("is not there (404)".to_owned())),
                StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                    return Ok(wrong_end(response, size).await);
                }
                _ => return Err(inner.refused(act, Method::GET, response).await),
            }
        }
        Err(inner.protocol(&act, "too many redirects"))
    }
}

/// Returns what an answer to a request for the last of `size` bytes says against the blob.
async fn wrong_end(response: Response, size: u64) -> Option<String> {
    let status = response.status();
    let (sent, total) = match (status, http::header(&response, "content-range")) {
        (StatusCode::OK, _) => (None, http::header(&response, "content-length").and_then(|text| text.parse().ok())),
        (_, Some(range)) => content_range(&range),
        (_, None) => (None, None),
    };
    if http::is_page(&response) {
        return Some("is a web page".to_owned());
    }
    if let Some(total) = total.filter(|total| *total != size) {
        return Some(format!("has {total} bytes, expected {size}"));
    }
    match status {
        StatusCode::OK => None,
        // The byte itself: a registry may know the size of what it can't read.
        StatusCode::PARTIAL_CONTENT if sent.is_none_or(|first| first + 1 == size) => {
            match http::read_limited(response, 1).await {
                Ok(bytes) if bytes.is_empty() => Some("has no last byte".to_owned()),
                Ok(_) => None,
                Err(error) => Some(format!("breaks off before its last byte: {}", chain(&error.without_url()))),
            }
        }
        _ => Some(format!("does not end after {size} bytes (status {})", status.as_u16())),
    }
}

/// Parses `Content-Range` (RFC 9110, 14.4): the first byte of the range, and the size of the whole. Either may be
/// missing.
fn content_range(text: &str) -> (Option<u64>, Option<u64>) {
    let Some((range, total)) = text.trim().strip_prefix("bytes").and_then(|rest| rest.split_once('/')) else {
        return (None, None);
    };
    let first = range.trim().split_once('-').and_then(|(first, _)| first.parse().ok());
    (first, total.trim().parse().ok())
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved(digest) => write!(f, "points to `{digest}`"),
            Self::Missing(reason) | Self::Failed(reason) => f.write_str(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_names_its_first_byte_and_the_size_of_the_whole() {
        for (text, expected) in [
            ("bytes 9-9/10", (Some(9), Some(10))),
            ("bytes 9-9/*", (Some(9), None)),
            ("bytes */10", (None, Some(10))),
            ("9-9/10", (None, None)),
            ("", (None, None)),
        ] {
            assert_eq!(content_range(text), expected, "{text:?}");
        }
    }
}
