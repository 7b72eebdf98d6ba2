//! The recipe of a layer: everything its bytes follow from, in a form whose digest can be compared.

use serde_json::{Value, json};

use super::Layer;
use crate::{
    ContentId, Digest,
    layer_format::{self, LAYER_FORMAT},
    oci::canonical_json,
};

/// Returns the digest of the layer's recipe, or `None` while the content of a file is not known.
pub(super) fn digest(layer: &Layer, mtime: u64) -> Option<Digest> {
    let contents: Option<Vec<ContentId>> = layer.files.iter().map(|file| file.content).collect();
    contents.map(|contents| digest_of(layer, mtime, &contents))
}

/// Returns the digest of the recipe with these contents of the layer's files.
pub(crate) fn digest_of(layer: &Layer, mtime: u64, contents: &[ContentId]) -> Digest {
    Digest::of(canonical_json(&recipe(layer, mtime, contents)))
}

fn recipe(layer: &Layer, mtime: u64, contents: &[ContentId]) -> Value {
    let mut contents = contents.iter();
    let entries: Vec<Value> = layer_format::entries(&layer.files)
        .map(|entry| match entry.file {
            None => json!({ "path": entry.name, "mode": "0755" }),
            Some(file) => json!({
                "path": entry.name,
                "mode": "0644",
                "size": file.size,
                "content": contents.next().map(ToString::to_string),
            }),
        })
        .collect();
    json!({ "format": LAYER_FORMAT, "compression": "none", "mtime": mtime, "entries": entries })
}
