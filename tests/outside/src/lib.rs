//! A model in an object store, as a source of modelcar's library.

pub mod traps;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use modelcar_core::{
    ErrorKind, OtherError,
    source::{
        ByteStream, Extent, Origin, ReadBudget, Source, SourceError, SourceFile, hash_files,
        ranged::{self, Fault, RangeStore, RangeStream, Retry},
    },
};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

/// The objects of a store, each a file of the model.
#[derive(Debug)]
pub struct StoreSource {
    bucket: Arc<Bucket>,
    origin: Origin,
}

impl StoreSource {
    /// Reads the objects of `store`.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { bucket: Arc::new(Bucket(store)), origin: Origin::default() }
    }
}

#[async_trait]
impl Source for StoreSource {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn list(&self) -> Result<Vec<SourceFile>, SourceError> {
        let objects = self.bucket.0.list(None).map_err(|error| SourceError::from(failed("list the objects", error)));
        let file = |object: object_store::ObjectMeta| {
            let path = object.location.as_ref().parse();
            let path = path.map_err(|error| OtherError::new("list the objects", ErrorKind::InvalidInput, error))?;
            Ok(SourceFile { path, size: object.size, content: None })
        };
        objects.and_then(|object| async { file(object) }).try_collect().await
    }

    async fn identify(&self, files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        hash_files(self, files, &ReadBudget::sequential()).await
    }

    fn read(&self, extents: Vec<Extent>, budget: &ReadBudget) -> ByteStream {
        ranged::read(Arc::clone(&self.bucket), extents, budget, Retry::default())
    }
}

/// A store whose files can be read from any byte on.
#[derive(Debug)]
struct Bucket(Arc<dyn ObjectStore>);

#[async_trait]
impl RangeStore for Bucket {
    async fn open(&self, range: &Extent) -> Result<RangeStream, Fault> {
        let path = Path::from(range.file.path.to_string());
        let bytes = self.0.get_range(&path, range.offset..range.offset + range.len).await;
        match bytes {
            Ok(bytes) => Ok(stream::iter([Ok(bytes)]).boxed()),
            Err(error @ object_store::Error::Generic { .. }) => Err(Fault::passing(failed("read an object", error))),
            Err(error) => Err(Fault::fatal(failed(&format!("read `{path}`"), error))),
        }
    }

    fn name(&self) -> String {
        self.0.to_string()
    }
}

fn failed(act: &str, error: object_store::Error) -> OtherError {
    let kind = match error {
        object_store::Error::NotFound { .. } => ErrorKind::NotFound,
        object_store::Error::PermissionDenied { .. } => ErrorKind::Denied,
        object_store::Error::Unauthenticated { .. } => ErrorKind::Auth,
        _ => ErrorKind::Network,
    };
    OtherError::new(act, kind, error)
}
