//! Lists the files of a commit: page by page from the `tree` endpoint, or from the model's description where a mirror
//! has no `tree` endpoint.

use std::collections::BTreeSet;

use reqwest::Url;
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    address::segment,
    api::{Asked, Hub, Subject},
    listing::{Entries, MAX_ENTRIES, TreeEntry, refused},
};
use crate::source::SourceError;

/// Most pages of a listing. A longer listing is refused.
const MAX_PAGES: usize = 1000;
/// Most bytes of all pages together: a hundred thousand entries, each with a path of a hundred bytes.
const MAX_BYTES: usize = 32 << 20;
/// Pages without an entry that a listing may have.
const MAX_EMPTY_PAGES: usize = 10;
/// Longest time for a whole listing, as a multiple of the time that a connection may bring no byte.
const LISTING_STALLS: u32 = 30;

/// The files in a model's description.
#[derive(Deserialize)]
pub(super) struct Siblings {
    #[serde(default)]
    pub(super) siblings: Entries,
}

impl Hub {
    /// Lists every file and folder of a commit.
    pub(super) async fn tree(&self, repo: &str, commit: &str) -> Result<Vec<TreeEntry>, SourceError> {
        let what = format!("list the files of `{repo}` at {commit}");
        let asked = Asked { repo, revision: commit, what: &what, subject: Subject::Listing };
        match self.pages(&asked).await {
            Err(error) if has_no_tree(&error) => {
                tracing::info!(repo, "there is no tree: the files are read from the description of the model");
                self.siblings(&asked).await
            }
            listed => listed,
        }
    }

    /// Reads all pages of the `tree` endpoint. A listing without end is refused.
    async fn pages(&self, asked: &Asked<'_>) -> Result<Vec<TreeEntry>, SourceError> {
        let (repo, begun) = (asked.repo, Instant::now());
        let tail = format!("api/models/{repo}/tree/{}?recursive=true", segment(asked.revision));
        let mut next = Some(self.endpoint.url(&tail)?);
        let (mut entries, mut empty, mut bytes, mut seen) = (Vec::new(), 0, 0, BTreeSet::<Url>::new());
        while let Some(url) = next {
            if seen.len() == MAX_PAGES {
                return Err(refused(repo, format!("it has more than {MAX_PAGES} pages")));
            }
            if begun.elapsed() > self.stall * LISTING_STALLS {
                let seconds = (self.stall * LISTING_STALLS).as_secs();
                return Err(refused(repo, format!("it is not whole after {seconds} s and {} pages", seen.len())));
            }
            if !seen.insert(url.clone()) {
                return Err(refused(repo, "a page of it leads back to an earlier one"));
            }
            let page = self.get(url, asked).await?;
            bytes += page.body.len();
            if bytes > MAX_BYTES {
                return Err(refused(repo, format!("its pages have more than {} MiB", MAX_BYTES >> 20)));
            }
            let found = self.parse::<Entries>(&page, asked)?.0;
            empty += usize::from(found.is_empty());
            if found.len() + entries.len() > MAX_ENTRIES {
                return Err(refused(repo, format!("it has more than {MAX_ENTRIES} entries")));
            }
            let known: Option<&TreeEntry> = entries.first();
            if known.is_some_and(|known| found.first().is_some_and(|found| found.path == known.path)) {
                return Err(refused(repo, "a page of it comes again under another address"));
            }
            if empty > MAX_EMPTY_PAGES {
                return Err(refused(repo, format!("more than {MAX_EMPTY_PAGES} pages of it are empty")));
            }
            entries.extend(found);
            next = page.next;
        }
        Ok(entries)
    }

    /// Reads the model's description, which lists the files with their hashes as well.
    async fn siblings(&self, asked: &Asked<'_>) -> Result<Vec<TreeEntry>, SourceError> {
        let tail = format!("api/models/{}/revision/{}?blobs=true", asked.repo, segment(asked.revision));
        let page = self.get(self.endpoint.url(&tail)?, asked).await?;
        let listed: Siblings = self.parse(&page, asked)?;
        if listed.siblings.0.len() > MAX_ENTRIES {
            return Err(refused(asked.repo, format!("it has more than {MAX_ENTRIES} entries")));
        }
        Ok(listed.siblings.0)
    }
}

/// Returns whether an error means that a mirror has no `tree` endpoint. The Hub, which has the endpoint, sends an error
/// code with a 404 (such as `RevisionNotFound`); a mirror without the endpoint sends no code.
fn has_no_tree(error: &SourceError) -> bool {
    let SourceError::Http { source, .. } = error else { return false };
    source.code.is_none() && source.status.is_some_and(|status| matches!(status.as_u16(), 404 | 405 | 501))
}

#[cfg(feature = "workspace-tests")]
#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
