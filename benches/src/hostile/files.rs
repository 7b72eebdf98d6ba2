//! Makes files that are hostile in one way: documents, models, login files.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::Path,
};

use serde_json::json;

/// Writes `start`, as many `piece`s as fill `bytes`, and `end`.
pub(super) fn filled(file: &Path, start: &str, piece: &str, bytes: usize, end: &str) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    out.write_all(start.as_bytes())?;
    let pieces = piece.repeat((1 << 16) / piece.len());
    for _ in 0..bytes / pieces.len() {
        out.write_all(pieces.as_bytes())?;
    }
    out.write_all(end.as_bytes())?;
    out.flush()
}

/// Text of that kind in memory, for servers.
pub(super) fn text(start: &str, piece: &str, bytes: usize, end: &str) -> String {
    format!("{start}{}{end}", piece.repeat(bytes / piece.len()))
}

/// Writes a model that is no trouble: what a case adds to it is.
pub(super) fn model(dir: &Path) -> io::Result<()> {
    fs::write(dir.join("config.json"), r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama"}"#)?;
    safetensors(&dir.join("model.safetensors"), 0)
}

/// Writes weights without a tensor, with a header of so many bytes.
pub(super) fn safetensors(file: &Path, bytes: usize) -> io::Result<()> {
    let header = match bytes {
        0 => "{}".to_owned(),
        _ => text("{\"__metadata__\":{\"a\":\"", "x", bytes, "\"}}"),
    };
    let mut out = File::create(file)?;
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())
}

/// Writes a GGUF file that says it has so many tensors and properties, and an array of as many texts.
pub(super) fn gguf(file: &Path, count: u64) -> io::Result<()> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    for number in [count, count] {
        bytes.extend(number.to_le_bytes());
    }
    let key = b"tokenizer.ggml.tokens";
    bytes.extend((key.len() as u64).to_le_bytes());
    bytes.extend(key);
    // An array (9) of texts (8).
    bytes.extend([9, 0, 0, 0, 8, 0, 0, 0]);
    bytes.extend(count.to_le_bytes());
    bytes.resize(1 << 20, 0);
    fs::write(file, bytes)
}

/// Writes what `kubectl get deploy,rs -o json` prints for so many deployments.
pub(super) fn deployments(file: &Path, count: usize) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    out.write_all(br#"{"apiVersion":"v1","kind":"List","items":["#)?;
    for number in 0..count {
        let name = format!("model-{number}-predictor");
        let labels =
            json!({"app": format!("isvc.{name}"), "serving.kserve.io/inferenceservice": format!("model-{number}")});
        let container = json!({"name": "kserve-container", "image": "server:1"});
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
        let metadata = json!({"name": name, "namespace": "models", "labels": labels});
        let spec = json!({"replicas": 1, "selector": {"matchLabels": labels}, "template": template});
        let item = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec});
        write!(out, "{}{item}", if number == 0 { "" } else { "," })?;
    }
    out.write_all(b"]}")?;
    out.flush()
}
