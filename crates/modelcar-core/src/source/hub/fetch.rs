//! One part of one file: where it is, and its bytes.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use reqwest::{
    Response, StatusCode, Url,
    header::{CONTENT_ENCODING, CONTENT_RANGE, ETAG},
};
use tokio::time::timeout;

use super::{
    api::{Asked, Hub, MAX_HOPS, host, is_redirect, protocol, too_many_hops},
    headers::{content_range, etag_id},
    retry::Fault,
    window::{FetchPart, PartSink},
};
use crate::{
    ModelPath,
    http::header,
    source::{Extent, SourceError, SourceFile},
};

/// Fetches parts of a commit's files, and remembers where the Hub redirected to.
#[derive(Debug)]
pub(super) struct Fetcher {
    hub: Arc<Hub>,
    repository: Arc<str>,
    commit: Arc<str>,
    /// A file up to this size may be read from its start again to get at its middle.
    part_bytes: u64,
    places: Mutex<BTreeMap<ModelPath, Arc<Slot>>>,
}

/// Held while a file's place is being asked for, so that many parts ask once.
type Slot = tokio::sync::Mutex<Place>;

#[derive(Debug, Default)]
enum Place {
    #[default]
    Unknown,
    /// The Hub serves it itself.
    Hub,
    /// A store serves it; the URL is signed and will expire.
    Store(Url),
}

/// What a body holds of a part.
struct Held {
    /// Bytes before the part.
    lead: u64,
    /// Bytes of the part that are still to be asked for after it.
    missing: u64,
}

/// What the Hub answers to a request for content.
enum Found {
    Here(Response),
    Elsewhere(Url),
}

impl Fetcher {
    pub(super) fn new(hub: Arc<Hub>, repository: Arc<str>, commit: Arc<str>, part_bytes: u64) -> Self {
        Self { hub, repository, commit, part_bytes, places: Mutex::default() }
    }

    fn slot(&self, path: &ModelPath) -> Arc<Slot> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(path.clone()).or_default())
    }

    /// Opens a response that holds the part.
    async fn open(&self, part: &Extent, asked: &Asked<'_>) -> Result<Response, Fault> {
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
        if !matches!(response.status().as_u16(), 403 | 404 | 410) {
            return self.accept(response, asked).await;
        }
        // The signature expired, or the store moved the object: the Hub knows the new place.
        let mut place = slot.lock().await;
        if matches!(&*place, Place::Store(known) if *known == url) {
            *place = Place::Unknown;
        }
        drop(place);
        let fault = self.hub.refusal(response, asked).await;
        Err(Fault { transient: true, wait: remembered.then_some(Duration::ZERO).or(fault.wait), ..fault })
    }

    /// Asks the Hub for the part and follows it around its own origin.
    async fn ask_hub(&self, part: &Extent, asked: &Asked<'_>) -> Result<Found, Fault> {
        let url = self.hub.file_url(&self.repository, &self.commit, &part.file.path);
        let mut url = url.map_err(Fault::fatal)?;
        for _ in 0..=MAX_HOPS {
            let response = self.hub.send_ranged(&url, &range_of(part), asked).await?;
            if let Some(reason) = linked_mismatch(&response, &part.file) {
                return Err(Fault::fatal(changed(&part.file, reason)));
            }
            if !is_redirect(response.status()) {
                let response = self.accept(response, asked).await?;
                return match etag_mismatch(&response, &part.file) {
                    Some(reason) => Err(Fault::fatal(changed(&part.file, reason))),
                    None => Ok(Found::Here(response)),
                };
            }
            url = self.hub.next_hop(&url, &response, asked)?;
            if !self.hub.is_own(&url) {
                return Ok(Found::Elsewhere(url));
            }
        }
        Err(too_many_hops(&url, asked))
    }

    /// Asks a store for the part; the answer is whatever it is.
    async fn ask_store(&self, part: &Extent, mut url: Url, asked: &Asked<'_>) -> Result<Response, Fault> {
        for _ in 0..MAX_HOPS {
            let response = self.hub.send_ranged(&url, &range_of(part), asked).await?;
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            url = self.hub.next_hop(&url, &response, asked)?;
        }
        Err(too_many_hops(&url, asked))
    }

    async fn accept(&self, response: Response, asked: &Asked<'_>) -> Result<Response, Fault> {
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
            _ => Err(self.hub.refusal(response, asked).await),
        }
    }

    /// Returns what of the part the body holds.
    fn held(&self, part: &Extent, response: &Response, asked: &Asked<'_>) -> Result<Held, Fault> {
        let file = &part.file;
        let refuse = |why: String| Fault::fatal(protocol(response.url(), asked, why));
        let encoding = header(response, CONTENT_ENCODING.as_str());
        if let Some(encoding) = encoding.filter(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            return Err(refuse(format!("the body is encoded as {encoding:?} though `identity` was asked for")));
        }
        if response.status() == StatusCode::OK {
            if response.content_length().is_some_and(|len| len != file.size) {
                let reason = format!("it is served with {} bytes", response.content_length().unwrap_or_default());
                return Err(Fault::fatal(changed(file, reason)));
            }
            if part.offset > 0 && file.size > self.part_bytes {
                return Err(refuse(format!("the whole file came though bytes from {} were asked for", part.offset)));
            }
            return Ok(Held { lead: part.offset, missing: 0 });
        }
        let told = header(response, CONTENT_RANGE.as_str());
        let range = told.as_deref().and_then(content_range);
        let range = range.ok_or_else(|| refuse(format!("a partial answer without a usable range: {told:?}")))?;
        if range.total.is_some_and(|total| total != file.size) {
            let reason = format!("it is served with {} bytes", range.total.unwrap_or_default());
            return Err(Fault::fatal(changed(file, reason)));
        }
        if range.first != part.offset || range.last >= part.offset + part.len {
            let (first, last) = (range.first, range.last);
            return Err(refuse(format!("bytes {first}-{last} came though {} were asked for", range_of(part))));
        }
        Ok(Held { lead: 0, missing: part.offset + part.len - 1 - range.last })
    }

    /// Moves the body into the sink. A server may cut a range short and say so; that is no failure.
    async fn pump(
        &self,
        part: &Extent,
        mut response: Response,
        sink: &mut PartSink,
        asked: &Asked<'_>,
    ) -> Result<(), Fault> {
        let Held { mut lead, missing } = self.held(part, &response, asked)?;
        let url = response.url().clone();
        let (path, size) = (&part.file.path, part.file.size);
        // A whole file may be longer than the part; then the connection is given up instead of read to its end.
        let to_the_end = response.status() == StatusCode::PARTIAL_CONTENT || part.offset + part.len == size;
        loop {
            if sink.left() == 0 && !to_the_end {
                return Ok(());
            }
            let next = timeout(self.hub.stall, response.chunk()).await;
            let complete = sink.left() == missing;
            let cause = match next {
                Ok(Ok(Some(mut chunk))) => {
                    let skipped = usize::try_from(lead).unwrap_or(usize::MAX).min(chunk.len());
                    lead -= skipped as u64;
                    let fits = sink.push(chunk.split_off(skipped)) && sink.left() >= missing;
                    if fits || !to_the_end {
                        continue;
                    }
                    return Err(Fault::fatal(protocol(&url, asked, "the body is longer than the range asked for")));
                }
                // Nothing that goes wrong after the last byte matters.
                _ if complete => return Ok(()),
                Err(_) => {
                    let (path, seconds) = (path.clone(), self.hub.stall.as_secs());
                    return Err(Fault::passing(SourceError::Stalled { path, host: host(&url), seconds }));
                }
                Ok(Err(cause)) => Some(cause.without_url()),
                Ok(Ok(None)) => None,
            };
            let at = part.offset + part.len - sink.left();
            let error = SourceError::BrokenBody {
                path: path.clone(),
                host: host(&url),
                at,
                size,
                source: cause.map(Into::into),
            };
            return Err(Fault::passing(error));
        }
    }
}

#[async_trait]
impl FetchPart for Fetcher {
    async fn fetch(&self, part: &Extent, sink: &mut PartSink) -> Result<(), Fault> {
        let what = format!("read `{}` of `{}`", part.file.path, self.repository);
        let asked = Asked { repo: &self.repository, revision: &self.commit, what: &what, file: true };
        let response = self.open(part, &asked).await?;
        self.pump(part, response, sink, &asked).await
    }

    fn host(&self) -> String {
        self.hub.host()
    }
}

fn range_of(part: &Extent) -> String {
    format!("bytes={}-{}", part.offset, part.offset + part.len - 1)
}

/// Compares what the Hub says about the file behind a redirect with the listing.
fn linked_mismatch(response: &Response, file: &SourceFile) -> Option<String> {
    let size = header(response, "x-linked-size").and_then(|text| text.trim().parse::<u64>().ok());
    if let Some(size) = size.filter(|size| *size != file.size) {
        return Some(format!("{} bytes were listed and {size} are offered", file.size));
    }
    let offered = header(response, "x-linked-etag").as_deref().and_then(etag_id)?;
    let listed = file.content?;
    (offered != listed).then(|| format!("{listed} was listed and {offered} is offered"))
}

/// Compares the entity tag of content the Hub serves itself. A tag of another kind than the listed id says nothing:
/// mirrors make their own.
fn etag_mismatch(response: &Response, file: &SourceFile) -> Option<String> {
    let offered = header(response, ETAG.as_str()).as_deref().and_then(etag_id)?;
    let listed = file.content?;
    let comparable = std::mem::discriminant(&offered) == std::mem::discriminant(&listed);
    (comparable && offered != listed).then(|| format!("{listed} was listed and {offered} is offered"))
}

fn changed(file: &SourceFile, reason: String) -> SourceError {
    SourceError::Changed { path: PathBuf::from(file.path.as_str()), reason }
}

#[cfg(feature = "workspace-tests")]
#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
