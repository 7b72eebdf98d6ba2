//! Copies a blob to a file, on a thread of its own, so that a slow disk does not block the runtime.

use std::{
    io::{self, IoSlice, Write},
    path::Path,
};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::error::{LayoutError, io_error};
use crate::{
    blob::{Blob, OpenBlob, VerifiedBlob},
    error::{Error, Result},
    thread,
};

/// Number of chunks that may wait for the writing thread. With several chunks, the network and the disk work at the
/// same time. The number is small, so that a slow disk slows the source down instead of filling the memory.
const CHANNEL_CHUNKS: usize = 8;

/// Why a blob was not copied.
#[derive(Debug)]
pub(super) enum CopyError {
    /// The blob could not be read, or its bytes are wrong.
    Blob(Error),
    /// The file system refused.
    Io(io::Error),
    /// The blob counted `verified` bytes, and `written` bytes arrived.
    Miscounted { verified: u64, written: u64 },
}

impl CopyError {
    /// Turns the failure into an error of this library. `path` is where the bytes of `body` were written.
    pub(super) fn explain(self, body: &dyn Blob, path: &Path) -> Error {
        match self {
            Self::Blob(error) => error,
            Self::Io(source) => io_error("write to", path)(source).into(),
            Self::Miscounted { verified, written } => {
                LayoutError::Miscounted { title: body.title(), verified, written }.into()
            }
        }
    }
}

/// Copies `open` to the target that `start` makes. Returns the target and the verified digest and size.
///
/// `start` and every write run on a thread that owns the target. When the returned future is dropped, the thread
/// writes what it has received, ends, and drops the target.
///
/// # Errors
/// The blob's error goes before the file system's error. When the blob's bytes are wrong, the target is dropped.
pub(super) async fn copy<W, F>(open: OpenBlob, start: F) -> Result<(W, VerifiedBlob), CopyError>
where
    W: Write + Send + 'static,
    F: FnOnce() -> io::Result<W> + Send + 'static,
{
    let OpenBlob { mut stream, verified } = open;
    let (sender, receiver) = mpsc::channel(CHANNEL_CHUNKS);
    let writer = thread::spawn("modelcar-write", move || {
        let mut target = start()?;
        let written = write_received(&mut target, receiver)?;
        Ok((target, written))
    });
    let mut broken = None;
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) if chunk.is_empty() => {}
            Ok(chunk) => {
                // The thread has ended: its error says why.
                if sender.send(chunk).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    drop(sender);
    drop(stream);
    let written: Result<io::Result<(W, u64)>, _> = writer.await;
    if let Some(error) = broken {
        return Err(CopyError::Blob(error));
    }
    let (target, written) = written.map_err(|error| CopyError::Blob(error.into()))?.map_err(CopyError::Io)?;
    let verified = verified.await.map_err(CopyError::Blob)?;
    if verified.size != written {
        return Err(CopyError::Miscounted { verified: verified.size, written });
    }
    Ok((target, verified))
}

/// Writes chunks until the sender is dropped, and returns the number of bytes. All chunks that wait are written with
/// one system call.
fn write_received(target: &mut impl Write, mut receiver: mpsc::Receiver<Bytes>) -> io::Result<u64> {
    let mut written = 0;
    let mut batch = Vec::with_capacity(CHANNEL_CHUNKS);
    while receiver.blocking_recv_many(&mut batch, CHANNEL_CHUNKS) > 0 {
        let mut slices: Vec<_> = batch.iter().map(|chunk| IoSlice::new(chunk)).collect();
        written += batch.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        write_all_vectored(target, &mut slices)?;
        batch.clear();
    }
    target.flush()?;
    Ok(written)
}

/// Writes all of `slices`, also when a call writes only a part of them.
fn write_all_vectored(target: &mut impl Write, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !slices.is_empty() {
        match target.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut slices, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
