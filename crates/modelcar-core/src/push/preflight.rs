//! Finds what would fail a push, before the first byte of weights is uploaded.

use std::sync::Arc;

use crate::{
    ImageRef, Tag,
    error::{Result, chain},
    inspect,
    plan::Plan,
    progress::{Event, Phase, Progress},
    registry::{RegistryError, Repository, TagState},
    source::SourceFile,
};

/// The checks of one push.
#[derive(Debug)]
pub(super) struct Preflight<'a> {
    /// The repository that is pushed to.
    pub(super) repository: &'a Repository,
    /// The tags that the image gets.
    pub(super) tags: &'a [Tag],
    /// Whether the push will read the image back.
    pub(super) reads_back: bool,
    /// Receives warnings.
    pub(super) progress: &'a Arc<dyn Progress>,
}

impl Preflight<'_> {
    /// Checks the right to push, whether the registry tells which blobs it has, the sizes of the layers, the tags, and
    /// the right to read.
    ///
    /// What a tag holds now is only warned of: the push replaces it.
    ///
    /// # Errors
    /// The registry's error when pushing is not allowed. [`RegistryError::TagTaken`] when a tag is immutable and points
    /// to another model. [`RegistryError::MayNotRead`] when the image could not be read back.
    pub(super) async fn run(&self, image: &ImageRef, plan: &Plan) -> Result<()> {
        Phase::Registry.begin(&**self.progress);
        self.repository.check_push().await?;
        self.repository.check_look_ups().await?;
        self.repository.warn_of_sizes(plan.layers().iter().map(|layer| (layer.title(), layer.size)));
        let mut has_read = false;
        for tag in self.tags {
            has_read |= self.check_tag(tag, image, plan).await?;
        }
        if self.reads_back && !has_read {
            self.repository.check_read().await?;
        }
        Ok(())
    }

    /// Checks one tag. Returns whether the registry let the login read, which it also does by an answer of 404.
    async fn check_tag(&self, tag: &Tag, image: &ImageRef, plan: &Plan) -> Result<bool> {
        let taken = match self.repository.look_up(tag).await {
            Ok(TagState::Taken(taken)) => taken,
            Ok(TagState::Free) => return Ok(true),
            Ok(TagState::Unknown) => {
                self.warn(format!("`{}` does not tell whether tag `{tag}` is taken (403)", self.repository.name()));
                return Ok(false);
            }
            // Without an answer the push would fail, too.
            Err(error) if error.is_silence() => return Err(error.into()),
            Err(error) => {
                self.warn(format!("can't read what tag `{tag}` holds, the push replaces it: {}", chain(&error)));
                return Ok(false);
            }
        };
        if taken.movable == Some(false) && !is_same_model(self.repository, &image.with_tag(tag), plan).await? {
            let (repository, tag) = (self.repository.name(), tag.clone());
            return Err(RegistryError::TagTaken { repository, tag, digest: taken.digest }.into());
        }
        if taken.movable.is_none() {
            self.warn(format!(
                "tag `{tag}` points to `{}` and will be overwritten at the end of the push; a registry with immutable \
                 tags refuses that",
                taken.digest
            ));
        }
        Ok(true)
    }

    fn warn(&self, message: String) {
        self.progress.report(&Event::Warning { message });
    }
}

/// Returns whether the existing image may be the one that `plan` makes: it holds files of the same paths and sizes,
/// and no content id that both sides state differs. Then an immutable tag need not be moved.
async fn is_same_model(repository: &Repository, image: &ImageRef, plan: &Plan) -> Result<bool> {
    let there = inspect::registry(repository, image).await?;
    let Some(manifest) = there.manifests.first() else { return Ok(false) };
    let files = |file: &SourceFile| (file.path.to_string(), file.size);
    let mut held: Vec<_> = manifest.layers.iter().flat_map(|layer| layer.files.iter().map(files)).collect();
    let mut planned: Vec<_> = plan.layers().iter().flat_map(|layer| layer.files.iter().map(files)).collect();
    held.sort();
    planned.sort();
    let differs = plan.layers().iter().flat_map(|layer| &layer.files).any(|planned| {
        let held = manifest.layers.iter().flat_map(|layer| &layer.files).find(|held| held.path == planned.path);
        held.and_then(|held| held.content).zip(planned.content).is_some_and(|(held, planned)| held != planned)
    });
    Ok(held == planned && !differs)
}
