//! The objects of a folder, read by parts with the listed version as the condition.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use tokio::time::timeout;

use super::{StoreFailure, object::Object};
use crate::{
    ModelPath,
    error::ModelcarError,
    source::{
        Extent, SourceError,
        ranged::{Fault, RangeStore, RangeStream},
    },
};

/// The listed objects of a folder in a store.
pub(super) struct Bucket {
    pub(super) store: Arc<dyn ObjectStore>,
    /// URL of the folder, for errors.
    pub(super) name: String,
    /// Whether a read names the version that it wants, and not only the entity tag.
    pub(super) by_version: bool,
    /// How long an answer, and each piece of a body, may take.
    pub(super) stall: Duration,
    /// What was listed, by the path in the model.
    pub(super) objects: BTreeMap<ModelPath, Object>,
}

impl fmt::Debug for Bucket {
    /// Leaves the store out, which would show its credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("name", &self.name).field("objects", &self.objects.len()).finish_non_exhaustive()
    }
}

impl Bucket {
    /// Returns what an object is called in errors.
    fn url(&self, path: &ModelPath) -> String {
        format!("{}/{path}", self.name)
    }

    /// Makes the fault of a request that failed. An object that is gone or replaced has changed: it was listed.
    fn fault(&self, part: &Extent, error: object_store::Error) -> Fault {
        let failure = StoreFailure::new(error);
        if failure.is_change() {
            let reason = match failure.trouble {
                super::StoreTrouble::NoObject => "the version that was listed is not there any more",
                _ => "the store has another version now",
            };
            let path = PathBuf::from(self.url(&part.file.path));
            return Fault::fatal(SourceError::Changed { path, reason: reason.to_owned() });
        }
        let (retryable, wait) = (failure.is_retryable(), failure.retry_after());
        let act = format!("read `{}`", self.url(&part.file.path));
        let error = SourceError::Store { act, source: Box::new(failure) };
        match (retryable, wait) {
            (true, Some(wait)) => Fault::passing(error).after(wait),
            (true, None) => Fault::passing(error),
            (false, _) => Fault::fatal(error),
        }
    }

    /// Makes the fault of a connection that brings nothing.
    fn stalled(&self, part: &Extent) -> Fault {
        let (path, host, seconds) = (part.file.path.clone(), self.name.clone(), self.stall.as_secs());
        Fault::passing(SourceError::Stalled { path, host, seconds })
    }
}

/// A handle that the reader of a file can keep.
#[derive(Debug, Clone)]
pub(super) struct Objects(pub(super) Arc<Bucket>);

#[async_trait]
impl RangeStore for Objects {
    async fn open(&self, part: &Extent) -> Result<RangeStream, Fault> {
        let bucket = Arc::clone(&self.0);
        let url = bucket.url(&part.file.path);
        let Some(object) = bucket.objects.get(&part.file.path) else {
            return Err(Fault::fatal(SourceError::NotListed { path: PathBuf::from(url) }));
        };
        let asked = bucket.store.get_opts(&object.location, object.request(part, bucket.by_version));
        let answer = timeout(bucket.stall, asked).await.map_err(|_| bucket.stalled(part))?;
        let answer = answer.map_err(|error| bucket.fault(part, error))?;
        object.check(&answer.meta, &url).map_err(Fault::fatal)?;
        if answer.range.start != part.offset {
            let reason = format!("bytes from {} on came in place of those from {} on", answer.range.start, part.offset);
            return Err(Fault::fatal(SourceError::Changed { path: PathBuf::from(url), reason }));
        }
        let body = Body { bytes: answer.into_stream(), part: part.clone(), at: part.offset, bucket };
        let body =
            stream::try_unfold(
                Box::new(body),
                |mut body| async move { Ok(body.next().await?.map(|bytes| (bytes, body))) },
            );
        Ok(body.boxed())
    }

    fn name(&self) -> String {
        self.0.name.clone()
    }
}

/// The body of an answer.
struct Body {
    bytes: stream::BoxStream<'static, object_store::Result<bytes::Bytes>>,
    part: Extent,
    /// Where in the file the body is.
    at: u64,
    bucket: Arc<Bucket>,
}

impl Body {
    /// Returns the next piece; `None` at the end of the body, which may be short of what was asked for: the reader asks
    /// for the rest.
    async fn next(&mut self) -> Result<Option<bytes::Bytes>, Fault> {
        match timeout(self.bucket.stall, self.bytes.try_next()).await {
            Ok(Ok(Some(bytes))) => {
                self.at += bytes.len() as u64;
                Ok(Some(bytes))
            }
            Ok(Ok(None)) => Ok(None),
            Err(_) => Err(self.bucket.stalled(&self.part)),
            Ok(Err(error)) => {
                let (path, host) = (self.part.file.path.clone(), self.bucket.name.clone());
                let (at, size) = (self.at, self.part.file.size);
                let source = Some(Box::new(StoreFailure::new(error)) as _);
                Err(Fault::passing(SourceError::BrokenBody { path, host, at, size, source }))
            }
        }
    }
}
