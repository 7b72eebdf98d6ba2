//! Opens the source that a [`SourceRef`] names.

use std::sync::Arc;

#[cfg(feature = "hub")]
use super::{DirSource, HubOptions, HubSource, SourceError, Unwanted};
use super::{Source, SourceRef};
#[cfg(all(feature = "hub", feature = "object-store"))]
use super::{StoreOptions, StoreSource};
#[cfg(feature = "hub")]
use crate::progress::Progress;

/// How what is on no disk of this machine is reached.
#[cfg(feature = "hub")]
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Reach<'a> {
    /// How the Hub is reached; `None`: nothing is asked of it.
    pub hub: Option<&'a HubOptions>,
    /// How stores are reached; `None`: nothing is asked of one.
    #[cfg(feature = "object-store")]
    pub stores: Option<&'a StoreOptions>,
}

#[cfg(feature = "hub")]
impl<'a> Reach<'a> {
    /// Reaches the Hub, where there are options for it, and no store.
    pub fn hub(hub: Option<&'a HubOptions>) -> Self {
        Self { hub, ..Self::default() }
    }

    /// Reaches stores too.
    #[cfg(feature = "object-store")]
    #[must_use]
    pub fn with_stores(self, stores: &'a StoreOptions) -> Self {
        Self { stores: Some(stores), ..self }
    }
}

#[cfg(feature = "hub")]
impl SourceRef {
    /// Opens the source and pins its content: a revision is resolved to its commit, a directory is walked, a store is
    /// listed.
    ///
    /// A model in the cache of the Hugging Face tools is opened by [`HubCache::open`](super::HubCache::open).
    ///
    /// # Errors
    /// When the source is not there or can't be read; [`SourceError::Offline`] and [`SourceError::NoStores`] for what
    /// `reach` leaves out, [`SourceError::NoCacheFolder`] for a model in a cache, [`SourceError::Unknown`] for the source
    /// of somebody else.
    pub async fn open(&self, reach: Reach<'_>, progress: &Arc<dyn Progress>) -> Result<OpenSource, SourceError> {
        self.open_without(&Unwanted::none(), reach, progress).await
    }

    /// As [`open`](Self::open), but skips an entry that can't be a file of a model when the entry is `unwanted`.
    /// Without `unwanted`, such an entry is an error.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_without(
        &self,
        unwanted: &Unwanted,
        reach: Reach<'_>,
        progress: &Arc<dyn Progress>,
    ) -> Result<OpenSource, SourceError> {
        match (self, reach.hub) {
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
            (Self::Store(url), _) => {
                #[cfg(feature = "object-store")]
                if let Some(options) = reach.stores {
                    let (progress, unwanted) = (Arc::clone(progress), unwanted.clone());
                    let options = StoreOptions { unwanted, progress, ..options.clone() };
                    let source = StoreSource::open(url, &options).await?;
                    return Ok(OpenSource { name: self.clone(), source: Arc::new(source) });
                }
                Err(SourceError::NoStores { url: url.to_string() })
            }
            (Self::Other(name), _) => Err(SourceError::Unknown(name.clone())),
        }
    }
}

/// An open source, with the name by which the same content can be opened again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenSource {
    /// The name. The name of a model on the Hub has the commit as its revision.
    pub name: SourceRef,
    /// The source.
    pub source: Arc<dyn Source>,
}

impl OpenSource {
    /// Joins a source and its name. The name of a source of your own is a [`SourceRef::Other`].
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
        let said =
            async |text: &str| text.parse::<SourceRef>().unwrap().open(Reach::default(), &progress).await.unwrap_err();
        assert!(matches!(said("acme/model").await, SourceError::Offline { .. }));
        assert!(matches!(said("hf-cache://acme/model").await, SourceError::NoCacheFolder { .. }));
        assert!(matches!(said("s3://models/qwen").await, SourceError::NoStores { .. }));
        assert!(matches!(said("az://models/qwen").await, SourceError::Unknown(_)));
    }
}
