//! A repository of which names and sizes are known: the contents are headers that fit, and zeros.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use modelcar_core::source::{ByteStream, Extent, Origin, ReadBudget, Source, SourceError, SourceFile};
use serde::Deserialize;
use serde_json::json;

/// A file list as it was read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shape {
    pub(super) repository: String,
    pub(super) commit: Option<String>,
    /// The page that the list was read on.
    pub(super) source: String,
    pub(super) kind: String,
    /// Whether the page shows a part of the files.
    pub(super) partial: bool,
    pub(super) files: Vec<(String, u64)>,
}

/// The repository as a source.
#[derive(Debug)]
pub(super) struct Repository {
    origin: Origin,
    files: Vec<SourceFile>,
}

impl Repository {
    pub(super) fn new(shape: &Shape) -> Self {
        let file =
            |(path, size): &(String, u64)| SourceFile { path: path.parse().unwrap(), size: *size, content: None };
        Self { origin: Origin::default(), files: shape.files.iter().map(file).collect() }
    }

    /// Returns the first bytes of a file.
    fn begin(&self, file: &SourceFile) -> Vec<u8> {
        let path = file.path.as_str();
        let name = file.path.file_name();
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        match extension {
            "safetensors" => safetensors(path, file.size),
            // A header without tensors.
            "gguf" => [&b"GGUF\x03\0\0\0"[..], &[0; 16]].concat(),
            "json" if name.contains(".index") => self.index(path),
            "json" if name == "config.json" && !path.contains('/') => json!({"model_type": "any"}).to_string().into(),
            "json" => b"{}".to_vec(),
            _ => vec![0x80; 8],
        }
    }

    /// An index of the shards beside it that have its stem; where none has, of shards that are not there.
    fn index(&self, path: &str) -> Vec<u8> {
        let stem = path.split(".safetensors").next().unwrap_or_default();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let beside = |file: &&SourceFile| {
            let own = file.path.as_str();
            own.ends_with(".safetensors")
                && own.starts_with(stem)
                && own.rsplit_once('/').map_or("", |(of, _)| of) == folder
        };
        let names: BTreeSet<String> =
            self.files.iter().filter(beside).map(|file| file.path.file_name().to_owned()).collect();
        let mut map: serde_json::Map<_, _> =
            names.into_iter().map(|name| (format!("tensor of {name}"), json!(name))).collect();
        if map.is_empty() {
            map.insert("absent".to_owned(), json!("model-00001-of-00002.safetensors"));
        }
        json!({ "weight_map": map }).to_string().into()
    }
}

/// One tensor that fills the file.
fn safetensors(path: &str, size: u64) -> Vec<u8> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let header = |bytes: u64| {
        let tensor = json!({"dtype": "U8", "shape": [bytes], "data_offsets": [0, bytes]});
        let mut entries = serde_json::Map::new();
        entries.insert(format!("tensor of {name}"), tensor);
        serde_json::Value::Object(entries).to_string()
    };
    // The header's length depends on the number in it by a few digits, which spaces make up for.
    let room = header(size).len() as u64;
    let text = header(size.saturating_sub(8 + room));
    let padded = format!("{text:width$}", width = usize::try_from(room).unwrap());
    [&room.to_le_bytes()[..], padded.as_bytes()].concat()
}

#[async_trait]
impl Source for Repository {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn list(&self) -> Result<Vec<SourceFile>, SourceError> {
        Ok(self.files.clone())
    }

    async fn identify(&self, files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        Ok(files)
    }

    fn read(&self, extents: Vec<Extent>, _budget: &ReadBudget) -> ByteStream {
        let parts: Vec<_> = extents
            .iter()
            .map(|extent| {
                let mut bytes = self.begin(&extent.file);
                let end = usize::try_from(extent.offset + extent.len).unwrap();
                bytes.resize(end, b' ');
                Ok(Bytes::from(bytes.split_off(usize::try_from(extent.offset).unwrap())))
            })
            .collect();
        stream::iter(parts).boxed()
    }
}
