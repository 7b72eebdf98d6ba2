//! Reads an image from memory, where a [`MemorySink`] keeps it.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};

use super::{ImageError, ImageReader};
use crate::{
    Digest,
    blob::{self, Blob, BytesBlob, OpenBlob},
    sink::{ManifestBlob, MemorySink},
};

#[async_trait]
impl ImageReader for MemorySink {
    async fn manifest(&self, selector: &str) -> Result<ManifestBlob, ImageError> {
        Self::manifest(self, selector).ok_or_else(|| ImageError::NotFound { name: selector.to_owned() })
    }

    async fn blob(&self, digest: &Digest, _size: u64) -> Result<Bytes, ImageError> {
        Self::blob(self, digest).ok_or_else(|| ImageError::NotFound { name: digest.to_string() })
    }

    fn body(&self, title: String, digest: Digest, size: u64) -> Arc<dyn Blob> {
        match Self::blob(self, &digest) {
            Some(bytes) => Arc::new(BytesBlob::new(title, bytes)),
            None => Arc::new(Absent { title, digest, size }),
        }
    }
}

/// A blob that is missing. Opening the blob gives the error, because [`ImageReader::body`] can't fail.
#[derive(Debug)]
struct Absent {
    title: String,
    digest: Digest,
    size: u64,
}

impl Absent {
    /// Makes the error that the blob's stream and its digest give.
    fn error(&self) -> crate::Error {
        ImageError::NotFound { name: self.digest.to_string() }.into()
    }
}

impl Blob for Absent {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn digest(&self) -> Option<Digest> {
        Some(self.digest)
    }

    fn reread(&self, range: Range<u64>) -> BoxStream<'static, crate::Result<Bytes>> {
        blob::reread_from_start(self, range)
    }

    fn open(&self) -> OpenBlob {
        OpenBlob {
            stream: stream::iter([Err(self.error())]).boxed(),
            verified: std::future::ready(Err(self.error())).boxed(),
        }
    }
}
