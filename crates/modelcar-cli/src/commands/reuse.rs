//! What the flags say of layers that are somewhere already.

use std::sync::Arc;

use modelcar_core::{
    ImageRef, Tag,
    progress::Progress,
    registry::Repository,
    reuse::{Cache, Knowledge, ReuseOptions},
};

use crate::{args::ReuseArgs, connection::Connection, env, hint::Failure};

/// Reads the images that the flags name; `None` when nothing is to be reused.
pub(crate) async fn gather(
    args: &ReuseArgs,
    connection: &Connection,
    target: &Repository,
    tags: &[Tag],
    progress: &Arc<dyn Progress>,
) -> Result<Option<Knowledge>, Failure> {
    if args.no_reuse {
        return Ok(None);
    }
    let named = args.reuse_from.iter().map(|name| {
        let image: ImageRef = name.parse()?;
        let repository = connection.repository(&image, progress)?;
        Ok((image, repository))
    });
    let folder = args.cache_dir.clone().or_else(env::cache_folder).filter(|_| !args.no_cache);
    let options = ReuseOptions {
        target: target.clone(),
        tags: tags.to_vec(),
        images: named.collect::<Result<_, Failure>>()?,
        copy: args.copy,
        checkpoints: !args.no_checkpoint,
        cache: folder.map(|folder| Cache::new(&folder)),
        verify: args.verify_reuse,
        progress: Arc::clone(progress),
    };
    Ok(Some(Knowledge::gather(options).await?))
}
