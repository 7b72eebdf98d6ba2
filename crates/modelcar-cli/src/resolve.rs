//! What the names on the command line mean: a model on the Hub or in its cache, one in a store, a directory, a base, an image, an output.

use std::path::{Path, PathBuf};

use modelcar_core::{
    ImageRef, InvalidReference, Tag,
    base::BaseRef,
    push::PushError,
    source::{SourceError, SourceRef, StoreUrl},
};
use modelcar_env::Environment;

use crate::{args::ImageArgs, hint::Failure};

/// Prefix by which a name is certainly a model on the Hub.
const SCHEME: &str = "hf://";
const CACHE_SCHEME: &str = "hf-cache://";

/// Parses a SOURCE. A name that begins with `.`, `/` or `~` is a directory, and a name that begins with `hf://` is a
/// model.
///
/// # Errors
/// When the name has the form of a model and is also a path that exists. Then the user has to say which of the two is
/// meant.
pub(crate) fn source(text: &str) -> Result<SourceRef, Failure> {
    let has_scheme = text.starts_with(SCHEME) || text.starts_with(CACHE_SCHEME) || StoreUrl::is_meant(text);
    let is_told_apart = has_scheme || text.starts_with(['.', '/', '~']);
    if !is_told_apart && PathBuf::from(text).exists() {
        let looks_like_model = text.split('@').next().is_some_and(|name| name.matches('/').count() == 1);
        return if looks_like_model {
            Err(Failure::say(format!("`{text}` is a path here and may be a model on the Hub"))
                .hint(format!("write ./{text} for the directory or {SCHEME}{text} for the model")))
        } else {
            no_layout(Path::new(text)).map(|()| SourceRef::Dir(text.into()))
        };
    }
    let model = pasted(text)?;
    let name = model.as_deref().unwrap_or(text);
    match name.parse() {
        Ok(SourceRef::Dir(dir)) => no_layout(&dir).map(|()| SourceRef::Dir(dir)),
        Ok(SourceRef::Other(name)) => Err(image(&name).unwrap_or_else(|| SourceError::Unknown(name).into())),
        Ok(source) => Ok(source),
        Err(error) => Err(image(name).unwrap_or_else(|| error.into())),
    }
}

/// Returns the failure for a SOURCE that is no model but an image.
fn image(name: &str) -> Option<Failure> {
    if let Some(dir) = name.strip_prefix("oci:").or_else(|| name.strip_prefix("oci-archive:")) {
        return Some(layout(name, dir));
    }
    let host = name.split('/').next().unwrap_or_default();
    let is_image = name.contains('/') && host.contains(['.', ':']) && name.parse::<ImageRef>().is_ok();
    is_image.then(|| {
        Failure::say(format!("`{name}` is an image, not a model"))
            .hint(format!("`crane export {name} - | tar -x models` writes the files of the model in an image"))
    })
}

/// Refuses a folder that is an image layout: its blobs would be packed as if they were a model.
fn no_layout(dir: &Path) -> Result<(), Failure> {
    let name = dir.display().to_string();
    if dir.join("oci-layout").is_file() && dir.join("index.json").is_file() {
        Err(layout(&name, &name))
    } else {
        Ok(())
    }
}

fn layout(text: &str, dir: &str) -> Failure {
    Failure::say(format!("`{text}` is an image, not a model")).hint(format!(
        "copy the image as it is: `skopeo copy --all --preserve-digests oci:{dir} docker://REGISTRY/REPOSITORY:TAG`"
    ))
}

/// Hosts whose pages people copy the address of.
const PAGES: [&str; 4] = ["huggingface.co/", "www.huggingface.co/", "hf.co/", "www.hf.co/"];

/// Returns the model that the address of a page on the Hub is about, as SOURCE names it; `None` for any other text.
///
/// # Errors
/// When the page is not about a whole model: a file, a folder, a data set.
fn pasted(text: &str) -> Result<Option<String>, Failure> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let Some(path) = PAGES.iter().find_map(|host| rest.strip_prefix(host)) else { return Ok(None) };
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').collect();
    let revision = |text: &str| text.replace("%2F", "/").replace("%2f", "/");
    let refused = |what: &str, hint: String| {
        Err(Failure::say(format!("`{text}` is the address of {what}, not of a model")).hint(hint))
    };
    match *parts.as_slice() {
        ["datasets" | "spaces" | "collections" | "papers", ..] => {
            refused("another page of the Hub", "a model is written owner/name[@revision]".to_owned())
        }
        [owner, name] => Ok(Some(format!("{owner}/{name}"))),
        [owner, name, "tree" | "commit", at] => Ok(Some(format!("{owner}/{name}@{}", revision(at)))),
        [owner, name, "tree" | "blob" | "resolve", at, ref file @ ..] if !file.is_empty() => {
            let (what, end) = if parts[2] == "tree" { ("a folder", "/") } else { ("a file", "") };
            let at = revision(at);
            refused(what, format!("write {owner}/{name}@{at} --include '{}{end}'", file.join("/")))
        }
        [owner, name, ..] => {
            refused("a part of the model's page", format!("write {owner}/{name}, or {owner}/{name}@REVISION"))
        }
        _ => Ok(None),
    }
}

/// Returns the bases that the flags name, in their order, else the one that the environment names. None is the default
/// base of the library.
pub(crate) fn bases(image: &ImageArgs) -> Result<Vec<BaseRef>, Failure> {
    if let Some(path) = &image.base_binary {
        return Ok(vec![BaseRef::Binary(path.clone())]);
    }
    if !image.base.is_empty() {
        return image.base.iter().map(|text| base(text, "--base")).collect();
    }
    let named = Environment::base().map(|text| base(&text, "MODELCAR_BASE")).transpose()?;
    Ok(named.into_iter().collect())
}

/// Parses the name of a base. `named_by` is the flag or variable that has the name.
pub(crate) fn base(text: &str, named_by: &str) -> Result<BaseRef, Failure> {
    BaseRef::parse(without_scheme(text))
        .map_err(|error| Failure::from(error).during(format!("use {named_by} `{text}`")).or_meant(text))
}

/// Schemes by which KServe names an image in a registry.
const KSERVE_SCHEMES: [&str; 4] = ["oci://", "oci+native://", "oci+fetch://", "oci+modelcar://"];

/// Returns an image's name without the scheme that KServe's manifests have before it.
pub(crate) fn without_scheme(text: &str) -> &str {
    KSERVE_SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text)
}

/// Parses the IMAGE that a push goes to.
///
/// # Errors
/// When the text is no reference, or has a digest: the digest is the result of the push.
pub(crate) fn target(text: &str) -> Result<ImageRef, Failure> {
    let text = without_scheme(text);
    let parsed: Result<ImageRef, InvalidReference> = text.parse();
    let image = parsed.map_err(|error| Failure::from(error).or_on_docker_hub(text))?;
    if image.digest().is_some() { Err(PushError::DigestAsTarget(image).into()) } else { Ok(image) }
}

/// As [`target`], for a command line that has SOURCE before IMAGE. Names in the wrong order are recognised.
pub(crate) fn target_behind(source: Option<&str>, image: &str) -> Result<ImageRef, Failure> {
    target(image).map_err(|failure| match source {
        Some(source) if target(source).is_ok() && !Path::new(source).exists() && looks_like_source(image) => {
            failure.hint(format!("SOURCE comes before IMAGE: write `{image} {source}`"))
        }
        _ => failure,
    })
}

/// Returns whether a text that is no image may be a source.
fn looks_like_source(text: &str) -> bool {
    text.parse::<SourceRef>().is_ok_and(|source| !matches!(source, SourceRef::Other(_)))
        || pasted(text).is_ok_and(|model| model.is_some())
}

/// Parses the tags that an image gets beside its own tag.
pub(crate) fn tags(names: &[String]) -> Result<Vec<Tag>, Failure> {
    names.iter().map(|name| Ok(name.parse::<Tag>()?)).collect()
}

impl Failure {
    /// Adds a hint if `text`, which is no valid image, seems to name an archive or an image layout.
    pub(crate) fn or_meant(self, text: &str) -> Self {
        let path = text.strip_prefix("oci-archive:").unwrap_or(text);
        let exists = Path::new(path).exists();
        if path != text || (exists && !Path::new(path).is_dir()) {
            return self.hint(
                "archives can't be read: unpack the archive, `mkdir DIR && tar -xf FILE -C DIR`, and name oci:DIR",
            );
        }
        if exists || text.starts_with(['.', '/', '~']) {
            return self.hint(format!("an image layout is written oci:{text}"));
        }
        self.or_on_docker_hub(text)
    }

    /// Adds a hint if Docker takes `text`, which is no valid image, for an image in its own registry: `me/qwen:v1`.
    fn or_on_docker_hub(self, text: &str) -> Self {
        let has_owner = text.matches('/').count() == 1 && !text.starts_with(['.', '/', '~']);
        let image: Option<ImageRef> = format!("docker.io/{text}").parse().ok();
        match image.filter(|_| has_owner) {
            Some(image) => self.hint(format!("on Docker Hub the image is {image}")),
            None => self,
        }
    }
}

/// A place on the file system that an image is written to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// An OCI image layout: its directory, and the name of the image in it.
    Layout { dir: PathBuf, name: Option<String> },
    /// An OCI archive: its file, and the name of the image in it.
    Archive { file: PathBuf, name: Option<String> },
}

impl Output {
    /// Parses `oci:DIR[:NAME]` or `oci-archive:FILE[:NAME]`. A path can't contain a colon, because the name begins at
    /// the first one. An empty name counts as no name.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let place = |rest: &str| match rest.split_once(':') {
            Some((path, name)) => (PathBuf::from(path), Some(name.to_owned()).filter(|name| !name.is_empty())),
            None => (PathBuf::from(rest), None),
        };
        match text.split_once(':') {
            Some(("oci", rest)) if !rest.is_empty() => {
                let (dir, name) = place(rest);
                Ok(Self::Layout { dir, name })
            }
            Some(("oci-archive", rest)) if !rest.is_empty() => {
                let (file, name) = place(rest);
                Ok(Self::Archive { file, name })
            }
            _ => Err(Failure::say(format!("invalid --output `{text}`")).hint("write oci:DIR or oci-archive:FILE")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_could_be_two_is_refused() {
        assert_eq!(source("acme/model").unwrap(), "hf://acme/model".parse().unwrap());
        assert_eq!(source("src").unwrap(), SourceRef::Dir("src".into()));
        assert_eq!(source("s3://models/qwen").unwrap(), "s3://models/qwen".parse().unwrap());
        for bad in ["nothing-of-this-name", "az://models/qwen", "s3://"] {
            assert!(source(bad).is_err(), "{bad}");
        }
        // `src/main.rs` exists beside this crate's manifest, where its tests run.
        let both = source("src/main.rs").unwrap_err().to_string();
        assert!(both.contains("./src/main.rs") && both.contains("hf://src/main.rs"), "{both}");
    }

    #[test]
    fn the_address_of_a_page_names_its_model() {
        for (page, model) in [
            ("https://huggingface.co/acme/tiny", "acme/tiny"),
            ("http://www.huggingface.co/acme/tiny/", "acme/tiny"),
            ("hf.co/acme/tiny?library=transformers", "acme/tiny"),
            ("https://huggingface.co/acme/tiny/tree/refs%2Fpr%2F1", "acme/tiny@refs/pr/1"),
            ("https://huggingface.co/acme/tiny/commit/abc", "acme/tiny@abc"),
        ] {
            assert_eq!(source(page).unwrap(), model.parse().unwrap(), "{page}");
        }
        for (page, said) in [
            ("https://huggingface.co/acme/tiny/blob/main/a/b.json", "acme/tiny@main --include 'a/b.json'"),
            ("https://huggingface.co/acme/tiny/tree/main/onnx", "acme/tiny@main --include 'onnx/'"),
            ("https://huggingface.co/acme/tiny/discussions", "write acme/tiny,"),
            ("https://huggingface.co/datasets/acme/tiny", "owner/name"),
        ] {
            let failure = source(page).unwrap_err().to_string();
            assert!(failure.contains(said), "{failure}");
        }
        assert!(source("https://example.org/acme/tiny").is_err());
    }

    #[test]
    fn names_in_the_wrong_order_are_told() {
        let told = |source: &str, image: &str| target_behind(Some(source), image).unwrap_err().to_string();
        for model in ["acme/tiny", "./dir", "s3://bucket/model", "hf://acme/tiny"] {
            let told = told("localhost:5000/a:v1", model);
            assert!(told.contains(&format!("`{model} localhost:5000/a:v1`")), "{told}");
        }
        assert!(!told("acme/tiny", "acme/tiny").contains("comes before"));
    }

    #[test]
    fn outputs_have_a_place_and_maybe_a_name() {
        assert_eq!(Output::parse("oci:a/b").unwrap(), Output::Layout { dir: "a/b".into(), name: None });
        assert_eq!(
            Output::parse("oci-archive:x.tar:v1").unwrap(),
            Output::Archive { file: "x.tar".into(), name: Some("v1".into()) }
        );
        for bad in ["x", "oci:", "docker:x"] {
            assert!(Output::parse(bad).is_err(), "{bad}");
        }
    }
}
