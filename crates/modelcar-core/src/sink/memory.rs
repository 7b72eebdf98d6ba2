//! A sink that keeps the image in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;

use super::{ExistingBlob, ManifestBlob, Published, Restarts, Sink};
use crate::{
    Digest,
    blob::{Blob, VerifiedBlob},
    error::{ErrorKind, OtherError, Result},
    oci::Document,
};

/// Largest number of layers that are written at the same time. Each is held in memory as a whole.
const MAX_JOBS: usize = 4;

/// Keeps an image in memory, for tests and for small models. All blobs are in memory at the same time.
///
/// `MemorySink` is as strict as a registry: it refuses a manifest that names a blob which was not written. The sink is
/// an [`ImageReader`](crate::reader::ImageReader) too, so that a test can read the image back from it.
#[derive(Debug, Default)]
pub struct MemorySink {
    /// The names that the image gets when it is published.
    names: BTreeSet<String>,
    kept: Mutex<Kept>,
}

/// What the sink holds.
#[derive(Debug, Default)]
struct Kept {
    /// Layers and configs.
    blobs: BTreeMap<Digest, Bytes>,
    /// Manifests and indexes.
    manifests: BTreeMap<Digest, ManifestBlob>,
    /// What [`Sink::publish`] has done.
    published: Option<Published>,
}

impl MemorySink {
    /// Returns an empty sink that gives the image each of `names`. Without a name, the digest of the index is its only
    /// name.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), kept: Mutex::default() }
    }

    /// Returns the bytes of a layer or config, if the sink holds it. The bytes are shared and not copied.
    pub fn blob(&self, digest: &Digest) -> Option<Bytes> {
        self.kept().blobs.get(digest).cloned()
    }

    /// Returns the manifest or index that `selector` names. `selector` is the digest of any document that the sink
    /// holds, or a name of the published index.
    pub fn manifest(&self, selector: &str) -> Option<ManifestBlob> {
        let kept = self.kept();
        let published =
            || kept.published.as_ref().filter(|published| published.names.iter().any(|name| name == selector));
        let digest = selector.parse().ok().or_else(|| published().map(|published| published.digest))?;
        kept.manifests.get(&digest).cloned()
    }

    /// Returns the digests of all layers and configs, in order. Manifests and indexes are not among them.
    pub fn blobs(&self) -> Vec<Digest> {
        self.kept().blobs.keys().copied().collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads `body` into memory and keeps the bytes if they are verified. A failed body leaves nothing.
    async fn write_once(&self, body: &dyn Blob) -> Result<VerifiedBlob> {
        let mut open = body.open();
        let mut bytes = BytesMut::new();
        while let Some(chunk) = open.stream.try_next().await? {
            bytes.extend_from_slice(&chunk);
        }
        drop(open.stream);
        let verified = open.verified.await?;
        let written = bytes.len() as u64;
        if verified.size != written {
            let why = format!("{} bytes were counted, {written} arrived", verified.size);
            return Err(OtherError::new(format!("store {}", body.title()), ErrorKind::Internal, why).into());
        }
        self.kept().blobs.insert(verified.digest, bytes.freeze());
        Ok(verified)
    }
}

impl Kept {
    /// Stores a document if everything that the document names is stored. Blobs must have the size that the document
    /// states.
    ///
    /// # Errors
    /// When the digest is not that of the bytes, the bytes are neither an index nor a manifest, or a named blob is not
    /// there.
    fn store(&mut self, document: &ManifestBlob) -> Result<()> {
        let refused = |why: String| {
            OtherError::new(format!("store manifest `{}`", document.digest), ErrorKind::InvalidInput, why)
        };
        if Digest::of(&document.bytes) != document.digest {
            return Err(refused("its bytes have another digest".to_owned()).into());
        }
        let lacks = match Document::parse(&document.bytes) {
            Ok(Document::Index { manifests, .. }) => {
                manifests.into_iter().find(|manifest| !self.manifests.contains_key(&manifest.digest))
            }
            Ok(Document::Manifest(manifest)) => [manifest.config]
                .into_iter()
                .chain(manifest.layers)
                .find(|blob| self.blobs.get(&blob.digest).is_none_or(|bytes| bytes.len() as u64 != blob.size)),
            Err(_) => return Err(refused("it is neither an index nor an image manifest".to_owned()).into()),
        };
        if let Some(lacks) = lacks {
            return Err(refused(format!("it names `{}`, which is not there", lacks.digest)).into());
        }
        self.manifests.insert(document.digest, document.clone());
        Ok(())
    }
}

#[async_trait]
impl Sink for MemorySink {
    fn max_jobs(&self) -> usize {
        MAX_JOBS
    }

    async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool> {
        Ok(self.kept().blobs.get(digest).is_some_and(|bytes| bytes.len() as u64 == size))
    }

    /// As [`Sink::mount_or_find`]. There is no other repository to take a blob from.
    async fn mount_or_find(&self, blob: &ExistingBlob) -> Result<bool> {
        match blob.repository {
            None => self.has_blob(&blob.digest, blob.size).await,
            Some(_) => Ok(false),
        }
    }

    async fn write_blob(&self, body: &dyn Blob, restarted: &(dyn Fn(String) + Send + Sync)) -> Result<VerifiedBlob> {
        let mut restarts = Restarts::new(restarted);
        loop {
            match self.write_once(body).await {
                Ok(verified) => return Ok(verified),
                Err(error) => restarts.after(error).await?,
            }
        }
    }

    async fn write_manifest(&self, manifest: &ManifestBlob) -> Result<()> {
        self.kept().store(manifest)
    }

    async fn publish(&self, index: &ManifestBlob) -> Result<()> {
        let mut kept = self.kept();
        kept.store(index)?;
        let names =
            if self.names.is_empty() { vec![index.digest.to_string()] } else { self.names.iter().cloned().collect() };
        kept.published = Some(Published { names, ..Published::new(index.digest) });
        Ok(())
    }

    fn published(&self) -> Option<Published> {
        self.kept().published.clone()
    }

    /// Forgets everything, unless an image is published.
    async fn abandon(&self) {
        let mut kept = self.kept();
        if kept.published.is_none() {
            *kept = Kept::default();
        }
    }
}
