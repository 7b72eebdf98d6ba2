//! What the flags say of layers that are somewhere already.

use modelcar_core::{push::ReusePolicy, reuse::Cache};

use crate::{args::ReuseArgs, env, hint::Failure};

/// Returns where a push looks for layers; `None` when nothing is to be reused.
pub(crate) fn policy(args: &ReuseArgs) -> Result<Option<ReusePolicy>, Failure> {
    if args.no_reuse {
        return Ok(None);
    }
    let folder = args.cache_dir.clone().or_else(env::cache_folder).filter(|_| !args.no_cache);
    let mut policy = ReusePolicy::default();
    policy.images = args.reuse_from.iter().map(|name| Ok(name.parse()?)).collect::<Result<_, Failure>>()?;
    policy.copy = args.copy;
    policy.checkpoints = !args.no_checkpoint;
    policy.cache = folder.map(|folder| Cache::new(&folder));
    policy.verify = args.verify_reuse;
    Ok(Some(policy))
}
