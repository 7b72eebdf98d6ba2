//! Owns images made by `tar` and a compressor: any files in any layers.

use std::{
    env::consts::ARCH,
    fs::{self, File},
    io::{self, Cursor, Read, Seek},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::layouts::Compression;
use crate::{
    http::Connection,
    manifests::{self, MANIFEST},
    model::MODEL,
    upload::{BUFFER_BYTES, upload},
};

/// Packs files of `folder`, a layer for each list of paths, and pushes the image under `tag`. Temporary files go into
/// `scratch`.
pub(crate) fn push_packed(
    folder: &Path,
    lists: &[Vec<String>],
    compression: Compression,
    (registry, tag): (&str, &str),
    scratch: &Path,
) -> io::Result<()> {
    let mut connection = Connection::open(registry)?;
    let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
    for paths in lists {
        let tar = scratch.join("layer.tar");
        let mut command = Command::new("tar");
        command.args(["--create", "--sort=name", "--mtime=@0", "--numeric-owner", "--owner=0", "--group=0"]);
        command.args(["--transform", "s,^,models/,", "--file"]).arg(&tar).arg("--directory").arg(folder).args(paths);
        succeed(&mut command)?;
        let media_type = format!("application/vnd.oci.image.layer.v1.tar{}", suffix(compression));
        let blob = compress(&tar, compression)?;
        diff_ids.push(format!("sha256:{}", hash(&mut File::open(&tar)?)?.0));
        layers.push(push_blob(&mut connection, &media_type, File::open(&blob)?)?);
        fs::remove_file(&tar)?;
        if blob != tar {
            fs::remove_file(&blob)?;
        }
    }
    let config = json!({"architecture": architecture(), "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = Cursor::new(config.to_string());
    let config = push_blob(&mut connection, "application/vnd.oci.image.config.v1+json", config)?;
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
    manifests::put(&mut connection, tag, MANIFEST, manifest.to_string().as_bytes())
}

/// Returns the file that holds the layer: `tar` itself, or another one beside it.
fn compress(tar: &Path, compression: Compression) -> io::Result<PathBuf> {
    let mut command = match compression {
        Compression::Plain => return Ok(tar.to_owned()),
        Compression::Gzip => Command::new("gzip"),
        Compression::Zstd => Command::new("zstd"),
    };
    let blob = tar.with_extension("compressed");
    command.args(if compression == Compression::Gzip { ["-6", "-n"] } else { ["-3", "-q"] });
    succeed(command.arg("-c").arg(tar).stdout(File::create(&blob)?))?;
    Ok(blob)
}

fn suffix(compression: Compression) -> &'static str {
    match compression {
        Compression::Plain => "",
        Compression::Gzip => "+gzip",
        Compression::Zstd => "+zstd",
    }
}

/// Uploads a blob and returns its descriptor.
fn push_blob(registry: &mut Connection, media_type: &str, mut blob: impl Read + Seek) -> io::Result<Value> {
    let (sha256, size) = hash(&mut blob)?;
    blob.rewind()?;
    upload(registry, MODEL, &mut blob, size, &sha256, &mut vec![0; BUFFER_BYTES])?;
    Ok(json!({"mediaType": media_type, "digest": format!("sha256:{sha256}"), "size": size}))
}

/// Returns the SHA-256 and the number of bytes.
fn hash(bytes: &mut impl Read) -> io::Result<(String, u64)> {
    let (mut hasher, mut size, mut buffer) = (Sha256::new(), 0, vec![0; BUFFER_BYTES]);
    loop {
        match bytes.read(&mut buffer)? {
            0 => return Ok((hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), size)),
            read => {
                hasher.update(&buffer[..read]);
                size += read as u64;
            }
        }
    }
}

/// This machine's architecture as images name it.
fn architecture() -> &'static str {
    match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn succeed(command: &mut Command) -> io::Result<()> {
    let status = command.status()?;
    let name = command.get_program().display();
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{name}: {status}"))) }
}

#[cfg(test)]
mod tests {
    use modelcar_testkit::{FakeRegistry, RegistryConfig};

    use super::*;
    use crate::manifests::{Layers, layers, tag_again};

    #[test]
    fn a_strict_registry_takes_each_list_as_a_layer() {
        let registry = FakeRegistry::start_blocking(RegistryConfig::default());
        let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["one", "two", "three"] {
            fs::write(folder.path().join(name), vec![0; 100_000]).unwrap();
        }
        let lists = [vec!["one".to_owned()], vec!["two".to_owned(), "three".to_owned()]];
        let push = |compression, tag: &str| -> Layers {
            let place = (registry.host(), tag);
            push_packed(folder.path(), &lists, compression, (&place.0, place.1), scratch.path()).unwrap();
            layers(&registry.host(), tag).unwrap()
        };
        let (plain, gzip) = (push(Compression::Plain, "plain"), push(Compression::Gzip, "gzip"));
        assert_eq!((plain.count, gzip.count), (2, 2));
        assert!(plain.bytes > 300_000 && gzip.bytes < 10_000, "{plain:?} {gzip:?}");
        assert_eq!(scratch.path().read_dir().unwrap().count(), 0, "the temporary files are still there");
        tag_again(&registry.host(), "plain", "other").unwrap();
        assert_eq!(layers(&registry.host(), "other").unwrap(), plain);
    }
}
