//! Where an image is that a command reads: in a registry or in an image layout.

use std::path::PathBuf;

use modelcar_core::{
    Error, ImageError, ImageRef, InvalidReference,
    registry::{RegistryError, Repository},
};

use crate::{
    args::{LoginArgs, RegistryArgs},
    clients::Clients,
    hint::Failure,
    resolve::{self, Output},
    ui,
};

/// Number of tags that are named where an image is not found.
const TAGS_MAX: usize = 10;

/// Where an image is.
pub(super) enum Place {
    /// In an image layout: its directory, and the name of the image in it.
    Layout { dir: PathBuf, name: Option<String> },
    /// In a registry.
    Registry { repository: Repository, image: ImageRef },
}

impl Place {
    /// Parses a reference or `oci:DIR[:NAME]`. For a registry, credentials are read; no request is sent.
    pub(super) fn parse(image: &str, registry: &RegistryArgs, login: &LoginArgs) -> Result<Self, Failure> {
        let image = resolve::without_scheme(image);
        if image.starts_with("oci:") {
            let Output::Layout { dir, name } = Output::parse(image)? else {
                return Err(Failure::say(format!("`{image}` is not a layout")));
            };
            return Ok(Self::Layout { dir, name });
        }
        let image: ImageRef = image.parse().map_err(|error: InvalidReference| Failure::from(error).or_meant(image))?;
        let progress = ui::waiting("ask the registry");
        let connection = Clients::open(registry, Some((login, &image)))?;
        Ok(Self::Registry { repository: connection.repository(&image, &progress)?, image })
    }

    /// Makes the failure to read `image` from this place.
    pub(super) async fn failure(&self, error: impl Into<Error>, image: &str) -> Failure {
        match self {
            Self::Layout { .. } => Failure::of_image(error, image),
            Self::Registry { repository, .. } => failure(repository, error.into(), image).await,
        }
    }
}

/// Makes the failure to read `image` from a registry. Where the repository has no such image, the failure names tags that
/// the repository has.
pub(super) async fn failure(repository: &Repository, error: Error, image: &str) -> Failure {
    let is_missing = matches!(error.downcast_ref(), Some(RegistryError::ImageNotFound(_)))
        || matches!(error.downcast_ref(), Some(ImageError::Registry(RegistryError::ImageNotFound(_))));
    let failure = Failure::of_image(error, image);
    if !is_missing {
        return failure;
    }
    // One more tells that there are more.
    let mut tags = repository.tags(TAGS_MAX + 1).await.unwrap_or_default();
    let more = if tags.len() > TAGS_MAX { " and more" } else { "" };
    tags.truncate(TAGS_MAX);
    if tags.is_empty() {
        return failure;
    }
    let tags: Vec<_> = tags.iter().map(|tag| format!("`{tag}`")).collect();
    failure.hint(format!("the repository has the tags {}{more}", tags.join(", ")))
}
