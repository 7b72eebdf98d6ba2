//! What is known of layers before a plan is looked at: the images that were named, read side by side.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures_util::future;

use super::{
    cache::Cache,
    decide::Place,
    found::{self, FoundImage, FoundLayer},
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

/// A layer of an image, and what can be done with it.
#[derive(Debug, Clone)]
pub(super) struct Sighting {
    pub(super) layer: FoundLayer,
    pub(super) place: Place,
    /// The image.
    pub(super) from: String,
}

/// What the named images hold.
#[derive(Debug)]
pub(crate) struct Knowledge {
    pub(super) options: ReuseOptions,
    /// What the tags point to now.
    pub(super) tags: BTreeMap<Tag, Digest>,
    pub(super) seen: Vec<Sighting>,
    stated: Vec<StatedFacts>,
    /// Other repositories of the target's registry, by name.
    pub(super) siblings: Mutex<BTreeMap<String, Repository>>,
}

impl Knowledge {
    /// Reads the images.
    ///
    /// # Errors
    /// When the target's registry can't be reached. An image that is not there, or may not be read, is one without
    /// layers; of a named one that is told.
    pub(crate) async fn gather(options: ReuseOptions) -> Result<Self> {
        Phase::Registry.begin(&*options.progress);
        let target = options.target.image().clone();
        let own = options.tags.iter().map(|tag| read(&options.target, tag.as_str()));
        let others = options.images.iter().map(|(image, repository)| async move {
            let selector = image.selector();
            (image, repository, read(repository, &selector).await)
        });
        let (own, others) = future::join(future::join_all(own), future::join_all(others)).await;
        let (mut tags, mut seen, mut stated) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (tag, found) in options.tags.iter().zip(own) {
            match found {
                Ok(Some((digest, FoundImage { layers, stated: facts }))) => {
                    tags.insert(tag.clone(), digest);
                    stated.extend(facts);
                    let from = format!("{}:{tag}", options.target.name());
                    seen.extend(sightings(layers, &Place::Here, &from));
                }
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Network => return Err(error.into()),
                Err(error) => warn(&options, format!("can't look for reusable layers in tag `{tag}`: {error}")),
            }
        }
        for (image, repository, found) in others {
            match found {
                Ok(Some((_, FoundImage { layers, stated: facts }))) => {
                    let place = place(&target, image, repository);
                    // What comes from another registry is copied without trust in it.
                    stated.extend(facts.filter(|_| !matches!(place, Place::Elsewhere(_))));
                    seen.extend(sightings(layers, &place, &image.to_string()));
                }
                Ok(None) => warn(&options, format!("image `{image}` is not there, nothing of it is reused")),
                Err(error) => warn(&options, format!("can't look for reusable layers in image `{image}`: {error}")),
            }
        }
        Ok(Self { options, tags, seen, stated, siblings: Mutex::default() })
    }

    /// Returns what the images state of their models; nothing where what they say is not to be believed.
    pub(crate) fn stated_facts(&self) -> &[StatedFacts] {
        if self.options.verify { &[] } else { &self.stated }
    }
}

fn warn(options: &ReuseOptions, message: String) {
    options.progress.report(&Event::Warning { message });
}

fn place(target: &ImageRef, image: &ImageRef, repository: &Repository) -> Place {
    if image.registry() != target.registry() {
        return Place::Elsewhere(repository.clone());
    }
    if image.repository() == target.repository() { Place::Here } else { Place::Sibling(repository.clone()) }
}

fn sightings(layers: Vec<FoundLayer>, place: &Place, from: &str) -> Vec<Sighting> {
    layers.into_iter().map(|layer| Sighting { layer, place: place.clone(), from: from.to_owned() }).collect()
}

async fn read(repository: &Repository, selector: &str) -> Result<Option<(Digest, FoundImage)>, ImageError> {
    let Some(top) = repository.manifest(selector).await? else { return Ok(None) };
    Ok(Some((top.digest, found::image(repository, &top).await?)))
}
