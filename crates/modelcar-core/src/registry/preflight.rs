//! What is checked before the first weight byte moves: the repository's name, the right to push, the tags, the sizes.

use std::sync::Arc;

use reqwest::StatusCode;

use super::{client::Repository, error::RegistryError, quirks::FixedTags};
use crate::{Digest, progress::Event};

/// A tag that an image has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenTag {
    /// The image it points to.
    pub digest: Digest,
    /// Whether it can be moved; `None` when only a push would tell.
    pub movable: Option<bool>,
}

impl Repository {
    /// Checks that the repository's name has the shape that its registry wants.
    ///
    /// # Errors
    /// [`RegistryError::BadName`].
    pub fn check_name(&self) -> Result<(), RegistryError> {
        let inner = self.inner();
        match inner.quirks.wrong_name(inner.image.repository()) {
            None => Ok(()),
            Some(reason) => {
                Err(RegistryError::BadName { repository: inner.name(), registry: inner.quirks.registry, reason })
            }
        }
    }

    /// Proves that the login may push, by opening an upload and closing it again.
    ///
    /// # Errors
    /// What the registry says against it.
    pub async fn check_push(&self) -> Result<(), RegistryError> {
        self.check_name()?;
        let session = self.inner().open_session("check the right to push").await?;
        // Nobody waits for the registry to put it away.
        let inner = Arc::clone(self.inner());
        let closing = self.inner().opening.spawn(async move { inner.close_session(&session).await });
        let _a_session_more_or_less = closing.await;
        Ok(())
    }

    /// Returns what a tag points to, and whether it can be moved as far as that shows without harm: on ECR an
    /// immutable tag refuses even the manifest that it has, so that this very manifest is put again.
    ///
    /// # Errors
    /// When the registry can't be asked.
    pub async fn taken_tag(&self, tag: &str) -> Result<Option<TakenTag>, RegistryError> {
        let Some(manifest) = self.manifest(tag).await? else { return Ok(None) };
        let digest = manifest.digest;
        if self.inner().quirks.fixed_tags != FixedTags::RefuseAll {
            return Ok(Some(TakenTag { digest, movable: None }));
        }
        let movable = match self.send_manifest(&manifest, tag).await {
            Ok(()) => Some(true),
            Err(RegistryError::Request { source, .. })
                if matches!(
                    source.status,
                    Some(StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED)
                ) =>
            {
                Some(false)
            }
            Err(error) => return Err(error),
        };
        Ok(Some(TakenTag { digest, movable }))
    }

    /// Says which of `layers`, by title and size in bytes, are larger than the registry's makers say it takes.
    pub fn warn_of_sizes(&self, layers: impl Iterator<Item = (String, u64)>) {
        let inner = self.inner();
        let Some(most) = inner.quirks.largest_layer else { return };
        for (title, size) in layers.filter(|(_, size)| *size > most) {
            let registry = inner.quirks.registry;
            let message = format!("{title} has {size} bytes, {registry} takes {most} at most: expect it to be refused");
            inner.progress.report(&Event::Warning { message });
        }
    }
}
