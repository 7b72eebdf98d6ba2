//! Downloads the files of a model into a folder: several at a time, verified by their hashes, and resumable.
//!
//! A file gets its own name only when the hash of its bytes is verified. Until then the bytes are in an unfinished file
//! with another name. After an interruption, the next download resumes at the end of the unfinished file.

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

/// Which files are downloaded, and how they are laid out in the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DownloadOptions {
    /// Download only the files that match one of these patterns; empty means all files. `*` also matches `/`, and
    /// `dir/` matches all files below the folder `dir`.
    pub include: Vec<String>,
    /// Do not download the files that match one of these patterns, even if they match `include`.
    pub exclude: Vec<String>,
    /// How the files are laid out.
    pub layout: DownloadLayout,
}

/// A finished download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Downloaded {
    /// The folder with the model's files; for the layout of the Hugging Face cache, the folder of the snapshot.
    pub folder: PathBuf,
    /// The files, sorted by path.
    pub files: Vec<DownloadedFile>,
    /// Number of bytes that this download read from the source.
    pub bytes_fetched: u64,
}

/// A file of a download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DownloadedFile {
    /// Path inside the model.
    pub path: ModelPath,
    /// Size in bytes.
    pub size: u64,
    /// Content id. This download has hashed the whole file.
    pub content: ContentId,
    /// Whether this download wrote the file; `false` when the file was in place with the listed content.
    pub fetched: bool,
}

/// Downloads the files of `source` into `folder`, and returns the files that are there afterwards.
///
/// `build.jobs` files are downloaded at the same time; together they use `build.connections` connections. A file with
/// the listed content is left as it is, an unfinished file is resumed, and a file with other content is replaced.
/// Dropping the future stops the download and keeps the unfinished files for the next download.
///
/// # Errors
/// [`DownloadError::NoSpace`] before any file is written (folders have been created). For the other errors see
/// [`DownloadError`].
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

/// Returns the files that the patterns select, sorted by path. For the layout of the Hugging Face cache, every file
/// gets a content id, because the name of a blob is the content id.
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

/// Hashes the files that are in place, and returns the jobs whose files are missing or have other content.
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

/// Fetches the files, the largest first. Returns the content ids by the path of the finished file, and the number of
/// bytes that came from the source. `bytes` is the number of bytes that are expected.
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
