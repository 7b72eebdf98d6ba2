//! The Hugging Face Hub as a source.
//!
//! A revision is resolved to a commit once; the listing and every byte come from that commit. Bytes are fetched with
//! ranged requests, several at a time, and handed on in order.

mod address;
mod api;
mod fetch;
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
    /// Resolves the revision of `model`, `main` if the name has none, to its commit.
    ///
    /// If the Hub redirects a renamed or differently spelled model, the origin carries the name that the Hub answers with.
    ///
    /// # Errors
    /// When the model or the revision does not exist, or the Hub refuses or fails.
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

    /// The Hub states the content of every file.
    async fn identify(&self, files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        Ok(files)
    }

    fn read(&self, extents: Vec<Extent>, budget: &ReadBudget) -> ByteStream {
        let hub = Arc::clone(&self.hub);
        let fetcher = Fetcher::new(hub, Arc::clone(&self.repository), Arc::clone(&self.commit), budget.part_bytes());
        ranged::read(Arc::new(fetcher), extents, budget, self.hub.retry.clone())
    }
}
