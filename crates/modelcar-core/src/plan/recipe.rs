//! The recipe of a layer: everything that determines the layer's bytes, as canonical JSON.
//!
//! Layers with the same recipe digest have the same bytes. So a layer that was built or pushed before is known without
//! reading the files.

use serde::{Serialize, Serializer};

use super::Layer;
use crate::{
    ContentId, Digest,
    layer_format::{self, LAYER_FORMAT},
};

/// Returns the digest of the layer's recipe, or `None` while the content of a file is not known.
pub(super) fn digest(layer: &Layer, mtime: u64) -> Option<Digest> {
    let contents: Option<Vec<ContentId>> = layer.files.iter().map(|file| file.content).collect();
    contents.map(|contents| digest_of(layer, mtime, &contents))
}

/// Returns the digest of the recipe, with `contents` in place of the content ids of the layer's files, in the same
/// order.
pub(crate) fn digest_of(layer: &Layer, mtime: u64, contents: &[ContentId]) -> Digest {
    Digest::of(text(layer, mtime, contents))
}

/// Returns the digest of what is known of a layer without its contents: format, time, paths and sizes. Layers with the same
/// shape need not have the same bytes.
#[cfg(feature = "push")]
pub(crate) fn shape_of(layer: &Layer, mtime: u64) -> Digest {
    Digest::of(text(layer, mtime, &[]))
}

/// Returns the recipe as canonical JSON. The JSON is written directly, without a tree of values: a layer may have a
/// hundred thousand tar entries.
fn text(layer: &Layer, mtime: u64, contents: &[ContentId]) -> Vec<u8> {
    let entries = Entries { layer, contents };
    #[expect(clippy::expect_used, reason = "the types hold no map with odd keys and nothing that refuses")]
    serde_json::to_vec(&Recipe { compression: "none", entries, format: LAYER_FORMAT, mtime }).expect("it is plain data")
}

/// The fields of this struct and of [`Member`] are sorted by name, because canonical JSON has sorted keys.
#[derive(Serialize)]
struct Recipe<'a> {
    compression: &'static str,
    entries: Entries<'a>,
    format: u32,
    mtime: u64,
}

/// The tar entries of a layer, written one after the other.
struct Entries<'a> {
    layer: &'a Layer,
    contents: &'a [ContentId],
}

#[derive(Serialize)]
#[serde(untagged)]
enum Member<'a> {
    File { content: Option<&'a ContentId>, mode: &'static str, path: String, size: u64 },
    Folder { mode: &'static str, path: String },
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut contents = self.contents.iter();
        let members = layer_format::entries(&self.layer.files).map(|entry| match entry.file {
            None => Member::Folder { mode: "0755", path: entry.name },
            Some(file) => Member::File { content: contents.next(), mode: "0644", path: entry.name, size: file.size },
        });
        serializer.collect_seq(members)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{oci::canonical_json, source::SourceFile};

    #[test]
    fn the_text_is_canonical() {
        let contents = [ContentId::GitSha1([7; 20]), ContentId::Sha256([8; 32])];
        let file = |path: &str| SourceFile { path: path.parse().unwrap(), size: 9, content: None };
        let layer = Layer::new(vec![file("a \"b\"/\u{e9}\u{2028}.txt"), file("z")], 5);
        assert_ne!(shape_of(&layer, 5), digest_of(&layer, 5, &contents), "a shape is no recipe");
        assert_ne!(shape_of(&layer, 5), shape_of(&layer, 6));
        let text = text(&layer, 5, &contents);
        let value: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(String::from_utf8(canonical_json(&value)).unwrap(), String::from_utf8(text).unwrap());
        assert_eq!(value["entries"][2]["content"], contents[0].to_string());
        assert_eq!(value["entries"][3]["size"], 9);
        assert_eq!(value["entries"].as_array().unwrap().len(), 4);
    }
}
