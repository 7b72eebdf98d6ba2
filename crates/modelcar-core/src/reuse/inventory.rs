//! Reads the layers that named images hold. The images are read side by side, before there is a plan.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future;

use super::{
    action::Place,
    cache::Cache,
    image_layer::{self, ImageLayer, SeenLayer, StatedImage},
    repositories::Repositories,
};
use crate::{
    Digest, ImageError, ImageRef, Tag,
    error::{Result, chain},
    facts::StatedFacts,
    progress::{Event, Phase, Progress},
    registry::Repository,
};

/// Where reusable layers are looked for.
#[derive(Debug, Clone)]
pub(crate) struct ReuseOptions {
    /// The repository that the image is pushed to.
    pub(crate) target: Repository,
    /// The tags that the image gets. The images that have these tags now are the first to be read.
    pub(crate) tags: Vec<Tag>,
    /// Other images that the user named, each with the handle on its repository.
    pub(crate) images: Vec<(ImageRef, Repository)>,
    /// Whether layers of images in other registries are copied. Such layers are not reused otherwise.
    pub(crate) copy: bool,
    /// Whether checkpoints are written, and those of an earlier push are looked for.
    pub(crate) checkpoints: bool,
    /// The local cache, which is asked last.
    pub(crate) cache: Option<Cache>,
    /// Whether each reused layer is read from the registry and checked before it is used. Properties of models that
    /// images state are then not used.
    pub(crate) verify: bool,
    /// Receives warnings.
    pub(crate) progress: Arc<dyn Progress>,
}

/// The layers and facts that the named images state.
#[derive(Debug)]
pub(crate) struct Inventory {
    /// The options of the push.
    pub(super) options: ReuseOptions,
    /// The digest that each tag points to now. Free tags are left out.
    pub(super) tags: BTreeMap<Tag, Digest>,
    /// Layers of the images, in the order of `ReuseOptions`.
    pub(super) seen: Vec<SeenLayer>,
    /// Properties of models that the images state.
    stated: Vec<StatedFacts>,
    /// Handles on the repositories that hold the layers.
    pub(super) repositories: Repositories,
}

impl Inventory {
    /// Reads the images. A missing or unreadable image contributes no layers, and causes a warning if the user named
    /// the image.
    ///
    /// # Errors
    /// When the target's registry can't be reached.
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
                // What the tag holds now does not matter otherwise: the push replaces it.
                Err(ImageError::Registry(error)) if error.is_silence() => return Err(error.into()),
                Err(error) => {
                    let reason = chain(&error);
                    warn(&options, format!("can't look for reusable layers in tag `{tag}`: {reason}"));
                }
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
                Err(error) => {
                    let reason = chain(&error);
                    warn(&options, format!("can't look for reusable layers in image `{image}`: {reason}"));
                }
            }
        }
        Ok(Self { options, tags, seen, stated, repositories })
    }

    /// Returns the properties of models that the images state. The result is empty when layers have to be verified,
    /// because anybody who may write an image can state anything.
    pub(crate) fn stated_facts(&self) -> &[StatedFacts] {
        if self.options.verify { &[] } else { &self.stated }
    }
}

/// Reports a warning.
fn warn(options: &ReuseOptions, message: String) {
    options.progress.report(&Event::Warning { message });
}

/// Returns the place of `image`, seen from the repository that is pushed to.
fn place(target: &ImageRef, image: &ImageRef) -> Place {
    if image.registry() != target.registry() {
        return Place::Elsewhere(format!("{}/{}", image.registry(), image.repository()));
    }
    if image.repository() == target.repository() { Place::Here } else { Place::Sibling(image.repository().to_owned()) }
}

/// Adds to each layer where the layer is and which image names it.
fn seen_layers(layers: Vec<ImageLayer>, place: &Place, from: &str) -> Vec<SeenLayer> {
    layers.into_iter().map(|layer| SeenLayer { layer, place: place.clone(), from: from.to_owned() }).collect()
}

/// Reads the layers and facts of one image; `None` if the registry has no such image.
async fn read(repository: &Repository, selector: &str) -> Result<Option<(Digest, StatedImage)>, ImageError> {
    let Some(top) = repository.manifest(selector).await? else { return Ok(None) };
    Ok(Some((top.digest, image_layer::read(repository, &top).await?)))
}
