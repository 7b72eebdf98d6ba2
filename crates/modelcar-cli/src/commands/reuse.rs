//! Where a push looks for layers that need not be sent, as the flags say.

use modelcar_core::{
    push::{Connections, ReusePolicy},
    reuse::Cache,
    source::Contents,
};

use modelcar_env::Environment;

use crate::{args::ReuseArgs, hint::Failure, resolve};

/// Returns where a push looks for layers; `None` when every layer is to be sent.
///
/// Without `--cache-dir` the cache is in the user's cache folder, if the environment names one.
pub(crate) fn policy(args: &ReuseArgs) -> Result<Option<ReusePolicy>, Failure> {
    if args.no_reuse {
        return Ok(None);
    }
    let cache = args.cache_dir.as_deref().map(Cache::new).or_else(Environment::cache);
    let mut policy = ReusePolicy::default();
    policy.images = args
        .reuse_from
        .iter()
        .map(|name| Ok(resolve::without_scheme(name).parse()?))
        .collect::<Result<_, Failure>>()?;
    policy.copy = args.copy;
    policy.checkpoints = !args.no_checkpoint;
    policy.cache = cache.filter(|_| !args.no_cache);
    policy.verify = args.verify_reuse;
    Ok(Some(policy))
}

/// Returns the connections with the cache of what a store's objects hold where the flags have the local cache.
pub(crate) fn with_contents(args: &ReuseArgs, connections: Connections) -> Connections {
    let Some(mut stores) = connections.stores.clone() else { return connections };
    let named = args.cache_dir.as_deref().map(Contents::new);
    stores.contents = named.or(stores.contents).filter(|_| !args.no_cache);
    connections.with_stores(Some(stores))
}
