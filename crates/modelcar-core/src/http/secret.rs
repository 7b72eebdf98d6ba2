//! Secrets and URLs that hold some: their values can be used and not printed.

use std::{cmp::Reverse, fmt, sync::Arc};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

use crate::text::cut;

/// Longest URL that is shown, in characters.
const URL_MAX_CHARS: usize = 200;
/// Shorter secrets, in bytes, are not masked: they would match parts of any text.
const LEAST_SECRET: usize = 4;
/// Shorter values of a query, in bytes, are no signatures.
const LEAST_SIGNATURE: usize = 12;
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

/// Returns every form in which a server may repeat the login of a request, the longest first: the header's value as it
/// was sent and, of a Basic login, name and password decoded.
pub(crate) fn of_login(authorization: &str) -> Vec<String> {
    let Some((scheme, value)) = authorization.split_once(' ') else { return vec![authorization.to_owned()] };
    let mut forms = vec![value.to_owned()];
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| BASE64_STANDARD.decode(value).ok()).flatten();
    if let Some(login) = decoded.and_then(|login| String::from_utf8(login).ok()) {
        let password = login.split_once(':').map(|(_, password)| password.to_owned());
        forms.push(login);
        forms.extend(password);
    }
    let escaped: Vec<String> =
        forms.iter().map(|form| utf8_percent_encode(form, NON_ALPHANUMERIC).to_string()).collect();
    forms.extend(escaped);
    forms.sort_by_key(|form| Reverse(form.len()));
    forms
}

/// Returns the values in a URL's query that may be signatures, decoded and as they stand.
pub(crate) fn in_query(url: &Url) -> Vec<String> {
    let decoded = url.query_pairs().map(|(_, value)| value.into_owned());
    let raw = url.query().unwrap_or_default().split(['&', '=']).map(str::to_owned);
    decoded.chain(raw).filter(|value| value.len() >= LEAST_SIGNATURE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_masked_in_every_form() {
        let shown = |authorization: &str, told: &str| mask(told, of_login(authorization).iter().map(String::as_str));
        let basic = format!("Basic {}", BASE64_STANDARD.encode("robot:hunter 2+pass"));
        let told = format!("{basic}, robot:hunter 2+pass, `hunter 2+pass`, hunter%202%2Bpass");
        assert_eq!(shown(&basic, &told), "Basic [secret], [secret], `[secret]`, [secret]");
        assert_eq!(shown("Bearer abcdef", "you sent Bearer abcdef"), "you sent Bearer [secret]");
        let url = "https://s.io/x?X-Amz-Signature=0123456789abcdef%2F&partNumber=1".parse().unwrap();
        let secrets = in_query(&url);
        let text = mask("0123456789abcdef/ 0123456789abcdef%2F 1", secrets.iter().map(String::as_str));
        assert_eq!(text, "[secret] [secret] 1");
    }

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
