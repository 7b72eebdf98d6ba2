//! Where the cache of the Hugging Face tools lies.

use std::path::{Path, PathBuf};

use modelcar_core::source::HubCache;

use crate::variables::{self, home, path};

/// Folder of the cache, in the order of the Hugging Face tools.
const FOLDERS: [&str; 2] = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"];

/// Returns the cache, when the user has a place for one.
pub(crate) fn hub_cache() -> Option<HubCache> {
    let named = FOLDERS.iter().find_map(|name| path(name));
    let folder = named.or_else(|| path("HF_HOME").map(|home| home.join("hub")));
    let folder = folder
        .or_else(|| path("XDG_CACHE_HOME").map(|caches| caches.join("huggingface/hub")))
        .or_else(|| home().map(|home| home.join(".cache/huggingface/hub")))?;
    let mut cache = HubCache::new(in_home(&folder, home()));
    cache.endpoint = variables::hub_endpoint().unwrap_or(cache.endpoint);
    Some(cache)
}

/// Replaces a `~` at the start by the user's home, as the Hugging Face tools do.
fn in_home(folder: &Path, home: Option<PathBuf>) -> PathBuf {
    match (folder.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => folder.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_is_the_home() {
        let home = || Some(PathBuf::from("/home/me"));
        for (folder, expected) in [("~/hub", "/home/me/hub"), ("/a/~/b", "/a/~/b"), ("~a/b", "~a/b")] {
            assert_eq!(in_home(Path::new(folder), home()), Path::new(expected), "{folder}");
        }
        assert_eq!(in_home(Path::new("~/hub"), None), Path::new("~/hub"));
    }
}
