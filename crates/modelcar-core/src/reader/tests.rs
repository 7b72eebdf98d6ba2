//! Tests of the reader: what stands below an index, wherever it is kept.

use std::error::Error as _;

use serde_json::{Value, json};

use super::*;
use crate::{
    BuildOptions, Plan,
    base::Base,
    build,
    plan::PlanOptions,
    sink::MemorySink,
    source::{MemorySource, Source},
};

/// Documents by digest.
#[derive(Debug, Default)]
struct Documents(BTreeMap<Digest, Bytes>);

impl Documents {
    fn store(&mut self, json: &Value) -> Digest {
        let bytes = Bytes::from(json.to_string());
        let digest = Digest::of(&bytes);
        self.0.insert(digest, bytes);
        digest
    }

    /// Stores an image whose config says `linux/architecture`, and returns its entry.
    fn image(&mut self, architecture: &str) -> Value {
        let config = self.store(&json!({"os": "linux", "architecture": architecture}));
        let size = self.0[&config].len();
        let config = json!({"mediaType": CONFIG, "digest": config, "size": size});
        let manifest = self.store(&json!({"schemaVersion": 2, "config": config, "layers": []}));
        entry(&manifest)
    }

    fn index(&mut self, entries: &[Value]) -> Value {
        let index = self.store(&json!({"schemaVersion": 2, "manifests": entries}));
        json!({"mediaType": "application/vnd.oci.image.index.v1+json", "digest": index, "size": 1})
    }

    async fn read(&self, entry: &Value, extent: Extent) -> Result<ImageTree, ImageError> {
        read_image(self, entry["digest"].as_str().unwrap(), extent).await
    }
}

#[async_trait]
impl ImageReader for Documents {
    async fn manifest(&self, selector: &str) -> Result<ManifestBlob, ImageError> {
        let digest = selector.parse().unwrap();
        let bytes = self.0.get(&digest).cloned();
        let bytes = bytes.ok_or_else(|| crate::registry::RegistryError::ImageNotFound(selector.to_owned()))?;
        Ok(ManifestBlob { bytes, media_type: String::new(), digest })
    }

    async fn blob(&self, digest: &Digest, _size: u64) -> Result<Bytes, ImageError> {
        Ok(self.0[digest].clone())
    }

    fn body(&self, _title: String, _digest: Digest, _size: u64) -> Arc<dyn Blob> {
        unreachable!("manifests and configs alone are read")
    }
}

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const ALL: Extent = Extent { every_platform: true, configs: Configs::ForPlatform };

fn entry(manifest: &Digest) -> Value {
    json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": 1})
}

fn on(mut entry: Value, platform: &str) -> Value {
    let (os, architecture) = platform.split_once('/').unwrap();
    entry["platform"] = json!({"os": os, "architecture": architecture});
    entry
}

fn told(tree: &ImageTree) -> String {
    let images: Vec<String> = tree.images.iter().map(|image| image.platform.to_string()).collect();
    let missing = tree.missing.iter().map(|missing| {
        missing.platform.as_ref().map_or_else(|| "missing".to_owned(), |platform| format!("missing {platform}"))
    });
    images.into_iter().chain(missing).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn an_image_is_what_is_below_its_index() {
    let mut documents = Documents::default();
    let (amd64, arm64) = (documents.image("amd64"), documents.image("arm64"));
    let nested = documents.index(&[amd64.clone(), arm64.clone()]);
    let nested = documents.index(&[nested]);
    let attested = documents.index(&[on(amd64.clone(), "linux/amd64"), on(entry(&Digest::of("a")), "unknown/unknown")]);
    let gone = on(entry(&Digest::of("gone")), "linux/arm64");
    let holed = documents.index(&[gone.clone(), amd64.clone(), entry(&Digest::of("gone too"))]);
    let empty = documents.index(&[gone]);
    let artifact =
        documents.store(&json!({"config": {"mediaType": "text/plain", "digest": Digest::of(""), "size": 0}}));
    let beside = documents.index(&[entry(&artifact), arm64.clone()]);
    for (name, top, expected) in [
        ("one manifest", &arm64, "linux/arm64"),
        ("an index in an index", &nested, "linux/amd64, linux/arm64"),
        ("an attestation", &attested, "linux/amd64"),
        ("manifests that are not there", &holed, "linux/amd64, missing linux/arm64, missing"),
        ("nothing is there", &empty, "missing linux/arm64"),
        ("an artifact beside an image", &beside, "linux/arm64"),
        ("an artifact", &entry(&artifact), "unknown/unknown"),
    ] {
        let tree = documents.read(top, ALL).await.unwrap();
        assert_eq!(told(&tree), expected, "{name}");
    }
}

#[tokio::test]
async fn only_what_is_asked_for_is_read() {
    let mut documents = Documents::default();
    let usable = on(documents.image("amd64"), "linux/amd64");
    // Not there: reading it would be an entry of `missing`.
    let top = documents.index(&[usable, on(entry(&Digest::of("s390x")), "linux/s390x")]);
    let tree = documents.read(&top, Extent { every_platform: false, configs: Configs::None }).await.unwrap();
    assert_eq!((told(&tree).as_str(), tree.images[0].config.is_some()), ("linux/amd64", false));
    let tree = documents.read(&top, Extent { every_platform: false, configs: Configs::All }).await.unwrap();
    assert!(tree.images[0].config.is_some());
}

#[tokio::test]
async fn what_is_no_image_is_refused_with_its_cause() {
    let mut documents = Documents::default();
    let image = documents.image("amd64");
    let mut deep = image.clone();
    for _ in 0..=MAX_DEPTH {
        deep = documents.index(&[deep]);
    }
    let many = documents.index(&vec![image.clone(); MAX_MANIFESTS + 1]);
    let half = documents.index(&vec![image.clone(); MAX_MANIFESTS / 2]);
    let often = documents.index(&[half.clone(), half.clone(), half]);
    let both = entry(&documents.store(&json!({"manifests": [], "config": image, "layers": []})));
    let none = entry(&documents.store(&json!({})));
    let wrong = entry(&documents.store(&json!({"config": 7, "layers": []})));
    for (top, expected, cause) in [
        (deep, "is an index inside too many others", None),
        (many, "lists more than 64 manifests", None),
        (often, "lists more than 64 manifests", None),
        (both, "is neither an index nor an image manifest", None),
        (none, "is neither an index nor an image manifest", None),
        (wrong, "is not the expected JSON", Some("invalid type: integer `7`")),
    ] {
        let error = documents.read(&top, ALL).await.unwrap_err();
        assert!(error.to_string().ends_with(expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        assert!(source.starts_with(cause.unwrap_or_default()) && source.is_empty() == cause.is_none(), "{source}");
    }
}

#[tokio::test]
async fn an_image_in_memory_is_read_back() {
    let (source, base) = (MemorySource::new([("config.json".parse().unwrap(), "{}")]), Base::scratch());
    let plan = Plan::new(source.origin(), source.list().await.unwrap(), &base.image, &PlanOptions::default()).unwrap();
    let sink = MemorySink::new(["v1"]);
    let built = build(&plan, Arc::new(source), &base, &sink, &BuildOptions::default()).await.unwrap();
    let extent = Extent { every_platform: true, configs: Configs::All };
    let tree = read_image(&sink, "v1", extent).await.unwrap();
    assert_eq!((tree.digest, tree.images.len(), tree.missing.len()), (built.digest, 2, 0));
    let layer = &tree.images[0].manifest.layers[0];
    let mut open = sink.body("layer".to_owned(), layer.digest, layer.size).open();
    assert!(open.stream.next().await.unwrap().is_ok());
    assert_eq!(open.verified.await.unwrap().digest, layer.digest);
    assert_eq!(read_image(&sink, "v2", extent).await.unwrap_err().kind(), ErrorKind::NotFound);
    let absent = sink.body("layer".to_owned(), Digest::of("other"), 5).open();
    assert_eq!(absent.verified.await.unwrap_err().kind(), ErrorKind::NotFound);
}
