//! Checkpoints: a small manifest in the repository for each layer that is done, so that a push which was killed goes
//! on from there, on any machine. They go away once the image is published.

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
    error::Result,
    image,
    oci::{Document, canonical_json},
    plan::Layer,
    progress::{Event, Progress},
    registry::{Access, Repository},
    sink::{BytesBlob, ManifestBlob, VerifiedBlob},
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const ARTIFACT: &str = "application/vnd.modelcar.checkpoint.v1";
/// The empty config of an artifact (image-spec manifest.md, "Guidance for an Empty Descriptor").
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";
/// Tags of checkpoints begin so; what follows are the first 32 digits of the recipe.
const TAG: &str = "modelcar-part-";
const TAG_DIGITS: usize = 32;
/// Tag of the checkpoint that is made to see whether it can be deleted.
const TRIAL: &str = "modelcar-part-trial";
const DELETES: usize = 8;

/// The checkpoints of one push.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    repository: Repository,
    progress: Arc<dyn Progress>,
    /// Digests of checkpoints that are there and must go, with their tags.
    held: Mutex<BTreeMap<Digest, String>>,
    /// Whether they can be written; asked once.
    works: OnceCell<bool>,
}

impl Checkpoints {
    pub(super) fn new(repository: Repository, progress: Arc<dyn Progress>) -> Self {
        Self { repository, progress, held: Mutex::default(), works: OnceCell::new() }
    }

    /// Returns the layer of this recipe that an earlier push has finished.
    pub(super) async fn look_up(&self, recipe: &Digest) -> Option<ImageLayer> {
        let manifest = self.repository.manifest(&tag(recipe)).await.ok()??;
        let is_ours = serde_json::from_slice::<serde_json::Value>(&manifest.bytes)
            .is_ok_and(|value| value["artifactType"] == ARTIFACT);
        if !is_ours {
            return None;
        }
        self.held().insert(manifest.digest, tag(recipe));
        let Ok(Document::Manifest(manifest)) = Document::parse(&manifest.bytes) else { return None };
        image_layer::one_manifest(&manifest).layers.into_iter().find(|layer| layer.recipe == *recipe)
    }

    /// Notes that a layer is done. A failure costs the checkpoint alone.
    pub(crate) async fn note(&self, layer: &Layer, mtime: u64, verified: &VerifiedBlob) {
        let Some(recipe) = layer.recipe else { return };
        if !*self.works.get_or_init(|| self.prepare()).await {
            return;
        }
        let Ok(descriptor) = image::weight_layer(layer, mtime, verified) else { return };
        let manifest = manifest(&json!(descriptor));
        // Noted first: a registry may have stored what it answers with an error.
        if self.held().insert(manifest.digest, tag(&recipe)).is_some() {
            return;
        }
        if let Err(error) = self.repository.put_manifest(&manifest, &tag(&recipe)).await {
            self.warn(format!("can't write a checkpoint of {}: {error}", layer.title()));
        }
    }

    /// Returns whether what is written can be deleted again; only then is anything written.
    async fn prepare(&self) -> bool {
        let nothing = Digest::from([0; 32]).to_string();
        let reason = match self.repository.delete_manifest(&nothing).await {
            Ok(StatusCode::NOT_FOUND) => match self.try_out().await {
                Ok(None) => return true,
                Ok(Some(reason)) => format!("the trial checkpoint can't be deleted and remains as `{TRIAL}`: {reason}"),
                Err(error) => error.to_string(),
            },
            Ok(status) => format!("it does not allow manifests to be deleted ({})", status.as_u16()),
            Err(error) => error.to_string(),
        };
        let registry = self.repository.image().registry();
        self.warn(format!(
            "no checkpoints at `{registry}`, an interrupted push would start from its first layer: {reason}"
        ));
        false
    }

    /// Writes a checkpoint of nothing and deletes it: that tags can't be removed (they are immutable, or the login may
    /// not) shows in no other way. Returns why it stays.
    async fn try_out(&self) -> Result<Option<String>> {
        self.store_empty().await?;
        let empty = json!({ "mediaType": EMPTY_TYPE, "digest": Digest::of(EMPTY), "size": EMPTY.len() });
        let trial = manifest(&empty);
        self.repository.put_manifest(&trial, TRIAL).await?;
        Ok(self.delete(&trial.digest, TRIAL).await)
    }

    async fn store_empty(&self) -> Result<()> {
        if !self.repository.blob_exists(Access::Push, &Digest::of(EMPTY), EMPTY.len() as u64).await? {
            self.repository.upload(&BytesBlob::new("the config of checkpoints", EMPTY), &|_reason| ()).await?;
        }
        Ok(())
    }

    /// Deletes every checkpoint that this push found or made. The image is published, so that a failure is told and
    /// nothing more.
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

    /// Deletes a checkpoint; returns why it stays. Most registries delete by digest alone, tags included, in one step.
    /// Google's refuse it for a manifest that has a tag (`GOOGLE_MANIFEST_DANGLING_TAG`, genuinetools/reg#136): there the
    /// tag goes first.
    async fn delete(&self, digest: &Digest, tag: &str) -> Option<String> {
        if self.delete_by_digest(digest).await.is_some() {
            let _the_digest_tells = self.repository.delete_manifest(tag).await;
            return self.delete_by_digest(digest).await;
        }
        None
    }

    async fn delete_by_digest(&self, digest: &Digest) -> Option<String> {
        match self.repository.delete_manifest(&digest.to_string()).await {
            Ok(StatusCode::NOT_FOUND) => None,
            Ok(status) if status.is_success() => None,
            Ok(status) => Some(format!("the registry says {}", status.as_u16())),
            Err(error) => Some(error.to_string()),
        }
    }

    fn warn(&self, message: String) {
        self.progress.report(&Event::Warning { message });
    }

    fn held(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tag(recipe: &Digest) -> String {
    format!("{TAG}{}", recipe.hex().get(..TAG_DIGITS).unwrap_or_default())
}

/// The same layer gives the same bytes, so that a tag is never to be moved.
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
