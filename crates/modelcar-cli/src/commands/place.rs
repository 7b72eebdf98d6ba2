//! Where an image is that a command reads: in a registry or in an image layout.

use std::path::PathBuf;

use modelcar_core::{ImageRef, InvalidReference, registry::Repository};

use crate::{
    args::{LoginArgs, RegistryArgs},
    clients::Clients,
    hint::Failure,
    resolve::{self, Output},
    ui,
};

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
}
