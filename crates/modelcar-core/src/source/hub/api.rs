//! The Hub's JSON API: a revision's commit and the tree of a commit.

use std::{sync::Arc, time::Duration};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, LINK, LOCATION, RANGE},
    redirect::Policy,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::timeout;

use super::{
    HubOptions, headers,
    listing::{TreeEntry, refused},
    rate_limit::rate_limit_wait,
};
use crate::{
    ModelPath,
    error::ModelcarError,
    http::{HttpFailure, RedactedUrl, client_builder, header, log},
    source::{
        ModelId, SourceError,
        model_id::is_commit,
        ranged::{Fault, Retry},
    },
    text,
};

/// Redirects followed for one request.
pub(super) const MAX_HOPS: usize = 5;
const MAX_PAGES: usize = 1000;
const MAX_ENTRIES: usize = 100_000;
const MAX_JSON_BYTES: usize = 32 << 20;
const MAX_LICENSE_CHARS: usize = 200;
/// RFC 3986's unreserved characters stand for themselves; all else is escaped, `/` included.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A connection to a Hub.
#[derive(Debug)]
pub(super) struct Hub {
    api: Client,
    /// HTTP/1.1 only: HTTP/2 would put all parts into one TCP flow.
    body: Client,
    endpoint: Url,
    token: Option<HeaderValue>,
    pub(super) retry: Retry,
    pub(super) stall: Duration,
}

/// What is asked of which model, for errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) repo: &'a str,
    pub(super) revision: &'a str,
    pub(super) what: &'a str,
    /// A file was asked for, whose absence says nothing about the model.
    pub(super) file: bool,
}

/// What the Hub says about a model at a revision.
#[derive(Debug)]
pub(super) struct ModelInfo {
    pub(super) repository: String,
    pub(super) commit: String,
    pub(super) license: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawInfo {
    id: String,
    sha: String,
    #[serde(default)]
    card_data: Value,
}

struct Page {
    url: Url,
    body: Vec<u8>,
    next: Option<Url>,
}

impl Hub {
    pub(super) fn new(options: &HubOptions) -> Result<Self, SourceError> {
        let endpoint = parse_endpoint(&options.endpoint)?;
        let client = |builder: reqwest::ClientBuilder| {
            builder.redirect(Policy::none()).referer(false).build().map_err(|cause| SourceError::Http {
                what: format!("connect to `{}`", host(&endpoint)),
                source: Box::new(HttpFailure::transport(Method::GET, &endpoint, cause)),
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
        Ok(Self { api, body, endpoint, token, retry, stall: options.stall_timeout })
    }

    /// Returns the web page of a model.
    pub(super) fn page(&self, repo: &str) -> String {
        format!("{}/{repo}", self.endpoint.as_str().trim_end_matches('/'))
    }

    /// Returns the URL of a file's content.
    pub(super) fn file_url(&self, repo: &str, commit: &str, path: &ModelPath) -> Result<Url, SourceError> {
        let segments: Vec<String> = path.as_str().split('/').map(segment).collect();
        self.url(&format!("{repo}/resolve/{}/{}", segment(commit), segments.join("/")))
    }

    pub(super) fn host(&self) -> String {
        host(&self.endpoint)
    }

    pub(super) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.endpoint.origin()
    }

    /// Looks a revision up.
    pub(super) async fn model_info(&self, repo: &str, revision: &str) -> Result<ModelInfo, SourceError> {
        let what = format!("look up revision `{revision}` of `{repo}`");
        let asked = Asked { repo, revision, what: &what, file: false };
        let url = self.url(&format!("api/models/{repo}/revision/{}?blobs=true", segment(revision)))?;
        let page = self.get(url, &asked).await?;
        let info: RawInfo = parse(&page, &asked)?;
        let id: ModelId = info.id.parse().map_err(|_| {
            refused(repo, format!("the Hub names the model `{}`, which is not a valid name", text::excerpt(&info.id)))
        })?;
        if id.revision().is_some() || !is_commit(&info.sha) {
            return Err(refused(
                repo,
                format!("the Hub answers revision `{revision}` with `{}`", text::excerpt(&info.sha)),
            ));
        }
        if is_commit(revision) && revision != info.sha {
            return Err(refused(repo, format!("commit {revision} was asked for and {} answered", info.sha)));
        }
        let license = license(&info.card_data);
        Ok(ModelInfo { repository: id.repository().to_owned(), commit: info.sha, license })
    }

    /// Lists everything in a commit, page by page.
    pub(super) async fn tree(&self, repo: &str, commit: &str) -> Result<Vec<TreeEntry>, SourceError> {
        let what = format!("list the files of `{repo}` at {commit}");
        let asked = Asked { repo, revision: commit, what: &what, file: false };
        let mut next = Some(self.url(&format!("api/models/{repo}/tree/{}?recursive=true", segment(commit)))?);
        let mut entries = Vec::new();
        let mut pages = 0;
        while let Some(url) = next {
            pages += 1;
            if pages > MAX_PAGES {
                return Err(refused(repo, format!("it has more than {MAX_PAGES} pages")));
            }
            let page = self.get(url, &asked).await?;
            entries.extend(parse::<Vec<TreeEntry>>(&page, &asked)?);
            if entries.len() > MAX_ENTRIES {
                return Err(refused(repo, format!("it has more than {MAX_ENTRIES} entries")));
            }
            next = page.next;
            if next.as_ref().is_some_and(|next| next.origin() != page.url.origin()) {
                return Err(refused(repo, "its next page is on another host"));
            }
            if next.as_ref() == Some(&page.url) {
                return Err(refused(repo, "a page names itself as the next one"));
            }
        }
        Ok(entries)
    }

    /// Gets one JSON document, with retries.
    async fn get(&self, url: Url, asked: &Asked<'_>) -> Result<Page, SourceError> {
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
            let next = next_page(&url, &response, asked)?;
            let body = self.read_json(&url, response, asked).await?;
            return Ok(Page { url, body, next });
        }
        Err(too_many_hops(&url, asked))
    }

    async fn read_json(&self, url: &Url, mut response: Response, asked: &Asked<'_>) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        loop {
            match timeout(self.stall, response.chunk()).await {
                Err(_) => return Err(self.silence(url, asked)),
                Ok(Err(cause)) => return Err(Fault::passing(transport(url, asked, cause))),
                Ok(Ok(None)) => return Ok(body),
                Ok(Ok(Some(chunk))) if body.len() + chunk.len() > MAX_JSON_BYTES => {
                    let reason = format!("a page of its listing is larger than {} MiB", MAX_JSON_BYTES >> 20);
                    return Err(Fault::fatal(refused(asked.repo, reason)));
                }
                Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            }
        }
    }

    /// Sends a ranged GET for content.
    pub(super) async fn send_ranged(&self, url: &Url, range: &str, asked: &Asked<'_>) -> Result<Response, Fault> {
        self.send(&self.body, url, Some(range), asked).await
    }

    /// Sends a GET; the token goes along to the endpoint's own origin only.
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
                let error = transport(url, asked, cause);
                let transient = error.is_retryable();
                Err(Fault { error, transient, wait: None })
            }
        }
    }

    /// Returns where a redirect leads, if it may be followed.
    pub(super) fn next_hop(&self, from: &Url, response: &Response, asked: &Asked<'_>) -> Result<Url, Fault> {
        let location = header(response, LOCATION.as_str());
        let refuse = |why: &str| Fault::fatal(protocol(from, asked, why));
        let location = location.ok_or_else(|| refuse("a redirect has no `Location`"))?;
        let target = from.join(&location).map_err(|_| refuse("the `Location` of a redirect is not a URL"))?;
        match target.scheme() {
            "https" => Ok(target),
            "http" if self.endpoint.scheme() == "http" => Ok(target),
            "http" => Err(refuse("a redirect leads from https to http")),
            _ => Err(refuse("a redirect leaves http")),
        }
    }

    /// Tells what an answer that is neither good nor a redirect means.
    pub(super) async fn refusal(&self, response: Response, asked: &Asked<'_>) -> Fault {
        let told = header(&response, "ratelimit").filter(|_| response.status() == StatusCode::TOO_MANY_REQUESTS);
        let (url, status) = (response.url().clone(), response.status());
        let read = HttpFailure::from_response(Method::GET, response);
        let failure = match timeout(self.stall, read).await {
            Ok(failure) => failure,
            Err(_) => HttpFailure {
                status: Some(status),
                ..HttpFailure::protocol(Method::GET, &url, "the answer has no body")
            },
        };
        let wait = failure.retry_after.or_else(|| rate_limit_wait(&told?));
        let transient = failure.is_retryable();
        let error = if self.is_own(&url) { self.meaning(failure, asked) } else { http(failure, asked) };
        Fault { error, transient, wait }
    }

    /// The Hub says what is missing in a header; a mirror may only have the status.
    fn meaning(&self, failure: HttpFailure, asked: &Asked<'_>) -> SourceError {
        let anonymous = self.token.is_none();
        let repo = asked.repo.to_owned();
        let status = failure.status.map(|status| status.as_u16());
        let bad_token = failure.message.as_ref().is_some_and(|text| text.starts_with("Invalid credentials"));
        match (failure.code.as_deref(), status) {
            _ if bad_token => http(failure, asked),
            (Some("GatedRepo"), _) => SourceError::Gated { repo, anonymous },
            (Some("RevisionNotFound"), _) => {
                SourceError::RevisionNotFound { repo, revision: asked.revision.to_owned() }
            }
            (Some("RepoNotFound"), _) => SourceError::RepositoryNotFound { repo, host: self.host(), anonymous },
            (None, Some(404)) if !asked.file => SourceError::RepositoryNotFound { repo, host: self.host(), anonymous },
            (None, Some(401)) if anonymous => SourceError::RepositoryNotFound { repo, host: self.host(), anonymous },
            _ => http(failure, asked),
        }
    }

    fn silence(&self, url: &Url, asked: &Asked<'_>) -> Fault {
        Fault::passing(protocol(url, asked, format!("no byte for {} s", self.stall.as_secs())))
    }

    fn url(&self, tail: &str) -> Result<Url, SourceError> {
        let base = self.endpoint.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}/{tail}")).map_err(|_| bad_endpoint(&self.endpoint))
    }
}

pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Returns host and, where it is not the usual one, port.
pub(super) fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

/// An answer that breaks the protocol.
pub(super) fn protocol(url: &Url, asked: &Asked<'_>, message: impl Into<String>) -> SourceError {
    http(HttpFailure::protocol(Method::GET, url, message), asked)
}

pub(super) fn too_many_hops(url: &Url, asked: &Asked<'_>) -> Fault {
    Fault::fatal(protocol(url, asked, format!("more than {MAX_HOPS} redirects")))
}

fn transport(url: &Url, asked: &Asked<'_>, cause: reqwest::Error) -> SourceError {
    http(HttpFailure::transport(Method::GET, url, cause), asked)
}

fn http(failure: HttpFailure, asked: &Asked<'_>) -> SourceError {
    SourceError::Http { what: asked.what.to_owned(), source: Box::new(failure) }
}

fn next_page(url: &Url, response: &Response, asked: &Asked<'_>) -> Result<Option<Url>, Fault> {
    let links = response.headers().get_all(LINK).iter();
    let target = links.filter_map(|value| value.to_str().ok()).find_map(headers::next_link);
    let joined = target.map(|target| url.join(target)).transpose();
    joined.map_err(|_| Fault::fatal(protocol(url, asked, "the link to the next page is no URL")))
}

fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

fn parse<T: DeserializeOwned>(page: &Page, asked: &Asked<'_>) -> Result<T, SourceError> {
    serde_json::from_slice(&page.body).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        protocol(&page.url, asked, format!("the answer is not the expected JSON at {place}"))
    })
}

fn parse_endpoint(text: &str) -> Result<Url, SourceError> {
    // What does not parse can't be masked either: it is shown where no password and no signature can be in it.
    let may_hold_secret = text.contains(['@', '?', '#']);
    let address = || if may_hold_secret { "(not shown)".to_owned() } else { format!("`{}`", text::excerpt(text)) };
    let unparsed = || SourceError::BadEndpoint { address: address(), reason: "is not a URL" };
    let url = Url::parse(text.trim()).ok().filter(|url| !url.cannot_be_a_base()).ok_or_else(unparsed)?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let good = matches!(url.scheme(), "http" | "https") && url.has_host() && plain && url.password().is_none();
    if good { Ok(url) } else { Err(bad_endpoint(&url)) }
}

fn bad_endpoint(url: &Url) -> SourceError {
    SourceError::BadEndpoint {
        address: format!("`{}`", RedactedUrl::new(url)),
        reason: "is not one of a Hub: expected an http or https URL without user, query and fragment",
    }
}

/// A card's `license` is one id or a list; `other` is explained by `license_name`.
fn license(card: &Value) -> Option<String> {
    let text = |key| card.get(key).and_then(Value::as_str).map(str::to_owned);
    let list = || {
        let ids: Vec<&str> = card.get("license")?.as_array()?.iter().filter_map(Value::as_str).collect();
        (!ids.is_empty()).then(|| ids.join(", "))
    };
    let told = match text("license").or_else(list)? {
        other if other == "other" => text("license_name").unwrap_or(other),
        named => named,
    };
    let clean: String = told.chars().filter(|c| !c.is_control()).take(MAX_LICENSE_CHARS).collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_revision_is_one_segment_and_a_path_several() {
        let options = HubOptions { endpoint: "http://mirror.test/hub/".to_owned(), ..HubOptions::default() };
        let hub = Hub::new(&options).unwrap();
        let path: ModelPath = "sub dir/tok#1 é?.bin".parse().unwrap();
        let url = hub.file_url("o/n", "refs/pr/1", &path).unwrap();
        assert_eq!(url.as_str(), "http://mirror.test/hub/o/n/resolve/refs%2Fpr%2F1/sub%20dir/tok%231%20%C3%A9%3F.bin");
        assert_eq!(hub.page("o/n"), "http://mirror.test/hub/o/n");
        assert!(hub.is_own(&url));
        assert!(!hub.is_own(&Url::parse("https://mirror.test/hub").unwrap()));
    }

    #[test]
    fn endpoints_that_hide_something_are_refused() {
        for bad in ["", "huggingface.co", "ftp://h", "https://u:p@h", "https://h/?q", "https://h/#f"] {
            let error = parse_endpoint(bad).unwrap_err().to_string();
            assert!(!error.contains("u:p"), "{error}");
        }
        let said = |bad| parse_endpoint(bad).unwrap_err().to_string();
        assert_eq!(said("foo"), "the Hub's address `foo` is not a URL");
        assert_eq!(said("//u:p@h"), "the Hub's address (not shown) is not a URL");
        assert_eq!(said("u:p@h"), said("v:q@h"), "the password is in neither");
        assert!(parse_endpoint("https://h:8443/prefix").is_ok());
    }

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
            (Value::Null, None),
        ] {
            assert_eq!(license(&card).as_deref(), expected, "{card}");
        }
    }
}
