//! A model in an object store, as a source of modelcar's library.

pub mod traps;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use modelcar_core::{
    ErrorKind, OtherError,
    source::{ByteStream, Extent, Origin, Source, SourceError, SourceFile, Window},
};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

/// The objects of a store, each a file of the model.
#[derive(Debug)]
pub struct StoreSource {
    store: Arc<dyn ObjectStore>,
    origin: Origin,
}

impl StoreSource {
    /// Reads the objects of `store`.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, origin: Origin::default() }
    }
}

#[async_trait]
impl Source for StoreSource {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn list(&self) -> Result<Vec<SourceFile>, SourceError> {
        let objects = self.store.list(None).map_err(|error| failed("list the objects", error));
        let file = |object: object_store::ObjectMeta| {
            let path = object.location.as_ref().parse();
            let path = path.map_err(|error| OtherError::new("list the objects", ErrorKind::InvalidInput, error))?;
            Ok(SourceFile { path, size: object.size, content: None })
        };
        objects.and_then(|object| async { file(object) }).try_collect().await
    }

    fn read(&self, extents: Vec<Extent>, _window: &Window) -> ByteStream {
        let store = Arc::clone(&self.store);
        let read = move |extent: Extent| {
            let store = Arc::clone(&store);
            async move {
                let (path, range) =
                    (Path::from(extent.file.path.to_string()), extent.offset..extent.offset + extent.len);
                let read = store.get_range(&path, range).await;
                read.map_err(|error| failed(&format!("read `{path}`"), error))
            }
        };
        stream::iter(extents).then(read).boxed()
    }
}

fn failed(act: &str, error: object_store::Error) -> SourceError {
    let kind = match error {
        object_store::Error::NotFound { .. } => ErrorKind::NotFound,
        object_store::Error::PermissionDenied { .. } => ErrorKind::Denied,
        object_store::Error::Unauthenticated { .. } => ErrorKind::Auth,
        _ => ErrorKind::Network,
    };
    OtherError::new(act, kind, error).into()
}
