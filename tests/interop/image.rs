//! An image in an OCI image layout, read with nothing but a JSON parser.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// The first platform's image of a layout.
#[derive(Debug)]
pub(crate) struct Image {
    layout: PathBuf,
    manifest: Value,
}

impl Image {
    /// Reads the one image that `index.json` names, through an index if there is one.
    pub(crate) fn open(layout: &Path) -> Self {
        let mut document = json(&layout.join("index.json"));
        while let Some(manifests) = document.get("manifests") {
            document = json(&blob(layout, &manifests[0]));
        }
        Self { layout: layout.to_owned(), manifest: document }
    }

    /// Returns the image config.
    pub(crate) fn config(&self) -> Value {
        json(&blob(&self.layout, &self.manifest["config"]))
    }

    /// Returns the files of all layers, bottom first.
    pub(crate) fn layers(&self) -> Vec<PathBuf> {
        let layers = self.manifest["layers"].as_array().expect("a manifest has layers");
        layers.iter().map(|layer| blob(&self.layout, layer)).collect()
    }
}

/// Returns the layers whose first member is `models/`.
pub(crate) fn weight_layers(image: &Image) -> Vec<PathBuf> {
    let mut layers = image.layers();
    layers.retain(|layer| {
        let mut name = [0; 8];
        fs::File::open(layer).unwrap().read_exact(&mut name).unwrap();
        name == *b"models/\0"
    });
    layers
}

fn blob(layout: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().expect("a descriptor has a digest");
    layout.join("blobs/sha256").join(digest.strip_prefix("sha256:").expect("a sha256 digest"))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}
