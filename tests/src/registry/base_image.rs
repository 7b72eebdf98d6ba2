//! Owns ready-made base images.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::FakeRegistry;
use super::store::digest_of;

impl FakeRegistry {
    /// Inserts a small busybox-like image for several platforms and returns its index digest.
    ///
    /// Platforms are written `os/architecture[/variant]`; the layer is shared.
    pub fn add_base_image(&self, repo: &str, tag: &str, platforms: &[&str]) -> String {
        let children: Vec<_> = platforms
            .iter()
            .map(|platform| {
                let manifest = self.base_manifest(repo, platform).to_string();
                let kind = "application/vnd.oci.image.manifest.v1+json";
                let size = manifest.len();
                let digest = digest_of(manifest.as_bytes());
                self.add_manifest(repo, &digest, kind, manifest);
                json!({
                    "mediaType": kind, "digest": digest, "size": size,
                    "platform": platform_json(platform),
                })
            })
            .collect();
        let kind = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": children});
        self.add_manifest(repo, tag, kind, index.to_string())
    }

    /// Inserts the same image for one platform, without an index, and returns its digest.
    pub fn add_single_platform_image(&self, repo: &str, tag: &str, platform: &str) -> String {
        let manifest = self.base_manifest(repo, platform).to_string();
        self.add_manifest(repo, tag, "application/vnd.oci.image.manifest.v1+json", manifest)
    }

    /// Inserts layer and config for a platform and returns the manifest.
    fn base_manifest(&self, repo: &str, platform: &str) -> Value {
        let tar = base_tar();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&tar).expect("writing to memory succeeds");
        let layer = encoder.finish().expect("writing to memory succeeds");
        let layer_size = layer.len();
        let layer = self.add_blob(repo, layer);
        let mut config = platform_json(platform);
        config["config"] = json!({"Env": ["PATH=/bin"], "Cmd": ["sh"]});
        config["rootfs"] = json!({"type": "layers", "diff_ids": [digest_of(&tar)]});
        config["history"] = json!([{"created_by": "base", "created": "2025-01-01T00:00:00Z"}]);
        let config = config.to_string();
        let config_size = config.len();
        let config = self.add_blob(repo, config);
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config, "size": config_size,
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": layer, "size": layer_size,
            }],
        })
    }
}

fn platform_json(platform: &str) -> Value {
    let mut parts = platform.split('/');
    let mut value = json!({"os": parts.next(), "architecture": parts.next()});
    if let Some(variant) = parts.next() {
        value["variant"] = json!(variant);
    }
    value
}

/// A root file system with a shell that does nothing.
fn base_tar() -> Vec<u8> {
    const SHELL: &[u8] = b"#!placeholder for a shell\n";
    let mut archive = tar::Builder::new(Vec::new());
    let entries: [(&str, tar::EntryType, &[u8]); 3] = [
        ("bin/", tar::EntryType::Directory, b""),
        ("bin/sh", tar::EntryType::Regular, SHELL),
        ("tmp/", tar::EntryType::Directory, b""),
    ];
    for (path, kind, data) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_path(path).expect("path fits a header");
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(data.len() as u64);
        header.set_cksum();
        archive.append(&header, data).expect("writing to memory succeeds");
    }
    archive.into_inner().expect("writing to memory succeeds")
}
