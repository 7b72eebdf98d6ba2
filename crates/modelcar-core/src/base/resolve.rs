//! Finds the platforms of an image that can be built on, and for each of their layers the digest of the uncompressed
//! tar.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{
    BaseError, BaseLayer, BasePlatform,
    models::{self, Step},
};
use crate::{
    Digest, ImageError,
    oci::Descriptor,
    reader::{Configs, Extent, ImageReader, TreeImage, read_image},
};

/// Media type of an uncompressed layer.
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
/// Media type of a layer that is compressed with gzip.
const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Media type of a layer that is compressed with zstd.
const TAR_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// The part of an image's config that is needed.
#[derive(Debug, Deserialize)]
struct Config {
    rootfs: RootFs,
    #[serde(default)]
    history: Option<Vec<Step>>,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    /// Digests of the uncompressed layers, lowest first.
    #[serde(default)]
    diff_ids: Option<Vec<Digest>>,
}

/// The usable part of an image.
pub(super) struct Resolved {
    /// Digest of the index, or of the manifest of an image without one.
    pub(super) digest: Digest,
    /// In the image's order.
    pub(super) platforms: Vec<BasePlatform>,
    /// Manifests that the index lists and that are not there.
    pub(super) missing: Vec<Digest>,
    /// What says that the image has files in the folder of the weights.
    pub(super) models: BTreeSet<String>,
}

/// Resolves `selector`, a tag, a digest or a name. `image` is the name of the image in messages.
///
/// # Errors
/// When the image can't be read, has no usable platform or a platform twice, or has a layer that can't be used.
pub(super) async fn resolve(reader: &dyn ImageReader, selector: &str, image: &str) -> Result<Resolved, BaseError> {
    let tree = read_image(reader, selector, Extent { every_platform: false, configs: Configs::All }).await?;
    let missing = tree.missing.iter().map(|missing| missing.digest).collect();
    let chosen = one_for_each_platform(&tree.images, image)?;
    let (mut platforms, mut models) = (Vec::new(), BTreeSet::new());
    for found in chosen {
        let config = config(found)?;
        models.extend(models::stated(&found.manifest.layers, config.history.as_deref().unwrap_or_default()));
        platforms.push(BasePlatform { platform: found.platform.clone(), layers: layers(found, config, image)? });
    }
    if platforms.is_empty() {
        return Err(BaseError::NoPlatform { image: image.to_owned(), missing });
    }
    Ok(Resolved { digest: tree.digest, platforms, missing, models })
}

/// Chooses the image of each usable platform. podman and buildah can list a platform twice, with the layers compressed
/// with gzip and with zstd; more programs read the former.
///
/// # Errors
/// [`BaseError::DuplicatePlatform`] when two images of a platform differ in another way.
fn one_for_each_platform<'a>(images: &'a [TreeImage], image: &str) -> Result<Vec<&'a TreeImage>, BaseError> {
    let mut chosen: Vec<&TreeImage> = Vec::new();
    for found in images.iter().filter(|found| found.platform.is_usable()) {
        match chosen.iter_mut().find(|other| other.platform == found.platform) {
            None => chosen.push(found),
            Some(other) if has_zstd(other) && !has_zstd(found) => *other = found,
            Some(other) if !has_zstd(other) && has_zstd(found) => {}
            Some(_) => {
                return Err(BaseError::DuplicatePlatform { image: image.to_owned(), platform: found.platform.clone() });
            }
        }
    }
    Ok(chosen)
}

/// Returns whether layers of an image are compressed with zstd.
fn has_zstd(image: &TreeImage) -> bool {
    image.manifest.layers.iter().any(|layer| layer.media_type.ends_with("zstd"))
}

fn config(found: &TreeImage) -> Result<Config, ImageError> {
    let parsed = serde_json::from_slice(found.config.as_deref().unwrap_or_default());
    parsed.map_err(|source| ImageError::Json { digest: found.manifest.config.digest, source })
}

/// Pairs the layers of a manifest with the diff ids of its config.
fn layers(found: &TreeImage, config: Config, image: &str) -> Result<Vec<BaseLayer>, BaseError> {
    let (digest, layers) = (found.manifest.config.digest, &found.manifest.layers);
    let diff_ids = config.rootfs.diff_ids.unwrap_or_default();
    if diff_ids.len() != layers.len() {
        let reason = format!("has {} diff ids for {} layers", diff_ids.len(), layers.len());
        return Err(unusable(image, format!("config `{digest}`"), reason));
    }
    layers.iter().zip(diff_ids).map(|(layer, diff_id)| base_layer(layer, diff_id, image)).collect()
}

/// Makes the entry of one layer. Docker's media types become those of OCI, because the layer is put into an OCI
/// manifest; the bytes are the same. Layers that may not be distributed are refused, because a push has to copy their
/// bytes.
fn base_layer(layer: &Descriptor, diff_id: Digest, image: &str) -> Result<BaseLayer, BaseError> {
    let bad = |reason: String| Err(unusable(image, format!("layer `{}`", layer.digest), reason));
    let media_type = match layer.media_type.as_str() {
        TAR | "application/vnd.docker.image.rootfs.diff.tar" => TAR,
        TAR_GZIP | "application/vnd.docker.image.rootfs.diff.tar.gzip" => TAR_GZIP,
        TAR_ZSTD | "application/vnd.docker.image.rootfs.diff.tar.zstd" => TAR_ZSTD,
        foreign if foreign.contains(".foreign.") || foreign.contains(".nondistributable.") => {
            return bad("may not be distributed: its bytes are kept elsewhere".to_owned());
        }
        other => return bad(format!("is of the unknown type `{other}`")),
    };
    if media_type == TAR && layer.digest != diff_id {
        return bad(format!("is not compressed and has another diff id, `{diff_id}`"));
    }
    Ok(BaseLayer { media_type: media_type.to_owned(), digest: layer.digest, size: layer.size, diff_id })
}

fn unusable(image: &str, what: String, reason: String) -> BaseError {
    BaseError::Unusable { image: image.to_owned(), what, reason }
}
