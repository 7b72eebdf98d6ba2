//! Counts the bytes of a build: those that the source gives, and those that are sent.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};

use crate::{
    progress::{Event, Progress},
    source::{ByteStream, Extent, Origin, ReadBudget, Source, SourceError, SourceFile},
};

/// Counts the bytes that a source gives.
#[derive(Debug)]
pub(super) struct Metered {
    source: Arc<dyn Source>,
    /// Bytes so far.
    pub(super) read: Arc<AtomicU64>,
}

impl Metered {
    pub(super) fn new(source: Arc<dyn Source>) -> Self {
        Self { source, read: Arc::default() }
    }
}

#[async_trait]
impl Source for Metered {
    fn origin(&self) -> &Origin {
        self.source.origin()
    }

    async fn list(&self) -> Result<Vec<SourceFile>, SourceError> {
        self.source.list().await
    }

    async fn identify(&self, files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        self.source.identify(files).await
    }

    fn read(&self, extents: Vec<Extent>, budget: &ReadBudget) -> ByteStream {
        let read = Arc::clone(&self.read);
        let count = move |bytes: &Bytes| {
            read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        };
        self.source.read(extents, budget).inspect_ok(count).boxed()
    }
}

/// Counts the bytes of layers that are sent, and passes all events on.
#[derive(Debug)]
pub(super) struct Counted {
    /// Bytes so far.
    pub(super) moved: AtomicU64,
    pub(super) next: Arc<dyn Progress>,
}

impl Progress for Counted {
    fn report(&self, event: &Event) {
        if let Event::LayerAdvanced { bytes, .. } | Event::LayerResent { bytes, .. } = event {
            self.moved.fetch_add(*bytes, Ordering::Relaxed);
        }
        self.next.report(event);
    }
}
