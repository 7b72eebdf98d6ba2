//! Opens the base image that the user names.

#[cfg(feature = "registry")]
use std::{borrow::Cow, sync::Arc};

use super::{Base, BaseRef};
#[cfg(feature = "registry")]
use super::{BaseError, KnownBase};
#[cfg(feature = "registry")]
use crate::{
    progress::{Event, Phase, Progress},
    registry::Registries,
};

#[cfg(feature = "registry")]
impl BaseRef {
    /// Opens the base image, the default base as [`KnownBase::busybox`].
    ///
    /// # Errors
    /// As [`open_or_known`](Self::open_or_known).
    pub async fn open(&self, registries: &Registries, progress: &Arc<dyn Progress>) -> Result<OpenBase, BaseError> {
        self.open_or_known(None, registries, progress).await
    }

    /// Opens the base image. The image of `known`, by default the default base, is looked for in all its places. Any other
    /// image in a registry is pinned: the result's name has the digest instead of the tag. For each manifest that the
    /// image's index lists and that is missing, a warning is reported to `progress`; so is a base that says to have files
    /// in `/models` already.
    ///
    /// # Errors
    /// When the image is missing, can't be read, or can't be built on: as [`Base::from_registry`],
    /// [`Base::from_layout`], [`Base::from_binary`] and [`KnownBase::open`].
    pub async fn open_or_known(
        &self,
        known: Option<&KnownBase>,
        registries: &Registries,
        progress: &Arc<dyn Progress>,
    ) -> Result<OpenBase, BaseError> {
        let mut name = self.clone();
        let base = match self {
            Self::Scratch => Base::scratch(),
            Self::Binary(path) => Base::from_binary(path).await?,
            Self::Layout { dir, name } => Base::from_layout(dir, name.as_deref()).await?,
            Self::Registry(image) => {
                let known = known.map_or_else(|| Cow::Owned(KnownBase::busybox()), Cow::Borrowed);
                if known.is_named_by(self) {
                    let base = Box::pin(known.open(registries, progress)).await?;
                    return Ok(OpenBase { name: Self::Registry(image.with_digest(&known.digest)), base });
                }
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
        if let Some((first, more)) = base.models.split_first() {
            let others =
                if more.is_empty() { String::new() } else { format!(" (and {} more such statements)", more.len()) };
            let message = format!(
                "base `{self}` already has files in `/models`, and they stay in the image beside the model: {first}{others}; \
                 use a base without a model, or a server may load files of both"
            );
            progress.report(&Event::Warning { message });
        }
        Ok(OpenBase { name, base })
    }
}

/// A base image that can be built on, and the name that leads to the same image again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenBase {
    /// The name. For an image in a registry the name has a digest; other names are as the user gave them.
    pub name: BaseRef,
    /// The base image.
    pub base: Base,
}
