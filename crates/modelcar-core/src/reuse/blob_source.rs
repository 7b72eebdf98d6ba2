//! A layer in a registry as the source of its own files. A layer that is copied or checked goes through the same
//! framing and the same hashes as files that are downloaded from a source, so that each byte is checked.

use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future::BoxFuture, stream, stream::BoxStream};

use crate::{
    Digest, ModelPath,
    error::Result,
    layer_format,
    plan::Layer,
    sink::{Blob, VerifiedBlob},
    source::{ByteStream, Extent, Origin, ReadBudget, Source, SourceError, SourceFile},
};

/// The files of one layer in a registry.
#[derive(Debug)]
pub(super) struct BlobSource {
    /// The blob of the layer.
    blob: Box<dyn Blob>,
    /// Digest of the blob, for errors.
    digest: Digest,
    /// The files that the layer should have.
    files: Vec<SourceFile>,
    /// Offset of each file's first byte in the layer, in bytes.
    places: BTreeMap<ModelPath, u64>,
    /// Empty: the layer does not say where its files came from.
    origin: Origin,
}

impl BlobSource {
    /// Reads the files of `layer`, whose entries have the time `mtime`, from `blob`, which should be this layer. The
    /// offsets of the files follow from the layer's format; the tar headers in the blob are not read.
    pub(super) fn new(blob: Box<dyn Blob>, digest: Digest, layer: &Layer, mtime: u64) -> Self {
        let (mut places, mut at) = (BTreeMap::new(), 0);
        for entry in layer_format::entries(&layer.files) {
            at += layer_format::header(&entry, mtime).len() as u64;
            if let Some(file) = entry.file {
                places.insert(file.path.clone(), at);
                at += file.size + layer_format::padding(file.size).len() as u64;
            }
        }
        Self { blob, digest, files: layer.files.clone(), places, origin: Origin::default() }
    }
}

#[async_trait]
impl Source for BlobSource {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn list(&self) -> Result<Vec<SourceFile>, SourceError> {
        Ok(self.files.clone())
    }

    /// Returns the files unchanged: the contents that the layer should have are proven only by reading the layer.
    async fn identify(&self, files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        Ok(files)
    }

    /// Reads `extents`, which must be in the order of the layer: the blob is read once, from its first byte.
    fn read(&self, extents: Vec<Extent>, _budget: &ReadBudget) -> ByteStream {
        let place = |extent: Extent| {
            let start = self.places.get(&extent.file.path).copied().unwrap_or(u64::MAX).saturating_add(extent.offset);
            (start, extent.len)
        };
        let wanted: VecDeque<(u64, u64)> = extents.into_iter().map(place).collect();
        let open = self.blob.open();
        let cut = Cut { bytes: open.stream, verified: Some(open.verified), at: 0, carried: Bytes::new(), wanted };
        let digest = self.digest;
        let failed = move |error| SourceError::Layer { digest, source: Box::new(error) };
        stream::try_unfold(cut, |mut cut| async move { Ok(cut.next().await?.map(|bytes| (bytes, cut))) })
            .map_err(failed)
            .boxed()
    }
}

/// Cuts the wanted extents out of a blob.
struct Cut {
    /// The bytes of the blob.
    bytes: BoxStream<'static, Result<Bytes>>,
    /// Resolves once the digest of the blob is proven; `None` after that.
    verified: Option<BoxFuture<'static, Result<VerifiedBlob>>>,
    /// Offset of the first carried byte in the blob.
    at: u64,
    /// Bytes that were read and not yet given out.
    carried: Bytes,
    /// Start and length, in bytes, of the extents that are still to come.
    wanted: VecDeque<(u64, u64)>,
}

impl Cut {
    /// Returns the next piece of the wanted extents; `None` after the last one. The last piece is given out only once
    /// the whole blob has been read and has the expected digest.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some((start, len)) = self.wanted.front().copied() else { return Ok(None) };
        loop {
            let skip = usize::try_from(start.saturating_sub(self.at)).unwrap_or(usize::MAX).min(self.carried.len());
            drop(self.carried.split_to(skip));
            self.at += skip as u64;
            if !self.carried.is_empty() {
                break;
            }
            let Some(bytes) = self.bytes.try_next().await? else {
                // A blob that ends too early has another digest, which says more than a missing file.
                self.prove().await?;
                return Ok(None);
            };
            self.carried = bytes;
        }
        let take = usize::try_from(len).unwrap_or(usize::MAX).min(self.carried.len());
        let piece = self.carried.split_to(take);
        self.at += take as u64;
        self.wanted.pop_front();
        if (take as u64) < len {
            self.wanted.push_front((self.at, len - take as u64));
        }
        if self.wanted.is_empty() {
            while self.bytes.try_next().await?.is_some() {}
            self.prove().await?;
        }
        Ok(Some(piece))
    }

    /// Compares the digest of the blob, which has been read to its end, with the expected one.
    async fn prove(&mut self) -> Result<()> {
        if let Some(verified) = self.verified.take() {
            verified.await?;
        }
        Ok(())
    }
}
