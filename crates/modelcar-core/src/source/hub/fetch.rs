//! Fetches one part of a file: finds the store that has the file's bytes, and reads the part with a ranged request.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::{
    Response, StatusCode, Url,
    header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG},
};
use tokio::time::timeout;

use super::{
    address::host,
    api::{Asked, Hub, MAX_HOPS, Subject, is_redirect},
    headers::{content_range, etag_id},
};
use crate::{
    ContentId, ModelPath,
    http::header,
    path::has_extension,
    source::{
        Answerer, Extent, SourceError, SourceFile,
        ranged::{Fault, RangeStore, RangeStream},
    },
};

/// Length of the beginning of a file that is read from a server without ranges, whatever the size of the file. The
/// header of a weight file is there. The connection is closed after these bytes, and not read to its end.
const HEADER_BYTES: u64 = 1 << 20;

/// Fetches parts of the files of a commit, and remembers to which store the Hub redirected the request for each file.
#[derive(Debug)]
pub(super) struct Fetcher {
    hub: Arc<Hub>,
    repository: Arc<str>,
    commit: Arc<str>,
    /// Largest file, in bytes, of which any part may be taken from an answer with the whole file.
    part_bytes: u64,
    /// The place of each file that was asked for.
    places: Mutex<BTreeMap<ModelPath, Arc<Slot>>>,
}

/// The place of a file. Locked while the Hub is asked for the place, so that parts read at the same time ask once.
type Slot = tokio::sync::Mutex<Place>;

/// Which server has the bytes of a file.
#[derive(Debug, Default)]
enum Place {
    #[default]
    Unknown,
    /// The Hub serves the file itself.
    Hub,
    /// A store serves the file at this URL, whose signature expires.
    Store(Url),
}

/// Which bytes of a part the body of an answer has.
struct Held {
    /// Number of bytes in the body before the part.
    lead: u64,
    /// Number of bytes at the end of the part that the body does not have. Another request asks for them.
    missing: u64,
}

/// The Hub's answer to a request for content.
enum Found {
    /// The content.
    Here(Response),
    /// A redirect to a store.
    Elsewhere(Url),
}

impl Fetcher {
    pub(super) fn new(hub: Arc<Hub>, repository: Arc<str>, commit: Arc<str>, part_bytes: u64) -> Self {
        Self { hub, repository, commit, part_bytes, places: Mutex::default() }
    }

    /// Returns the slot of a file, which is created at the first request.
    fn slot(&self, path: &ModelPath) -> Arc<Slot> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(path.clone()).or_default())
    }

    /// Returns an answer with the part, from the Hub or from the store that the Hub redirects to.
    ///
    /// When the store refuses a URL, the URL is forgotten and the error is transient: the next try asks the Hub for a
    /// new one.
    async fn ask(&self, part: &Extent, asked: &Asked<'_>) -> Result<Response, Fault> {
        let slot = self.slot(&part.file.path);
        let (url, remembered) = {
            let mut place = slot.lock().await;
            match &*place {
                Place::Store(url) => (Some(url.clone()), true),
                Place::Hub => (None, false),
                Place::Unknown => match self.ask_hub(part, asked).await? {
                    Found::Here(response) => {
                        *place = Place::Hub;
                        return Ok(response);
                    }
                    Found::Elsewhere(url) => {
                        *place = Place::Store(url.clone());
                        (Some(url), false)
                    }
                },
            }
        };
        let url = match url {
            Some(url) => url,
            None => match self.ask_hub(part, asked).await? {
                Found::Here(response) => return Ok(response),
                Found::Elsewhere(url) => url,
            },
        };
        let response = self.ask_store(part, url.clone(), asked).await?;
        if !self.is_expired(&response) {
            return self.accept(response, asked).await;
        }
        // The signature has expired, or the store has moved the object. The Hub knows the new URL.
        let mut place = slot.lock().await;
        if matches!(&*place, Place::Store(known) if *known == url) {
            *place = Place::Unknown;
        }
        drop(place);
        let fault = self.hub.refusal(response, asked).await;
        Err(Fault { transient: true, wait: remembered.then_some(Duration::ZERO).or(fault.wait), ..fault })
    }

    /// Returns whether a store refuses the URL, perhaps because its signature has expired. S3 answers with status 400,
    /// other stores with 401 or 403. The same status from a Hub or mirror, which a redirect may lead to as well, is a
    /// refusal of the file itself.
    fn is_expired(&self, response: &Response) -> bool {
        let is_store = matches!(self.hub.endpoint.answerer(response.url()), Answerer::Store(_));
        is_store && matches!(response.status().as_u16(), 400 | 401 | 403 | 404 | 410)
    }

    /// Asks the Hub for the part, and follows redirects as long as they stay at the endpoint's origin.
    async fn ask_hub(&self, part: &Extent, asked: &Asked<'_>) -> Result<Found, Fault> {
        let url = self.hub.file_url(&self.repository, &self.commit, &part.file.path);
        let mut url = url.map_err(Fault::fatal)?;
        for _ in 0..=MAX_HOPS {
            let response = self.hub.send_ranged(&url, &range_of(part), asked).await?;
            self.refuse_pointer(&response, &part.file)?;
            if let Some(reason) = linked_mismatch(&response, &part.file) {
                return Err(Fault::fatal(self.not_the_file(&part.file, &response, reason)));
            }
            if !is_redirect(response.status()) {
                let response = self.accept(response, asked).await?;
                return match etag_mismatch(&response, &part.file) {
                    Some(reason) => Err(Fault::fatal(self.not_the_file(&part.file, &response, reason))),
                    None => Ok(Found::Here(response)),
                };
            }
            url = self.hub.next_hop(&url, &response, asked)?;
            if !self.hub.is_own(&url) {
                return Ok(Found::Elsewhere(url));
            }
        }
        Err(self.hub.too_many_hops(&url, asked))
    }

    /// Asks a store for the part and follows redirects. Returns the answer whatever its status is.
    async fn ask_store(&self, part: &Extent, mut url: Url, asked: &Asked<'_>) -> Result<Response, Fault> {
        for _ in 0..MAX_HOPS {
            let response = self.hub.send_ranged(&url, &range_of(part), asked).await?;
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            url = self.hub.next_hop(&url, &response, asked)?;
        }
        Err(self.hub.too_many_hops(&url, asked))
    }

    /// Returns an answer of status 200 or 206; any other status is an error.
    async fn accept(&self, response: Response, asked: &Asked<'_>) -> Result<Response, Fault> {
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
            _ => Err(self.hub.refusal(response, asked).await),
        }
    }

    /// Returns which bytes of the part the body of an answer has, by the answer's headers.
    fn held(&self, part: &Extent, response: &Response, asked: &Asked<'_>) -> Result<Held, Fault> {
        let file = &part.file;
        let refuse = |why: String| Fault::fatal(self.hub.protocol(response.url(), asked, why));
        let encoding = header(response, CONTENT_ENCODING.as_str());
        if let Some(encoding) = encoding.filter(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            return Err(refuse(format!("the body is encoded as {encoding:?} though `identity` was asked for")));
        }
        if response.status() == StatusCode::OK {
            return self.held_by_whole(part, response);
        }
        let told = header(response, CONTENT_RANGE.as_str());
        let Some(range) = told.as_deref().and_then(content_range) else {
            // A body as long as the part is taken for the part. The hash of the file shows whether that was true.
            return match response.content_length() {
                Some(len) if len == part.len => Ok(Held { lead: 0, missing: 0 }),
                _ => Err(refuse(format!("a partial answer without a usable range: {told:?}"))),
            };
        };
        if let Some(total) = range.total.filter(|total| *total != file.size) {
            let reason = format!("{total} bytes in place of {}", file.size);
            return Err(Fault::fatal(self.not_the_file(file, response, reason)));
        }
        if range.first != part.offset || range.last >= part.offset + part.len {
            let (first, last) = (range.first, range.last);
            return Err(refuse(format!("bytes {first}-{last} came though {} were asked for", range_of(part))));
        }
        Ok(Held { lead: 0, missing: part.offset + part.len - 1 - range.last })
    }

    /// Returns which bytes of the part an answer of status 200 has, which should have the whole file.
    fn held_by_whole(&self, part: &Extent, response: &Response) -> Result<Held, Fault> {
        let file = &part.file;
        let kind = header(response, CONTENT_TYPE.as_str()).unwrap_or_default();
        let is_page = kind.starts_with("text/html") && !is_page(&file.path);
        let reason = match response.content_length() {
            Some(len) if len != file.size && is_page => format!("a web page of {len} bytes in place of {}", file.size),
            Some(len) if len != file.size => format!("{len} bytes in place of {}", file.size),
            None if is_page => "a web page".to_owned(),
            _ if file.size > self.part_bytes && self.is_more_than_header(part) => {
                let host = host(response.url());
                return Err(Fault::fatal(SourceError::NoRanges { path: file.path.clone(), host }));
            }
            _ => return Ok(Held { lead: part.offset, missing: 0 }),
        };
        Err(Fault::fatal(self.not_the_file(file, response, reason)))
    }

    /// Returns whether a part of a large file is neither the whole file nor a short read at its beginning.
    fn is_more_than_header(&self, part: &Extent) -> bool {
        let is_whole = part.len == part.file.size;
        !is_whole && (part.len >= self.part_bytes || part.offset + part.len > HEADER_BYTES)
    }

    /// The error of an answer whose size, hash or media type is not that of the listed file.
    fn not_the_file(&self, file: &SourceFile, response: &Response, reason: String) -> SourceError {
        let by = self.hub.endpoint.answerer(response.url());
        SourceError::NotTheFile { path: file.path.clone(), by, reason }
    }

    /// Refuses a file in git-lfs that is listed with the git hash of its pointer in place of the SHA-256 of its
    /// content.
    fn refuse_pointer(&self, response: &Response, file: &SourceFile) -> Result<(), Fault> {
        let linked = header(response, "x-linked-etag").as_deref().and_then(etag_id);
        match (linked, file.content) {
            (Some(ContentId::Sha256(_)), Some(ContentId::GitSha1(_))) => Err(Fault::fatal(SourceError::NoHash {
                path: file.path.to_string(),
                by: self.hub.answerer(),
                hash: "SHA-256",
            })),
            _ => Ok(()),
        }
    }

    /// Returns the part's bytes in the body. A server may return fewer bytes than the range has and say so in
    /// `Content-Range`; that is not an error.
    fn body(&self, part: &Extent, response: Response, asked: &Asked<'_>) -> Result<RangeBody, Fault> {
        let Held { lead, missing } = self.held(part, &response, asked)?;
        // The rest of a whole file behind the part is not read: the connection is closed.
        let to_the_end = response.status() == StatusCode::PARTIAL_CONTENT || part.offset + part.len == part.file.size;
        Ok(RangeBody {
            file: Arc::clone(&part.file),
            end: part.offset + part.len - missing,
            left: part.len - missing,
            lead,
            to_the_end,
            by: self.hub.endpoint.answerer(response.url()),
            host: host(response.url()),
            response,
            stall: self.hub.stall,
        })
    }
}

/// The body of an answer, from which the bytes of a part are read.
struct RangeBody {
    file: Arc<SourceFile>,
    response: Response,
    by: Answerer,
    host: String,
    /// Number of bytes before the part that are still to come.
    lead: u64,
    /// Number of bytes of the part that are still to come.
    left: u64,
    /// Offset in the file at which the body's bytes of the part end.
    end: u64,
    /// Whether the body is read to its end, so that the connection can be used again.
    to_the_end: bool,
    stall: Duration,
}

impl RangeBody {
    /// Returns the next bytes of the part; `None` when all bytes have come.
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            if self.left == 0 && !self.to_the_end {
                return Ok(None);
            }
            let cause = match timeout(self.stall, self.response.chunk()).await {
                Ok(Ok(Some(mut chunk))) => {
                    let skipped = usize::try_from(self.lead).unwrap_or(usize::MAX).min(chunk.len());
                    self.lead -= skipped as u64;
                    let mut chunk = chunk.split_off(skipped);
                    if chunk.len() as u64 > self.left {
                        if self.to_the_end {
                            return Err(self.too_long());
                        }
                        chunk.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
                    }
                    self.left -= chunk.len() as u64;
                    if chunk.is_empty() {
                        continue;
                    }
                    return Ok(Some(chunk));
                }
                // An error after the last byte of the part does not matter.
                _ if self.left == 0 => return Ok(None),
                Err(_) => {
                    let (path, seconds) = (self.file.path.clone(), self.stall.as_secs());
                    return Err(Fault::passing(SourceError::Stalled { path, host: self.host.clone(), seconds }));
                }
                Ok(Err(cause)) => Some(cause.without_url()),
                Ok(Ok(None)) => None,
            };
            let (path, at, size) = (self.file.path.clone(), self.end - self.left, self.file.size);
            let host = self.host.clone();
            return Err(Fault::passing(SourceError::BrokenBody {
                path,
                host,
                at,
                size,
                source: cause.map(Into::into),
            }));
        }
    }

    fn too_long(&self) -> Fault {
        let (path, by) = (self.file.path.clone(), self.by.clone());
        let reason = "more bytes than were asked for".to_owned();
        Fault::fatal(SourceError::NotTheFile { path, by, reason })
    }
}

#[async_trait]
impl RangeStore for Fetcher {
    async fn open(&self, part: &Extent) -> Result<RangeStream, Fault> {
        let what = format!("read `{}` of `{}`", part.file.path, self.repository);
        let asked = Asked { repo: &self.repository, revision: &self.commit, what: &what, subject: Subject::File };
        let response = self.ask(part, &asked).await?;
        // In a box: the stream moves the body once for each chunk.
        let body = Box::new(self.body(part, response, &asked)?);
        let bytes =
            stream::try_unfold(body, |mut body| async move { Ok(body.next().await?.map(|bytes| (bytes, body))) });
        Ok(bytes.boxed())
    }

    fn name(&self) -> String {
        self.hub.host()
    }
}

/// Returns whether the name of a file is that of a web page.
fn is_page(path: &ModelPath) -> bool {
    ["html", "htm"].iter().any(|extension| has_extension(path.as_str(), extension))
}

/// Returns the value of the `Range` header.
fn range_of(part: &Extent) -> String {
    format!("bytes={}-{}", part.offset, part.offset + part.len - 1)
}

/// Compares size and hash in the headers of a redirect (`X-Linked-Size`, `X-Linked-Etag`) with the listing. Returns the
/// difference, for people.
fn linked_mismatch(response: &Response, file: &SourceFile) -> Option<String> {
    let size = header(response, "x-linked-size").and_then(|text| text.trim().parse::<u64>().ok());
    if let Some(size) = size.filter(|size| *size != file.size) {
        return Some(format!("{} bytes were listed and {size} are offered", file.size));
    }
    let offered = header(response, "x-linked-etag").as_deref().and_then(etag_id)?;
    let listed = file.content?;
    (offered != listed).then(|| format!("{listed} was listed and {offered} is offered"))
}

/// Compares the `ETag` of content that the Hub serves itself with the listing. Returns the difference, for people. An
/// `ETag` of another kind than the listed content id is ignored, because mirrors make their own.
fn etag_mismatch(response: &Response, file: &SourceFile) -> Option<String> {
    let offered = header(response, ETAG.as_str()).as_deref().and_then(etag_id)?;
    let listed = file.content?;
    let comparable = std::mem::discriminant(&offered) == std::mem::discriminant(&listed);
    (comparable && offered != listed).then(|| format!("{listed} was listed and {offered} is offered"))
}

#[cfg(feature = "workspace-tests")]
#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
