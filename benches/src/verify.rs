//! Owns the question whether a push really ended with an image.

use std::io;

use crate::manifests::layers;

/// Checks that `registry` has an image under `tag` whose layers can hold `model_bytes` random bytes.
pub(crate) fn verify(registry: &str, tag: &str, model_bytes: u64) -> io::Result<()> {
    let bytes = layers(registry, tag)?.bytes;
    // Random bytes do not get smaller; the last tenth is for headers and rounding.
    match bytes >= model_bytes / 10 * 9 {
        true => Ok(()),
        false => Err(io::Error::other(format!("the pushed image holds {bytes} bytes of {model_bytes}"))),
    }
}
