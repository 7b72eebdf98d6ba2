//! Checkpoints: a small manifest in the repository for each layer that is done, so that a push which was killed goes
//! on from there, on any machine. They go away once the image is published.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::StatusCode;
use serde_json::json;
use tokio::sync::OnceCell;

use super::found::{self, FoundLayer};
use crate::{
    Digest,
    error::Result,
    image,
    oci::canonical_json,
    plan::Layer,
    progress::{Event, Progress},
    registry::Repository,
    sink::{BytesBody, ManifestBlob, Sealed},
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const ARTIFACT: &str = "application/vnd.modelcar.checkpoint.v1";
/// The empty config of an artifact (image-spec manifest.md, "Guidance for an Empty Descriptor").
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";
/// Tags of checkpoints begin so; what follows are the first 32 digits of the recipe.
const TAG: &str = "modelcar-part-";
const TAG_DIGITS: usize = 32;
const DELETES: usize = 8;

/// The checkpoints of one push.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    repository: Repository,
    progress: Arc<dyn Progress>,
    /// Digests of checkpoints that are there and must go.
    held: Mutex<BTreeSet<Digest>>,
    /// Whether they can be written; asked once.
    works: OnceCell<bool>,
}

impl Checkpoints {
    pub(super) fn new(repository: Repository, progress: Arc<dyn Progress>) -> Self {
        Self { repository, progress, held: Mutex::default(), works: OnceCell::new() }
    }

    /// Returns the layer of this recipe that an earlier push has finished.
    pub(super) async fn look_up(&self, recipe: &Digest) -> Option<FoundLayer> {
        let manifest = self.repository.manifest(&tag(recipe)).await.ok()??;
        let is_ours = serde_json::from_slice::<serde_json::Value>(&manifest.bytes)
            .is_ok_and(|value| value["artifactType"] == ARTIFACT);
        if !is_ours {
            return None;
        }
        self.held().insert(manifest.digest);
        found::one_manifest(&manifest).layers.into_iter().find(|layer| layer.recipe == *recipe)
    }

    /// Notes that a layer is done. A failure costs the checkpoint alone.
    pub(crate) async fn note(&self, layer: &Layer, mtime: u64, sealed: &Sealed) {
        let Some(recipe) = layer.recipe else { return };
        if !*self.works.get_or_init(|| self.prepare()).await {
            return;
        }
        let Ok(manifest) = manifest(layer, mtime, sealed) else { return };
        if self.held().contains(&manifest.digest) {
            return;
        }
        match self.repository.put_manifest(&manifest, &tag(&recipe)).await {
            Ok(()) => {
                self.held().insert(manifest.digest);
            }
            Err(error) => self.warn(format!("no checkpoint of {}: {error}", layer.title())),
        }
    }

    /// Returns whether what is written can be deleted again; only then is anything written.
    async fn prepare(&self) -> bool {
        let nothing = Digest::from([0; 32]);
        let reason = match self.repository.delete_manifest(&nothing).await {
            Ok(StatusCode::NOT_FOUND) => match self.store_empty().await {
                Ok(()) => return true,
                Err(error) => error.to_string(),
            },
            Ok(status) => format!("it lets no manifest be deleted ({})", status.as_u16()),
            Err(error) => error.to_string(),
        };
        let registry = self.repository.image().registry();
        self.warn(format!(
            "no checkpoints at `{registry}`, an interrupted push would start from its first layer: {reason}"
        ));
        false
    }

    async fn store_empty(&self) -> Result<()> {
        if !self.repository.has_blob(&Digest::of(EMPTY), EMPTY.len() as u64).await? {
            self.repository.upload(&BytesBody::new("the config of checkpoints", EMPTY), &|_reason| ()).await?;
        }
        Ok(())
    }

    /// Deletes every checkpoint that this push found or made. The image is published, so that a failure is told and
    /// nothing more.
    pub(crate) async fn clear(&self) {
        let held = std::mem::take(&mut *self.held());
        let delete = |digest: Digest| async move {
            match self.repository.delete_manifest(&digest).await {
                Ok(StatusCode::NOT_FOUND) => None,
                Ok(status) if status.is_success() => None,
                Ok(status) => Some(format!("checkpoint `{digest}` stays: the registry says {}", status.as_u16())),
                Err(error) => Some(format!("checkpoint `{digest}` stays: {error}")),
            }
        };
        let left: Vec<String> =
            stream::iter(held).map(delete).buffer_unordered(DELETES).filter_map(std::future::ready).collect().await;
        for message in left {
            self.warn(message);
        }
    }

    fn warn(&self, message: String) {
        self.progress.report(&Event::Warning { message });
    }

    fn held(&self) -> std::sync::MutexGuard<'_, BTreeSet<Digest>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tag(recipe: &Digest) -> String {
    format!("{TAG}{}", recipe.hex().get(..TAG_DIGITS).unwrap_or_default())
}

/// The same layer gives the same bytes, so that a tag is never to be moved.
fn manifest(layer: &Layer, mtime: u64, sealed: &Sealed) -> Result<ManifestBlob> {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT,
        "config": { "mediaType": EMPTY_TYPE, "digest": Digest::of(EMPTY), "size": EMPTY.len() },
        "layers": [image::weight_layer(layer, mtime, sealed)?],
    });
    let bytes = Bytes::from(canonical_json(&manifest));
    Ok(ManifestBlob { digest: Digest::of(&bytes), media_type: MANIFEST.to_owned(), bytes })
}
