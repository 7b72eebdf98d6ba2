//! A stretch of a file from a store that can't give parts of it: one stream, of which the first bytes are thrown away.
//!
//! Nothing is read ahead: who reads sets the pace. The stream takes no permit, since it lasts as long as its reader wants,
//! and others would wait for that; there is one for a reader at most, while none of its parts is in flight.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::sleep;

use super::{
    RangeStore, RangeStream,
    retry::{Fault, PROGRESS_BYTES, Retry},
};
use crate::source::{Extent, SourceError};

/// What is still to come, and the stream that it comes from.
pub(super) struct Whole {
    rest: Extent,
    stream: Option<RangeStream>,
    /// Where in the file the stream is.
    at: u64,
    failures: u32,
    /// Bytes that came since the last failure and were new.
    fresh: u64,
}

impl Whole {
    pub(super) fn new(rest: Extent) -> Self {
        Self { rest, stream: None, at: 0, failures: 0, fresh: 0 }
    }

    /// Returns the next bytes; `None` after the last. A stream that breaks off is opened again from the start of the file,
    /// as `retry` says.
    pub(super) async fn next<F: RangeStore>(&mut self, store: &F, retry: &Retry) -> Option<Result<Bytes, SourceError>> {
        while self.rest.len > 0 {
            let fault = match self.read(store).await {
                Ok(bytes) if bytes.is_empty() => continue,
                Ok(bytes) => return Some(Ok(bytes)),
                Err(fault) => fault,
            };
            self.stream = None;
            if std::mem::take(&mut self.fresh) >= PROGRESS_BYTES {
                self.failures = 0;
            }
            self.failures += 1;
            match retry.after(&format!("read `{}`", self.rest.file.path), fault, self.failures) {
                Ok(wait) => sleep(wait).await,
                Err(error) => return Some(Err(error)),
            }
        }
        self.stream = None;
        None
    }

    /// Reads a chunk; it is empty where nothing of it is wanted.
    async fn read<F: RangeStore>(&mut self, store: &F) -> Result<Bytes, Fault> {
        let file = &self.rest.file;
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                self.at = 0;
                let all = Extent { file: Arc::clone(file), offset: 0, len: file.size };
                none.insert(store.open(&all).await?)
            }
        };
        let Some(chunk) = stream.next().await else {
            let (path, host, size) = (file.path.clone(), store.name(), file.size);
            return Err(Fault::passing(SourceError::BrokenBody { path, host, at: self.at, size, source: None }));
        };
        let mut chunk = chunk?;
        let known = usize::try_from(self.rest.offset - self.at).unwrap_or(usize::MAX).min(chunk.len());
        self.at += chunk.len() as u64;
        let mut wanted = chunk.split_off(known);
        wanted.truncate(usize::try_from(self.rest.len).unwrap_or(usize::MAX));
        let len = wanted.len() as u64;
        self.rest.offset += len;
        self.rest.len -= len;
        self.fresh += len;
        Ok(wanted)
    }
}
