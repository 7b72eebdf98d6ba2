//! Finds what would end a push before the first weight byte moves.

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

/// Returns whether the image may be the one that `plan` makes: it holds the same files. Then a tag that can't be moved
/// need not be.
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
