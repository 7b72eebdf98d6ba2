//! Models out of the Hugging Face cache: those that are named so, and all when the Hub is turned off.

use std::{path::PathBuf, sync::Arc};

use modelcar_core::{
    progress::Progress,
    source::{HubCache, OpenSource, SourceRef},
};
use modelcar_env::Environment;

use crate::hint::Failure;

/// Returns the cache, if `source` is to be read from it.
pub(super) fn cache_for(source: &SourceRef) -> Option<HubCache> {
    match source {
        SourceRef::HubCache(_) => Environment::hub_cache(),
        SourceRef::Hub(_) if Environment::is_offline() => Environment::hub_cache(),
        _ => None,
    }
}

/// Opens `source`, if it is to be read from the cache.
pub(super) async fn open(source: &SourceRef, progress: &Arc<dyn Progress>) -> Result<Option<OpenSource>, Failure> {
    match cache_for(source) {
        Some(cache) => Ok(Some(cache.open(source, progress).await?)),
        None => Ok(None),
    }
}

/// Returns the folder with the files of `source`, if it is to be read from the cache. A lock file knows which files it
/// needs, whether the snapshot is whole or not.
pub(super) fn folder(source: &SourceRef) -> Result<Option<PathBuf>, Failure> {
    let (Some(cache), SourceRef::Hub(model) | SourceRef::HubCache(model)) = (cache_for(source), source) else {
        return Ok(None);
    };
    Ok(Some(cache.snapshot(model)?.folder))
}
