//! The Hub's JSON API: requests with retries and redirects, parsed answers, and the commit of a revision.

use std::{sync::Arc, time::Duration};

use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, LINK, LOCATION, RANGE},
    redirect::Policy,
};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    HubOptions,
    address::{Endpoint, segment},
    headers,
    lenient::{Lenient, Texts},
    listing::refused,
};
use crate::{
    ModelPath,
    error::ModelcarError,
    http::{HttpFailure, client_builder, header, log},
    progress::{Event, Progress},
    source::{
        Answerer, ModelId, SourceError, TokenUse, card,
        model_id::is_commit,
        ranged::{Fault, Retry},
    },
    text,
};

/// Most redirects that are followed for one request.
pub(super) const MAX_HOPS: usize = 5;
/// Largest JSON document that is read, in bytes.
const MAX_JSON_BYTES: usize = 32 << 20;
/// Most bytes by which the buffer of a document grows at once.
const JSON_STEP_BYTES: usize = 4 << 20;
/// Longest time for a whole document, as a multiple of [`HubOptions::stall_timeout`].
const JSON_STALLS: u32 = 5;
/// Lowest accepted rate of a document, in bytes per second, once half of [`HubOptions::stall_timeout`] is over. A server
/// that sends a byte now and then is never silent.
const JSON_RATE_MIN: u64 = 1024;

/// An HTTP client of the Hub or of a mirror.
#[derive(Debug)]
pub(super) struct Hub {
    /// For JSON documents.
    api: Client,
    /// For the content of files. HTTP/1.1 only: HTTP/2 would send all parts over one TCP connection.
    body: Client,
    pub(super) endpoint: Endpoint,
    /// The value of the `Authorization` header.
    pub(super) token: Option<HeaderValue>,
    /// Why there is no token although there should be one.
    pub(super) token_problem: Option<String>,
    pub(super) retry: Retry,
    /// How long a connection may bring no byte.
    pub(super) stall: Duration,
}

/// The purpose of a request, for errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) repo: &'a str,
    pub(super) revision: &'a str,
    /// The act and its object: `list the files of …`.
    pub(super) what: &'a str,
    pub(super) subject: Subject,
}

/// What a request asks for, by which an answer of status 404 is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// The description of a model. 404 means that the model does not exist.
    Model,
    /// The list of a model's files. 404 means that this mirror has no such list.
    Listing,
    /// A file.
    File,
}

/// The Hub's description of a model at a revision.
#[derive(Debug)]
pub(super) struct ModelInfo {
    /// `owner/name` as the Hub spells it, which may differ from the name in the request.
    pub(super) repository: String,
    pub(super) commit: String,
    pub(super) license: Option<String>,
}

/// The Hub's description as it came, not checked yet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawInfo {
    id: String,
    sha: String,
    #[serde(default)]
    card_data: Lenient<Card>,
}

impl RawInfo {
    /// Checks that the Hub describes `revision` of `repo`.
    pub(super) fn check(self, repo: &str, revision: &str) -> Result<ModelInfo, SourceError> {
        let id: ModelId = self.id.parse().map_err(|_| {
            refused(repo, format!("the Hub names the model `{}`, which is not a valid name", text::excerpt(&self.id)))
        })?;
        if id.revision().is_some() || !is_commit(&self.sha) {
            return Err(refused(
                repo,
                format!("the Hub answers revision `{revision}` with `{}`", text::excerpt(&self.sha)),
            ));
        }
        if is_commit(revision) && revision != self.sha {
            return Err(refused(repo, format!("commit {revision} was asked for and {} answered", self.sha)));
        }
        let license = license(&self.card_data.0);
        Ok(ModelInfo { repository: id.repository().to_owned(), commit: self.sha, license })
    }
}

/// The licence in the metadata of a model card.
#[derive(Debug, Default, Deserialize)]
struct Card {
    #[serde(default)]
    license: Texts,
    #[serde(default)]
    license_name: Texts,
}

/// A JSON document of the Hub, not parsed yet.
pub(super) struct Page {
    /// URL of the document, after all redirects.
    pub(super) url: Url,
    pub(super) body: Vec<u8>,
    /// The next page of a listing.
    pub(super) next: Option<Url>,
}

impl Hub {
    pub(super) fn new(options: &HubOptions) -> Result<Self, SourceError> {
        let endpoint = Endpoint::parse(&options.endpoint)?;
        let client = |builder: reqwest::ClientBuilder| {
            builder.redirect(Policy::none()).referer(false).build().map_err(|cause| SourceError::Http {
                what: "begin to ask".to_owned(),
                by: endpoint.answerer(endpoint.as_url()),
                token: TokenUse::Absent,
                source: Box::new(HttpFailure::transport(Method::GET, endpoint.as_url(), cause)),
            })
        };
        let (api, body) =
            (client(client_builder(&options.network))?, client(client_builder(&options.network).http1_only())?);
        let token = options.token.as_ref().map(|token| {
            HeaderValue::from_str(&format!("Bearer {}", token.expose())).map(|mut value| {
                value.set_sensitive(true);
                value
            })
        });
        let token = token.transpose().map_err(|_| SourceError::BadToken)?;
        let progress = Arc::clone(&options.progress);
        let retry = Retry::new(options.attempts, options.retry_base, progress);
        let (token_problem, stall) = (options.token_problem.clone(), options.stall_timeout);
        Ok(Self { api, body, endpoint, token, token_problem, retry, stall })
    }

    /// Warns where the token is sent for all on the way to read.
    pub(super) fn warn_of_plain_http(&self, progress: &dyn Progress) {
        if self.token.is_some() && self.endpoint.is_overheard() {
            let host = self.host();
            let message =
                format!("the Hub's token is sent to `{host}` over plain HTTP: anybody on the way can read it");
            progress.report(&Event::Warning { message });
        }
    }

    /// Returns the web page of a model.
    pub(super) fn page(&self, repo: &str) -> String {
        self.endpoint.page(repo)
    }

    /// Returns the URL of a file's content.
    pub(super) fn file_url(&self, repo: &str, commit: &str, path: &ModelPath) -> Result<Url, SourceError> {
        self.endpoint.file_url(repo, commit, path)
    }

    pub(super) fn host(&self) -> String {
        self.answerer().host().to_owned()
    }

    /// Returns the server at the endpoint, to which every first request goes.
    pub(super) fn answerer(&self) -> Answerer {
        self.endpoint.answerer(self.endpoint.as_url())
    }

    pub(super) fn is_own(&self, url: &Url) -> bool {
        self.endpoint.is_own(url)
    }

    /// Resolves a revision (a branch, tag or commit) to its commit, and reads the model's name and licence.
    pub(super) async fn model_info(&self, repo: &str, revision: &str) -> Result<ModelInfo, SourceError> {
        let what = format!("look up revision `{revision}` of `{repo}`");
        let asked = Asked { repo, revision, what: &what, subject: Subject::Model };
        let url = self.endpoint.url(&format!("api/models/{repo}/revision/{}?blobs=true", segment(revision)))?;
        let page = self.get(url, &asked).await?;
        let info: RawInfo = self.parse(&page, &asked)?;
        info.check(repo, revision)
    }

    /// Gets one JSON document, with retries.
    pub(super) async fn get(&self, url: Url, asked: &Asked<'_>) -> Result<Page, SourceError> {
        let mut failures = 0;
        loop {
            match self.get_once(url.clone(), asked).await {
                Ok(page) => return Ok(page),
                Err(fault) => {
                    failures += 1;
                    tokio::time::sleep(self.retry.after(asked.what, fault, failures)?).await;
                }
            }
        }
    }

    /// Gets one JSON document and follows redirects, without retries.
    async fn get_once(&self, mut url: Url, asked: &Asked<'_>) -> Result<Page, Fault> {
        for _ in 0..=MAX_HOPS {
            let response = self.send(&self.api, &url, None, asked).await?;
            if is_redirect(response.status()) {
                url = self.next_hop(&url, &response, asked)?;
                continue;
            }
            if response.status() != StatusCode::OK {
                return Err(self.refusal(response, asked).await);
            }
            let next = self.next_page(&url, &response, asked)?;
            let body = self.read_json(&url, response, asked).await?;
            return Ok(Page { url, body, next });
        }
        Err(self.too_many_hops(&url, asked))
    }

    /// Reads the body of a JSON document, within the limits of size and time.
    async fn read_json(&self, url: &Url, mut response: Response, asked: &Asked<'_>) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        let begun = Instant::now();
        let end = begun + self.stall * JSON_STALLS;
        loop {
            let chunk = match timeout_at(end, timeout(self.stall, response.chunk())).await {
                Err(_) => {
                    let reason = format!("the answer is not whole after {} s", (self.stall * JSON_STALLS).as_secs());
                    return Err(Fault::fatal(self.protocol(url, asked, reason)));
                }
                Ok(Err(_)) => return Err(self.silence(url, asked)),
                Ok(Ok(Err(cause))) => return Err(Fault::passing(self.transport(url, asked, cause))),
                Ok(Ok(Ok(None))) => return Ok(body),
                Ok(Ok(Ok(Some(chunk)))) => chunk,
            };
            let spent = begun.elapsed();
            let least = spent.as_secs() * JSON_RATE_MIN;
            if spent > self.stall / 2 && ((body.len() + chunk.len()) as u64) < least {
                let reason = format!("the answer is not whole after {} s, it comes too slowly", spent.as_secs());
                return Err(Fault::fatal(self.protocol(url, asked, reason)));
            }
            if body.len() + chunk.len() > MAX_JSON_BYTES {
                let reason = format!("a page of its listing is larger than {} MiB", MAX_JSON_BYTES >> 20);
                return Err(Fault::fatal(refused(asked.repo, reason)));
            }
            if body.capacity() < body.len() + chunk.len() {
                // A `Vec` that grows by itself doubles its capacity, which may be twice the size of the document.
                body.reserve_exact(chunk.len().max(body.len().min(JSON_STEP_BYTES)));
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// Parses a JSON document.
    pub(super) fn parse<T: DeserializeOwned>(&self, page: &Page, asked: &Asked<'_>) -> Result<T, SourceError> {
        serde_json::from_slice(&page.body).map_err(|error| {
            if page.body.trim_ascii_start().starts_with(b"<") {
                let reason = "a web page came in place of JSON: a proxy or a login page may stand before the server";
                return self.protocol(&page.url, asked, reason);
            }
            let place = format!("line {} column {}", error.line(), error.column());
            self.protocol(&page.url, asked, format!("the answer is not the expected JSON at {place}"))
        })
    }

    /// Returns the URL of the next page of a listing, at the endpoint; `None` on the last page.
    fn next_page(&self, url: &Url, response: &Response, asked: &Asked<'_>) -> Result<Option<Url>, Fault> {
        let links = response.headers().get_all(LINK).iter();
        let target = links.filter_map(|value| value.to_str().ok()).find_map(headers::next_link);
        let Some(target) = target else { return Ok(None) };
        let is_no_url = |_| Fault::fatal(self.protocol(url, asked, "the link to the next page is no URL"));
        let next = url.join(target).map_err(is_no_url)?;
        let is_near = next.origin() == url.origin();
        Ok(Some(if is_near { self.endpoint.below_path(next) } else { self.endpoint.bring_home(&next) }))
    }

    /// Sends a GET with a `Range` header for the content of a file.
    pub(super) async fn send_ranged(&self, url: &Url, range: &str, asked: &Asked<'_>) -> Result<Response, Fault> {
        self.send(&self.body, url, Some(range), asked).await
    }

    /// Sends a GET. The token is sent to the endpoint's own origin only.
    async fn send(
        &self,
        client: &Client,
        url: &Url,
        range: Option<&str>,
        asked: &Asked<'_>,
    ) -> Result<Response, Fault> {
        let mut request = client.get(url.clone()).header(ACCEPT_ENCODING, "identity");
        if let Some(range) = range {
            request = request.header(RANGE, range);
        }
        if let Some(token) = self.token.as_ref().filter(|_| self.is_own(url)) {
            request = request.header(AUTHORIZATION, token.clone());
        }
        let sending = log::answered(log::request(&Method::GET, url, 1, 0), request.send());
        match timeout(self.stall, sending).await {
            Err(_) => Err(self.silence(url, asked)),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(cause)) => {
                let error = self.transport(url, asked, cause);
                let transient = error.is_retryable();
                Err(Fault { error, transient, wait: None })
            }
        }
    }

    /// Returns the target of a redirect. A redirect from https to http, or to another scheme, is refused.
    pub(super) fn next_hop(&self, from: &Url, response: &Response, asked: &Asked<'_>) -> Result<Url, Fault> {
        let location = header(response, LOCATION.as_str());
        let refuse = |why: &str| Fault::fatal(self.protocol(from, asked, why));
        let location = location.ok_or_else(|| refuse("a redirect has no `Location`"))?;
        let target = from.join(&location).map_err(|_| refuse("the `Location` of a redirect is not a URL"))?;
        match target.scheme() {
            "https" => Ok(self.endpoint.below_path(target)),
            "http" if self.endpoint.is_plain_http() => Ok(self.endpoint.below_path(target)),
            "http" => Err(refuse("a redirect leads from https to http")),
            _ => Err(refuse("a redirect leaves http")),
        }
    }

    /// The error of a connection that brought no byte for too long.
    fn silence(&self, url: &Url, asked: &Asked<'_>) -> Fault {
        Fault::passing(self.protocol(url, asked, format!("no byte for {} s", self.stall.as_secs())))
    }

    pub(super) fn too_many_hops(&self, url: &Url, asked: &Asked<'_>) -> Fault {
        Fault::fatal(self.protocol(url, asked, format!("more than {MAX_HOPS} redirects")))
    }
}

pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Returns the licence of a model card, whose `license` is one id or a list of ids.
fn license(card: &Card) -> Option<String> {
    card::stated_license(card.license.0.join(", "), || card.license_name.0.first().cloned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn licences_are_read_from_the_card() {
        for (card, expected) in [
            (json!({"license": "mit"}), Some("mit")),
            (json!({"license": ["mit", "apache-2.0"]}), Some("mit, apache-2.0")),
            (json!({"license": "other", "license_name": "llama3"}), Some("llama3")),
            (json!({"license": "other"}), Some("other")),
            (json!({"license": "a\nb"}), Some("ab")),
            (json!({"license": []}), None),
            (json!({}), None),
            (json!({"license": [1, "mit", {"a": []}]}), Some("mit")),
            (json!([[1]]), None),
            (json!("text"), None),
            (Value::Null, None),
        ] {
            let read: Lenient<Card> = serde_json::from_value(card.clone()).unwrap();
            assert_eq!(license(&read.0).as_deref(), expected, "{card}");
        }
    }
}
