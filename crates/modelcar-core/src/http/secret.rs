//! Secrets and URLs that hold some: their values can be used and not printed.

use std::{fmt, sync::Arc};

use reqwest::Url;

use crate::text::cut;

/// Longest URL that is shown, in characters.
const URL_MAX_CHARS: usize = 200;
/// Shorter secrets, in bytes, are not masked: they would match parts of any text.
const LEAST_SECRET: usize = 4;
/// Precedes the name of an upload session in a URL's path.
const UPLOADS: &str = "/blobs/uploads/";
/// Longest segment of a URL's path that is shown, in bytes. A digest with its algorithm has 71.
const LONGEST_SEGMENT: usize = 100;

/// A secret: its value can be used and is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Returns the value. The caller must not print it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value.into())
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A URL without the parts that may be secret: user, password, query and fragment. Signed URLs have their signature in
/// the query; upload locations have a session token there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedUrl(String);

impl RedactedUrl {
    /// Masks `url`.
    pub fn new(url: &Url) -> Self {
        let mut masked = url.clone();
        let _no_host = masked.set_username("");
        let _no_host = masked.set_password(None);
        masked.set_fragment(None);
        if masked.query().is_some() {
            masked.set_query(Some("…"));
        }
        let text = mask_path(&masked.to_string().replace("%E2%80%A6", "…"));
        Self(cut(&text, URL_MAX_CHARS))
    }
}

/// Masks the name of an upload session, because whoever knows it can write into the session: the path after
/// `/blobs/uploads/`, and any long segment (an upload location of Artifact Registry holds kilobytes of token).
fn mask_path(url: &str) -> String {
    let url = match url.split_once(UPLOADS) {
        Some((before, after)) if !after.is_empty() => {
            format!("{before}{UPLOADS}…{}", if after.ends_with("?…") { "?…" } else { "" })
        }
        _ => url.to_owned(),
    };
    let mask = |segment: &str| if segment.len() > LONGEST_SEGMENT { "…".to_owned() } else { segment.to_owned() };
    url.split('/').map(mask).collect::<Vec<_>>().join("/")
}

impl fmt::Display for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns `text` with each of `secrets` replaced by `[secret]`.
///
/// A server may repeat in its answer what it was sent. Masking comes before cutting: half a secret is a secret, too.
pub(crate) fn mask<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let secrets = secrets.into_iter().filter(|secret| secret.len() >= LEAST_SECRET);
    secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "[secret]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_opens_doors() {
        let shown = |url: &str| RedactedUrl::new(&url.parse().unwrap()).to_string();
        let token = "A".repeat(4000);
        for (url, expected) in [
            ("https://u:p@r.io/v2/a/manifests/v1?x=1#f", "https://r.io/v2/a/manifests/v1?…".to_owned()),
            ("https://r.io/v2/a/blobs/uploads/", "https://r.io/v2/a/blobs/uploads/".to_owned()),
            ("https://r.io/v2/a/blobs/uploads/id-secret?_state=s", "https://r.io/v2/a/blobs/uploads/…?…".to_owned()),
            (&format!("https://r.io/artifacts-uploads/p/{token}"), "https://r.io/artifacts-uploads/p/…".to_owned()),
        ] {
            assert_eq!(shown(url), expected);
        }
    }
}
