//! The Hugging Face Hub as a source.
//!
//! A revision is resolved to a commit once. The listing and all bytes come from this commit. Bytes are fetched with
//! ranged requests, several at a time, and returned in order.

mod address;
mod api;
mod fetch;
#[cfg(fuzzing)]
pub mod fuzz;
mod headers;
mod lenient;
mod listing;
mod options;
mod rate_limit;
mod refusal;
mod tree;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::options::HubOptions;
use self::{api::Hub, fetch::Fetcher};
use crate::{
    progress::Phase,
    source::{ByteStream, Extent, ModelId, Origin, ReadBudget, Source, SourceError, SourceFile, Unwanted, ranged},
};

/// A model on the Hub, pinned to a commit.
#[derive(Debug, Clone)]
pub struct HubSource {
    hub: Arc<Hub>,
    repository: Arc<str>,
    commit: Arc<str>,
    origin: Origin,
    unwanted: Unwanted,
}

impl HubSource {
    /// Resolves the revision of `model` to its commit. The revision is `main` if `model` has none.
    ///
    /// A model may have been renamed, or be spelled differently on the Hub. The origin has the name in the Hub's
    /// answer.
    ///
    /// # Errors
    /// [`SourceError::RepositoryNotFound`], [`SourceError::RevisionNotFound`], [`SourceError::Gated`],
    /// [`SourceError::BadEndpoint`], [`SourceError::BadToken`]; [`SourceError::HostileListing`] when the answer is
    /// about another model or commit; [`SourceError::Http`] and the other errors of a request.
    pub async fn resolve(model: &ModelId, options: HubOptions) -> Result<Self, SourceError> {
        let revision = model.revision().unwrap_or("main");
        Phase::Resolve.begin(&*options.progress);
        let hub = Hub::new(&options)?;
        hub.warn_of_plain_http(&*options.progress);
        let info = hub.model_info(model.repository(), revision).await?;
        tracing::info!(repository = info.repository, commit = info.commit, "the revision is resolved");
        let origin = Origin {
            title: Some(info.repository.clone()),
            url: Some(hub.page(&info.repository)),
            version: Some(revision.to_owned()),
            commit: Some(info.commit.clone()),
            license: info.license,
        };
        Ok(Self {
            hub: Arc::new(hub),
            repository: info.repository.into(),
            commit: info.commit.into(),
            origin,
            unwanted: options.unwanted,
        })
    }
}

#[async_trait]
impl Source for HubSource {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn list(&self) -> Result<Vec<SourceFile>, SourceError> {
        Phase::List.begin(self.hub.retry.progress());
        let entries = self.hub.tree(&self.repository, &self.commit).await?;
        listing::check(&self.repository, &self.hub.answerer(), entries, &self.unwanted)
    }

    /// Returns `files` as they are: the Hub lists every file with a content id.
    async fn identify(&self, files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        Ok(files)
    }

    fn read(&self, extents: Vec<Extent>, budget: &ReadBudget) -> ByteStream {
        let hub = Arc::clone(&self.hub);
        let fetcher = Fetcher::new(hub, Arc::clone(&self.repository), Arc::clone(&self.commit), budget.part_bytes());
        ranged::read(Arc::new(fetcher), extents, budget, self.hub.retry.clone())
    }
}
