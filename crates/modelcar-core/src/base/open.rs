//! Opens the base image that a name leads to.

#[cfg(feature = "registry")]
use std::sync::Arc;

#[cfg(feature = "registry")]
use super::BaseError;
use super::{Base, BaseRef};
#[cfg(feature = "registry")]
use crate::{
    progress::{Event, Phase, Progress},
    registry::Registries,
};

#[cfg(feature = "registry")]
impl BaseRef {
    /// Opens the base image, and pins it where it is an image in a registry. A manifest that the image's index lists and
    /// that is not there is told to `progress`.
    ///
    /// # Errors
    /// When the image is not there or can't be read, or nothing can be built on it.
    pub async fn open(&self, registries: &Registries, progress: &Arc<dyn Progress>) -> Result<OpenBase, BaseError> {
        let mut name = self.clone();
        let base = match self {
            Self::Scratch => Base::scratch(),
            Self::Binary(path) => Base::from_binary(path).await?,
            Self::Layout { dir, name } => Base::from_layout(dir, name.as_deref()).await?,
            Self::Registry(image) => {
                Phase::Base.begin(&**progress);
                let repository = registries.repository(image, progress)?;
                let base = Base::from_registry(&repository, image).await?;
                if let Some(digest) = &base.image.digest {
                    name = Self::Registry(image.with_digest(digest));
                }
                base
            }
        };
        for digest in &base.missing {
            let message = format!(
                "the index of base `{self}` lists manifest `{digest}`, which is not there: the platform of that manifest \
                 is left out"
            );
            progress.report(&Event::Warning { message });
        }
        Ok(OpenBase { name, base })
    }
}

/// A base image that can be built on, with the name that leads to the same image again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenBase {
    /// The name, pinned where it can be.
    pub name: BaseRef,
    /// The base image.
    pub base: Base,
}
