//! A model's files in a folder: proven, side by side, and from where a killed download ended.
//!
//! A file has its name only once its bytes are proven: until then the bytes lie in a file beside it, and a later download
//! goes on behind them.

mod error;
mod fetch;
mod place;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::Serialize;

pub use self::{error::DownloadError, place::DownloadLayout};
use self::{fetch::Job, place::Place};
use crate::{
    ContentId, ModelPath,
    pipeline::BuildOptions,
    progress::Event,
    source::{OpenSource, ReadBudget, SourceFile},
};

/// What is downloaded, and how it is laid out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DownloadOptions {
    /// Only files that match one of these patterns; all when empty. `*` crosses `/`, `dir/` stands for all below it.
    pub include: Vec<String>,
    /// No file that matches one of these patterns.
    pub exclude: Vec<String>,
    /// How the files lie.
    pub layout: DownloadLayout,
}

/// A finished download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Downloaded {
    /// The folder with the model's files.
    pub folder: PathBuf,
    /// The files, by path.
    pub files: Vec<DownloadedFile>,
    /// Bytes that came from the source.
    pub bytes_fetched: u64,
}

/// A file of a download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DownloadedFile {
    /// Path inside the model.
    pub path: ModelPath,
    /// Size in bytes.
    pub size: u64,
    /// Content, proven by this download.
    pub content: ContentId,
    /// Whether bytes of it came from the source; otherwise the file was in place.
    pub fetched: bool,
}

/// Brings the files of `source` into `folder`, and returns what is there then.
///
/// Files are brought side by side, `build.jobs` at a time, and share `build.connections`. Files with the listed content
/// are left as they are; unfinished ones go on. Files with other content are replaced. Dropping the future keeps what is
/// unfinished for the next time.
///
/// # Errors
/// [`DownloadError::NoSpace`] before anything is written; for the others see [`DownloadError`].
pub async fn download(
    source: &OpenSource,
    folder: &Path,
    options: &DownloadOptions,
    build: &BuildOptions,
) -> Result<Downloaded, DownloadError> {
    let files = selected(source, options).await?;
    let place = Place::open(folder, options.layout, source)?;
    let mut jobs: BTreeMap<PathBuf, Job> = BTreeMap::new();
    let mut targets = Vec::with_capacity(files.len());
    for file in &files {
        let (target, partial) = place.of(file)?;
        targets.push(target.clone());
        jobs.entry(target.clone()).or_insert(Job { file: Arc::new(file.clone()), target, partial });
    }
    let wanted = unfinished(jobs.into_values().collect(), build).await?;
    let need = wanted.iter().map(|job| job.file.size - job.partial_bytes()).sum();
    if let Some(have) = place.free_bytes().filter(|have| *have < need) {
        return Err(DownloadError::NoSpace { folder: folder.to_owned(), need, have });
    }
    let (fetched, bytes_fetched) = fetch(source, wanted, need, build).await?;
    place.finish(&files)?;
    let files = files.into_iter().zip(targets).filter_map(|(file, target)| {
        let found = fetched.get(&target);
        let content = found.copied().or(file.content)?;
        Some(DownloadedFile { path: file.path, size: file.size, content, fetched: found.is_some() })
    });
    Ok(Downloaded { folder: place.folder(), files: files.collect(), bytes_fetched })
}

/// Returns the files that are wanted, by path. In a cache files are called by their content.
async fn selected(source: &OpenSource, options: &DownloadOptions) -> Result<Vec<SourceFile>, DownloadError> {
    let (include, exclude) = (globs(&options.include)?, globs(&options.exclude)?);
    let mut files = source.source.list().await?;
    files.retain(|file| {
        let path = file.path.as_str();
        (include.is_empty() || include.is_match(path)) && !exclude.is_match(path)
    });
    if files.is_empty() {
        return Err(DownloadError::NoFiles(source.name.clone()));
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    match options.layout {
        DownloadLayout::Flat => Ok(files),
        DownloadLayout::HubCache => Ok(source.source.identify(files).await?),
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet, DownloadError> {
    let bad = |pattern: &str, source| DownloadError::BadPattern { pattern: pattern.to_owned(), source };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = if pattern.ends_with('/') { Glob::new(&format!("{pattern}*")) } else { Glob::new(pattern) };
        set.add(glob.map_err(|error| bad(pattern, error))?);
    }
    set.build().map_err(|error| bad(&patterns.join(" "), error))
}

/// Returns the jobs whose files are not in place with the right content.
async fn unfinished(jobs: Vec<Job>, build: &BuildOptions) -> Result<Vec<Job>, DownloadError> {
    let (there, mut wanted): (Vec<_>, Vec<_>) = jobs.into_iter().partition(Job::may_be_done);
    if there.is_empty() {
        return Ok(wanted);
    }
    let bytes = there.iter().map(|job| job.file.size).sum();
    build.progress.report(&Event::HashStarted { files: there.len(), bytes });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let looked = there.into_iter().map(|job| async move {
        let is_done = job.is_done(&build.progress).await?;
        Ok::<_, DownloadError>((job, is_done))
    });
    let looked: Vec<_> = stream::iter(looked).buffered(cores).try_collect().await?;
    build.progress.report(&Event::HashDone);
    wanted.extend(looked.into_iter().filter(|(_, is_done)| !is_done).map(|(job, _)| job));
    Ok(wanted)
}

/// Brings the files, the largest first, and returns their contents by their places, and the bytes that came.
async fn fetch(
    source: &OpenSource,
    mut wanted: Vec<Job>,
    bytes: u64,
    build: &BuildOptions,
) -> Result<(BTreeMap<PathBuf, ContentId>, u64), DownloadError> {
    wanted.sort_by_key(|job| std::cmp::Reverse(job.file.size));
    let (jobs, budget) = (build.jobs.max(1), ReadBudget::for_memory(build.connections, build.read_ahead_bytes));
    build.progress.report(&Event::FetchStarted { files: wanted.len(), bytes });
    let count = AtomicU64::new(0);
    let fetched = wanted.into_iter().map(|job| {
        let (budget, count) = (&budget, &count);
        async move {
            let content = job.fetch(&*source.source, budget, &*build.progress, count).await?;
            Ok::<_, DownloadError>((job.target, content))
        }
    });
    let fetched = stream::iter(fetched).buffer_unordered(jobs).try_collect().await?;
    build.progress.report(&Event::FetchDone);
    Ok((fetched, count.into_inner()))
}
