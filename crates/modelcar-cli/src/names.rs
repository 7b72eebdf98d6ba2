//! What a name on the command line means: a model on the Hub or a directory, a base, an output.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use modelcar_core::{
    ImageRef,
    base::{Base, BaseRef},
    http::Network,
    progress::{Event, Progress},
    source::{DirSource, HubOptions, HubSource, Source},
};

use crate::{
    args::{DEFAULT_BASE, ImageArgs},
    connection::Connection,
    env,
    hint::Failure,
};

const SCHEME: &str = "hf://";

/// A SOURCE, told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceName {
    Hub { model: String, revision: String },
    Dir(PathBuf),
}

impl SourceName {
    /// Reads a SOURCE. What could be both a model and a directory is an error, not a guess.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        if let Some(model) = text.strip_prefix(SCHEME) {
            return Ok(Self::hub(model));
        }
        let is_path = text.starts_with(['.', '/', '~']);
        if is_path {
            return Ok(Self::Dir(text.into()));
        }
        let looks_like_model = text.split('@').next().is_some_and(|name| name.matches('/').count() == 1);
        match (looks_like_model, PathBuf::from(text).exists()) {
            (true, true) => Err(Failure::say(format!("`{text}` is a path here and may be a model on the Hub"))
                .hint(format!("write ./{text} for the directory or {SCHEME}{text} for the model"))),
            (true, false) => Ok(Self::hub(text)),
            (false, true) => Ok(Self::Dir(text.into())),
            (false, false) => Err(Failure::say(format!("source `{text}` is neither a path nor a model"))
                .hint("a model is written owner/name[@revision], a directory ./name")),
        }
    }

    fn hub(text: &str) -> Self {
        let (model, revision) = text.split_once('@').unwrap_or((text, "main"));
        Self::Hub { model: model.to_owned(), revision: revision.to_owned() }
    }

    /// Connects to the source and pins it.
    pub(crate) async fn open(&self, network: &Network, progress: &Arc<dyn Progress>) -> Result<OpenSource, Failure> {
        match self {
            Self::Dir(path) => {
                let dir = Arc::new(DirSource::open(path.clone()).await?.with_progress(Arc::clone(progress)));
                Ok(OpenSource { pinned: path.display().to_string(), source: Arc::clone(&dir) as _, dir: Some(dir) })
            }
            Self::Hub { model, revision } => {
                if env::hub_offline() {
                    return Err(Failure::say(format!("model `{model}` is on the Hub and HF_HUB_OFFLINE is set"))
                        .hint("unset HF_HUB_OFFLINE, or name a directory"));
                }
                let mut options = HubOptions { network: network.clone(), ..HubOptions::default() };
                options.endpoint = env::hub_endpoint().unwrap_or(options.endpoint);
                options.token = env::hub_token().map_err(|error| Failure::new(error, "find the Hub's token"))?;
                let hub = HubSource::resolve(model, revision, options).await?;
                let commit = hub.origin().commit.clone().unwrap_or_else(|| revision.clone());
                Ok(OpenSource { pinned: format!("{model}@{commit}"), source: Arc::new(hub), dir: None })
            }
        }
    }
}

/// A source and the name that leads to it again.
#[derive(Debug)]
pub(crate) struct OpenSource {
    pub(crate) pinned: String,
    pub(crate) source: Arc<dyn Source>,
    /// The same source, when it is a directory.
    pub(crate) dir: Option<Arc<DirSource>>,
}

/// A base and the name that leads to it again.
#[derive(Debug)]
pub(crate) struct OpenBase {
    pub(crate) pinned: String,
    pub(crate) base: Base,
}

const BINARY: &str = "binary:";

/// Opens the base that the flags name.
pub(crate) async fn open_base(
    image: &ImageArgs,
    connection: &Connection,
    progress: &Arc<dyn Progress>,
) -> Result<OpenBase, Failure> {
    if let Some(path) = &image.base_binary {
        return open_base_named(&format!("{BINARY}{}", path.display()), connection, progress).await;
    }
    let given = if image.base == DEFAULT_BASE { "the default base" } else { "--base" };
    let failed = |failure: Failure| failure.during(format!("use {given} `{}`", image.base));
    BaseRef::parse(&image.base).map_err(|error| failed(error.into()).or_meant(&image.base))?;
    open_base_named(&image.base, connection, progress).await.map_err(failed)
}

/// Reads the IMAGE that a push goes to.
pub(crate) fn target(text: &str) -> Result<ImageRef, Failure> {
    let image: ImageRef = text.parse()?;
    match image.digest() {
        None => Ok(image),
        Some(_) => Err(Failure::say(format!("image `{image}` names a digest, which only a push can tell"))
            .hint("give a tag: REGISTRY/REPOSITORY:TAG")),
    }
}

impl Failure {
    /// The failure to take `text` for an image, with the advice for what it seems to name instead.
    pub(crate) fn or_meant(self, text: &str) -> Self {
        let path = text.strip_prefix("oci-archive:").unwrap_or(text);
        let exists = Path::new(path).exists();
        if path != text || (exists && !Path::new(path).is_dir()) {
            return self.hint("archives are not read: unpack it, `mkdir DIR && tar -xf FILE -C DIR`, and name oci:DIR");
        }
        if exists || text.starts_with(['.', '/', '~']) {
            return self.hint(format!("an image layout is written oci:{text}"));
        }
        self
    }
}

/// Opens the base called `name`, as a lock file has it.
pub(crate) async fn open_base_named(
    name: &str,
    connection: &Connection,
    progress: &Arc<dyn Progress>,
) -> Result<OpenBase, Failure> {
    let reference = match name.strip_prefix(BINARY) {
        Some(path) => BaseRef::Binary(path.into()),
        None => BaseRef::parse(name)?,
    };
    let mut pinned = name.to_owned();
    let base = match reference {
        BaseRef::Scratch => Base::scratch(),
        BaseRef::Binary(path) => Base::from_binary(&path).await?,
        BaseRef::Layout { dir, name } => Base::from_layout(&dir, name.as_deref()).await?,
        BaseRef::Registry(image) => {
            let repository = connection.repository(&image, progress)?;
            let base = Base::from_registry(&repository, &image).await?;
            if let Some(digest) = &base.image.digest {
                pinned = image.with_digest(digest).to_string();
            }
            base
        }
    };
    for digest in &base.missing {
        let message = format!(
            "the index of base `{name}` lists manifest `{digest}`, which is not there: the platform of that manifest is \
             left out"
        );
        progress.report(&Event::Warning { message });
    }
    Ok(OpenBase { pinned, base })
}

/// A place for an image on the file system.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Layout { dir: PathBuf, name: Option<String> },
    Archive { file: PathBuf, name: Option<String> },
}

impl Output {
    /// Reads `oci:DIR[:NAME]` or `oci-archive:FILE[:NAME]`.
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
            _ => Err(Failure::say(format!("output `{text}` is not one")).hint("write oci:DIR or oci-archive:FILE")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_by_its_form() {
        let hub = |model: &str, revision: &str| SourceName::Hub { model: model.into(), revision: revision.into() };
        for (text, expected) in [
            ("acme/model", hub("acme/model", "main")),
            ("acme/model@v1", hub("acme/model", "v1")),
            ("hf://acme/model@a/b", hub("acme/model", "a/b")),
            ("./acme/model", SourceName::Dir("./acme/model".into())),
            ("/x", SourceName::Dir("/x".into())),
        ] {
            assert_eq!(SourceName::parse(text).unwrap(), expected, "{text}");
        }
        assert!(SourceName::parse("nothing-of-this-name").is_err());
        // `src/main.rs` exists beside this crate's manifest, where its tests run.
        let both = SourceName::parse("src/main.rs").unwrap_err().to_string();
        assert!(both.contains("./src/main.rs") && both.contains("hf://src/main.rs"), "{both}");
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
