//! Finds what would fail a push, before the first byte of weights is uploaded.

use std::sync::Arc;

use crate::{
    ImageRef, Tag,
    error::Result,
    inspect,
    plan::Plan,
    progress::{Event, Phase, Progress},
    registry::{RegistryError, Repository},
    source::SourceFile,
};

/// Checks the right to push, the sizes of the layers and the tags.
///
/// A tag that exists and will be overwritten is a warning if the registry does not say whether its tags are immutable.
///
/// # Errors
/// The registry's error when pushing is not allowed. [`RegistryError::TagTaken`] when a tag is immutable and points to
/// another model.
pub(super) async fn preflight(
    repository: &Repository,
    image: &ImageRef,
    tags: &[Tag],
    plan: &Plan,
    progress: &Arc<dyn Progress>,
) -> Result<()> {
    Phase::Registry.begin(&**progress);
    repository.check_push().await?;
    repository.warn_of_sizes(plan.layers().iter().map(|layer| (layer.title(), layer.size)));
    for tag in tags {
        let Some(taken) = repository.taken_tag(tag).await? else { continue };
        if taken.movable == Some(false) && !is_same_model(repository, &image.with_tag(tag), plan).await? {
            let (repository, tag) = (repository.name(), tag.clone());
            return Err(RegistryError::TagTaken { repository, tag, digest: taken.digest }.into());
        }
        if taken.movable.is_none() {
            let message = format!(
                "tag `{tag}` points to `{}` and will be overwritten at the end of the push; a registry with immutable \
                 tags refuses that",
                taken.digest
            );
            progress.report(&Event::Warning { message });
        }
    }
    Ok(())
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
