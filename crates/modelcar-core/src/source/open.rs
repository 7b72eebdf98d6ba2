//! Opens the source that a name leads to.

use std::sync::Arc;

#[cfg(feature = "hub")]
use super::{DirSource, HubOptions, HubSource, SourceError, Unwanted};
use super::{Source, SourceRef};
#[cfg(feature = "hub")]
use crate::progress::Progress;

#[cfg(feature = "hub")]
impl SourceRef {
    /// Opens the source and pins its content: a revision is resolved to its commit, a directory is walked.
    ///
    /// Without `hub` nothing is asked of the Hub. A model in the cache of the Hugging Face tools is opened by
    /// [`HubCache::open`](super::HubCache::open).
    ///
    /// # Errors
    /// When the source is not there or can't be read; [`SourceError::Offline`] for a model without `hub`,
    /// [`SourceError::NoCacheFolder`] for one in a cache, [`SourceError::Unknown`] for the source of somebody else.
    pub async fn open(
        &self,
        hub: Option<&HubOptions>,
        progress: &Arc<dyn Progress>,
    ) -> Result<OpenSource, SourceError> {
        self.open_without(&Unwanted::none(), hub, progress).await
    }

    /// As [`open`](Self::open); unwanted entries that can't stand in a model are passed over.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_without(
        &self,
        unwanted: &Unwanted,
        hub: Option<&HubOptions>,
        progress: &Arc<dyn Progress>,
    ) -> Result<OpenSource, SourceError> {
        match (self, hub) {
            (Self::Dir(path), _) => {
                let source = DirSource::open_without(path.clone(), unwanted.clone()).await?;
                let source = source.with_progress(Arc::clone(progress));
                Ok(OpenSource { name: self.clone(), source: Arc::new(source) })
            }
            (Self::Hub(model), Some(options)) => {
                let revision = model.revision().unwrap_or("main");
                let (progress, unwanted) = (Arc::clone(progress), unwanted.clone());
                let options = HubOptions { unwanted, progress, ..options.clone() };
                let source = HubSource::resolve(model, options).await?;
                let commit = source.origin().commit.clone().unwrap_or_else(|| revision.to_owned());
                Ok(OpenSource { name: Self::Hub(model.at(&commit)?), source: Arc::new(source) })
            }
            (Self::Hub(model), None) => Err(SourceError::Offline { model: model.to_string() }),
            (Self::HubCache(model), _) => Err(SourceError::NoCacheFolder { model: model.to_string() }),
            (Self::Other(name), _) => Err(SourceError::Unknown(name.clone())),
        }
    }
}

/// A source, with the name that leads to the same content again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenSource {
    /// The name; of a model on the Hub with its commit.
    pub name: SourceRef,
    /// The source.
    pub source: Arc<dyn Source>,
}

impl OpenSource {
    /// Joins a source and its name. A source of your own is called [`SourceRef::Other`].
    pub fn new(name: SourceRef, source: Arc<dyn Source>) -> Self {
        Self { name, source }
    }
}

#[cfg(feature = "hub")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::NoProgress;

    #[tokio::test]
    async fn what_can_not_be_opened_is_said() {
        let progress: Arc<dyn Progress> = Arc::new(NoProgress);
        let said = async |text: &str| text.parse::<SourceRef>().unwrap().open(None, &progress).await.unwrap_err();
        assert!(matches!(said("acme/model").await, SourceError::Offline { .. }));
        assert!(matches!(said("hf-cache://acme/model").await, SourceError::NoCacheFolder { .. }));
        assert!(matches!(said("s3://models/qwen").await, SourceError::Unknown(_)));
    }
}
