//! Image references, parsed strictly: a registry must be named, nothing defaults to Docker Hub.

use std::{fmt, str::FromStr};

use oci_spec::distribution::Reference;
use serde::{Deserialize, Serialize, de};

use crate::{
    digest::{Digest, serde_as_text},
    error::{ErrorKind, ModelcarError},
};

/// A reference to an image: `registry/repository[:tag][@digest]`.
///
/// The grammar is that of distribution-spec; on top of it the registry must be recognisable as a host (it holds a
/// dot or a port, or is `localhost`), so that `qwen:v1` is an error and not an upload to a public registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageRef {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image reference: {reason}")]
pub struct InvalidReference {
    text: String,
    reason: String,
}

impl ModelcarError for InvalidReference {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

impl ImageRef {
    /// Returns `host` or `host:port`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the repository's name without the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the tag, when one is written.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest, when one is written.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns the tag or digest to ask the registry for: the digest wins, `latest` stands in for nothing.
    pub fn selector(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// Returns `registry/repository@digest`, without the tag.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Self {
        Self { tag: None, digest: Some(*digest), ..self.clone() }
    }

    /// Returns `registry/repository[:tag]`.
    #[must_use]
    pub fn without_digest(&self) -> Self {
        Self { digest: None, ..self.clone() }
    }

    /// Returns the same repository under `tag`, without a digest.
    ///
    /// # Errors
    /// When `tag` is not a tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, InvalidReference> {
        let text = format!("{}/{}:{tag}", self.registry, self.repository);
        let image: Self = text.parse()?;
        if image.tag.as_deref() == Some(tag) && image.digest.is_none() {
            Ok(image)
        } else {
            Err(InvalidReference { text, reason: format!("`{tag}` is not a tag") })
        }
    }

    /// Returns whether the registry is on this machine (`localhost`, `127.0.0.0/8`, `[::1]`).
    pub fn is_loopback(&self) -> bool {
        let host = host_of(&self.registry);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
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

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        parse(text).map_err(|reason| InvalidReference { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<ImageRef, String> {
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(format!("leave out the scheme `{scheme}://`"));
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
    let tag = parsed.tag().filter(|_| written_tag).map(str::to_owned);
    Ok(ImageRef { registry: registry.to_owned(), repository: parsed.repository().to_owned(), tag, digest })
}

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

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

impl fmt::Display for ImageRef {
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
        assert_eq!(image.with_tag("v2").unwrap().to_string(), "ghcr.io/a/b:v2");
        for bad in [String::new(), "a b".to_owned(), "v2:v3".to_owned(), format!("v2@{}", Digest::of("x"))] {
            assert!(image.with_tag(&bad).is_err(), "{bad}");
        }
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
        for (text, expected) in
            [("127.0.0.1:5/a", true), ("[::1]:5/a", true), ("localhost/a", true), ("127.evil.io/a", false)]
        {
            assert_eq!(text.parse::<ImageRef>().unwrap().is_loopback(), expected, "{text}");
        }
    }
}
