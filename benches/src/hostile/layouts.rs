//! Makes image layouts of strangers, each hostile in one way.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const BLOCK: usize = 512;
const MIB: usize = 1 << 20;

/// Bytes of a hostile layer, and how often each comes.
pub(super) type Pieces = Vec<(Vec<u8>, usize)>;

/// One long name, or one PAX header, of 3 GiB.
pub(super) fn long_field(kind: u8) -> Pieces {
    vec![(header(b"././@LongLink", 3 << 30, kind), 1), (vec![b'A'; MIB], 3 << 10), (header(b"f", 0, b'0'), 1), end()]
}

/// Very many long names.
pub(super) fn long_names(count: usize) -> Pieces {
    let name = |number: usize| {
        let mut name = format!("{number}/").into_bytes();
        name.resize(name.len() + MIB, b'n');
        let mut entry = header(b"././@LongLink", name.len() as u64, b'L');
        name.resize(name.len().next_multiple_of(BLOCK), 0);
        entry.extend(name);
        entry.extend(header(b"x", 0, b'0'));
        (entry, 1)
    };
    (0..count).map(name).chain([end()]).collect()
}

/// Layers of files that hide each other: one of files, one with a white-out for each of them.
pub(super) fn white_outs(count: usize) -> [Pieces; 2] {
    ["models/f", "models/.wh.f"].map(|name| {
        let headers = (0..count).flat_map(|number| header(format!("{name}{number}").as_bytes(), 0, b'0'));
        vec![(headers.collect(), 1), end()]
    })
}

fn end() -> (Vec<u8>, usize) {
    (vec![0; 2 * BLOCK], 1)
}

/// A GNU tar header.
fn header(name: &[u8], size: u64, kind: u8) -> Vec<u8> {
    let mut header = vec![0; BLOCK];
    header[..name.len()].copy_from_slice(name);
    header[100..108].copy_from_slice(b"0000644\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    header[136..148].copy_from_slice(b"00000000000\0");
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar  \0");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// Writes a layout of one image with these layers.
pub(super) fn write(dir: &Path, layers: &[Pieces]) -> io::Result<()> {
    let blobs = layers.iter().map(|pieces| put(dir, &gzip(pieces)?)).collect::<io::Result<Vec<_>>>()?;
    let named = |mut blob: Value, media_type: &str| {
        blob["mediaType"] = media_type.into();
        blob
    };
    let ids: Vec<_> = blobs.iter().map(|blob| blob["digest"].clone()).collect();
    let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": ids}});
    let config = named(put(dir, config.to_string().as_bytes())?, CONFIG);
    let layers: Vec<_> = blobs.into_iter().map(|blob| named(blob, LAYER)).collect();
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
    let manifest = named(put(dir, manifest.to_string().as_bytes())?, MANIFEST);
    finish(dir, &manifest)
}

/// Writes a layout whose index names one large manifest very often.
pub(super) fn write_many_times(dir: &Path, layers: usize, times: usize) -> io::Result<()> {
    let mut manifest = put(dir, many_layers(layers).as_bytes())?;
    manifest["mediaType"] = MANIFEST.into();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": vec![manifest; times]});
    let mut index = put(dir, index.to_string().as_bytes())?;
    index["mediaType"] = INDEX.into();
    finish(dir, &index)
}

/// A manifest of very many layers of one byte.
pub(super) fn many_layers(count: usize) -> String {
    let digest = format!("sha256:{}", "0".repeat(64));
    let part = |size: u64| json!({"mediaType": "x", "digest": digest, "size": size});
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": part(2), "layers": vec![part(1); count]}).to_string()
}

fn finish(dir: &Path, top: &Value) -> io::Result<()> {
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    fs::write(dir.join("index.json"), json!({"schemaVersion": 2, "manifests": [top]}).to_string())
}

fn put(dir: &Path, bytes: &[u8]) -> io::Result<Value> {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    fs::write(blobs.join(&hex), bytes)?;
    Ok(json!({"digest": format!("sha256:{hex}"), "size": bytes.len()}))
}

fn gzip(pieces: &Pieces) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for (piece, times) in pieces {
        for _ in 0..*times {
            encoder.write_all(piece)?;
        }
    }
    encoder.finish()
}
