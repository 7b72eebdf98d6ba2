//! Owns the question whether a push really ended with an image.

use std::io;

use serde_json::Value;

use crate::{
    http::{Connection, expect},
    model::MODEL,
};

/// Manifests of every kind.
const ACCEPT: &str = "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json\r\n";

/// Checks that `registry` has an image under `tag` whose layers can hold `model_bytes` random bytes.
pub(crate) fn verify(registry: &str, tag: &str, model_bytes: u64) -> io::Result<()> {
    let mut connection = Connection::open(registry)?;
    let mut fetch = |reference: &str| -> io::Result<Value> {
        let target = format!("/v2/{MODEL}/manifests/{reference}");
        let (answer, body) = connection.exchange("GET", &target, ACCEPT)?;
        expect(answer, 200, &format!("nothing was pushed: GET {target}"))?;
        serde_json::from_slice(&body).map_err(io::Error::other)
    };
    let mut manifest = fetch(tag)?;
    if let Some(digest) = manifest["manifests"][0]["digest"].as_str().map(str::to_owned) {
        manifest = fetch(&digest)?;
    }
    let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
    let bytes: u64 = layers.iter().filter_map(|layer| layer["size"].as_u64()).sum();
    // Random bytes do not get smaller; the last tenth is for headers and rounding.
    match bytes >= model_bytes / 10 * 9 {
        true => Ok(()),
        false => Err(io::Error::other(format!("the pushed image holds {bytes} bytes of {model_bytes}"))),
    }
}
