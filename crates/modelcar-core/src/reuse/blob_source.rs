//! A layer that a registry holds as the source of its own files: what is copied or checked goes through the same
//! framing and the same hashes as a download, so that no byte is believed.

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

#[derive(Debug)]
pub(super) struct BlobSource {
    blob: Box<dyn Blob>,
    digest: Digest,
    files: Vec<SourceFile>,
    /// Where each file begins in the layer.
    places: BTreeMap<ModelPath, u64>,
    origin: Origin,
}

impl BlobSource {
    /// Reads the files of `layer`, whose entries have the time `mtime`, from `blob`, which is said to be it.
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

    /// What the layer is said to hold is not proven before the layer was read.
    async fn identify(&self, files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        Ok(files)
    }

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

/// Cuts the wanted stretches out of a blob.
struct Cut {
    bytes: BoxStream<'static, Result<Bytes>>,
    verified: Option<BoxFuture<'static, Result<VerifiedBlob>>>,
    /// Place of the first carried byte.
    at: u64,
    carried: Bytes,
    /// Start and length of what is still to come.
    wanted: VecDeque<(u64, u64)>,
}

impl Cut {
    /// The last piece is given out only once the whole blob has the digest it should have.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some((start, len)) = self.wanted.front().copied() else { return Ok(None) };
        loop {
            let skip = usize::try_from(start.saturating_sub(self.at)).unwrap_or(usize::MAX).min(self.carried.len());
            drop(self.carried.split_to(skip));
            self.at += skip as u64;
            if !self.carried.is_empty() {
                break;
            }
            match self.bytes.try_next().await? {
                Some(bytes) => self.carried = bytes,
                None => return Ok(None),
            }
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
            if let Some(verified) = self.verified.take() {
                verified.await?;
            }
        }
        Ok(Some(piece))
    }
}
