//! A base image that several registries hold: the digest that pins the image, and the places that are asked for it.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{
    Base, BaseError, BaseRef, PlaceFailure,
    ask::{ask, impatient},
};
use crate::{
    Digest, ImageRef,
    progress::{Event, Phase, Progress},
    registry::{Registries, RegistryError, takes_google_tokens},
};

/// A base image that several registries hold.
///
/// The digest pins the image, so every place gives the same bytes, and it does not matter which place answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownBase {
    /// `registry/repository`, as every image that is built on the base names the base, whichever place gave the bytes.
    pub name: String,
    /// Digest of the image's index.
    pub digest: Digest,
    /// Repositories that hold the image, in the order in which they are asked. Tags and digests have no effect.
    pub places: Vec<ImageRef>,
}

/// Digest of the index of the default base, `busybox:1.37.0-musl` of Docker's official images.
const BUSYBOX: &str = "sha256:fc6dddc4c44b1bfe37f41cae8e67d1693828e8f42a91862816d7953e2c9d3f23";

/// Mirrors of Docker Hub's official images, and Docker Hub itself. The first one asks for no login, and its limits of
/// requests are higher than those of Docker Hub.
const PLACES: [&str; 3] =
    ["public.ecr.aws/docker/library/busybox", "docker.io/library/busybox", "mirror.gcr.io/library/busybox"];

impl KnownBase {
    /// Returns the base that [`BaseRef::default`] names, in its places.
    ///
    /// # Panics
    /// Never: a test parses the constants.
    #[expect(clippy::expect_used, reason = "a constant, which a test parses")]
    pub fn busybox() -> Self {
        Self {
            name: PLACES[0].to_owned(),
            digest: BUSYBOX.parse().expect("the digest of the default base"),
            places: PLACES.into_iter().filter_map(|place| place.parse().ok()).collect(),
        }
    }

    /// Returns the base with its places in the best order for a push to `target`: for a registry of Google, Google's
    /// places come first, for any other registry they come last.
    #[must_use]
    pub fn for_target(mut self, target: &ImageRef) -> Self {
        let of_google = takes_google_tokens(target.registry());
        self.places.sort_by_key(|place| takes_google_tokens(place.registry()) != of_google);
        self
    }

    /// Reads the image from the first place that gives it, with little patience for each place. A warning tells which
    /// places were asked in vain.
    ///
    /// # Errors
    /// [`BaseError::NoPlace`] when no place gives the image.
    pub async fn open(&self, registries: &Registries, progress: &Arc<dyn Progress>) -> Result<Base, BaseError> {
        Phase::Base.begin(&**progress);
        let (little, mut tried) = (impatient(registries), Vec::new());
        for place in &self.places {
            let reading = async {
                let repository = little.repository(place, progress)?;
                Base::from_registry(&repository, &place.with_digest(&self.digest)).await
            };
            match ask(place, reading).await {
                Ok(base) => {
                    self.tell(place, &tried, &**progress);
                    // The layers are read later, with the patience of every read.
                    let repository = registries.repository(place, progress)?;
                    return Ok(base.named(self.name.clone()).read_by(Arc::new(repository)));
                }
                Err(failure) => tried.push(failure),
            }
        }
        Err(BaseError::NoPlace { name: self.name.clone(), tried })
    }

    /// Warns of the places that were asked in vain before `place` answered.
    fn tell(&self, place: &ImageRef, tried: &[PlaceFailure], progress: &dyn Progress) {
        if tried.is_empty() {
            return;
        }
        let failed: Vec<String> = tried.iter().map(ToString::to_string).collect();
        let (registry, repository, failed) = (place.registry(), place.repository(), failed.join("; "));
        let message = format!("base `{}` comes from `{registry}/{repository}`, the same bytes: {failed}", self.name);
        progress.report(&Event::Warning { message });
    }

    /// Asks every place at the same time whether it has the image. Returns for each place, in their order, why it does
    /// not give the index, or `None`. The layers are not looked for.
    pub async fn ask_places(&self, registries: &Registries, progress: &Arc<dyn Progress>) -> Vec<Option<PlaceFailure>> {
        let registries = &impatient(registries);
        let asked = self.places.iter().map(|place| {
            ask(place, async move {
                let repository = registries.repository(place, progress)?;
                match repository.manifest(&self.digest.to_string()).await? {
                    Some(_index) => Ok(()),
                    None => Err(RegistryError::not_found(&repository.name(), &self.digest.to_string()).into()),
                }
            })
        });
        join_all(asked).await.into_iter().map(Result::err).collect()
    }

    /// Returns whether `name` names this image: the repository and the digest are the same.
    pub fn is_named_by(&self, name: &BaseRef) -> bool {
        let BaseRef::Registry(image) = name else { return false };
        image.digest() == Some(&self.digest) && self.name == format!("{}/{}", image.registry(), image.repository())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_base_is_whole() {
        let known = KnownBase::busybox();
        assert!(known.is_named_by(&BaseRef::default()));
        let BaseRef::Registry(name) = BaseRef::default() else { panic!("the default is in a registry") };
        let pinned = name.with_digest(name.digest().unwrap());
        assert!(known.is_named_by(&BaseRef::Registry(pinned.clone())), "as a lock file names it");
        assert!(!known.is_named_by(&BaseRef::Registry(name.without_digest())), "a tag may move");
        assert!(!known.is_named_by(&BaseRef::Registry(pinned.with_digest(&Digest::of("other")))));
        assert!(!known.is_named_by(&BaseRef::Scratch));
        assert_eq!(known.places.len(), PLACES.len());
    }

    #[test]
    fn the_places_of_the_targets_operator_come_first() {
        let order = |target: &str| -> Vec<String> {
            let known = KnownBase::busybox().for_target(&target.parse().unwrap());
            known.places.iter().map(|place| place.registry().to_owned()).collect()
        };
        for google in ["europe-docker.pkg.dev/p/r/m:v1", "gcr.io/p/m:v1"] {
            assert_eq!(order(google), ["mirror.gcr.io", "public.ecr.aws", "docker.io"]);
        }
        assert_eq!(order("ghcr.io/a/b:v1"), ["public.ecr.aws", "docker.io", "mirror.gcr.io"]);
    }
}
