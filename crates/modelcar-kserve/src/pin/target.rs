//! What is written, and which references it takes the place of.

use std::ops::Range;

use modelcar_core::{Digest, ImageRef};

use super::{error::PinError, field_path::FieldPath};

/// The image that references are pinned to, and where they are looked for.
#[derive(Debug, Clone)]
pub struct PinTarget {
    image: ImageRef,
    digest: Digest,
    repositories: Vec<ImageRef>,
    paths: Vec<FieldPath>,
}

/// A change of a value: the bytes of the value that are replaced, and what takes their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

/// What a value is to the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judged {
    /// A reference to something else, or none.
    Foreign,
    /// The right digest is there.
    Pinned,
    /// A tag, another digest or nothing is there.
    Change(Change),
    /// A template fills the tag or digest in.
    FilledIn,
}

impl PinTarget {
    /// Makes a target that pins references to the repository of `image` to its digest.
    ///
    /// # Errors
    /// [`PinError::NoDigest`] for an image without a digest.
    pub fn new(image: &ImageRef) -> Result<Self, PinError> {
        let digest = *image.digest().ok_or_else(|| PinError::NoDigest(image.to_string()))?;
        Ok(Self { image: image.with_digest(&digest), digest, repositories: Vec::new(), paths: Vec::new() })
    }

    /// Takes the place of references to `repository` too. Tag and digest of `repository` don't matter.
    #[must_use]
    pub fn with_repository(mut self, repository: ImageRef) -> Self {
        self.repositories.push(repository);
        self
    }

    /// Pins what stands at `path` too: a reference, or a tag or digest alone.
    #[must_use]
    pub fn with_path(mut self, path: FieldPath) -> Self {
        self.paths.push(path);
        self
    }

    /// Returns the image, with its digest and without a tag.
    pub fn image(&self) -> &ImageRef {
        &self.image
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn paths(&self) -> &[FieldPath] {
        &self.paths
    }

    /// Judges a model's address: `oci://REFERENCE`, or another scheme of KServe for images (`oci+native://`).
    pub(super) fn uri(&self, value: &str) -> Judged {
        let Some(start) = scheme_end(value) else { return Judged::Foreign };
        self.reference(value, start)
    }

    /// Judges a reference with or without a scheme.
    pub(super) fn image_or_uri(&self, value: &str) -> Judged {
        self.reference(value, scheme_end(value).unwrap_or(0))
    }

    /// Judges what stands behind a path: a reference, or a tag or digest alone, of which `key` is the key.
    pub(super) fn at_path(&self, value: &str, key: &str) -> Judged {
        let trimmed = value.trim();
        let (head, digest) = trimmed.split_once('@').map_or((trimmed, None), |(head, digest)| (head, Some(digest)));
        if is_reference(trimmed) {
            return self.image_or_uri(value);
        }
        let start = value.len() - value.trim_start().len();
        let is_digest =
            head.starts_with("sha256:") || (digest.is_none() && key.to_ascii_lowercase().contains("digest"));
        if !is_tail(trimmed) {
            return Judged::FilledIn;
        }
        if is_digest {
            return self.unless_pinned(trimmed == self.digest.to_string(), start..start + trimmed.len(), "");
        }
        if head.is_empty() {
            // `repository:` with nothing behind the colon is no reference.
            return Judged::Foreign;
        }
        let is_pinned = digest == Some(self.digest.to_string().as_str());
        self.unless_pinned(is_pinned, start + head.len()..start + trimmed.len(), "@")
    }

    /// Returns whether `name` is the name of the image's repository, or a part of it behind a `/`: charts may have the
    /// registry elsewhere.
    pub(super) fn is_own_repository(&self, name: &str) -> bool {
        let name = name.trim();
        let own = normal(&name_of(&self.image));
        normal(&name[scheme_end(name).unwrap_or(0)..]) == own || own.ends_with(&format!("/{}", name.trim_matches('/')))
    }

    /// Returns whether `name` is the name of the image's repository.
    pub(super) fn is_repository(&self, name: &str) -> bool {
        normal(name.trim()) == normal(&name_of(&self.image))
    }

    /// Returns whether the name of one of the repositories is a part of `text`.
    pub(super) fn is_named_in(&self, text: &str) -> bool {
        std::iter::once(&self.image).chain(&self.repositories).any(|image| text.contains(image.repository()))
    }

    /// Returns the target without its paths.
    pub(super) fn without_paths(self) -> Self {
        Self { paths: Vec::new(), ..self }
    }

    /// Judges the reference that begins at `start` of `value` and has the whole rest.
    fn reference(&self, value: &str, start: usize) -> Judged {
        let end = value.trim_end().len().max(start);
        let text = &value[start..end];
        let name_end = name_end(text);
        let name = normal(&text[..name_end]);
        if !self.names().any(|own| own == name) {
            return Judged::Foreign;
        }
        let tail = &text[name_end..];
        if !is_tail(tail) {
            return Judged::FilledIn;
        }
        if name == normal(&name_of(&self.image)) {
            let is_pinned = tail.split_once('@').is_some_and(|(_, digest)| digest == self.digest.to_string());
            return self.unless_pinned(is_pinned, start + name_end..end, "@");
        }
        Judged::Change(Change { range: start..end, text: self.image.to_string() })
    }

    fn unless_pinned(&self, is_pinned: bool, range: Range<usize>, before: &str) -> Judged {
        if is_pinned {
            return Judged::Pinned;
        }
        Judged::Change(Change { range, text: format!("{before}{}", self.digest) })
    }

    /// Returns the names of the repositories, the image's first, each in its normal form.
    fn names(&self) -> impl Iterator<Item = String> {
        std::iter::once(&self.image).chain(&self.repositories).map(|image| normal(&name_of(image)))
    }
}

/// Returns `registry/repository`.
fn name_of(image: &ImageRef) -> String {
    format!("{}/{}", image.registry(), image.repository())
}

/// Returns where a scheme of KServe for images ends, `oci://` or `oci+native://` for example.
fn scheme_end(value: &str) -> Option<usize> {
    let (scheme, _) = value.split_once("://")?;
    let is_image = scheme.trim_start() == "oci" || scheme.trim_start().starts_with("oci+");
    is_image.then_some(scheme.len() + 3)
}

/// Returns where the name of a reference ends: at its tag, its digest, or its end.
fn name_end(reference: &str) -> usize {
    let end = reference.find('@').unwrap_or(reference.len());
    let last = reference[..end].rfind('/').map_or(0, |slash| slash + 1);
    reference[last..end].find(':').map_or(end, |colon| last + colon)
}

/// Returns whether a text is a reference, and not only a tag or digest.
fn is_reference(text: &str) -> bool {
    let head = text.split('@').next().unwrap_or(text);
    head.contains('/') || (head.contains(':') && !head.starts_with("sha256:"))
}

/// Returns whether a text may be the tag and digest of a reference. What templates and variables are written with may
/// not; an unfinished digest may.
fn is_tail(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ':' | '@' | '.' | '-' | '_' | '+'))
}

/// Returns a name as all names of the same repository have it: Docker Hub is `docker.io` and has `library/` before a
/// single name, as for every client of images, and hosts are in lower case.
fn normal(name: &str) -> String {
    let (registry, repository) = match name.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host.eq_ignore_ascii_case("localhost") => {
            (host.to_ascii_lowercase(), rest)
        }
        _ => ("docker.io".to_owned(), name),
    };
    if !matches!(registry.as_str(), "docker.io" | "index.docker.io" | "registry-1.docker.io") {
        return format!("{registry}/{repository}");
    }
    let library = if repository.contains('/') { "" } else { "library/" };
    format!("docker.io/{library}{repository}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn target(image: &str) -> PinTarget {
        PinTarget::new(&format!("{image}@{DIGEST}").parse().unwrap()).unwrap()
    }

    /// Returns the value as the target leaves it; `None` for a value that is not for it.
    fn done(judged: Judged, value: &str) -> Option<String> {
        match judged {
            Judged::Foreign => None,
            Judged::Pinned => Some(value.to_owned()),
            Judged::FilledIn => Some("filled in".to_owned()),
            Judged::Change(change) => {
                let mut value = value.to_owned();
                value.replace_range(change.range, &change.text);
                Some(value)
            }
        }
    }

    #[test]
    fn tag_and_digest_alone_are_replaced() {
        let other = DIGEST.replace('e', "f");
        for scheme in ["oci://", "oci+native://", "oci+modelcar://", "oci+fetch://"] {
            for tail in ["", ":v1", &format!("@{other}"), &format!(":v1@{other}"), ":", "@sha256:TODO"] {
                let value = format!("{scheme}r.io/a/b{tail}");
                let judged = target("r.io/a/b").uri(&value);
                assert_eq!(done(judged, &value), Some(format!("{scheme}r.io/a/b@{DIGEST}")), "{value}");
            }
        }
        for pinned in [format!("oci://r.io/a/b@{DIGEST}"), format!("oci://r.io/a/b:v1@{DIGEST}")] {
            assert_eq!(target("r.io/a/b").uri(&pinned), Judged::Pinned);
        }
    }

    #[test]
    fn other_repositories_stay() {
        for value in [
            "r.io/a/b:v1",
            "oci://r.io/a/bc:v1",
            "oci://r.io/a:v1",
            "oci://r.io/a/b/c",
            "oci://x.io/a/b",
            "oci://r.io:5000/a/b",
            "hf://r.io/a/b",
            "ocix://r.io/a/b",
            "s3://a/b",
            "",
            "oci://",
        ] {
            assert_eq!(target("r.io/a/b").uri(value), Judged::Foreign, "{value}");
        }
        for value in ["oci://r.io/a/b:{{ .Values.tag }}", "oci://r.io/a/b:${TAG}", "oci://r.io/a/b:$(TAG)"] {
            assert_eq!(target("r.io/a/b").uri(value), Judged::FilledIn, "{value}");
        }
    }

    #[test]
    fn docker_hub_has_many_names() {
        for name in ["qwen", "library/qwen", "docker.io/qwen", "index.docker.io/library/qwen", "Docker.io/qwen"] {
            let value = format!("{name}:v1");
            let judged = target("docker.io/library/qwen").image_or_uri(&value);
            assert_eq!(done(judged, &value), Some(format!("{name}@{DIGEST}")));
        }
        assert_eq!(target("docker.io/a/qwen").image_or_uri("qwen:v1"), Judged::Foreign);
    }

    #[test]
    fn another_repository_gets_the_whole_name() {
        let target = target("[::1]:5000/new").with_repository("r.io:1/old:x".parse().unwrap());
        let value = "oci://r.io:1/old:v1\n";
        assert_eq!(done(target.uri(value), value), Some(format!("oci://[::1]:5000/new@{DIGEST}\n")));
        let value = "oci://[::1]:5000/new:v1";
        assert_eq!(done(target.uri(value), value), Some(format!("oci://[::1]:5000/new@{DIGEST}")));
    }

    #[test]
    fn a_path_takes_a_tag_or_a_digest_alone() {
        let target = target("r.io/a/b");
        let other = DIGEST.replace('e', "f");
        let tagged = format!("v1@{DIGEST}");
        for (key, value, expected) in [
            ("tag", "v1", Some(tagged.as_str())),
            ("tag", &format!("v1@{other}"), Some(&tagged)),
            ("tag", &tagged, Some(&tagged)),
            ("tag", "", None),
            ("digest", "", Some(DIGEST)),
            ("digest", "v1", Some(DIGEST)),
            ("imageDigest", &other, Some(DIGEST)),
            ("tag", &other, Some(DIGEST)),
            ("digest", DIGEST, Some(DIGEST)),
            ("image", "r.io/a/b:v1", Some(&format!("r.io/a/b@{DIGEST}"))),
            ("image", "oci://r.io/a/b", Some(&format!("oci://r.io/a/b@{DIGEST}"))),
            ("image", "r.io/a/c:v1", None),
            ("image", "qwen:v1", None),
            ("tag", "{{ tag }}", Some("filled in")),
        ] {
            assert_eq!(done(target.at_path(value, key), value).as_deref(), expected, "{key}: {value}");
        }
    }

    #[test]
    fn an_image_without_a_digest_is_refused() {
        let error = PinTarget::new(&"r.io/a/b:v1".parse().unwrap()).unwrap_err();
        assert_eq!(error, PinError::NoDigest("r.io/a/b:v1".to_owned()));
    }
}
