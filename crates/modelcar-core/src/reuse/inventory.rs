//! The layers that named images hold, read side by side before there is a plan.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future;

use super::{
    action::Place,
    cache::Cache,
    image_layer::{self, ImageLayer, SeenLayer, StatedImage},
    repositories::Repositories,
};
use crate::{
    Digest, ErrorKind, ImageError, ImageRef, ModelcarError, Tag,
    error::Result,
    facts::StatedFacts,
    progress::{Event, Phase, Progress},
    registry::Repository,
};

/// Where layers are looked for.
#[derive(Debug, Clone)]
pub(crate) struct ReuseOptions {
    /// Where the image goes.
    pub(crate) target: Repository,
    /// The tags that it gets. The images that have them now are looked into first.
    pub(crate) tags: Vec<Tag>,
    /// Other images, looked into next, each with its repository.
    pub(crate) images: Vec<(ImageRef, Repository)>,
    /// Copy layers from images of other registries; they are not reused otherwise.
    pub(crate) copy: bool,
    /// Write checkpoints, and look for those of an earlier push.
    pub(crate) checkpoints: bool,
    /// The local cache, looked into last.
    pub(crate) cache: Option<Cache>,
    /// Read every reused layer from the registry and check it before it is used.
    pub(crate) verify: bool,
    /// Who is told what was odd.
    pub(crate) progress: Arc<dyn Progress>,
}

/// What the named images hold.
#[derive(Debug)]
pub(crate) struct Inventory {
    pub(super) options: ReuseOptions,
    /// What the tags point to now.
    pub(super) tags: BTreeMap<Tag, Digest>,
    pub(super) seen: Vec<SeenLayer>,
    stated: Vec<StatedFacts>,
    pub(super) repositories: Repositories,
}

impl Inventory {
    /// Reads the images.
    ///
    /// # Errors
    /// When the target's registry can't be reached. A missing or unreadable image contributes no layers; for an image
    /// that was named a warning is reported.
    pub(crate) async fn gather(options: ReuseOptions) -> Result<Self> {
        Phase::Registry.begin(&*options.progress);
        let target = options.target.image().clone();
        let own = options.tags.iter().map(|tag| read(&options.target, tag.as_str()));
        let others = options.images.iter().map(|(image, repository)| async move {
            let selector = image.selector();
            (image, repository, read(repository, &selector).await)
        });
        let (own, others) = future::join(future::join_all(own), future::join_all(others)).await;
        let mut repositories = Repositories::new(options.target.clone());
        let (mut tags, mut seen, mut stated) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (tag, found) in options.tags.iter().zip(own) {
            match found {
                Ok(Some((digest, StatedImage { layers, stated: facts }))) => {
                    tags.insert(tag.clone(), digest);
                    stated.extend(facts);
                    let from = format!("{}:{tag}", options.target.name());
                    seen.extend(seen_layers(layers, &Place::Here, &from));
                }
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Network => return Err(error.into()),
                Err(error) => warn(&options, format!("can't look for reusable layers in tag `{tag}`: {error}")),
            }
        }
        for (image, repository, found) in others {
            match found {
                Ok(Some((_, StatedImage { layers, stated: facts }))) => {
                    let place = place(&target, image);
                    repositories.add(&place, repository);
                    // What comes from another registry is copied without trust in it.
                    stated.extend(facts.filter(|_| !matches!(place, Place::Elsewhere(_))));
                    seen.extend(seen_layers(layers, &place, &image.to_string()));
                }
                Ok(None) => warn(&options, format!("image `{image}` was not found: none of its layers is reused")),
                Err(error) => warn(&options, format!("can't look for reusable layers in image `{image}`: {error}")),
            }
        }
        Ok(Self { options, tags, seen, stated, repositories })
    }

    /// Returns what the images state of their models; nothing where what they say is not to be believed.
    pub(crate) fn stated_facts(&self) -> &[StatedFacts] {
        if self.options.verify { &[] } else { &self.stated }
    }
}

fn warn(options: &ReuseOptions, message: String) {
    options.progress.report(&Event::Warning { message });
}

fn place(target: &ImageRef, image: &ImageRef) -> Place {
    if image.registry() != target.registry() {
        return Place::Elsewhere(format!("{}/{}", image.registry(), image.repository()));
    }
    if image.repository() == target.repository() { Place::Here } else { Place::Sibling(image.repository().to_owned()) }
}

fn seen_layers(layers: Vec<ImageLayer>, place: &Place, from: &str) -> Vec<SeenLayer> {
    layers.into_iter().map(|layer| SeenLayer { layer, place: place.clone(), from: from.to_owned() }).collect()
}

async fn read(repository: &Repository, selector: &str) -> Result<Option<(Digest, StatedImage)>, ImageError> {
    let Some(top) = repository.manifest(selector).await? else { return Ok(None) };
    Ok(Some((top.digest, image_layer::read(repository, &top).await?)))
}
