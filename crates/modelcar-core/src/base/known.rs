//! A base image that is known before any request: what it is made of, and the places that have its layers.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{
    BaseError, BaseImage, BaseLayer, BasePlatform, BaseRef,
    places::{PlaceFailure, ask, impatient},
};
use crate::{
    Digest, ImageRef, Platform,
    progress::Progress,
    registry::{Access, Registries, RegistryError, takes_google_tokens},
};

/// A base image that is known before any request.
///
/// Plans need no request for such a base. Its layers are pinned by their digests, so every place gives the same bytes,
/// and it does not matter which place answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownBase {
    /// Name, digest, platforms and layers of the image. They are in every image that is built on the base, whichever
    /// place gives the layers.
    pub image: BaseImage,
    /// Repositories that hold the image, in the order in which they are asked. Tags and digests have no effect.
    pub places: Vec<ImageRef>,
}

/// The layer of the default base for one platform: architecture, size in bytes, digest, and digest of the uncompressed
/// tar.
const LAYERS: [(&str, u64, &str, &str); 2] = [
    (
        "amd64",
        871_090,
        "sha256:f4255029a25bc97fe31c78724f2972e1ad162354163517d2bf202005a1c3c906",
        "sha256:cdb90b3acfad4e427a5bb3dc46cef97d9b63942f7c572d385ac61eb545a7cef2",
    ),
    (
        "arm64",
        899_665,
        "sha256:4cf0e1ea6158c6e9d26a3c01b704b7d0eb913d9f2f47324a6b05e8468bae4d5d",
        "sha256:22ce1f054f04b6baff364841b2999329a9c516d27ac3e2577843469ebe515d86",
    ),
];

/// Mirrors of Docker Hub's official images, and Docker Hub itself. The first two ask for no login, and their limits of
/// requests are higher than those of Docker Hub.
const PLACES: [&str; 3] =
    ["public.ecr.aws/docker/library/busybox", "docker.io/library/busybox", "mirror.gcr.io/library/busybox"];

impl KnownBase {
    /// Returns the base that [`BaseRef::default`] names, in its places.
    pub fn busybox() -> Self {
        let name: Option<ImageRef> = BaseRef::DEFAULT.parse().ok();
        let image = BaseImage {
            name: name.as_ref().map(|name| format!("{}/{}", name.registry(), name.repository())),
            digest: name.and_then(|name| name.digest().copied()),
            platforms: LAYERS.into_iter().filter_map(platform).collect(),
        };
        Self { image, places: PLACES.into_iter().filter_map(|place| place.parse().ok()).collect() }
    }

    /// Returns the base with its places in the best order for a push to `target`: for a registry of Google, Google's
    /// places come first, for any other registry they come last.
    #[must_use]
    pub fn for_target(mut self, target: &ImageRef) -> Self {
        let of_google = takes_google_tokens(target.registry());
        self.places.sort_by_key(|place| takes_google_tokens(place.registry()) != of_google);
        self
    }

    /// Asks every place at the same time whether it has the layers. Returns for each place, in their order, why it does
    /// not have them, or `None`.
    pub async fn ask_places(&self, registries: &Registries, progress: &Arc<dyn Progress>) -> Vec<Option<PlaceFailure>> {
        let registries = impatient(registries);
        let layers = || self.image.platforms.iter().flat_map(|platform| &platform.layers);
        let asked = self.places.iter().map(|place| {
            let registries = &registries;
            ask(place, async move {
                let repository = registries.repository(place, progress)?;
                for layer in layers() {
                    if !repository.blob_exists(Access::Pull, &layer.digest, layer.size).await? {
                        return Err(RegistryError::not_found(&repository.name(), &layer.digest.to_string()).into());
                    }
                }
                Ok(())
            })
        });
        join_all(asked).await.into_iter().map(Result::err).collect()
    }

    /// Returns the first place that has the index of the image, with a manifest for every platform. The layers are not
    /// looked for.
    ///
    /// # Errors
    /// [`BaseError::NoPlace`] when no place has the index.
    pub async fn find_index(
        &self,
        registries: &Registries,
        progress: &Arc<dyn Progress>,
    ) -> Result<ImageRef, BaseError> {
        let little = impatient(registries);
        let mut tried = Vec::new();
        let Some(digest) = self.image.digest else { return Err(self.no_place(tried)) };
        for place in &self.places {
            let asking = async {
                let repository = little.repository(place, progress)?;
                let found = repository.manifest(&digest.to_string()).await?;
                found.ok_or_else(|| RegistryError::not_found(&repository.name(), &digest.to_string()).into())
            };
            match ask(place, asking).await {
                Ok(_index) => return Ok(place.with_digest(&digest)),
                Err(failure) => tried.push(failure),
            }
        }
        Err(self.no_place(tried))
    }

    /// Makes the error for places of which none has the image.
    pub(super) fn no_place(&self, tried: Vec<PlaceFailure>) -> BaseError {
        BaseError::NoPlace { name: self.image.name.clone().unwrap_or_default(), tried }
    }

    /// Returns whether `name` names this image: the repository and the digest are the same.
    pub fn is_named_by(&self, name: &BaseRef) -> bool {
        let BaseRef::Registry(image) = name else { return false };
        let repository = format!("{}/{}", image.registry(), image.repository());
        image.digest().is_some() && image.digest() == self.image.digest.as_ref() && self.image.name == Some(repository)
    }
}

/// Returns a row of [`LAYERS`] as a platform. A test checks that no row is lost.
fn platform((architecture, size, digest, diff_id): (&str, u64, &str, &str)) -> Option<BasePlatform> {
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip".to_owned();
    let (digest, diff_id): (Digest, Digest) = (digest.parse().ok()?, diff_id.parse().ok()?);
    let layers = vec![BaseLayer { media_type, digest, size, diff_id }];
    Some(BasePlatform { platform: Platform::linux(architecture), layers })
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
        let platforms: Vec<_> = known.image.platforms.iter().map(|found| found.platform.to_string()).collect();
        assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
        assert!(known.image.platforms.iter().all(|platform| platform.layers.len() == 1));
        assert_eq!(known.image.name.as_deref(), Some(PLACES[0]));
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
