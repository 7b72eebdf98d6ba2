//! Reads an image from an OCI image layout directory.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::{ImageError, ImageReader};
use crate::{
    Digest,
    blob::Blob,
    layout::{Layout, LayoutError},
    sink::ManifestBlob,
};

/// Opens a layout directory. Returns its reader, and the digest of the image called `name`; without `name`, of the only
/// image.
///
/// # Errors
/// When the directory is no layout, holds no such image, or without `name` holds more than one image.
pub async fn open_layout(dir: &Path, name: Option<&str>) -> Result<(Box<dyn ImageReader>, Digest), LayoutError> {
    let layout = Layout::open(dir).await?;
    let digest = layout.pick(name).await?.digest;
    Ok((Box::new(layout), digest))
}

#[async_trait]
impl ImageReader for Layout {
    async fn manifest(&self, selector: &str) -> Result<ManifestBlob, ImageError> {
        let digest = match selector.parse() {
            Ok(digest) => digest,
            Err(_) => self.pick(Some(selector)).await?.digest,
        };
        let bytes = self.read(&digest).await?;
        // `mediaType` is optional in the image-spec. The parser tells indexes from manifests without it.
        let media_type = serde_json::from_slice::<Value>(&bytes)
            .ok()
            .and_then(|json| json["mediaType"].as_str().map(str::to_owned))
            .unwrap_or_default();
        Ok(ManifestBlob { bytes, media_type, digest })
    }

    async fn blob(&self, digest: &Digest, _size: u64) -> Result<Bytes, ImageError> {
        Ok(self.read(digest).await?)
    }

    fn body(&self, title: String, digest: Digest, size: u64) -> Arc<dyn Blob> {
        Self::body(self, title, digest, size)
    }
}
