//! Finds what can be built on in an index or manifest, wherever it is kept.

use serde::{Deserialize, de::DeserializeOwned};

use super::{BaseError, BaseLayer, BasePlatform, ImageReader, Platform};
use crate::{
    Digest,
    sink::{Descriptor, MAX_JSON_BYTES, ManifestBlob},
};

/// Indexes in indexes are rare, and never deep.
const MAX_DEPTH: usize = 4;
/// More manifests than any image has platforms.
const MAX_MANIFESTS: usize = 64;

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const TAR_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// An index or a manifest. The lists tell which: the media type is optional in both.
#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
}

#[derive(Debug, Deserialize)]
struct Config {
    os: String,
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
    rootfs: RootFs,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Option<Vec<Digest>>,
}

/// Something to look into.
struct Task {
    blob: ManifestBlob,
    platform: Option<Platform>,
    depth: usize,
}

/// Resolves `selector` to its digest and the platforms that can be built on, in the image's order.
///
/// `image` is what messages call it.
pub(super) async fn resolve(
    reader: &dyn ImageReader,
    selector: &str,
    image: &str,
) -> Result<(Digest, Vec<BasePlatform>), BaseError> {
    let resolver = Resolver { reader, image };
    let top = resolver.manifest(selector).await?;
    let digest = top.digest;
    let mut platforms: Vec<BasePlatform> = Vec::new();
    let mut manifests = 0;
    let mut tasks = vec![Task { blob: top, platform: None, depth: 0 }];
    while let Some(task) = tasks.pop() {
        let what = || format!("manifest `{}`", task.blob.digest);
        let document: Document = resolver.parse(&task.blob.bytes, what)?;
        match document {
            Document { manifests: Some(children), config: None, layers: None } => {
                if task.depth == MAX_DEPTH {
                    return Err(resolver.bad(what(), "is an index inside too many others"));
                }
                let at = tasks.len();
                for child in children.iter().filter(|child| is_candidate(child)) {
                    manifests += 1;
                    if manifests > MAX_MANIFESTS {
                        return Err(resolver.bad(what(), format!("lists more than {MAX_MANIFESTS} manifests")));
                    }
                    let blob = resolver.manifest(&child.digest.to_string()).await?;
                    // Taken from the end, so put in backwards.
                    tasks.insert(at, Task { blob, platform: platform_of(child), depth: task.depth + 1 });
                }
            }
            Document { manifests: None, config: Some(config), layers } => {
                let Some(found) = resolver.platform(task.platform, &config, layers.unwrap_or_default()).await? else {
                    continue;
                };
                if platforms.iter().any(|other| other.platform == found.platform) {
                    let image = image.to_owned();
                    return Err(BaseError::DuplicatePlatform { image, platform: found.platform });
                }
                platforms.push(found);
            }
            // Both at once is how one digest is made to mean two images.
            _ => return Err(resolver.bad(what(), "is neither an index nor an image manifest")),
        }
    }
    if platforms.is_empty() {
        return Err(BaseError::NoPlatform(image.to_owned()));
    }
    Ok((digest, platforms))
}

struct Resolver<'a> {
    reader: &'a dyn ImageReader,
    image: &'a str,
}

impl Resolver<'_> {
    /// Fetches a manifest and checks that it is the one asked for, whatever the reader has checked.
    async fn manifest(&self, selector: &str) -> Result<ManifestBlob, BaseError> {
        let mut blob = self.reader.manifest(selector).await?;
        blob.digest = Digest::of(&blob.bytes);
        match selector.parse::<Digest>() {
            Ok(expected) => self.proven(expected, blob.digest).map(|()| blob),
            Err(_) => Ok(blob),
        }
    }

    /// Reads a manifest's config and pairs its layers with their diff ids. `None` when the platform is of no use.
    async fn platform(
        &self,
        stated: Option<Platform>,
        config: &Descriptor,
        layers: Vec<Descriptor>,
    ) -> Result<Option<BasePlatform>, BaseError> {
        let what = || format!("config `{}`", config.digest);
        if config.size > MAX_JSON_BYTES {
            return Err(self.bad(what(), format!("has {} bytes, at most {MAX_JSON_BYTES} are read", config.size)));
        }
        let bytes = self.reader.blob(&config.digest, config.size).await?;
        self.proven(config.digest, Digest::of(&bytes))?;
        let parsed: Config = self.parse(&bytes, what)?;
        let platform = stated.unwrap_or_else(|| Platform::new(parsed.os, parsed.architecture, parsed.variant));
        if !platform.is_usable() {
            return Ok(None);
        }
        let diff_ids = parsed.rootfs.diff_ids.unwrap_or_default();
        if diff_ids.len() != layers.len() {
            let reason = format!("has {} diff ids for {} layers", diff_ids.len(), layers.len());
            return Err(self.bad(what(), reason));
        }
        let layers = layers.into_iter().zip(diff_ids).map(|(layer, diff_id)| self.layer(&layer, diff_id));
        Ok(Some(BasePlatform { platform, layers: layers.collect::<Result<_, _>>()? }))
    }

    fn layer(&self, layer: &Descriptor, diff_id: Digest) -> Result<BaseLayer, BaseError> {
        let what = || format!("layer `{}`", layer.digest);
        let media_type = match layer.media_type.as_str() {
            TAR | "application/vnd.docker.image.rootfs.diff.tar" => TAR,
            TAR_GZIP | "application/vnd.docker.image.rootfs.diff.tar.gzip" => TAR_GZIP,
            TAR_ZSTD | "application/vnd.docker.image.rootfs.diff.tar.zstd" => TAR_ZSTD,
            foreign if foreign.contains(".foreign.") || foreign.contains(".nondistributable.") => {
                return Err(self.bad(what(), "may not be distributed: its bytes are kept elsewhere"));
            }
            other => return Err(self.bad(what(), format!("is of the unknown type `{other}`"))),
        };
        if media_type == TAR && layer.digest != diff_id {
            return Err(self.bad(what(), format!("is not compressed and has another diff id, `{diff_id}`")));
        }
        Ok(BaseLayer { media_type: media_type.to_owned(), digest: layer.digest, size: layer.size, diff_id })
    }

    fn parse<T: DeserializeOwned>(&self, bytes: &[u8], what: impl Fn() -> String) -> Result<T, BaseError> {
        serde_json::from_slice(bytes).map_err(|error| BaseError::Image {
            image: self.image.to_owned(),
            what: what(),
            reason: "is not the expected JSON".to_owned(),
            source: Some(error),
        })
    }

    fn bad(&self, what: String, reason: impl Into<String>) -> BaseError {
        BaseError::Image { image: self.image.to_owned(), what, reason: reason.into(), source: None }
    }

    fn proven(&self, expected: Digest, found: Digest) -> Result<(), BaseError> {
        if expected == found {
            return Ok(());
        }
        Err(BaseError::Corrupt { image: self.image.to_owned(), expected, found })
    }
}

fn platform_of(child: &Descriptor) -> Option<Platform> {
    let platform = child.platform.as_ref()?;
    Some(Platform::new(&platform.os, &platform.architecture, platform.variant.clone()))
}

/// Returns whether a child of an index may be an image for a usable platform: attestations and others are not.
fn is_candidate(child: &Descriptor) -> bool {
    let is_image = matches!(
        child.media_type.as_str(),
        "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json"
    );
    is_image && platform_of(child).is_none_or(|platform| platform.is_usable())
}
