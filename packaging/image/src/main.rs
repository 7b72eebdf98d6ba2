//! Writes the OCI archive of the image that holds modelcar itself: one platform and one layer for each static binary.
//!
//! The blobs go through the library's own [`ArchiveSink`]. The same binaries give the same digest.

use std::{env, fs, io, path::Path, process::ExitCode};

use modelcar_core::{
    Digest,
    layout::ArchiveSink,
    sink::{BytesBlob, ManifestBlob, Sink},
};
use serde_json::{Value, json};
use tar::{EntryType, Header};

const USAGE: &str = "usage: modelcar-image ARCHIVE REFERENCE REPOSITORY_URL ARCHITECTURE=BINARY...";
/// Where the binary is in the image.
const ENTRYPOINT: &str = "/modelcar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Size of a block of a tar file, in bytes.
const BLOCK: usize = 512;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [archive, reference, url, binaries @ ..] = arguments.as_slice() else {
        return fail(USAGE);
    };
    match write(Path::new(archive), reference, url, binaries).await {
        Ok(digest) => {
            say(&digest.to_string());
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error.to_string()),
    }
}

#[expect(clippy::print_stdout, reason = "the digest is the answer of this program")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "a program says why it failed")]
fn fail(line: &str) -> ExitCode {
    eprintln!("{line}");
    ExitCode::FAILURE
}

/// Writes the image with each of `binaries`, `ARCHITECTURE=PATH`, and returns the digest of the index.
async fn write(archive: &Path, reference: &str, url: &str, binaries: &[String]) -> Result<Digest, Failure> {
    if binaries.is_empty() {
        return Err(USAGE.into());
    }
    let version = reference.rsplit_once(':').ok_or("REFERENCE has no tag, expected the version as its tag")?.1;
    let annotations = json!({
        "org.opencontainers.image.description": "Streams Hugging Face models into OCI images for KServe",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.source": url,
        "org.opencontainers.image.title": "modelcar",
        "org.opencontainers.image.version": version,
    });
    let sink = ArchiveSink::create(archive, Some(reference.to_owned())).await?;
    let mut manifests = Vec::new();
    for binary in binaries {
        let (architecture, path) = binary.split_once('=').ok_or(USAGE)?;
        let content = fs::read(path).map_err(|error| format!("read `{path}`: {error}"))?;
        manifests.push(platform(&sink, architecture, &content, &annotations).await?);
    }
    let index = document(
        INDEX,
        &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests, "annotations": annotations }),
    );
    sink.publish(&index).await?;
    Ok(index.digest)
}

/// Writes layer, config and manifest of one platform, and returns the entry of the index.
async fn platform(
    sink: &ArchiveSink,
    architecture: &str,
    binary: &[u8],
    annotations: &Value,
) -> Result<Value, Failure> {
    let layer = blob(sink, LAYER, layer(binary)?).await?;
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "Entrypoint": [ENTRYPOINT], "Labels": annotations },
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
        "history": [{ "created_by": "modelcar, statically linked" }],
    });
    let config = blob(sink, CONFIG, config.to_string().into_bytes()).await?;
    let manifest = document(
        MANIFEST,
        &json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": [layer],
            "annotations": annotations,
        }),
    );
    sink.write_manifest(&manifest).await?;
    Ok(json!({
        "mediaType": MANIFEST,
        "digest": manifest.digest.to_string(),
        "size": manifest.bytes.len(),
        "platform": { "os": "linux", "architecture": architecture },
    }))
}

/// Writes a blob and returns its descriptor.
async fn blob(sink: &ArchiveSink, media_type: &str, bytes: Vec<u8>) -> Result<Value, Failure> {
    let verified = sink.write_blob(&BytesBlob::new(media_type, bytes), &|_| ()).await?;
    Ok(json!({ "mediaType": media_type, "digest": verified.digest.to_string(), "size": verified.size }))
}

fn document(media_type: &str, value: &Value) -> ManifestBlob {
    let bytes = value.to_string().into_bytes();
    ManifestBlob { digest: Digest::of(&bytes), bytes: bytes.into(), media_type: media_type.to_owned() }
}

/// Makes the tar of the layer: the binary, and a `/tmp` in which every user may write, for `--digest-file`.
fn layer(binary: &[u8]) -> io::Result<Vec<u8>> {
    let mut tar = Vec::with_capacity(binary.len() + 6 * BLOCK);
    append(&mut tar, ENTRYPOINT.trim_start_matches('/'), EntryType::Regular, 0o755, binary)?;
    append(&mut tar, "tmp/", EntryType::Directory, 0o1777, &[])?;
    // Two blocks of zeros end a tar file.
    tar.resize(tar.len() + 2 * BLOCK, 0);
    Ok(tar)
}

/// Appends an entry of root with the time 0, padded to whole blocks.
fn append(tar: &mut Vec<u8>, path: &str, kind: EntryType, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_path(path)?;
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    Ok(())
}
