//! Texts of several documents in one input, an image of them, and the runtime in which they are read.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use modelcar_core::{
    Digest, ImageError, ImageRef,
    blob::{Blob, BytesBlob},
    reader::ImageReader,
    sink::ManifestBlob,
};
use tokio::runtime::{Builder, Runtime};

/// Stands between two documents of an input.
const BETWEEN: &[u8] = b"\n---\n";

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

/// Waits for what a library does.
pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(work))
}

/// Returns the documents of an input.
pub(crate) fn documents(data: &[u8]) -> Vec<&[u8]> {
    let (mut documents, mut rest) = (Vec::new(), data);
    while let Some(at) = rest.windows(BETWEEN.len()).position(|bytes| bytes == BETWEEN) {
        documents.push(&rest[..at]);
        rest = &rest[at + BETWEEN.len()..];
    }
    documents.push(rest);
    documents
}

/// Returns the name by which the images here are asked for.
pub(crate) fn image() -> ImageRef {
    "r.test/team/tiny:v1".parse().expect("a reference")
}

/// Documents that refer to each other by digest.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    documents: BTreeMap<Digest, Bytes>,
    /// What the tag means.
    top: Bytes,
}

impl Stored {
    /// Stores a document under its digest. The tag means the last one.
    pub(crate) fn add(&mut self, document: impl Into<Bytes>) -> Digest {
        self.top = document.into();
        let digest = Digest::of(&self.top);
        self.documents.insert(digest, self.top.clone());
        digest
    }

    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.documents.contains_key(digest)
    }

    fn get(&self, digest: &Digest) -> Result<Bytes, ImageError> {
        self.documents.get(digest).cloned().ok_or_else(|| ImageError::NotFound { name: digest.to_string() })
    }
}

#[async_trait]
impl ImageReader for Stored {
    async fn manifest(&self, selector: &str) -> Result<ManifestBlob, ImageError> {
        let bytes = match selector.parse() {
            Ok(digest) => self.get(&digest)?,
            Err(_) => self.top.clone(),
        };
        Ok(ManifestBlob { digest: Digest::of(&bytes), media_type: String::new(), bytes })
    }

    async fn blob(&self, digest: &Digest, _size: u64) -> Result<Bytes, ImageError> {
        self.get(digest)
    }

    fn body(&self, title: String, digest: Digest, _size: u64) -> Arc<dyn Blob> {
        Arc::new(BytesBlob::new(title, self.get(&digest).unwrap_or_default()))
    }
}
