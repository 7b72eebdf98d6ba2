//! Image references and tags. They are parsed strictly: a reference must name its registry, and no part defaults to
//! Docker Hub.

use std::{fmt, str::FromStr};

use oci_spec::distribution::Reference;
use serde::{Deserialize, Serialize, de};

use crate::{
    digest::{Digest, serde_as_text},
    error::{ErrorKind, ModelcarError},
};

/// A reference to an image: `registry/repository[:tag][@digest]`.
///
/// The grammar is that of the distribution-spec. In addition the registry must be recognizable as a host: it contains a
/// dot or a port, or is `localhost`. `qwen:v1` is therefore an error and not an upload to a public registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageRef {
    /// `host` or `host:port`, as the user wrote it.
    registry: String,
    /// Name of the repository, in lower case, without the registry.
    repository: String,
    /// The tag, if the reference has one.
    tag: Option<Tag>,
    /// The digest, if the reference has one.
    digest: Option<Digest>,
}

/// The name of an image inside its repository: `v1` in `ghcr.io/acme/qwen:v1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

/// A text that is not a tag. The field is the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a tag: a tag has at most {TAG_MAX_CHARS} letters, digits, `_`, `.` and `-`, and begins with neither `.` \
     nor `-`"
)]
pub struct InvalidTag(String);

/// Largest number of characters of a tag (distribution-spec "Pulling manifests").
const TAG_MAX_CHARS: usize = 128;

impl ModelcarError for InvalidTag {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

impl Tag {
    /// Returns `latest`, the tag of a reference with neither tag nor digest.
    pub fn latest() -> Self {
        Self("latest".to_owned())
    }

    /// Returns the tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    /// Parses a tag.
    ///
    /// # Errors
    /// [`InvalidTag`] for a text that is empty, longer than 128 characters, or not of the distribution-spec's grammar.
    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_tag = text.len() <= TAG_MAX_CHARS
            && text.starts_with(word)
            && text.chars().all(|c| word(c) || c == '.' || c == '-');
        if is_tag { Ok(Self(text.to_owned())) } else { Err(InvalidTag(text.to_owned())) }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(Tag);

/// A text that is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image reference: {reason}")]
pub struct InvalidReference {
    /// The text.
    text: String,
    /// What is wrong with the text.
    reason: String,
}

impl ModelcarError for InvalidReference {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

impl ImageRef {
    /// Returns the registry, as `host` or `host:port`. An IPv6 address has brackets.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the repository's name without the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the tag, if the reference has one. A reference with a digest only has no tag.
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// Returns the tag, or `latest` if the reference has none.
    pub fn tag_or_latest(&self) -> Tag {
        self.tag.clone().unwrap_or_else(Tag::latest)
    }

    /// Returns the digest, if the reference has one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns the name under which the registry is asked for the image: the digest if there is one, else the tag, else
    /// `latest`.
    pub fn selector(&self) -> String {
        self.digest.map_or_else(|| self.tag_or_latest().to_string(), |digest| digest.to_string())
    }

    /// Returns the same repository with `digest` and without a tag. Such a reference always names the same image.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Self {
        Self { tag: None, digest: Some(*digest), ..self.clone() }
    }

    /// Returns the same repository and tag, without the digest.
    #[must_use]
    pub fn without_digest(&self) -> Self {
        Self { digest: None, ..self.clone() }
    }

    /// Returns the same repository under `tag`, without a digest.
    #[must_use]
    pub fn with_tag(&self, tag: &Tag) -> Self {
        Self { tag: Some(tag.clone()), digest: None, ..self.clone() }
    }

    /// Returns whether the registry is on this machine (`localhost`, `127.0.0.0/8`, `[::1]`). No name is resolved.
    pub fn is_loopback(&self) -> bool {
        let host = host_of(&self.registry);
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Returns the host of `host[:port]`, without the brackets of an IPv6 address.
fn host_of(registry: &str) -> &str {
    match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => registry.rsplit_once(':').map_or(registry, |(host, _)| host),
    }
}

impl FromStr for ImageRef {
    type Err = InvalidReference;

    /// Parses a reference.
    ///
    /// # Errors
    /// [`InvalidReference`], with the reason: a scheme such as `https://`, no registry, no repository, upper-case
    /// letters in the repository, or an invalid tag or digest.
    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        parse(text).map_err(|reason| InvalidReference { text: without_login(text), reason })
    }
}

/// Returns where a login ends that stands before the registry, as in a URL. Only a digest may stand behind an `@`.
fn login_end(text: &str) -> Option<usize> {
    let at = text.rfind('@')?;
    let behind = &text[at + 1..];
    (behind.contains('/') || !behind.starts_with("sha")).then_some(at)
}

/// Returns `text` without a login in it: a password that was typed into a name must not be printed.
fn without_login(text: &str) -> String {
    let Some(at) = login_end(text) else { return text.to_owned() };
    let scheme = text[..at].find("://").map_or("", |end| &text[..end + 3]);
    format!("{scheme}…{}", &text[at..])
}

/// Parses a reference. The error is the reason, as a message shows it.
fn parse(text: &str) -> Result<ImageRef, String> {
    if login_end(text).is_some() {
        return Err("leave out the login before the registry".to_owned());
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(format!("leave out the scheme `{scheme}://`"));
    }
    if text.parse::<Digest>().is_ok() {
        return Err("it is a digest without an image, write `HOST/REPOSITORY@sha256:…`".to_owned());
    }
    let (registry, rest) = text.split_once('/').ok_or("it has no registry, write `HOST/REPOSITORY:TAG`")?;
    if rest.is_empty() {
        return Err("it has no repository".to_owned());
    }
    if !is_host(registry) {
        return Err(format!("`{registry}` is not a registry host, write `HOST/REPOSITORY:TAG`"));
    }
    if rest.chars().take_while(|c| *c != ':' && *c != '@').any(|c| c.is_ascii_uppercase()) {
        return Err("a repository is written in lower case".to_owned());
    }
    // The grammar is the crate's; a fixed host keeps it from applying Docker's defaults and from IPv6 (not accepted
    // there).
    let parsed: Reference = format!("registry.invalid/{rest}").parse().map_err(|error| format!("{error}"))?;
    let digest = parsed
        .digest()
        .map(str::parse)
        .transpose()
        .map_err(|error: crate::digest::InvalidDigest| format!("{error}"))?;
    let written_tag = rest.split('@').next().is_some_and(|name| name.contains(':'));
    let tag = parsed.tag().filter(|_| written_tag).map(str::parse).transpose();
    let tag = tag.map_err(|error: InvalidTag| format!("{error}"))?;
    Ok(ImageRef { registry: registry.to_owned(), repository: parsed.repository().to_owned(), tag, digest })
}

/// Returns whether the first component of a reference is a registry: a host name or address, with or without a port.
fn is_host(registry: &str) -> bool {
    if let Some(rest) = registry.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return address.parse::<std::net::Ipv6Addr>().is_ok()
            && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = match registry.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (registry, None),
    };
    let labels = host.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    });
    labels && port.is_none_or(is_port) && (host == "localhost" || host.contains('.') || port.is_some())
}

/// Returns whether a text is a port: digits only, at most 65535.
fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

impl fmt::Display for ImageRef {
    /// Writes the reference so that parsing gives the same reference again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

serde_as_text!(ImageRef);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_in_a_name_is_not_repeated() {
        for text in [
            "u:hunter2@r.io/a/b:v1",
            "https://u:hunter2@r.io/a/b",
            "u:hunter2/x@r.io/a",
            "u:hunter2@r.io",
            "u@v:hunter2@r.io/a",
        ] {
            let error = text.parse::<ImageRef>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2") && error.to_string().contains("r.io"), "{error}");
        }
        let digest = Digest::of("x");
        assert!(format!("r.io/a@{digest}").parse::<ImageRef>().is_ok());
    }

    #[test]
    fn references_round_trip() {
        let digest = Digest::of("x");
        for good in [
            "europe-docker.pkg.dev/p/r/qwen:v1".to_owned(),
            "localhost/a".to_owned(),
            "localhost:5000/a/b_c/d:1.0".to_owned(),
            "[::1]:5000/a:b".to_owned(),
            format!("ghcr.io/acme/q@{digest}"),
            format!("ghcr.io/acme/q:v1@{digest}"),
        ] {
            assert_eq!(good.parse::<ImageRef>().unwrap().to_string(), good);
        }
    }

    #[test]
    fn a_tag_is_a_tag_and_nothing_more() {
        let image: ImageRef = "ghcr.io/a/b:v1".parse().unwrap();
        for good in ["v2", "_", "1.0-rc.1", &"x".repeat(128)] {
            let tag: Tag = good.parse().unwrap();
            assert_eq!(image.with_tag(&tag).to_string(), format!("ghcr.io/a/b:{good}"));
            assert_eq!(format!("ghcr.io/a/b:{good}").parse::<ImageRef>().unwrap().tag(), Some(&tag));
        }
        let digest = format!("v2@{}", Digest::of("x"));
        for bad in ["", "a b", "v2:v3", ".v", "-v", "v/1", "ü", &digest, &"x".repeat(129)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_digest_alone_is_told_what_is_missing() {
        let error = Digest::of("x").to_string().parse::<ImageRef>().unwrap_err().to_string();
        assert!(error.contains("a digest without an image, write `HOST/REPOSITORY@sha256:…`"), "{error}");
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for bad in [
            "",
            "qwen",
            "qwen:v1",
            "acme/qwen",
            "ghcr.io/",
            "ghcr.io",
            "ghcr.io/Acme/q",
            "ghcr.io/a:",
            "ghcr.io/a b",
            "oci://ghcr.io/a",
            "ghcr.io/a@sha256:12",
            "ghcr.io//a",
            "-x.io/a",
            "host:99999/a",
            "[::1/a",
            "ghcr.io/a:t:t",
        ] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn loopback_is_told_from_the_rest() {
        for (text, expected) in [
            ("127.0.0.1:5/a", true),
            ("[::1]:5/a", true),
            ("localhost/a", true),
            ("LOCALHOST:5/a", true),
            ("127.evil.io/a", false),
        ] {
            assert_eq!(text.parse::<ImageRef>().unwrap().is_loopback(), expected, "{text}");
        }
    }
}
