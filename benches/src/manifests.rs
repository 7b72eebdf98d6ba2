//! Owns the manifests of an image in a registry: reading, writing, and what the layers add up to.

use std::io::{self, Write as _};

use serde::Serialize;
use serde_json::Value;

use crate::{
    http::{Connection, expect},
    model::MODEL,
};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Manifests of every kind.
const ACCEPT: &str = "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json\r\n";

/// The layers of one platform's image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Layers {
    /// Number of layers.
    pub count: usize,
    /// Bytes of all layers in the registry.
    pub bytes: u64,
}

/// Reads the layers of the image, or of the first platform of the index, under `tag`.
pub(crate) fn layers(registry: &str, tag: &str) -> io::Result<Layers> {
    let mut connection = Connection::open(registry)?;
    let mut manifest = parse(&fetch(&mut connection, tag)?)?;
    if let Some(digest) = manifest["manifests"][0]["digest"].as_str() {
        manifest = parse(&fetch(&mut connection, digest)?)?;
    }
    let layers = manifest["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let bytes = layers.iter().filter_map(|layer| layer["size"].as_u64()).sum();
    Ok(Layers { count: layers.len(), bytes })
}

/// Gives the image or index under `tag` the name `other` too.
pub(crate) fn tag_again(registry: &str, tag: &str, other: &str) -> io::Result<()> {
    let mut connection = Connection::open(registry)?;
    let body = fetch(&mut connection, tag)?;
    let media_type = parse(&body)?["mediaType"].as_str().unwrap_or(MANIFEST).to_owned();
    put(&mut connection, other, &media_type, &body)
}

/// Stores a manifest under `tag`.
pub(crate) fn put(connection: &mut Connection, tag: &str, media_type: &str, body: &[u8]) -> io::Result<()> {
    let headers = format!("Content-Type: {media_type}\r\nContent-Length: {}\r\n", body.len());
    connection.send("PUT", &target(tag), &headers)?;
    connection.stream.get_mut().write_all(body)?;
    let answer = connection.answer()?;
    connection.drain(answer.length)?;
    expect(answer, 201, "PUT of a manifest").map(drop)
}

fn fetch(connection: &mut Connection, reference: &str) -> io::Result<Vec<u8>> {
    let target = target(reference);
    let (answer, body) = connection.exchange("GET", &target, ACCEPT)?;
    expect(answer, 200, &format!("nothing was pushed: GET {target}"))?;
    Ok(body)
}

fn target(reference: &str) -> String {
    format!("/v2/{MODEL}/manifests/{reference}")
}

fn parse(body: &[u8]) -> io::Result<Value> {
    serde_json::from_slice(body).map_err(io::Error::other)
}
