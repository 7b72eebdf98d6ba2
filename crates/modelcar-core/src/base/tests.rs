//! Tests of base images.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    ModelcarError,
    error::ErrorKind,
    layout::LayoutSink,
    sink::{ManifestBlob, Sink},
};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// A small ELF header with program headers of the given types.
fn elf(machine: u16, kind: u16, program_headers: &[u32]) -> Vec<u8> {
    let mut elf = vec![0; 64];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    elf[16..18].copy_from_slice(&kind.to_le_bytes());
    elf[18..20].copy_from_slice(&machine.to_le_bytes());
    elf[24] = 1;
    elf[32] = 64;
    elf[54] = 56;
    elf[56] = u8::try_from(program_headers.len()).unwrap();
    for kind in program_headers {
        elf.extend_from_slice(&kind.to_le_bytes());
        elf.extend_from_slice(&[0; 52]);
    }
    elf
}

async fn from_bytes(bytes: &[u8]) -> Result<Base, BaseError> {
    let temp = TempDir::new().unwrap();
    let path = temp.path().join("busybox");
    fs::write(&path, bytes).unwrap();
    Base::from_binary(&path).await
}

#[tokio::test]
async fn a_binary_becomes_a_layer_with_its_links() {
    let binary = elf(183, 3, &[1, 2]);
    let base = from_bytes(&binary).await.unwrap();
    let [only] = base.image.platforms.as_slice() else { panic!("{base:?}") };
    assert_eq!(only.platform.to_string(), "linux/arm64");
    let body = base.body(&only.layers[0]).unwrap();
    assert_eq!(body.digest(), Some(only.layers[0].digest));

    let tar = binary::layer(&binary).unwrap();
    assert_eq!((Digest::of(&tar), tar.len() as u64), (only.layers[0].diff_id, only.layers[0].size));
    let mut paths = Vec::new();
    for entry in tar::Archive::new(&tar[..]).entries().unwrap() {
        let entry = entry.unwrap();
        let (header, path) = (entry.header(), entry.path().unwrap().into_owned());
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
        let target = entry.link_name().unwrap().map(std::borrow::Cow::into_owned);
        match path.to_str().unwrap() {
            "bin/" => assert_eq!(header.mode().unwrap(), 0o755),
            "tmp/" => assert_eq!(header.mode().unwrap(), 0o1777),
            "bin/busybox" => assert_eq!((header.mode().unwrap(), entry.size()), (0o755, binary.len() as u64)),
            _ => assert_eq!(target, Some(std::path::PathBuf::from("busybox"))),
        }
        paths.push(path.to_str().unwrap().to_owned());
    }
    assert!(paths.is_sorted());
    for needed in ["[", "sh", "echo", "ln", "ls", "mkdir", "sleep", "test", "true", "false", "cat", "busybox"] {
        assert!(paths.contains(&format!("bin/{needed}")), "{needed}");
    }
}

#[tokio::test]
async fn a_binary_that_cannot_run_alone_is_refused() {
    let mut small = elf(62, 2, &[1]);
    small[4] = 1;
    let mut far = elf(62, 2, &[1]);
    far[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut library = elf(62, 3, &[1, 2]);
    library[24] = 0;
    for (bytes, expected) in [
        (b"#!/bin/sh\n".to_vec(), "is not an ELF binary"),
        (elf(62, 2, &[1])[..40].to_vec(), "is cut short"),
        (far, "is cut short"),
        (small, "is not a 64-bit little-endian binary"),
        (elf(40, 2, &[1]), "is neither for x86-64 nor for aarch64"),
        (elf(62, 3, &[1, 3, 2]), "is dynamically linked, expected a static busybox"),
        (elf(62, 1, &[]), "is not an executable"),
        (library, "is not an executable"),
    ] {
        let error = from_bytes(&bytes).await.unwrap_err();
        assert!(error.to_string().ends_with(expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(Base::from_binary(Path::new("/nowhere/at/all")).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn platforms_are_text() {
    for (text, shown) in
        [("linux/amd64", "linux/amd64"), ("linux/arm64/v8", "linux/arm64"), ("linux/arm/v7", "linux/arm/v7")]
    {
        let platform: Platform = text.parse().unwrap();
        assert_eq!(platform.to_string(), shown);
        assert_eq!(serde_json::to_value(&platform).unwrap(), json!(shown));
    }
    for bad in ["", "linux", "linux/", "a/b/c/d", "linux/amd 64"] {
        assert!(bad.parse::<Platform>().is_err(), "{bad}");
    }
    let image = Base::scratch().image;
    assert_eq!(serde_json::to_value(&image).unwrap()["platforms"][1], json!({"platform": "linux/arm64", "layers": []}));
}

/// A layout that is filled blob by blob.
struct Fixture {
    temp: TempDir,
    sink: LayoutSink,
}

impl Fixture {
    async fn new() -> Self {
        let temp = TempDir::new().unwrap();
        let sink = LayoutSink::create(temp.path(), Some("ghcr.io/acme/box:1".to_owned())).await.unwrap();
        Self { temp, sink }
    }

    async fn put(&self, media_type: &str, bytes: impl Into<Bytes>) -> Value {
        let bytes = bytes.into();
        let size = bytes.len();
        let verified = self.sink.write_blob(&BytesBlob::new("blob", bytes), &|_| {}).await.unwrap();
        json!({"mediaType": media_type, "digest": verified.digest.to_string(), "size": size})
    }

    async fn image(&self, architecture: &str, layer_type: &str, diff_ids: &[Digest]) -> Value {
        let layer = self.put(layer_type, architecture.to_owned()).await;
        let diff_ids: Vec<_> = diff_ids.iter().map(Digest::to_string).collect();
        let variant = (architecture == "arm64").then_some("v8");
        let config = json!({"os": "linux", "architecture": architecture, "variant": variant, "history": null,
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = self.put("application/vnd.oci.image.config.v1+json", config.to_string()).await;
        self.put(MANIFEST, json!({"schemaVersion": 2, "config": config, "layers": [layer]}).to_string()).await
    }

    async fn index(&self, manifests: &[Value]) -> Value {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        self.put(INDEX, index.to_string()).await
    }

    /// Names `image` and reads it as a base.
    async fn base(&self, image: &Value) -> Result<Base, BaseError> {
        let digest: Digest = image["digest"].as_str().unwrap().parse().unwrap();
        let bytes = fs::read(self.temp.path().join("blobs/sha256").join(digest.hex())).unwrap().into();
        self.sink.publish(&ManifestBlob { bytes, media_type: INDEX.to_owned(), digest }).await.unwrap();
        Base::from_layout(self.temp.path(), None).await
    }
}

fn with_platform(mut descriptor: Value, os: &str, architecture: &str) -> Value {
    descriptor["platform"] = json!({"os": os, "architecture": architecture});
    descriptor
}

#[tokio::test]
async fn a_layout_gives_every_usable_platform() {
    let fixture = Fixture::new().await;
    let inner = Digest::of("inner");
    let amd64 = fixture.image("amd64", DOCKER_GZIP, &[inner]).await;
    let arm64 = fixture.image("arm64", TAR, &[Digest::of("arm64")]).await;
    let attestation = fixture.put(MANIFEST, "not even JSON").await;
    let missing = json!({"mediaType": MANIFEST, "digest": Digest::of("no such").to_string(), "size": 1});
    let nested = fixture.index(&[arm64, with_platform(missing, "linux", "s390x")]).await;
    let top = fixture
        .index(&[with_platform(amd64, "linux", "amd64"), with_platform(attestation, "unknown", "unknown"), nested])
        .await;
    let base = fixture.base(&top).await.unwrap();

    assert_eq!(base.image.name.as_deref(), Some("ghcr.io/acme/box:1"));
    assert_eq!(base.image.digest.unwrap().to_string(), top["digest"].as_str().unwrap());
    let platforms: Vec<_> = base.image.platforms.iter().map(|found| found.platform.to_string()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    let layer = &base.image.platforms[0].layers[0];
    assert_eq!(layer.media_type, "application/vnd.oci.image.layer.v1.tar+gzip");
    assert_eq!((layer.digest, layer.diff_id, layer.size), (Digest::of("amd64"), inner, 5));
    let json = serde_json::to_value(&base.image).unwrap();
    assert_eq!(serde_json::from_value::<BaseImage>(json).unwrap(), base.image);

    let copy = LayoutSink::create(&fixture.temp.path().join("copy"), None).await.unwrap();
    let verified = copy.write_blob(&*base.body(layer).unwrap(), &|_| {}).await.unwrap();
    assert_eq!((verified.digest, verified.diff_id), (Digest::of("amd64"), inner));
    assert!(Base::scratch().body(layer).is_err());
}

#[tokio::test]
async fn a_single_manifest_is_for_the_platform_of_its_config() {
    let fixture = Fixture::new().await;
    let image = fixture.image("arm64", TAR, &[Digest::of("arm64")]).await;
    let base = fixture.base(&image).await.unwrap();
    assert_eq!(base.image.platforms.len(), 1);
    assert_eq!(base.image.platforms[0].platform, Platform::linux("arm64"));
}

#[tokio::test]
async fn an_image_that_nothing_can_stand_on_is_refused() {
    let fixture = Fixture::new().await;
    let good = fixture.image("amd64", TAR, &[Digest::of("amd64")]).await;
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let both = json!({"manifests": [], "config": good, "layers": []}).to_string();
    for (image, expected) in [
        (fixture.index(&[good.clone(), fixture.index(&[good]).await]).await, "has linux/amd64 twice"),
        (fixture.index(&[]).await, "has neither linux/amd64 nor linux/arm64"),
        (fixture.image("s390x", TAR, &[Digest::of("s390x")]).await, "has neither linux/amd64 nor linux/arm64"),
        (fixture.image("amd64", TAR, &[]).await, "has 0 diff ids for 1 layers"),
        (fixture.image("amd64", TAR, &[Digest::of("x")]).await, &*format!("diff id, `{}`", Digest::of("x"))),
        (fixture.image("amd64", foreign, &[Digest::of("x")]).await, "its bytes are kept elsewhere"),
        (fixture.image("amd64", "text/html", &[Digest::of("x")]).await, "is of the unknown type `text/html`"),
        (fixture.put(INDEX, "[").await, "is not the expected JSON"),
        (fixture.put(INDEX, both).await, "is neither an index nor an image manifest"),
    ] {
        let error = fixture.base(&image).await.unwrap_err();
        assert!(error.to_string().ends_with(expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn of_twins_the_one_without_zstd_is_taken_and_artifacts_are_passed_over() {
    const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    let fixture = Fixture::new().await;
    let inner = Digest::of("inner");
    let gzip = fixture.image("amd64", DOCKER_GZIP, &[inner]).await;
    let mut zstd = fixture.image("amd64", ZSTD, &[inner]).await;
    zstd["annotations"] = json!({"io.github.containers.compression.zstd": "true"});
    let signature = fixture.put("application/vnd.example.signature", "signed").await;
    let artifact = json!({"schemaVersion": 2, "config": signature, "layers": null}).to_string();
    let artifact = fixture.put(MANIFEST, artifact).await;
    for twins in [[gzip.clone(), zstd.clone()], [zstd.clone(), gzip.clone()]] {
        let nested = fixture.index(&twins).await;
        let base = fixture.base(&fixture.index(&[nested, artifact.clone()]).await).await.unwrap();
        let [only] = base.image.platforms.as_slice() else { panic!("{base:?}") };
        assert_eq!(only.layers[0].media_type, "application/vnd.oci.image.layer.v1.tar+gzip");
    }
    let base = fixture.base(&fixture.index(&[zstd.clone()]).await).await.unwrap();
    assert_eq!(base.image.platforms[0].layers[0].media_type, ZSTD, "alone it is good enough");
    let error = fixture.base(&fixture.index(&[zstd.clone(), zstd]).await).await.unwrap_err();
    assert!(error.to_string().ends_with("has linux/amd64 twice"), "{error}");
}
