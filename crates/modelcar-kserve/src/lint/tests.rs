mod cases;

use std::{collections::BTreeMap, io::Write};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    tree::{LayerNames, Room, Tree},
    *,
};
use modelcar_core::{
    Digest, ImageError,
    sink::{Blob, BytesBlob, ManifestBlob},
};

/// An image in memory, made of layers as archives.
#[derive(Debug, Default)]
struct Image {
    blobs: BTreeMap<Digest, Bytes>,
    layers: Vec<Value>,
    config: Value,
    config_type: &'static str,
    platforms: Vec<&'static str>,
}

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// One entry of an archive.
#[derive(Clone, Copy)]
struct Member<'a> {
    name: &'a str,
    kind: tar::EntryType,
    link: &'a str,
    mode: u32,
    /// User and group.
    owner: u64,
    content: &'a str,
}

fn file(name: &str) -> Member<'_> {
    Member { name, kind: tar::EntryType::Regular, link: "", mode: 0o644, owner: 0, content: "x" }
}

fn folder(name: &str) -> Member<'_> {
    Member { name, kind: tar::EntryType::Directory, link: "", mode: 0o755, owner: 0, content: "" }
}

fn link<'a>(kind: tar::EntryType, name: &'a str, link: &'a str) -> Member<'a> {
    Member { name, kind, link, mode: 0o777, owner: 0, content: "" }
}

fn archive(members: &[Member<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for member in members {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(member.kind);
        header.set_mode(member.mode);
        header.set_uid(member.owner);
        header.set_gid(member.owner);
        header.set_size(member.content.len() as u64);
        // The setter of names would clean them.
        header.as_old_mut().name[..member.name.len()].copy_from_slice(member.name.as_bytes());
        if !member.link.is_empty() {
            header.set_link_name_literal(member.link).unwrap();
        }
        header.set_cksum();
        tar.append(&header, member.content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn busybox() -> Vec<u8> {
    let mut members = vec![folder("bin/"), Member { mode: 0o755, ..file("bin/busybox") }];
    members.extend(["bin/sh", "bin/ln", "bin/ls"].map(|name| link(tar::EntryType::Symlink, name, "busybox")));
    members.extend(["bin/sleep", "bin/mkdir"].map(|name| link(tar::EntryType::Link, name, "bin/busybox")));
    archive(&members)
}

fn weights() -> Vec<u8> {
    archive(&[folder("models/"), file("models/config.json"), folder("models/a/"), file("models/a/b")])
}

impl Image {
    /// The image that modelcar makes.
    fn good() -> Self {
        let mut image = Self {
            config: json!({"User": "1010", "Env": ["PATH=/usr/bin:/bin"]}),
            config_type: "application/vnd.oci.image.config.v1+json",
            platforms: vec!["amd64", "arm64"],
            ..Self::default()
        };
        image.layer(TAR, busybox());
        image.layer(TAR, weights());
        image
    }

    /// The good image with other weights.
    fn with(members: &[Member<'_>]) -> Self {
        let mut image = Self::good();
        image.layers.pop();
        image.layer(TAR, archive(members));
        image
    }

    fn set(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    fn store(&mut self, bytes: Vec<u8>) -> Value {
        let digest = Digest::of(&bytes);
        let descriptor = json!({"digest": digest, "size": bytes.len()});
        self.blobs.insert(digest, bytes.into());
        descriptor
    }

    fn layer(&mut self, media_type: &str, bytes: Vec<u8>) {
        let mut layer = self.store(bytes);
        layer["mediaType"] = json!(media_type);
        self.layers.push(layer);
    }

    async fn lint(self) -> LintReport {
        self.lint_with(LintOptions::default()).await
    }

    async fn lint_with(mut self, options: LintOptions) -> LintReport {
        let mut manifests = Vec::new();
        for platform in self.platforms.clone() {
            let config = json!({"os": "linux", "architecture": platform, "config": self.config});
            let mut config = self.store(config.to_string().into_bytes());
            config["mediaType"] = json!(self.config_type);
            let manifest = json!({"schemaVersion": 2, "config": config, "layers": self.layers});
            let mut manifest = self.store(manifest.to_string().into_bytes());
            manifest["mediaType"] = json!("application/vnd.oci.image.manifest.v1+json");
            manifest["platform"] = json!({"os": "linux", "architecture": platform});
            manifests.push(manifest);
        }
        let index = self.store(json!({"schemaVersion": 2, "manifests": manifests}).to_string().into_bytes());
        lint(&self, index["digest"].as_str().unwrap(), true, options).await.unwrap()
    }
}

#[async_trait]
impl ImageReader for Image {
    async fn manifest(&self, selector: &str) -> Result<ManifestBlob, ImageError> {
        let digest = selector.parse().unwrap();
        Ok(ManifestBlob { bytes: self.blobs[&digest].clone(), media_type: String::new(), digest })
    }

    async fn blob(&self, digest: &Digest, _size: u64) -> Result<Bytes, ImageError> {
        Ok(self.blobs[digest].clone())
    }

    fn body(&self, title: String, digest: Digest, _size: u64) -> std::sync::Arc<dyn Blob> {
        std::sync::Arc::new(BytesBlob::new(title, self.blobs[&digest].clone()))
    }
}

/// Codes of the errors and warnings of the first platform and the image, and the modes that serve.
fn told(report: &LintReport) -> (Vec<&'static str>, String) {
    let findings = report.findings.iter().chain(&report.platforms[0].findings);
    let codes = findings.filter(|finding| finding.severity() != Severity::Info).map(LintFinding::code).collect();
    let modes: Vec<String> = report.serves.iter().map(ToString::to_string).collect();
    (codes, modes.join(" "))
}

async fn check(name: &str, image: Image, codes: &[&str], serves: &str) {
    let report = image.lint().await;
    assert_eq!(told(&report), (codes.to_vec(), serves.to_owned()), "{name}: {report:#?}");
}

const EVERYWHERE: &str = "sidecar native fetch";

#[tokio::test]
async fn what_modelcar_makes_serves_in_every_mode() {
    check("good", Image::good(), &[], EVERYWHERE).await;
    let mut compressed = Image::good();
    compressed.layers.remove(0);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&busybox()).unwrap();
    compressed.layer("application/vnd.docker.image.rootfs.diff.tar.gzip", gzip.finish().unwrap());
    check("gzip base", compressed, &[], EVERYWHERE).await;
}

#[tokio::test]
async fn what_kserve_calls_must_be_there() {
    let mut scratch = Image::good();
    scratch.layers.remove(0);
    check("scratch", scratch, &["no-shell"], "native fetch").await;
    let path = Image::good().set("Env", json!(["PATH=/opt"]));
    check("other path", path, &["no-shell"], "native fetch").await;
    check("no path", Image::good().set("Env", Value::Null), &[], EVERYWHERE).await;
    let mut tools = Image::good();
    tools.layers.remove(0);
    tools.layer(TAR, archive(&[Member { mode: 0o755, ..file("bin/sh") }]));
    check("a shell alone", tools, &["no-tools"], "native fetch").await;
    check("entrypoint", Image::good().set("Entrypoint", json!(["/serve"])), &["entrypoint"], "native fetch").await;
    check("empty entrypoint", Image::good().set("Entrypoint", json!([])), &[], EVERYWHERE).await;
}

#[tokio::test]
async fn users_and_groups_must_agree() {
    for (user, codes) in [
        ("", ["root-user"].as_slice()),
        ("root", &["root-user"]),
        ("0:0", &["root-user"]),
        ("nobody", &["named-user"]),
        ("1010:1010", &["user-group"]),
        ("1010:0", &[]),
    ] {
        check(user, Image::good().set("User", json!(user)), codes, EVERYWHERE).await;
    }
    let passwd = |line| {
        let mut image = Image::good();
        image.layer(TAR, archive(&[Member { content: line, ..file("etc/passwd") }]));
        image
    };
    check("other group", passwd("root:x:0:0::/:\nm:x:1010:1010::/:\n"), &["passwd-group"], "native fetch").await;
    check("group 0", passwd("m:x:1010:0::/:\n"), &[], EVERYWHERE).await;
    let own = passwd("m:x:2000:2000::/:\nn:x:1010:0::/:\n").set("User", json!("2000"));
    check("other group of its own user", own, &["passwd-group"], EVERYWHERE).await;
    check("others", passwd("m:x:1000:1000::/:\n"), &[], EVERYWHERE).await;
    let volume = Image::good().set("Volumes", json!({"/models": {}}));
    check("volume", volume, &["volume"], EVERYWHERE).await;
}

#[tokio::test]
async fn models_must_be_a_readable_folder_with_files() {
    use tar::EntryType::{Link, Symlink};
    check("empty", Image::with(&[folder("models/")]), &["no-models"], "").await;
    check("elsewhere", Image::with(&[file("model/config.json")]), &["no-models"], "").await;
    check("a link", Image::with(&[link(Symlink, "models", "/data"), file("data/x")]), &["models-link"], "").await;
    check("a file", Image::with(&[file("models")]), &["no-models"], "").await;
    let dotted = [folder("./models/"), file("./models/config.json")];
    check("dotted names", Image::with(&dotted), &["names"], "sidecar native").await;
    check("rooted names", Image::with(&[file("/models/config.json")]), &["names"], "sidecar native").await;
    let secret = [folder("models/"), Member { mode: 0o600, ..file("models/x") }];
    check("unreadable file", Image::with(&secret), &["unreadable"], "fetch").await;
    let group = [folder("models/"), Member { mode: 0o640, ..file("models/x") }];
    check("readable for group 0", Image::with(&group), &[], EVERYWHERE).await;
    let closed = [Member { mode: 0o700, ..folder("models/") }, file("models/x")];
    check("unreadable folder", Image::with(&closed), &["unreadable"], "fetch").await;
    let inside = [file("models/x"), link(Symlink, "models/y", "x"), link(Symlink, "models/z", "/models/x")];
    check("absolute link", Image::with(&inside), &["absolute-link"], "").await;
    let hard = [file("models/x"), link(Link, "models/y", "models/x")];
    check("hard link", Image::with(&hard), &["hard-link"], "sidecar native").await;
}

#[tokio::test]
async fn layers_must_be_of_a_known_kind() {
    let mut zstd = Image::good();
    zstd.layers[1]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+zstd");
    check("zstd", zstd, &["zstd", "no-models"], "sidecar native").await;
    let mut docker = Image::good();
    docker.layers[1]["mediaType"] = json!("application/vnd.docker.image.rootfs.diff.tar");
    check("docker's plain tar", docker, &["layer-type"], "sidecar native").await;
    let mut twice = Image::good();
    twice.layer(TAR, weights());
    check("twice", twice, &["no-streaming"], EVERYWHERE).await;
    let mut many = Image::good();
    for index in 0..130 {
        many.layer(TAR, archive(&[file(&format!("models/{index}"))]));
    }
    check("too many", many, &["layer-count"], "").await;
    let mut artifact = Image::good();
    artifact.config_type = "application/vnd.cncf.model.config.v1+json";
    check("artifact", artifact, &["artifact"], "").await;
    let mut large = Image::good();
    large.layers[1]["size"] = json!(10_000_000_001_u64);
    check("large", large, &["large-layer"], EVERYWHERE).await;
    let mut arm = Image::good();
    arm.platforms = vec!["arm64"];
    check("one platform", arm, &["platform"], EVERYWHERE).await;
    let mut removed = Image::good();
    removed.layer(TAR, archive(&[file("models/.wh.a")]));
    check("whiteout", removed, &["whiteout"], EVERYWHERE).await;
    let mut gone = Image::good();
    gone.layer(TAR, archive(&[file(".wh.models")]));
    check("all removed", gone, &["no-models"], "").await;
    for (case, name) in
        [("a root without what is below", ".wh..wh..opq"), ("a white-out that climbs", "models/a/../../.wh.models")]
    {
        let mut opaque = Image::good();
        opaque.layer(TAR, archive(&[file(name)]));
        let report = opaque.lint().await;
        let codes: Vec<_> = report.platforms[0].findings.iter().map(LintFinding::code).collect();
        assert!(codes.contains(&"no-models"), "{case}: {codes:?}");
    }
    let mut replaced = Image::good();
    replaced.layer(TAR, archive(&[file("models")]));
    check("a file in place of the folder", replaced, &["no-models"], "").await;
}

#[test]
fn an_archive_that_breaks_off_is_read_as_far_as_it_goes() {
    let tar = weights();
    let whole = LayerNames::read(tar.as_slice(), Room::default()).0;
    assert!(whole.complete);
    assert_eq!(whole.entries.len(), 4);
    let part = LayerNames::read(&tar[..1100], Room::default()).0;
    assert!(!part.complete);
    assert_eq!(part.entries[0].name, "models/");
    assert!(!LayerNames::read(&[1; 2048][..], Room::default()).0.complete);
}

#[test]
fn an_archive_of_others_takes_little_memory_and_time() {
    let long = |bytes: usize| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(bytes as u64);
        header.set_cksum();
        let mut tar = header.as_bytes().to_vec();
        tar.resize(tar.len() + bytes.next_multiple_of(512), b'n');
        tar.extend(archive(&[file("x")]));
        tar
    };
    assert_eq!(LayerNames::read(long(100_000).as_slice(), Room::default()).0.entries[0].name.len(), 100_000);
    let read = LayerNames::read(long(2 << 20).as_slice(), Room::default()).0;
    assert!(!read.complete && read.entries.is_empty());

    // Names of a whole image that are larger than the room for them.
    let names: Vec<String> = (0..300).map(|number| format!("{number}/{}", "n".repeat(90))).collect();
    let tar = archive(&names.iter().map(|name| file(name)).collect::<Vec<_>>());
    let mut room = Room::default();
    for _ in 0..2000 {
        let (names, left) = LayerNames::read(tar.as_slice(), room);
        room = left;
        if !names.complete {
            break;
        }
    }
    assert!(!LayerNames::read(tar.as_slice(), room).0.complete);

    let names: Vec<String> =
        (0..40_000).flat_map(|number| [format!("d/f{number}"), format!("d/.wh.x{number}")]).collect();
    let layer =
        LayerNames::read(archive(&names.iter().map(|name| file(name)).collect::<Vec<_>>()).as_slice(), Room::default())
            .0;
    let begun = std::time::Instant::now();
    let mut tree = Tree::default();
    tree.add(&layer);
    tree.add(&layer);
    assert_eq!(tree.below("d").count(), 40_000);
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
}
