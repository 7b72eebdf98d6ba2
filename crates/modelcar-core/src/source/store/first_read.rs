//! The first read of objects, which learns the SHA-256 of each of them.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use sha2::Digest as _;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    ContentId,
    progress::{Event, Progress},
    source::{Extent, ReadBudget, Source, SourceError, SourceFile},
};

/// Files that are hashed side by side.
const FILES_AT_ONCE: usize = 4;
/// Bytes of a file that are told of at once.
const TOLD_BYTES: u64 = 1 << 20;

/// Reads `files` of `source`, and hands each to `keep` with its content as soon as it is known, so that a read that is
/// killed need not begin anew. Returns the files with their content.
///
/// # Errors
/// The first error of a read; the other reads end.
pub(super) async fn first_read<S: Source + Clone + 'static>(
    source: &S,
    files: Vec<SourceFile>,
    budget: &ReadBudget,
    progress: &Arc<dyn Progress>,
    keep: impl Fn(&SourceFile, &str),
) -> Result<Vec<SourceFile>, SourceError> {
    let bytes = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size));
    progress.report(&Event::HashStarted { files: files.len(), bytes });
    let hashes = files.into_iter().map(|file| {
        let (source, budget, progress) = (source.clone(), budget.clone(), Arc::clone(progress));
        async move {
            let hashing = tokio::spawn(async move { hash(&source, file, &budget, &*progress).await });
            AbortOnDropHandle::new(hashing).await
        }
    });
    let read = stream::iter(hashes).buffered(FILES_AT_ONCE).map(|joined| match joined {
        Ok(outcome) => outcome,
        Err(dead) => std::panic::resume_unwind(dead.into_panic()),
    });
    let known = read.inspect_ok(|(file, hash)| keep(file, hash));
    let known: Vec<_> = known.map_ok(|(file, _)| file).try_collect().await?;
    progress.report(&Event::HashDone);
    Ok(known)
}

/// Returns a file with its content, and the hash in hexadecimal digits.
async fn hash(
    source: &dyn Source,
    mut file: SourceFile,
    budget: &ReadBudget,
    progress: &dyn Progress,
) -> Result<(SourceFile, String), SourceError> {
    let extent = Extent { file: Arc::new(file.clone()), offset: 0, len: file.size };
    let mut content = source.read(Vec::from_iter((file.size > 0).then_some(extent)), budget);
    let (mut hasher, mut untold) = (sha2::Sha256::new(), 0);
    while let Some(bytes) = content.try_next().await? {
        hasher.update(&bytes);
        untold += bytes.len() as u64;
        if untold >= TOLD_BYTES {
            progress.report(&Event::HashAdvanced { bytes: std::mem::take(&mut untold) });
        }
    }
    progress.report(&Event::HashAdvanced { bytes: untold });
    let hash: [u8; 32] = hasher.finalize().into();
    file.content = Some(ContentId::Sha256(hash));
    Ok((file, crate::Digest::from(hash).hex()))
}
