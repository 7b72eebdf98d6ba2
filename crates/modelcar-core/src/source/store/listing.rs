//! What a store lists below a folder, checked before anything else believes it.

use std::{collections::BTreeMap, time::Duration};

use futures_util::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, path::Path};
use tokio::time::timeout;

use super::{StoreFailure, object::Object};
use crate::{
    ModelPath,
    source::{SourceError, Unwanted},
    text,
};

/// Most objects below a folder, as many files as the Hub is believed to list.
const OBJECTS_MAX: usize = 100_000;
/// Largest sum of sizes, in bytes.
const BYTES_MAX: u64 = 1 << 53;
/// Longest time that a listing may take.
const PATIENCE: Duration = Duration::from_mins(30);
/// What `hf download --local-dir` notes of its files, which is not the model's.
const CLIENT_NOTES: &str = ".cache/huggingface/";

/// What may come of asking a store for a list.
pub(super) enum ListError {
    /// The store failed or refused.
    Store(StoreFailure),
    /// What it lists can't be a model.
    Refused(SourceError),
}

/// Returns the objects below `prefix` by their paths there. `name` is the folder's URL.
///
/// # Errors
/// [`ListError::Store`] where another try may help, and [`ListError::Refused`].
pub(super) async fn list(
    store: &dyn ObjectStore,
    prefix: &Path,
    name: &str,
    unwanted: &Unwanted,
) -> Result<BTreeMap<ModelPath, Object>, ListError> {
    let mut listed: Vec<ObjectMeta> = Vec::new();
    let listing = async {
        let mut objects = store.list(Some(prefix));
        while let Some(object) = objects.try_next().await.map_err(|error| ListError::Store(StoreFailure::new(error)))? {
            listed.push(object);
            if listed.len() > OBJECTS_MAX {
                return Err(refused(name, format!("it has more than {OBJECTS_MAX} objects")));
            }
        }
        Ok(())
    };
    match timeout(PATIENCE, listing).await {
        Ok(outcome) => outcome?,
        Err(_) => return Err(refused(name, format!("it is not whole after {} minutes", PATIENCE.as_secs() / 60))),
    }
    check(listed, prefix, name, unwanted).map_err(ListError::Refused)
}

/// Turns what was listed into objects, or says what makes it unbelievable. What is not the model's is left out, as in a
/// directory.
fn check(
    listed: Vec<ObjectMeta>,
    prefix: &Path,
    name: &str,
    unwanted: &Unwanted,
) -> Result<BTreeMap<ModelPath, Object>, SourceError> {
    let (mut objects, mut bytes) = (BTreeMap::new(), 0_u64);
    for meta in listed {
        let relative = relative(&meta.location, prefix);
        if relative.is_empty() || relative.split('/').any(|part| part == ".git") || relative.starts_with(CLIENT_NOTES) {
            continue;
        }
        let path: ModelPath = match relative.parse() {
            Ok(path) => path,
            Err(_) if unwanted.has(relative) => continue,
            Err(error) => {
                let entry = Some(text::excerpt(relative));
                let (source_name, source) = (name.to_owned(), Some(Box::new(error)));
                let reason = "it holds a path that can't stand in a model".to_owned();
                return Err(SourceError::HostileListing { source_name, reason, entry, source });
            }
        };
        bytes = bytes.saturating_add(meta.size);
        let Some(object) = Object::new(meta) else {
            return Err(SourceError::NoCondition { path: path.to_string(), store: name.to_owned() });
        };
        if objects.insert(path, object).is_some() {
            return Err(hostile(name, "it lists an object twice"));
        }
    }
    if bytes > BYTES_MAX {
        return Err(hostile(name, "its objects add up to an absurd size"));
    }
    drop_markers(&mut objects);
    if objects.is_empty() { Err(SourceError::EmptyStore { url: name.to_owned() }) } else { Ok(objects) }
}

/// Returns where an object is below the folder; empty for the folder itself.
fn relative<'a>(location: &'a Path, prefix: &Path) -> &'a str {
    let rest = location.as_ref().strip_prefix(prefix.as_ref()).unwrap_or_default();
    rest.trim_start_matches('/')
}

/// Drops the empty objects that consoles make in place of folders.
fn drop_markers(objects: &mut BTreeMap<ModelPath, Object>) {
    let folders: Vec<ModelPath> =
        objects.keys().flat_map(ModelPath::ancestors).filter_map(|folder| folder.parse().ok()).collect();
    for folder in folders {
        if objects.get(&folder).is_some_and(|object| object.size == 0) {
            objects.remove(&folder);
        }
    }
}

/// The end of a listing that has no end.
fn refused(name: &str, reason: impl Into<String>) -> ListError {
    ListError::Refused(hostile(name, reason))
}

/// A refusal with its reason.
fn hostile(name: &str, reason: impl Into<String>) -> SourceError {
    SourceError::HostileListing { source_name: name.to_owned(), reason: reason.into(), entry: None, source: None }
}
