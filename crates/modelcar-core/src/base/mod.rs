//! The base image below the weights. KServe's sidecar needs a shell, which the base image provides; `scratch` is no
//! base image at all.

#[cfg(feature = "registry")]
mod ask;
mod base_ref;
mod binary;
#[cfg(feature = "registry")]
mod copy;
mod error;
mod image;
#[cfg(feature = "registry")]
mod known;
mod models;
mod open;
mod resolve;
#[cfg(test)]
mod tests;

use std::{ops::Range, path::Path, sync::Arc};

use bytes::Bytes;
use futures_util::{FutureExt, TryFutureExt, stream::BoxStream};

pub use self::{
    base_ref::BaseRef,
    error::BaseError,
    image::{BaseImage, BaseLayer, BasePlatform},
    open::OpenBase,
};
#[cfg(feature = "registry")]
pub use self::{
    copy::{Copied, copy_image},
    error::PlaceFailure,
    known::KnownBase,
};
use crate::{
    Digest, ImageRef, Platform,
    blob::{Blob, BytesBlob, OpenBlob},
    layout::{Layout, ref_name},
    reader::ImageReader,
};

/// A base image whose layers can be read. Clones share the connection, or the bytes of the layer.
#[derive(Debug, Clone)]
pub struct Base {
    /// Name, digest, platforms and layers of the image.
    pub image: BaseImage,
    /// Manifests that the image's index lists and that are not there: their platforms can't be built on.
    pub missing: Vec<Digest>,
    /// What says that the image has files in `/models` already: a clause for each layer that modelcar made, and for each
    /// step in the image's history that names the folder. The layers are not read for this.
    pub models: Vec<String>,
    /// Where the bytes of the layers are.
    blobs: Blobs,
}

/// Where the bytes of the layers are.
#[derive(Debug, Clone)]
enum Blobs {
    /// There are no layers.
    None,
    /// The one layer is in memory.
    Memory(Bytes),
    /// In a repository or a layout.
    Reader(Arc<dyn ImageReader>),
}

impl Base {
    /// Returns the base without layers, for linux/amd64 and linux/arm64. KServe's sidecar can't run an image on it.
    pub fn scratch() -> Self {
        let platforms = ["amd64", "arm64"]
            .map(|architecture| BasePlatform { platform: Platform::linux(architecture), layers: Vec::new() });
        let image = BaseImage { name: None, digest: None, platforms: platforms.into() };
        Self { image, missing: Vec::new(), models: Vec::new(), blobs: Blobs::None }
    }

    /// Uses an image of the OCI image layout at `dir`: the one called `name`, or the only one.
    ///
    /// # Errors
    /// [`BaseError::Layout`] when the directory is no layout or holds no such image; [`BaseError::NoPlatform`],
    /// [`BaseError::DuplicatePlatform`], [`BaseError::Unusable`] and [`BaseError::Image`] when nothing can be built on
    /// the image.
    pub async fn from_layout(dir: &Path, name: Option<&str>) -> Result<Self, BaseError> {
        let layout = Layout::open(dir).await?;
        let picked = layout.pick(name).await?;
        // A directory says nothing about what is in it; the image's name may be a reference.
        let name = ref_name(&picked).filter(|name| name.parse::<ImageRef>().is_ok()).map(str::to_owned);
        let shown = format!("oci:{}", dir.display());
        Self::read(Arc::new(layout), &picked.digest.to_string(), name, &shown).await
    }

    /// Makes a base image of the static busybox at `path`, for the one platform that the binary is built for.
    ///
    /// # Errors
    /// [`BaseError::Io`] when the file can't be read, [`BaseError::Binary`] when the file is no static 64-bit
    /// executable for amd64 or arm64 or is larger than 64 MiB.
    pub async fn from_binary(path: &Path) -> Result<Self, BaseError> {
        let path = path.to_owned();
        let made = tokio::task::spawn_blocking(move || {
            let (platform, binary) = binary::read(&path)?;
            let layer =
                binary::layer(&binary).map_err(|source| BaseError::Io { act: "make a layer of", path, source })?;
            Ok::<_, BaseError>((platform, layer))
        });
        let (platform, tar) = made.await.map_err(|error| BaseError::Task(error.into()))??;
        let digest = Digest::of(&tar);
        let layer = BaseLayer {
            media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(),
            digest,
            size: tar.len() as u64,
            diff_id: digest,
        };
        let platforms = vec![BasePlatform { platform, layers: vec![layer] }];
        let image = BaseImage { name: None, digest: None, platforms };
        Ok(Self { image, missing: Vec::new(), models: Vec::new(), blobs: Blobs::Memory(tar) })
    }

    /// Uses the image that `image` names in `repository`, pinned to the digest that the image has now.
    ///
    /// # Errors
    /// - [`BaseError::Registry`] and [`BaseError::Image`] when the image is missing or can't be read.
    /// - [`BaseError::NoPlatform`] and [`BaseError::DuplicatePlatform`] when the image is for no usable platform, or
    ///   has two manifests for one.
    /// - [`BaseError::Unusable`] when a layer is of an unknown type or may not be distributed, or when the layers don't
    ///   fit the diff ids of the config.
    #[cfg(feature = "registry")]
    pub async fn from_registry(repository: &crate::registry::Repository, image: &ImageRef) -> Result<Self, BaseError> {
        // The tag is kept, so that a later run can find a newer image. For a reference with a digest no tag is kept.
        let name = match image.digest() {
            Some(_) => format!("{}/{}", image.registry(), image.repository()),
            None => format!("{}/{}:{}", image.registry(), image.repository(), image.tag_or_latest()),
        };
        let shown = name.clone();
        Self::read(Arc::new(repository.clone()), &image.selector(), Some(name), &shown).await
    }

    /// Gives the image another name in the plans that are made with it.
    #[cfg(feature = "registry")]
    fn named(mut self, name: String) -> Self {
        self.image.name = Some(name);
        self
    }

    /// Reads the layers with another reader of the same image.
    #[cfg(feature = "registry")]
    fn read_by(self, reader: Arc<dyn ImageReader>) -> Self {
        Self { blobs: Blobs::Reader(reader), ..self }
    }

    /// Reads the image under `selector`. `name` is kept in the plan, `shown` is the name in messages.
    async fn read(
        reader: Arc<dyn ImageReader>,
        selector: &str,
        name: Option<String>,
        shown: &str,
    ) -> Result<Self, BaseError> {
        let found = resolve::resolve(reader.as_ref(), selector, shown).await?;
        let image = BaseImage { name, digest: Some(found.digest), platforms: found.platforms };
        Ok(Self {
            image,
            missing: found.missing,
            models: found.models.into_iter().collect(),
            blobs: Blobs::Reader(reader),
        })
    }

    /// Returns what the image is read with, and the name under which it has the image: for a base in one registry or
    /// layout. `None` for any other base.
    pub fn reader(&self) -> Option<(Arc<dyn ImageReader>, Digest)> {
        match (&self.blobs, self.image.digest) {
            (Blobs::Reader(reader), Some(digest)) => Some((Arc::clone(reader), digest)),
            _ => None,
        }
    }

    /// Returns a layer's bytes, to be read later. The digest is checked while the bytes are read.
    ///
    /// # Errors
    /// [`BaseError::ForeignLayer`] when `layer` is not of this image.
    pub fn body(&self, layer: &BaseLayer) -> Result<Arc<dyn Blob>, BaseError> {
        let title = format!("base layer `{}`", layer.digest);
        let is_ours = self.image.platforms.iter().any(|platform| platform.layers.contains(layer));
        match &self.blobs {
            Blobs::Memory(tar) if is_ours => Ok(Arc::new(BytesBlob::new(title, tar.clone()))),
            Blobs::Reader(reader) if is_ours => {
                let blob = reader.body(title, layer.digest, layer.size);
                Ok(Arc::new(LayerBlob { blob, diff_id: layer.diff_id }))
            }
            _ => Err(BaseError::ForeignLayer(layer.digest)),
        }
    }
}

/// A layer of a base image. The blob proves its digest; the digest of the uncompressed tar (diff id) is the one that
/// the image's config states, and is not checked.
#[derive(Debug)]
struct LayerBlob {
    blob: Arc<dyn Blob>,
    diff_id: Digest,
}

impl Blob for LayerBlob {
    fn title(&self) -> String {
        self.blob.title()
    }

    fn size(&self) -> u64 {
        self.blob.size()
    }

    fn digest(&self) -> Option<Digest> {
        self.blob.digest()
    }

    fn reread(&self, range: Range<u64>) -> BoxStream<'static, crate::Result<Bytes>> {
        self.blob.reread(range)
    }

    fn open(&self) -> OpenBlob {
        let OpenBlob { stream, verified } = self.blob.open();
        let diff_id = self.diff_id;
        let verified = verified.map_ok(move |mut verified| {
            verified.diff_id = diff_id;
            verified
        });
        OpenBlob { stream, verified: verified.boxed() }
    }
}
