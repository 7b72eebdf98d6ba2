//! Checkpoints: a small manifest in the repository for each finished layer, so that a push that was killed can be
//! resumed, on any machine. The checkpoints are deleted once the image is published.
//!
//! The tag of a checkpoint is made of the layer's recipe. The files of a directory are hashed only while they are sent, so
//! the tag of such a layer is made of its shape: whoever finds the checkpoint has to compare the contents.
//!
//! A checkpoint also keeps the registry's garbage collection from removing the layer, because a manifest refers to it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::StatusCode;
use serde_json::json;
use tokio::sync::OnceCell;

use super::image_layer::{self, ImageLayer};
use crate::{
    Digest,
    error::{Result, chain},
    image,
    oci::{Document, canonical_json},
    plan::{Layer, recipe},
    progress::{Event, Progress},
    registry::{Access, Repository},
    sink::{BytesBlob, ManifestBlob, VerifiedBlob},
};

/// Media type of a checkpoint's manifest.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The artifact type by which checkpoints are recognized.
const ARTIFACT: &str = "application/vnd.modelcar.checkpoint.v1";
/// The empty config of an artifact (image-spec manifest.md, "Guidance for an Empty Descriptor").
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// Content of the empty config.
const EMPTY: &[u8] = b"{}";
/// Prefix of the tags of checkpoints. The first 32 hex digits of the recipe, or of the shape, follow.
const TAG: &str = "modelcar-part-";
/// Number of the digest's hex digits in a tag, which must not be longer than 128 characters.
const TAG_DIGITS: usize = 32;
/// Tag of the checkpoint that is made to see whether it can be deleted.
const TRIAL: &str = "modelcar-part-trial";
/// Number of checkpoints that are deleted side by side.
const DELETES: usize = 8;

/// The checkpoints of one push.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    /// The repository that is pushed to.
    repository: Repository,
    /// Receives warnings.
    progress: Arc<dyn Progress>,
    /// Digests and tags of the checkpoints that exist and have to be deleted.
    held: Mutex<BTreeMap<Digest, String>>,
    /// Whether checkpoints can be written and deleted; tested once, before the first one is written.
    works: OnceCell<bool>,
}

impl Checkpoints {
    /// Makes the checkpoints of a push to `repository`. No request is sent yet.
    pub(super) fn new(repository: Repository, progress: Arc<dyn Progress>) -> Self {
        Self { repository, progress, held: Mutex::default(), works: OnceCell::new() }
    }

    /// Returns the layer of this recipe that an earlier push has finished; `None` if there is no checkpoint, or none
    /// that can be read. A checkpoint that is found is deleted at the end of this push.
    pub(super) async fn look_up(&self, recipe: &Digest) -> Option<ImageLayer> {
        self.find(recipe).await.into_iter().find(|layer| layer.recipe == *recipe)
    }

    /// Returns the layer with the shape of `layer` that an earlier push of a directory has finished. Its contents may be
    /// others: the recipe tells.
    pub(super) async fn look_up_shape(&self, layer: &Layer, mtime: u64) -> Option<ImageLayer> {
        self.find(&recipe::shape_of(layer, mtime)).await.into_iter().next()
    }

    /// Returns the layers of the checkpoint whose tag is made of `digest`.
    async fn find(&self, digest: &Digest) -> Vec<ImageLayer> {
        self.read(digest).await.unwrap_or_default()
    }

    async fn read(&self, digest: &Digest) -> Option<Vec<ImageLayer>> {
        let manifest = self.repository.manifest(&tag(digest)).await.ok()??;
        let is_ours = serde_json::from_slice::<serde_json::Value>(&manifest.bytes)
            .is_ok_and(|value| value["artifactType"] == ARTIFACT);
        if !is_ours {
            return None;
        }
        self.held().insert(manifest.digest, tag(digest));
        let Ok(Document::Manifest(manifest)) = Document::parse(&manifest.bytes) else { return None };
        Some(image_layer::one_manifest(&manifest).layers)
    }

    /// Writes a checkpoint for a finished layer, and returns whether there is one. A failure causes a warning; the push
    /// continues.
    pub(crate) async fn note(&self, layer: &Layer, mtime: u64, verified: &VerifiedBlob) -> bool {
        let key = layer.recipe.unwrap_or_else(|| recipe::shape_of(layer, mtime));
        if !*self.works.get_or_init(|| self.prepare()).await {
            return false;
        }
        let Ok(descriptor) = image::weight_layer(layer, mtime, verified) else { return false };
        let manifest = manifest(&json!(descriptor));
        // Noted first: a registry may have stored what it answers with an error.
        if self.held().insert(manifest.digest, tag(&key)).is_some() {
            return true;
        }
        let written = self.repository.put_manifest(&manifest, &tag(&key)).await;
        if let Err(error) = &written {
            self.warn(format!("can't write a checkpoint of {}: {}", layer.title(), chain(error)));
        }
        written.is_ok()
    }

    /// Tests whether checkpoints can be deleted again, and returns whether they may be written. Without that, a push
    /// would leave tags behind for good.
    async fn prepare(&self) -> bool {
        let nothing = Digest::from([0; 32]).to_string();
        let reason = match self.repository.delete_manifest(&nothing).await {
            Ok(StatusCode::NOT_FOUND) => match self.try_out().await {
                Ok(None) => return true,
                Ok(Some(reason)) => format!("the trial checkpoint can't be deleted and remains as `{TRIAL}`: {reason}"),
                Err(error) => error.chain(),
            },
            Ok(status) => format!("it does not allow manifests to be deleted ({})", status.as_u16()),
            Err(error) => chain(&error),
        };
        let registry = self.repository.image().registry();
        self.warn(format!(
            "no checkpoints at `{registry}`, an interrupted push would start from its first layer: {reason}"
        ));
        false
    }

    /// Writes a checkpoint without a layer and deletes it, because no other request shows whether tags can be deleted:
    /// tags may be immutable, or the account may lack the permission. Returns why the checkpoint can't be deleted.
    ///
    /// # Errors
    /// When the checkpoint can't be written.
    async fn try_out(&self) -> Result<Option<String>> {
        self.store_empty().await?;
        let empty = json!({ "mediaType": EMPTY_TYPE, "digest": Digest::of(EMPTY), "size": EMPTY.len() });
        let trial = manifest(&empty);
        self.repository.put_manifest(&trial, TRIAL).await?;
        Ok(self.delete(&trial.digest, TRIAL).await)
    }

    /// Uploads the empty config of checkpoints, unless the repository has it.
    async fn store_empty(&self) -> Result<()> {
        if !self.repository.blob_exists(Access::Push, &Digest::of(EMPTY), EMPTY.len() as u64).await? {
            self.repository.upload(&BytesBlob::new("the config of checkpoints", EMPTY), &|_reason| ()).await?;
        }
        Ok(())
    }

    /// Deletes every checkpoint that this push found or made. The image is published by then, so that a failure only
    /// causes a warning.
    pub(crate) async fn clear(&self) {
        let held = std::mem::take(&mut *self.held());
        let delete = |(digest, tag): (Digest, String)| async move {
            let reason = self.delete(&digest, &tag).await?;
            Some(format!("checkpoint `{tag}` can't be deleted: {reason}"))
        };
        let left: Vec<String> =
            stream::iter(held).map(delete).buffer_unordered(DELETES).filter_map(std::future::ready).collect().await;
        for message in left {
            self.warn(message);
        }
    }

    /// Deletes a checkpoint; returns why the checkpoint was not deleted. Most registries delete a manifest and its tags
    /// in one step, by digest only. Google's registries refuse to delete a manifest that has a tag
    /// (`GOOGLE_MANIFEST_DANGLING_TAG`, genuinetools/reg#136): there the tag is deleted first. go-containerregistry's
    /// registry keeps the tag of a deleted manifest: there the tag is deleted afterwards.
    async fn delete(&self, digest: &Digest, tag: &str) -> Option<String> {
        if self.delete_by_digest(digest).await.is_some() {
            let _the_digest_tells = self.repository.delete_manifest(tag).await;
            return self.delete_by_digest(digest).await;
        }
        if self.is_tagged(tag).await {
            let _the_tag_tells = self.repository.delete_manifest(tag).await;
            return self.is_tagged(tag).await.then(|| "the registry keeps the tag".to_owned());
        }
        None
    }

    /// Returns whether a tag is there. A question without a clear answer counts as no: the digest was deleted.
    async fn is_tagged(&self, tag: &str) -> bool {
        matches!(self.repository.manifest(tag).await, Ok(Some(_)))
    }

    /// Deletes a manifest by its digest; returns why it was not deleted. A missing manifest counts as deleted.
    async fn delete_by_digest(&self, digest: &Digest) -> Option<String> {
        match self.repository.delete_manifest(&digest.to_string()).await {
            Ok(StatusCode::NOT_FOUND) => None,
            Ok(status) if status.is_success() => None,
            Ok(status) => Some(format!("the registry says {}", status.as_u16())),
            Err(error) => Some(chain(&error)),
        }
    }

    /// Reports a warning.
    fn warn(&self, message: String) {
        self.progress.report(&Event::Warning { message });
    }

    /// Locks the list of checkpoints.
    fn held(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the tag of the checkpoint for a recipe, or for a shape.
fn tag(digest: &Digest) -> String {
    format!("{TAG}{}", digest.hex().get(..TAG_DIGITS).unwrap_or_default())
}

/// Makes the manifest of a checkpoint. The same layer gives the same bytes, so that the tag of a recipe is never
/// overwritten with another manifest. The tag of a shape is, when a directory's files change and keep their sizes.
fn manifest(layer: &serde_json::Value) -> ManifestBlob {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT,
        "config": { "mediaType": EMPTY_TYPE, "digest": Digest::of(EMPTY), "size": EMPTY.len() },
        "layers": [layer],
    });
    let bytes = Bytes::from(canonical_json(&manifest));
    ManifestBlob { digest: Digest::of(&bytes), media_type: MANIFEST.to_owned(), bytes }
}
