//! The Hugging Face Hub as a source.
//!
//! A revision is resolved to a commit once; the listing and every byte come from that commit. Bytes are fetched with
//! ranged requests, several at a time, and handed on in order.

mod api;
mod fetch;
mod headers;
mod listing;
mod rate_limit;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use self::{api::Hub, fetch::Fetcher};
use crate::{
    http::{Network, Secret},
    progress::{NoProgress, Phase, Progress},
    source::{ByteStream, Extent, ModelId, Origin, ReadBudget, Source, SourceError, SourceFile, ranged},
};

/// How the Hub is spoken to.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// URL of the Hub or of a mirror.
    pub endpoint: String,
    /// Access token. It is sent to the endpoint only, never to the stores it redirects to.
    pub token: Option<Secret>,
    /// How often a request, or the rest of a part, is tried at most.
    pub attempts: u32,
    /// Wait after the first failure; doubled after each further one.
    pub retry_base: Duration,
    /// How long a connection may bring no byte before it is given up.
    pub stall_timeout: Duration,
    /// Who is trusted, and through which proxy.
    pub network: Network,
    /// Who is told of steps and of tries that follow a failure.
    pub progress: Arc<dyn Progress>,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            endpoint: "https://huggingface.co".to_owned(),
            token: None,
            attempts: 5,
            retry_base: Duration::from_millis(500),
            stall_timeout: Duration::from_mins(1),
            network: Network::default(),
            progress: Arc::new(NoProgress),
        }
    }
}

/// A model on the Hub, pinned to a commit.
#[derive(Debug, Clone)]
pub struct HubSource {
    hub: Arc<Hub>,
    repository: Arc<str>,
    commit: Arc<str>,
    origin: Origin,
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
        let info = hub.model_info(model.repository(), revision).await?;
        tracing::info!(repository = info.repository, commit = info.commit, "the revision is resolved");
        let origin = Origin {
            title: Some(info.repository.clone()),
            url: Some(hub.page(&info.repository)),
            version: Some(revision.to_owned()),
            commit: Some(info.commit.clone()),
            license: info.license,
        };
        Ok(Self { hub: Arc::new(hub), repository: info.repository.into(), commit: info.commit.into(), origin })
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
        listing::check(&self.repository, entries)
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
