//! The endpoint of the Hub or of a mirror: URLs below it, and which server (Hub, mirror, store) a URL belongs to.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

use crate::{
    ModelPath,
    http::RedactedUrl,
    source::{Answerer, SourceError},
    text,
};

/// Characters that are percent-encoded in a segment of a path: all but the unreserved characters of RFC 3986, so `/`
/// too.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Hosts of the Hub itself. The Hub's stores are other hosts, some of them below these names.
const HUB_HOSTS: [&str; 3] = ["huggingface.co", "www.huggingface.co", "hf.co"];

/// The URL of the Hub or of a mirror. The URL may have a path, below which a proxy serves the whole Hub.
#[derive(Debug, Clone)]
pub(super) struct Endpoint(Url);

impl Endpoint {
    /// Parses an endpoint: an http or https URL without user, password, query and fragment.
    pub(super) fn parse(text: &str) -> Result<Self, SourceError> {
        // Secrets can be masked only in a URL that parses. Other text is shown only if no password and no signature
        // fits it.
        let may_hold_secret = text.contains(['@', '?', '#']);
        let address = || if may_hold_secret { "(not shown)".to_owned() } else { format!("`{}`", text::excerpt(text)) };
        let unparsed = || SourceError::BadEndpoint { address: address(), reason: "is not a URL" };
        let url = Url::parse(text.trim()).ok().filter(|url| !url.cannot_be_a_base()).ok_or_else(unparsed)?;
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        let good = matches!(url.scheme(), "http" | "https") && url.has_host() && plain && url.password().is_none();
        if good { Ok(Self(url)) } else { Err(bad_endpoint(&url)) }
    }

    pub(super) fn as_url(&self) -> &Url {
        &self.0
    }

    pub(super) fn is_plain_http(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// Returns whether what is sent can be read on the way: plain HTTP, and not to this machine.
    pub(super) fn is_overheard(&self) -> bool {
        let is_here = match self.0.host() {
            Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        self.is_plain_http() && !is_here
    }

    /// Returns the URL below the endpoint.
    pub(super) fn url(&self, tail: &str) -> Result<Url, SourceError> {
        let base = self.0.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}/{tail}")).map_err(|_| bad_endpoint(&self.0))
    }

    /// Returns the web page of a model.
    pub(super) fn page(&self, repo: &str) -> String {
        format!("{}/{repo}", self.0.as_str().trim_end_matches('/'))
    }

    /// Returns the URL of a file's content.
    pub(super) fn file_url(&self, repo: &str, commit: &str, path: &ModelPath) -> Result<Url, SourceError> {
        let segments: Vec<String> = path.as_str().split('/').map(segment).collect();
        self.url(&format!("{repo}/resolve/{}/{}", segment(commit), segments.join("/")))
    }

    /// Returns whether the token may be sent to `url`: only to the endpoint's own scheme, host and port.
    pub(super) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.0.origin()
    }

    /// Puts the endpoint's path before the path of `url`, where the path is missing. A mirror at a path may pass on
    /// URLs in the Hub's answers, and the Hub does not know of the path. A URL that has not the form of a Hub's stays
    /// as it is.
    pub(super) fn below_path(&self, mut url: Url) -> Url {
        let prefix = self.0.path().trim_end_matches('/').to_owned();
        let is_below = url.path().strip_prefix(&prefix).is_some_and(|rest| rest.starts_with('/'));
        if self.is_own(&url) && !is_below && is_of_hub(&url) {
            url.set_path(&format!("{prefix}{}", url.path()));
        }
        url
    }

    /// Returns the URL of `link` with the endpoint's scheme, host and port. A mirror that passes on the Hub's answers
    /// links to the Hub's host, and the next page has to be asked of the mirror.
    pub(super) fn bring_home(&self, link: &Url) -> Url {
        let mut home = self.0.clone();
        home.set_path(link.path());
        home.set_query(link.query());
        self.below_path(home)
    }

    /// Returns which server answers at `url`: the Hub, a mirror or a store.
    pub(super) fn answerer(&self, url: &Url) -> Answerer {
        let host = host(url).into();
        match url.host_str() {
            _ if !self.is_own(url) && !is_of_hub(url) => Answerer::Store(host),
            Some(name) if HUB_HOSTS.contains(&name) => Answerer::Hub(host),
            _ => Answerer::Mirror(host),
        }
    }
}

/// Returns whether a URL has the form of the Hub's URLs: of the API, or of a file at a revision.
fn is_of_hub(url: &Url) -> bool {
    ["/api/models/", "/api/resolve-cache/", "/resolve/"].iter().any(|part| url.path().contains(part))
}

/// Percent-encodes `text` as one segment of a URL's path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// Returns the host and, unless it is the default port of the scheme, the port.
pub(super) fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

fn bad_endpoint(url: &Url) -> SourceError {
    SourceError::BadEndpoint {
        address: format!("`{}`", RedactedUrl::new(url)),
        reason: "is not one of a Hub: expected an http or https URL without user, query and fragment",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_to_another_machine_is_overheard() {
        for (address, expected) in [
            ("http://m.test", true),
            ("http://10.0.0.1:80", true),
            ("http://localhost:8080", false),
            ("http://127.0.0.1:1", false),
            ("http://[::1]:1", false),
            ("https://m.test", false),
        ] {
            assert_eq!(Endpoint::parse(address).unwrap().is_overheard(), expected, "{address}");
        }
    }

    #[test]
    fn a_revision_is_one_segment_and_a_path_several() {
        let hub = Endpoint::parse("http://mirror.test/hub/").unwrap();
        let path: ModelPath = "sub dir/tok#1 é?.bin".parse().unwrap();
        let url = hub.file_url("o/n", "refs/pr/1", &path).unwrap();
        assert_eq!(url.as_str(), "http://mirror.test/hub/o/n/resolve/refs%2Fpr%2F1/sub%20dir/tok%231%20%C3%A9%3F.bin");
        assert_eq!(hub.page("o/n"), "http://mirror.test/hub/o/n");
        assert!(hub.is_own(&url));
        assert!(!hub.is_own(&Url::parse("https://mirror.test/hub").unwrap()));
    }

    #[test]
    fn what_the_hub_names_is_asked_of_the_mirror() {
        for (endpoint, link, expected) in [
            (
                "http://m.test",
                "https://huggingface.co/api/models/a/b/tree/c?x=1",
                "http://m.test/api/models/a/b/tree/c?x=1",
            ),
            (
                "http://m.test:81/hf/",
                "http://m.test/api/models/x?cursor=a%3D",
                "http://m.test:81/hf/api/models/x?cursor=a%3D",
            ),
            ("http://m.test/hf", "https://h/hf/api/models/x", "http://m.test/hf/api/models/x"),
        ] {
            let home = Endpoint::parse(endpoint).unwrap().bring_home(&Url::parse(link).unwrap());
            assert_eq!(home.as_str(), expected);
        }
        let hub = Endpoint::parse("http://m.test/hf").unwrap();
        let below = |url: &str| hub.below_path(Url::parse(url).unwrap()).to_string();
        assert_eq!(below("http://m.test/api/resolve-cache/x?e=1"), "http://m.test/hf/api/resolve-cache/x?e=1");
        assert_eq!(below("http://m.test/hf/api/models/x"), "http://m.test/hf/api/models/x");
        assert_eq!(below("http://m.test/blobs/x?sig=1"), "http://m.test/blobs/x?sig=1");
        assert_eq!(below("http://s.test/api/models/x"), "http://s.test/api/models/x");
    }

    #[test]
    fn who_answers_is_told_by_the_address() {
        let mirror = Endpoint::parse("https://hf-mirror.test").unwrap();
        for (url, expected) in [
            ("https://hf-mirror.test/x", "the mirror at hf-mirror.test"),
            ("https://huggingface.co/api/models/a/b", "the Hub (huggingface.co)"),
            ("https://other.test:8443/a/b/resolve/main/x", "the mirror at other.test:8443"),
            ("https://cdn-lfs.huggingface.co/x?Signature=1", "the store at cdn-lfs.huggingface.co"),
        ] {
            assert_eq!(mirror.answerer(&Url::parse(url).unwrap()).to_string(), expected);
        }
    }

    #[test]
    fn endpoints_that_hide_something_are_refused() {
        for bad in ["", "huggingface.co", "ftp://h", "https://u:p@h", "https://h/?q", "https://h/#f"] {
            let error = Endpoint::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("u:p"), "{error}");
        }
        let said = |bad| Endpoint::parse(bad).unwrap_err().to_string();
        assert_eq!(said("foo"), "the Hub's address `foo` is not a URL");
        assert_eq!(said("//u:p@h"), "the Hub's address (not shown) is not a URL");
        assert_eq!(said("u:p@h"), said("v:q@h"), "the password is in neither");
        assert!(Endpoint::parse("https://h:8443/prefix").is_ok());
    }
}
